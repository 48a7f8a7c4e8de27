// Ears of the duty officer: what should sound (horn.ts), made to sound
// (speaker.ts), and shown.

import { signal } from "@preact/signals";
import { Horn, loudest, type Pattern } from "./horn.ts";
import type { Alarm } from "./protocol.ts";
import { TONE_AFTER } from "./sight.ts";
import { Speaker } from "./speaker.ts";

export class Sounding {
  readonly enabled = signal(false);
  readonly possible: boolean;
  readonly wanted = signal<Pattern>("none"); // what would sound without the mute
  readonly sounds = signal(false); // there is something to mute
  readonly muted = signal(false);

  private readonly horn = new Horn();
  private readonly speaker: Speaker;
  private toneMuted = false;
  private beepDue = false;

  constructor(onChange: () => void) {
    this.speaker = new Speaker(() => {
      this.enabled.value = this.speaker.canSound();
      onChange();
    });
    this.possible = this.speaker.possible;
    this.enabled.value = this.speaker.canSound();
  }

  /** An alarm became after what it was before. */
  heard(before: Alarm | undefined, after: Alarm): void {
    if (this.horn.heard(before, after)) this.beepDue = true;
  }

  /** Called several times a second: keeps the right thing sounding. */
  tick(alarms: readonly Alarm[], blindFor: number, now: number): void {
    const blind = blindFor >= TONE_AFTER;
    if (!blind) this.toneMuted = false; // losing sight again is news again
    const pattern = this.horn.pattern(alarms, now);
    this.wanted.value = loudest(alarms);
    this.muted.value = (this.horn.isMuted() && this.wanted.value !== "none") || (blind && this.toneMuted);
    this.sounds.value = pattern !== "none" || (blind && !this.toneMuted);
    this.speaker.play(pattern, blind && !this.toneMuted);
    if (this.beepDue) this.speaker.once("beep"); // one, however many came together
    this.beepDue = false;
  }

  /** 消音: not an acknowledgement of anything. */
  mute(now: number): void {
    this.horn.mute(now);
    this.toneMuted = true;
  }

  /** Must be called from a click or a key: browsers allow sound only then. */
  enable(): void {
    this.speaker.enable();
  }

  test(): void {
    this.speaker.once("orange");
  }
}
