import { useConsole } from "../context.ts";
import { formatAge } from "../format.ts";
import { isDegraded } from "../health.ts";
import { t } from "../i18n/index.ts";

/** Nothing to list: says why that is good news, with proof that it is news. */
export function Calm() {
  const console = useConsole();
  if (console.isFiltered()) {
    return (
      <div class="calm">
        <p>{t("list.nothingHere")}</p>
        <button type="button" onClick={() => console.clearFilter()}>
          {t("list.showAll", { n: console.counts.value.all })}
        </button>
      </div>
    );
  }
  const counts = console.health.value?.counts;
  const newest = console.newestReading();
  const normal = !isDegraded(console.health.value) && (counts?.offline ?? 0) === 0;
  return (
    <div class="calm">
      <h2>{t(normal ? "calm.normal" : "calm.noAlarms")}</h2>
      <p>
        {newest > 0
          ? t("calm.lastReading", { age: formatAge(console.now.value - newest) })
          : t("calm.heartbeat", { age: formatAge(console.health.value?.canary_age_ms ?? 0) })}
      </p>
      {counts && (
        <p>
          {t("calm.devices", { online: counts.online, devices: counts.devices })} · {t("calm.rules", { n: counts.rules_armed })}
        </p>
      )}
    </div>
  );
}
