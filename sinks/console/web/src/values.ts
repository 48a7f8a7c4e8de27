// The newest value of every point the gateway tells us: the latest wins.

import type { Value } from "./protocol.ts";

const key = (site: string, device: string, field: string) => `${site}/${device}/${field}`;

export class Values {
  private byPoint = new Map<string, Value>();
  /** When the newest of all readings was received, Unix ms of the gateway. */
  newest = 0;

  take(values: readonly Value[]): void {
    for (const v of values) {
      const point = key(v.site, v.device, v.field);
      const old = this.byPoint.get(point);
      if (old && old.time > v.time) continue;
      this.byPoint.set(point, v);
      this.newest = Math.max(this.newest, Date.parse(v.received));
    }
  }

  get(site: string, device: string, field: string): Value | undefined {
    return this.byPoint.get(key(site, device, field));
  }
}

/** A value is stale when its device should have spoken twice since. */
export function isStale(v: Value, intervalSeconds: number, serverNow: number): boolean {
  return serverNow - Date.parse(v.received) > 2_000 * intervalSeconds;
}
