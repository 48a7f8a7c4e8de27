// Does this screen see? Promise: blind within three seconds, whatever stopped.

import type { Health } from "./protocol.ts";

/** A heartbeat comes each second. The rest of the three seconds is for noticing and drawing. */
export const FRAME_LIMIT = 2_500;
export const CANARY_LIMIT = 3_000;
/** From here on the page says that nothing on it can be trusted. */
export const DISTRUST_AFTER = 25_000;
export const TONE_AFTER = 10_000;
/** A heartbeat so late is missing: from here on it is the line that is silent. */
const HEARTBEAT_LATE = 1_500;
/** More messages than this between ingest and judge: it is behind, not dead. */
const BACKLOG = 100;

export type Cause = "starting" | "link" | "judge" | "catching_up";

export type Sight = { blind: false } | { blind: true; cause: Cause; since: number };

/**
 * What the page knows about its own sight. All times are the page's own steady
 * milliseconds, so that no clock step can blind it or, worse, hide that it is.
 */
export class Watch {
  private readonly started: number;
  private lastFrame: number;
  private heard = false; // a heartbeat since the last hello
  private canary: number | null = null;
  private backlog = 0;
  private head = 0;
  private behindSince: number | null;
  private everCurrent = false;
  private wasBlind = true;
  private everSaw = false;

  constructor(now: number) {
    this.started = now;
    this.lastFrame = now;
    this.behindSince = now;
  }

  /** Any frame proves the link. */
  frame(now: number): void {
    this.lastFrame = now;
  }

  /** A connection begins: what an older one said of the canary no longer counts for it. */
  greeted(): void {
    this.heard = false;
  }

  /**
   * sent is when the gateway wrote the heartbeat: one that lay in a buffer while
   * everything stood still is no news. The canary's age goes on growing here
   * between two heartbeats.
   */
  health(h: Health, sent: number): void {
    this.heard = true;
    this.canary = h.canary_age_ms === null ? null : sent - h.canary_age_ms;
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
    if (!sight.blind) this.everSaw = true;
    return sight;
  }

  private starting(): Sight {
    return { blind: true, cause: "starting", since: this.started };
  }

  private judge(now: number): Sight {
    if (now - this.lastFrame >= FRAME_LIMIT) {
      return this.everSaw ? { blind: true, cause: "link", since: this.lastFrame } : this.starting();
    }
    if (!this.everCurrent) return this.starting();
    if (!this.heard && this.wasBlind) {
      return this.everSaw ? { blind: true, cause: "catching_up", since: this.canary ?? this.lastFrame } : this.starting();
    }
    if (this.canary === null || now - this.canary >= CANARY_LIMIT) {
      if (now - this.lastFrame >= HEARTBEAT_LATE) return { blind: true, cause: "link", since: this.lastFrame };
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
