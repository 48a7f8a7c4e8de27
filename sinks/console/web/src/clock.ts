// Time on the page is the gateway's, carried by the page's own monotonic clock:
// what hangs on a wall may have any date set.

let skipped = 0;
let sleeps = 0;
let lastSteady = 0;
let lastWall = 0;

/**
 * Milliseconds that never go back and do go on while the machine sleeps: a
 * browser's own steady clock stops then, and the page would wake up believing
 * that no time has passed.
 */
export function steadyNow(): number {
  const steady = performance.now();
  const wall = Date.now();
  if (lastWall !== 0) {
    const slept = wall - lastWall - (steady - lastSteady);
    if (slept > 1_000) {
      skipped += slept; // or the wall clock was set: the same to us, and as harmless
      sleeps++;
    }
  }
  lastSteady = steady;
  lastWall = wall;
  return steady + skipped;
}

/** Two clocks may drift apart by so much: 200 ms in a quarter of an hour. */
const DRIFT = 0.0002;

/**
 * The gateway's clock. Every heartbeat comes a little late, so the one that
 * seems to come from furthest ahead is nearest to the truth, and tells how late
 * the others are.
 */
export class ServerClock {
  private offset: number | null = null;
  private sampled = 0; // when, by our clock
  private lastTime = 0; // of the gateway
  private sleeps = 0;

  sample(serverTime: number, now: number): void {
    // A clock that went back was set, ours may have been while we slept: begin anew.
    if (serverTime < this.lastTime || this.sleeps !== sleeps) this.offset = null;
    const offset = serverTime - now;
    const drifted = this.offset === null ? -Infinity : this.offset - DRIFT * (now - this.sampled);
    this.offset = Math.max(drifted, offset);
    this.sampled = now;
    this.lastTime = serverTime;
    this.sleeps = sleeps;
  }

  /** The gateway's time in Unix ms, or null before its first word. */
  at(now: number): number | null {
    return this.offset === null ? null : now + this.offset;
  }

  /** When, by our clock, the gateway's clock said so. */
  when(serverTime: number): number {
    return serverTime - (this.offset ?? 0);
  }
}
