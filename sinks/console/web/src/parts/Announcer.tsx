import { shownLevel } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { say, t } from "../i18n/index.ts";

/** For screen readers: a new red at once, the rest as a summary every few seconds at most. */
export function Announcer() {
  const console = useConsole();
  const red = console.urgent.value;
  const news = console.news.value;
  return (
    <>
      <div class="spoken" role="alert">
        {red && t("say.new", { level: t("takeover.red"), site: say(red.site_name) || red.site, title: say(red.title) })}
      </div>
      <div class="spoken" role="status">
        {news.length > 0 && t("say.summary", { n: news.length }) + " " + byLevel(news.map(shownLevel))}
      </div>
    </>
  );
}

function byLevel(found: ReturnType<typeof shownLevel>[]): string {
  return (["red", "orange", "yellow", "blue", "fault"] as const)
    .map((level) => [level, found.filter((l) => l === level).length] as const)
    .filter(([, n]) => n > 0)
    .map(([level, n]) => `${t(`level.${level}`)} ${n}`)
    .join(", ");
}
