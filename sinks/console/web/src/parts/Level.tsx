import type { Alarm, Level } from "../protocol.ts";
import { isCleared, isSilence, isUnacked, shownLevel } from "../alarms.ts";
import { t } from "../i18n/index.ts";
import { shapePath } from "./shapes.ts";

/** Silence is a fault with a look of its own. */
export type Look = Level | "silent";

export function lookOf(a: Alarm): Look {
  const level = shownLevel(a);
  return level === "fault" && isSilence(a) ? "silent" : level;
}

export function Shape({ look }: { look: Look }) {
  return (
    <svg class={`shape ${look}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={shapePath(look)} />
    </svg>
  );
}

/** Colour, shape and word. Filled: waits for somebody. Hollow: somebody has it. Dashed: it is over. */
export function LevelChip({ alarm }: { alarm: Alarm }) {
  const look = lookOf(alarm);
  const phase = isCleared(alarm) ? "over" : isUnacked(alarm) ? "open" : "taken";
  return (
    <span class={`chip ${look} ${phase}`}>
      <Shape look={look} />
      <b>{t(`level.${look}`)}</b>
    </span>
  );
}
