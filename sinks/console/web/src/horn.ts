// What should sound now. Pure: speaker.ts makes the noise.

import type { Alarm } from "./protocol.ts";
import { hasFlag, isAside, isUnacked, levelRank, shownLevel } from "./alarms.ts";

export type Pattern = "none" | "orange" | "red";

/** A mute of a red alarm that nobody acknowledged ends by itself. */
export const RESOUND_AFTER = 120_000;

/** Would this alarm wake somebody? History, what was set aside and what somebody has taken do not. */
export function wakes(a: Alarm): boolean {
  return isUnacked(a) && !isAside(a) && !hasFlag(a, "backfill");
}

/** An alarm that is new to the ear: it began to wake, or got worse while it did. */
export function isNewOrWorse(before: Alarm | undefined, after: Alarm): boolean {
  if (!wakes(after)) return false;
  return !before || !wakes(before) || levelRank(shownLevel(after)) > levelRank(shownLevel(before));
}

/** One level quieter once the condition is over: somebody still has to look. */
function patternOf(a: Alarm): Pattern {
  if (!wakes(a)) return "none";
  const level = shownLevel(a);
  if (a.state === "active_unacked") return level === "red" || level === "orange" ? level : "none";
  return level === "red" ? "orange" : "none";
}

export class Horn {
  private mutedAt: number | null = null;

  /** Takes changes in; says whether a single beep is due. */
  heard(before: Alarm | undefined, after: Alarm): boolean {
    if (!isNewOrWorse(before, after)) return false;
    const level = shownLevel(after);
    if (level === "blue" || (level === "fault" && after.kind !== "gateway")) return false;
    this.mutedAt = null;
    return level === "yellow" || level === "fault";
  }

  mute(now: number): void {
    this.mutedAt = now;
  }

  isMuted(): boolean {
    return this.mutedAt !== null;
  }

  /** When the mute ends by itself; null: it lasts until the next alarm. */
  mutedUntil(wanted: Pattern): number | null {
    return this.mutedAt !== null && wanted === "red" ? this.mutedAt + RESOUND_AFTER : null;
  }

  /** alarms in order, so that the first that sounds is nearly always the worst. */
  pattern(alarms: readonly Alarm[], now: number): Pattern {
    const wanted = loudest(alarms);
    if (this.mutedAt !== null && wanted === "red" && now - this.mutedAt >= RESOUND_AFTER) this.mutedAt = null;
    return this.mutedAt === null ? wanted : "none";
  }
}

export function loudest(alarms: readonly Alarm[]): Pattern {
  let found: Pattern = "none";
  for (const a of alarms) {
    const p = patternOf(a);
    if (p === "red") return p;
    if (p === "orange") found = p;
    if (!isUnacked(a) || isAside(a)) break; // who still waits for somebody stands first
  }
  return found;
}
