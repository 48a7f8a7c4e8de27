// Does this screen see? Promise: blind within three seconds, whatever stopped.

import type { Health } from "./protocol.ts";

/** A heartbeat comes each second. The rest of the three seconds is for drawing. */
export const FRAME_LIMIT = 2_700;
export const CANARY_LIMIT = 3_000;
/** From here on the page says that nothing on it can be trusted. */
export const DISTRUST_AFTER = 25_000;
export const TONE_AFTER = 10_000;
/** More messages than this between ingest and judge: it is behind, not dead. */
const BACKLOG = 100;

export type Cause = "starting" | "link" | "judge" | "catching_up";

export type Sight = { blind: false } | { blind: true; cause: Cause; since: number };

/**
 * What the page knows about its own sight. All times are the page's own steady
 * milliseconds, so that no clock step can blind it or, worse, hide that it is.
 */
export class Watch {
  private lastFrame: number;
  private canary: number | null = null;
  private backlog = 0;
  private head = 0;
  private behindSince: number | null;
  private everCurrent = false;
  private wasBlind = true;

  constructor(now: number) {
    this.lastFrame = now;
    this.behindSince = now;
  }

  /** Any frame proves the link. */
  frame(now: number): void {
    this.lastFrame = now;
  }

  /** The canary's age goes on growing here between two heartbeats. */
  health(h: Health, now: number): void {
    this.canary = h.canary_age_ms === null ? null : now - h.canary_age_ms;
    this.backlog = h.lag?.messages ?? 0;
    this.head = h.seq;
  }

  /** How far the list is: whether all that was announced has come, and its last event. */
  progress(current: boolean, seq: number, now: number): void {
    if (!current || seq < this.head) {
      this.behindSince ??= now;
      return;
    }
    this.everCurrent = true;
    this.behindSince = null;
  }

  /** The gateway has been ahead of the list for longer than a frame can be on its way. */
  isBehind(now: number): boolean {
    return this.behindSince !== null && now - this.behindSince >= CANARY_LIMIT;
  }

  look(now: number): Sight {
    const sight = this.judge(now);
    this.wasBlind = sight.blind;
    return sight;
  }

  private judge(now: number): Sight {
    if (now - this.lastFrame >= FRAME_LIMIT) {
      return { blind: true, cause: this.everCurrent ? "link" : "starting", since: this.lastFrame };
    }
    if (!this.everCurrent) return { blind: true, cause: "starting", since: this.lastFrame };
    if (this.canary === null || now - this.canary >= CANARY_LIMIT) {
      const cause = this.backlog > BACKLOG ? "catching_up" : "judge";
      return { blind: true, cause, since: this.canary ?? this.lastFrame };
    }
    // A screen that was blind sees again only when all it missed is on it.
    if (this.behindSince !== null && (this.wasBlind || this.isBehind(now))) {
      return { blind: true, cause: "catching_up", since: this.behindSince };
    }
    return { blind: false };
  }
}
