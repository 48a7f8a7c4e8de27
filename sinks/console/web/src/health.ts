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

/** Twice the floor: early enough for somebody to make room. */
export function isDiskLow(h: Health): boolean {
  return h.log !== undefined && h.log.free_bytes < 2 * h.log.floor_bytes;
}

export function isDegraded(h: Health | null): boolean {
  return h !== null && (sourcesDown(h).length > 0 || sinksBehind(h).length > 0 || isDiskLow(h));
}
