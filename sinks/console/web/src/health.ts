// What the gateway's own words say about it. Pure.

import type { Health } from "./protocol.ts";

/** A sink that far behind its log is worth a line on the screen. */
const SINK_LAG_LIMIT = 30; // seconds

type Source = NonNullable<Health["sources"]>[number];
type Sink = NonNullable<Health["sinks"]>[number];

export function sourcesDown(h: Health): Source[] {
  return (h.sources ?? []).filter((s) => !s.up);
}

export function sinksBehind(h: Health): Sink[] {
  return (h.sinks ?? []).filter((s) => s.error !== "" || s.lag_seconds > SINK_LAG_LIMIT);
}

/** How full the disk is, when that needs somebody. */
export function diskTrouble(h: Health): "warn70" | "warn90" | "floor" | "failed" | null {
  return h.disk && h.disk.level !== "ok" ? h.disk.level : null;
}

/** Not yet blind, but what is shown is late: between live and blind. */
const DELAY_LIMIT = 2_000; // ms

export function isDelayed(h: Health | null): boolean {
  return h !== null && h.canary_age_ms !== null && h.canary_age_ms > DELAY_LIMIT;
}

/** A source that is up and has not spoken for so long is worth a look. */
const QUIET_AFTER = 60_000; // ms

export function isQuiet(s: Source, now: number): boolean {
  return !s.up || !s.last || now - Date.parse(s.last) > QUIET_AFTER;
}

export function isDegraded(h: Health | null): boolean {
  return h !== null && (sourcesDown(h).length > 0 || sinksBehind(h).length > 0 || diskTrouble(h) !== null);
}
