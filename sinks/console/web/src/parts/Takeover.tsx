import { hasFlag, unackedReds } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatAge, formatNumber, formatValue } from "../format.ts";
import { wakes } from "../horn.ts";
import { say, t } from "../i18n/index.ts";
import { Shape } from "./Level.tsx";

/** A red alarm nobody has taken stays across the top, whatever list or filter is below it. */
export function Takeover() {
  const console = useConsole();
  const reds = unackedReds(console.alarms.value).filter(wakes);
  const first = reds.find((a) => hasFlag(a, "first_out")) ?? reds[0];
  if (!first) return null;
  const live = console.liveValue(first)?.value ?? null;
  return (
    <button type="button" class={`takeover ${first.id === console.selected.value ? "here" : ""}`} onClick={() => console.select(first.id)}>
      <Shape look="red" />
      <b class="level">{t("takeover.red")}</b>
      <span class="where">
        <b>{say(first.title)}</b>
        <span>
          {say(first.site_name) || first.site} · {say(first.device_name) || first.device}
        </span>
      </span>
      {first.value !== null && (
        <span class="number">
          <b>{formatValue(first.value, first.unit)}</b>
          <small>
            {first.limit !== null && t("list.limit", { limit: formatNumber(first.limit) })}
            {live !== null && ` · ${t("takeover.now", { value: formatNumber(live) })}`}
          </small>
        </span>
      )}
      <span class="age">{formatAge(console.ageOf(first))}</span>
      <span class="advice">{say(first.advice)}</span>
      <span class="more">{reds.length > 1 ? t("takeover.more", { n: reds.length - 1 }) : ""}</span>
      <span class="view">{t("takeover.view")} →</span>
    </button>
  );
}
