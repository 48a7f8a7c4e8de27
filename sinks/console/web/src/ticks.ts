// Time that goes on in a background tab: there a browser runs the timers of a page
// once a minute, which is too late for somebody who must hear a red alarm.

import { steadyNow } from "./clock.ts";

const EVERY = 100;

/** Ends a wait before its time. */
export type Cancel = () => void;

export class Ticks {
  private readonly waiting = new Set<{ at: number; run: () => void }>();

  constructor(private readonly each: () => void) {}

  start(): void {
    const tick = () => this.tick();
    const own = () => setInterval(tick, EVERY);
    try {
      const worker = new Worker("/ticker.js");
      worker.onmessage = tick;
      worker.onerror = own;
    } catch {
      own(); // a browser without workers
    }
  }

  /** Runs it once, so many milliseconds from now. */
  after(ms: number, run: () => void): Cancel {
    const wait = { at: steadyNow() + ms, run };
    this.waiting.add(wait);
    return () => this.waiting.delete(wait);
  }

  private tick(): void {
    const now = steadyNow();
    for (const wait of this.waiting) {
      if (now < wait.at) continue;
      this.waiting.delete(wait);
      wait.run();
    }
    this.each();
  }
}
