import type { Group } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatAge } from "../format.ts";
import { isQuiet } from "../health.ts";
import { say, t } from "../i18n/index.ts";
import { Shape } from "./Level.tsx";

const levels = ["red", "orange", "yellow", "blue", "fault"] as const;

const groups: Exclude<Group, "all">[] = ["unacked", "acked", "cleared", "shelved", "suppressed", "silence"];

/** Always on screen, so that nothing that was put away is forgotten. Each number lists what it counts. */
export function Strip() {
  const console = useConsole();
  const counts = console.counts.value;
  const filter = console.filter.value;
  const counted = console.health.value?.counts;
  return (
    <nav class="strip">
      <div role="group" aria-label={t("strip.levels")}>
        {levels.map((level) => (
          <button
            type="button"
            key={level}
            class={`count level ${counts.levels[level] === 0 ? "zero" : ""}`}
            aria-pressed={filter.level === level}
            onClick={() => console.setFilter({ level: filter.level === level ? null : level })}
          >
            <Shape look={level} />
            <b>{counts.levels[level]}</b>
            <span>{t(`level.${level}`)}</span>
          </button>
        ))}
      </div>
      <div role="group" aria-label={t("strip.label")}>
        {groups.map((group) => (
          <button
            type="button"
            key={group}
            class={`count ${counts[group] === 0 ? "zero" : ""} ${group}`}
            aria-pressed={filter.group === group}
            onClick={() => console.setFilter({ group: filter.group === group ? "all" : group })}
          >
            <b>{counts[group]}</b>
            <span>{t(`group.${group}`)}</span>
          </button>
        ))}
      </div>
      {console.isFiltered() && (
        <button type="button" class="clear" onClick={() => console.clearFilter()}>
          <span>{filter.site === null ? t("strip.clear") : t("strip.site", { site: siteName(console, filter.site) })}</span>
          <span aria-hidden="true"> ✕</span>
        </button>
      )}
      <div class="standing">
        {counted && (
          <span>
            <button type="button" class="list-devices" onClick={() => console.visit({ device: "" })}>
              <b>{counted.online}</b> / {counted.devices} {t("online")}
            </button>
            {counted.rules_unarmed > 0 && (
              <em title={t("unarmedHint")}>
                {" · "}
                <b>{counted.rules_unarmed}</b> {t("unarmed")}
              </em>
            )}
          </span>
        )}
        <Inputs />
      </div>
    </nav>
  );
}

/** When each source was last heard: silence must not look like calm. */
function Inputs() {
  const console = useConsole();
  const now = console.now.value;
  const sources = console.health.value?.sources ?? [];
  return (
    <>
      {sources.map((s) => (
        <span key={s.name} class={isQuiet(s, now) ? "quiet" : ""}>
          {t("strip.input")} {s.name} <b>{s.last ? t("detail.readAgo", { age: formatAge(now - Date.parse(s.last)) }) : "—"}</b>
        </span>
      ))}
    </>
  );
}

function siteName(console: ReturnType<typeof useConsole>, id: string): string {
  return say(console.sites.value.find((s) => s.id === id)?.name) || id;
}
