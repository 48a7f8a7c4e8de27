import { useConsole } from "../context.ts";
import { formatAge, formatClock } from "../format.ts";
import { t } from "../i18n/index.ts";
import { DISTRUST_AFTER } from "../sight.ts";

/** Says that the screen is blind, since when and why. It cannot be closed. */
export function BlindBanner() {
  const console = useConsole();
  const sight = console.sight.value;
  if (!sight.blind) return <Recovered />;
  const asOf = console.dataAsOf.value;
  const age = console.blindFor.value;
  if (sight.cause === "starting" && age < 3_000) {
    return <div class="starting">{t("blind.starting")}…</div>;
  }
  return (
    <section class={`blind ${age >= DISTRUST_AFTER ? "distrust" : ""}`}>
      <b class="title" role="alert">{t("blind.title")}</b>
      <div>
        <b class="asof">{asOf === null ? t("blind.asOfNever") : t("blind.asOf", { time: formatClock(asOf) })}</b>
        <span class="why">
          {t(`blind.${sight.cause}`)}
          {reason(console)} · <span aria-hidden="true">{t("blind.for", { age: formatAge(age) })}</span>
        </span>
      </div>
      {age >= DISTRUST_AFTER && (
        <div class="never">
          <b>{t("blind.distrust")}</b>
          <span>{t("blind.distrustHint")}</span>
        </div>
      )}
    </section>
  );
}

function reason(console: ReturnType<typeof useConsole>): string {
  const sight = console.sight.value;
  if (!sight.blind) return "";
  if (sight.cause === "link" && console.attempt.value > 0) return ` · ${t("blind.attempt", { n: console.attempt.value })}`;
  const waiting = console.health.value?.lag?.messages ?? 0;
  if (sight.cause === "catching_up" && waiting > 0) return ` · ${t("blind.backlog", { n: waiting })}`;
  return "";
}

function Recovered() {
  const n = useConsole().recovered.value;
  if (n === null) return null;
  return (
    <div class="recovered" role="status">
      {n === 0 ? t("blind.recoveredNone") : t("blind.recovered", { n })}
    </div>
  );
}
