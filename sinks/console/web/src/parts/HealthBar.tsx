import type { Console } from "../console.ts";
import { useConsole } from "../context.ts";
import { formatAge, formatNumber } from "../format.ts";
import { diskTrouble, isDelayed, sinksBehind, sourcesDown } from "../health.ts";
import { t } from "../i18n/index.ts";

/** A clock further off than this misleads whoever reads a time from another screen. */
const SKEW_LIMIT = 2; // seconds

/** Amber, not a level: what the gateway lacks, and since when. Empty when nothing is wrong. */
export function HealthBar() {
  const lines = troubles(useConsole());
  if (lines.length === 0) return null;
  return (
    <ul class="health">
      {lines.map((text) => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}

function troubles(console: Console): string[] {
  const h = console.health.value;
  if (!h) return [];
  const now = console.now.value;
  const lines = sourcesDown(h).map((s) =>
    t("health.source", { name: s.name, age: s.since ? formatAge(now - Date.parse(s.since)) : "" }),
  );
  for (const s of sinksBehind(h)) {
    const lag = t("health.sink", { name: s.name, lag: formatAge(s.lag_seconds * 1_000) });
    const eta = s.error === "" && s.eta_seconds !== undefined ? t("health.eta", { eta: formatAge(s.eta_seconds * 1_000) }) : "";
    lines.push(lag + eta);
  }
  const disk = diskTrouble(h);
  if (disk) lines.push(t(`disk.${disk}`, { free: formatNumber(Math.round(h.disk!.free_bytes / 2 ** 28) / 4) }));
  if (!console.sight.value.blind && isDelayed(h)) lines.push(t("health.delay", { seconds: formatNumber(h.canary_age_ms! / 1_000) }));
  if (Math.abs(console.skew.value) > SKEW_LIMIT) lines.push(t("health.skew", { seconds: console.skew.value }));
  if (console.newBuild.value) lines.push(t("health.newBuild"));
  return lines;
}
