// One shape a level, so that colour is never the only sign. On a 24 by 24 grid.

import type { Level } from "../protocol.ts";

const paths: Record<Level | "silent", string> = {
  red: "M3 3h18v18H3z",
  orange: "M12 2 23 21H1z",
  yellow: "M12 1 23 12 12 23 1 12z",
  blue: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20z",
  fault: "M7 3h10l5.5 9L17 21H7L1.5 12z",
  silent: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20zM5 19 19 5",
  normal: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8z",
};

export function shapePath(level: Level | "silent"): string {
  return paths[level];
}
