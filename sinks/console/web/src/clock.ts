// Time on the page is the gateway's, carried by the page's own monotonic clock:
// what hangs on a wall may have any date set.

let skipped = 0;
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
    if (slept > 1_000) skipped += slept;
  }
  lastSteady = steady;
  lastWall = wall;
  return steady + skipped;
}

const SAMPLES = 30;

/**
 * The offset of the gateway's clock. Every heartbeat comes a little late, so
 * the largest offset of the last ones is the nearest to the truth.
 */
export class ServerClock {
  private offsets: number[] = [];

  sample(serverTime: number, now: number): void {
    this.offsets.push(serverTime - now);
    if (this.offsets.length > SAMPLES) this.offsets.shift();
  }

  /** The gateway's time in Unix ms, or null before its first word. */
  at(now: number): number | null {
    return this.offsets.length === 0 ? null : now + Math.max(...this.offsets);
  }
}
