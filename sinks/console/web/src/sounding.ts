// Ears of the duty officer: what should sound (horn.ts), made to sound
// (speaker.ts), and shown.

import { signal } from "@preact/signals";
import { Horn, loudest, type Pattern } from "./horn.ts";
import type { Alarm } from "./protocol.ts";
import { TONE_AFTER } from "./sight.ts";
import { Speaker } from "./speaker.ts";
import { type Peer, Voice, VOICE_EVERY } from "./voice.ts";

export class Sounding {
  readonly enabled = signal(false);
  readonly possible: boolean;
  readonly wanted = signal<Pattern>("none"); // what would sound without the mute
  readonly sounds = signal(false); // there is something to mute
  readonly muted = signal(false);
  /** When a mute ends by itself, in our steady milliseconds; null: with the next alarm. */
  readonly mutedUntil = signal<number | null>(null);
  /** Another page on this machine sounds for this one. */
  readonly elsewhere = signal(false);

  private readonly horn = new Horn();
  private readonly speaker: Speaker;
  private toneMuted = false;
  private beepDue = false;
  private readonly voice = new Voice();
  private readonly channel = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("fengsui-voice");
  private readonly id = `${Date.now()}-${Math.random()}`;
  private said = -Infinity;
  private muteAsked = false;

  constructor(onChange: () => void) {
    this.speaker = new Speaker(() => {
      this.enabled.value = this.speaker.canSound();
      onChange();
    });
    this.possible = this.speaker.possible;
    this.channel?.addEventListener("message", (m: MessageEvent<Peer | "mute">) => {
      if (m.data === "mute") this.muteAsked = true;
      else this.voice.heard(m.data, performance.now());
    });
    this.enabled.value = this.speaker.canSound();
  }

  /** An alarm became after what it was before. */
  heard(before: Alarm | undefined, after: Alarm): void {
    if (this.horn.heard(before, after)) this.beepDue = true;
  }

  /** Called several times a second: keeps the right thing sounding. */
  tick(alarms: readonly Alarm[], blindFor: number, now: number): void {
    const blind = blindFor >= TONE_AFTER;
    const speaks = this.decideWhoSpeaks();
    if (this.muteAsked) this.silence(now);
    if (!blind) this.toneMuted = false; // losing sight again is news again
    const pattern = this.horn.pattern(alarms, now);
    this.wanted.value = loudest(alarms);
    this.muted.value = (this.horn.isMuted() && this.wanted.value !== "none") || (blind && this.toneMuted);
    this.mutedUntil.value = this.muted.value ? this.horn.mutedUntil(this.wanted.value) : null;
    this.sounds.value = pattern !== "none" || (blind && !this.toneMuted);
    this.speaker.play(speaks ? pattern : "none", speaks && blind && !this.toneMuted);
    if (this.beepDue && speaks) this.speaker.once("beep"); // one, however many came together
    this.beepDue = false;
  }

  private decideWhoSpeaks(): boolean {
    const own = { id: this.id, able: this.enabled.value, visible: !document.hidden };
    const now = performance.now();
    if (now - this.said >= VOICE_EVERY) {
      this.said = now;
      this.channel?.postMessage(own);
    }
    const speaks = this.voice.speaks(own, now);
    this.elsewhere.value = !speaks;
    return speaks;
  }

  /** 消音: not an acknowledgement of anything. */
  mute(now: number): void {
    this.channel?.postMessage("mute"); // whichever page of this machine sounds
    this.silence(now);
  }

  private silence(now: number): void {
    this.muteAsked = false;
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
