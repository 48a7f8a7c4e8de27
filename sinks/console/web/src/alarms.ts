// The list of open alarms: a fold of the gateway's events, always in the order
// in which people should look. No I/O, no clock.

import type { Alarm, AlarmEvent, Level } from "./protocol.ts";

const ranks: Record<Level, number> = { normal: 0, fault: 1, blue: 2, yellow: 3, orange: 4, red: 5 };

export function levelRank(level: Level): number {
  return ranks[level] ?? 0;
}

/** The level an alarm is shown with: a cleared one keeps the worst it reached. */
export function shownLevel(a: Alarm): Level {
  return isCleared(a) || a.level === "normal" ? a.worst_level : a.level;
}

export function hasFlag(a: Alarm, flag: string): boolean {
  return a.flags.includes(flag);
}

export function isCleared(a: Alarm): boolean {
  return a.state === "cleared_unacked";
}

/** Nobody has taken this alarm yet, whether or not its condition is over. */
export function isUnacked(a: Alarm): boolean {
  return a.state === "active_unacked" || (isCleared(a) && !a.acked_time);
}

/** Set aside by people or folded under another alarm: still listed, but last, and silent. */
export function isAside(a: Alarm): boolean {
  return hasFlag(a, "shelved") || hasFlag(a, "suppressed");
}

export function isSilence(a: Alarm): boolean {
  return a.rule === "silent" || a.rule === "site_silent" || a.rule === "source_down";
}

/** Groups of the list, the most urgent first. */
export function attention(a: Alarm): number {
  if (isAside(a)) return 4;
  if (a.state === "active_unacked") return 0;
  if (isUnacked(a)) return 1;
  return isCleared(a) ? 3 : 2;
}

/** Unacknowledged first, then the worse level, then the newer; the id makes it total. */
export function inOrder(a: Alarm, b: Alarm): number {
  return (
    attention(a) - attention(b) ||
    levelRank(shownLevel(b)) - levelRank(shownLevel(a)) ||
    compareText(b.raised_time ?? "", a.raised_time ?? "") ||
    compareText(a.id, b.id)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What the permanent strip shows. */
export interface Counts {
  all: number;
  unacked: number;
  acked: number;
  cleared: number;
  shelved: number;
  suppressed: number;
  silence: number;
  levels: Record<Level, number>;
  /** Those that nobody has taken. */
  waiting: Record<Level, number>;
}

export type Applied = "applied" | "duplicate" | "gap";

export class Alarms {
  epoch = "";
  seq = 0;
  private byId = new Map<string, Alarm>();
  private ordered: Alarm[] = [];
  private tallied = noCounts();

  /** Forgets everything and starts from a snapshot. */
  load(epoch: string, seq: number, alarms: readonly Alarm[]): void {
    this.epoch = epoch;
    this.seq = seq;
    this.byId = new Map(alarms.map((a) => [a.id, a]));
    this.ordered = [...this.byId.values()].sort(inOrder);
    this.tallied = noCounts();
    for (const a of this.ordered) tally(this.tallied, a, 1);
  }

  /** Takes the next event. A gap changes nothing: the caller must ask again. */
  apply(e: AlarmEvent): Applied {
    if (e.seq <= this.seq) return "duplicate";
    if (e.seq > this.seq + 1) return "gap";
    this.seq = e.seq;
    if (e.alarm) this.put(e.alarm);
    return "applied";
  }

  get(id: string): Alarm | undefined {
    return this.byId.get(id);
  }

  all(): readonly Alarm[] {
    return this.ordered;
  }

  counts(): Counts {
    const { levels, waiting } = this.tallied;
    return { ...this.tallied, levels: { ...levels }, waiting: { ...waiting } };
  }

  private put(a: Alarm): void {
    const old = this.byId.get(a.id);
    if (old) {
      this.ordered.splice(this.place(old), 1);
      tally(this.tallied, old, -1);
    }
    if (a.state === "closed") {
      this.byId.delete(a.id);
      return;
    }
    this.byId.set(a.id, a);
    this.ordered.splice(this.place(a), 0, a);
    tally(this.tallied, a, 1);
  }

  /** Where an alarm stands in the order, or would stand. */
  private place(a: Alarm): number {
    let low = 0;
    let high = this.ordered.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (inOrder(this.ordered[middle]!, a) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function noCounts(): Counts {
  const levels = { normal: 0, blue: 0, yellow: 0, orange: 0, red: 0, fault: 0 };
  return { all: 0, unacked: 0, acked: 0, cleared: 0, shelved: 0, suppressed: 0, silence: 0, levels, waiting: { ...levels } };
}

/** Adds an alarm to the counts, or takes it away. What was set aside counts only as what it was set aside as. */
function tally(c: Counts, a: Alarm, by: 1 | -1): void {
  c.all += by;
  if (isSilence(a)) c.silence += by;
  if (hasFlag(a, "shelved")) c.shelved += by;
  if (hasFlag(a, "suppressed")) c.suppressed += by;
  if (isAside(a)) return;
  c.levels[shownLevel(a)] += by;
  if (isUnacked(a)) c.waiting[shownLevel(a)] += by;
  if (a.state === "active_unacked") c.unacked += by;
  else if (a.state === "active_acked") c.acked += by;
  else c.cleared += by;
}

export type Group = "all" | "unacked" | "acked" | "cleared" | "shelved" | "suppressed" | "silence";

export interface Filter {
  group: Group;
  level: Level | null;
  site: string | null;
  kind: string | null;
  /** Words that must all be in what, where or which device, in either language. */
  text: string;
}

export const noFilter: Filter = { group: "all", level: null, site: null, kind: null, text: "" };

export function isFiltering(f: Filter): boolean {
  return f.group !== "all" || f.level !== null || f.site !== null || f.kind !== null || f.text.trim() !== "";
}

/** Agrees with the counts: a filter lists exactly what its number counted. */
export function matches(a: Alarm, f: Filter): boolean {
  if (f.site !== null && a.site !== f.site) return false;
  if (f.kind !== null && a.kind !== f.kind) return false;
  if (f.text !== "" && !f.text.toLowerCase().split(/\s+/).every((word) => wordsOf(a).includes(word))) return false;
  if (f.level !== null && (shownLevel(a) !== f.level || isAside(a))) return false;
  switch (f.group) {
    case "all":
      return true;
    case "unacked":
      return a.state === "active_unacked" && !isAside(a);
    case "acked":
      return a.state === "active_acked" && !isAside(a);
    case "cleared":
      return isCleared(a) && !isAside(a);
    case "shelved":
    case "suppressed":
      return hasFlag(a, f.group);
    case "silence":
      return isSilence(a);
  }
}

const words = new WeakMap<Alarm, string>();

function wordsOf(a: Alarm): string {
  let found = words.get(a);
  if (found === undefined) {
    const texts = [a.title, a.site_name, a.device_name].flatMap((t) => [t.zh, t.en]);
    found = [...texts, a.site, a.area, a.device, a.field].join(" ").toLowerCase();
    words.set(a, found);
  }
  return found;
}

/** How a site stands: its worst level and how many alarms it has. */
export interface Tally {
  worst: Level;
  n: number;
}

export function tallies(alarms: readonly Alarm[]): Map<string, Tally> {
  const found = new Map<string, Tally>();
  for (const a of alarms) {
    if (isAside(a)) continue;
    const level = shownLevel(a);
    const tally = found.get(a.site) ?? { worst: level, n: 0 };
    if (levelRank(level) > levelRank(tally.worst)) tally.worst = level;
    tally.n++;
    found.set(a.site, tally);
  }
  return found;
}

/** The red alarms that nobody has taken. They stand first, so the rest is not looked at. */
export function unackedReds(alarms: readonly Alarm[]): Alarm[] {
  const end = alarms.findIndex((a) => a.level !== "red" || attention(a) > 0);
  return alarms.slice(0, end < 0 ? alarms.length : end);
}
