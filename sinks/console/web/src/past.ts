// The past of one point as a picture needs it: what the gateway remembers, and
// behind it what comes in live. No I/O, no clock.

import type { FieldLimit, Past as Answer, Value } from "./protocol.ts";

export interface Summary {
  first: number;
  last: number;
  least: number;
  greatest: number;
}

export class Past {
  /** Unix seconds, as the chart wants them; the other lists have the same length. A null is a gap. */
  readonly times: number[] = [];
  readonly least: (number | null)[] = [];
  readonly greatest: (number | null)[] = [];
  readonly last: (number | null)[] = [];
  /** Where the quality was not good. */
  readonly doubtful: boolean[] = [];
  readonly unit: string;
  readonly limits: readonly FieldLimit[];
  /** From when on everything is known, Unix ms; null: all that was asked for. */
  readonly known: number | null;

  constructor(answer: Answer, private readonly gap: number) {
    this.unit = answer.unit;
    this.limits = answer.limits;
    this.known = answer.complete || !answer.known ? null : Date.parse(answer.known);
    for (const [at, least, greatest, last, doubtful] of answer.points) this.add(at, least, greatest, last, doubtful === 1);
  }

  /** Goes on with a live value; says whether it was news. */
  append(v: Value): boolean {
    const at = Date.parse(v.time);
    const before = this.times.at(-1);
    if (before !== undefined) {
      const since = at - before * 1_000;
      if (since <= 0) return false;
      if (since > this.gap && this.last.at(-1) !== null) this.add(before * 1_000 + 1, null, null, null, false);
    }
    const value = v.quality === "bad" ? null : v.value;
    this.add(at, value, value, value, v.quality !== "good");
    return true;
  }

  /** What was measured from a time on; null when nothing was. */
  summary(from: number): Summary | null {
    let found: Summary | null = null;
    this.times.forEach((at, i) => {
      const least = this.least[i];
      const greatest = this.greatest[i];
      const last = this.last[i];
      if (at * 1_000 < from || least == null || greatest == null || last == null) return;
      found ??= { first: last, last, least, greatest };
      found.last = last;
      found.least = Math.min(found.least, least);
      found.greatest = Math.max(found.greatest, greatest);
    });
    return found;
  }

  private add(at: number, least: number | null, greatest: number | null, last: number | null, doubtful: boolean): void {
    this.times.push(at / 1_000);
    this.least.push(least);
    this.greatest.push(greatest);
    this.last.push(last);
    this.doubtful.push(doubtful);
  }
}

/**
 * What the picture spans upwards: what was measured, and the limits, unless they
 * lie so far off that the line would be flat. The limits in must stay in.
 */
export function span(summary: Summary | null, limits: readonly number[], must: readonly number[]): [number, number] {
  const values = summary ? [summary.least, summary.greatest, ...must] : [...must, ...limits];
  if (values.length === 0) return [0, 1];
  let low = Math.min(...values);
  let high = Math.max(...values);
  const room = 3 * (high - low || Math.abs(high) * 0.1 || 1);
  for (const limit of limits) {
    if (limit > high && limit - high <= room) high = limit;
    if (limit < low && low - limit <= room) low = limit;
  }
  const air = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return [low - air, high + air];
}

/** The shortest of the windows on offer in which the alarm can be seen to begin. */
export function windowFor(age: number, windows: readonly number[]): number {
  return windows.find((w) => age < w * 0.9) ?? windows.at(-1)!;
}
