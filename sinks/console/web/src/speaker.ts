// Makes the noise: Web Audio, no files. Tones are scheduled a little ahead,
// because a page in the background gets only one tick a second.

import type { Pattern } from "./horn.ts";

const AHEAD = 2.5; // seconds

interface Tone {
  at: number; // seconds into the period
  for: number;
  hertz: number;
}

interface Tune {
  period: number;
  wave: OscillatorType;
  volume: number;
  tones: Tone[];
}

export type TuneName = Exclude<Pattern, "none"> | "blind" | "beep";

const tunes: Record<TuneName, Tune> = {
  red: { period: 1, wave: "square", volume: 0.16, tones: [{ at: 0, for: 0.5, hertz: 960 }, { at: 0.5, for: 0.5, hertz: 720 }] },
  orange: {
    period: 10,
    wave: "triangle",
    volume: 0.4,
    tones: [0, 0.4, 0.8].map((at) => ({ at, for: 0.22, hertz: 880 })),
  },
  // Falling, low and slow: nothing else on the page sounds like losing sight.
  blind: { period: 4, wave: "triangle", volume: 0.5, tones: [{ at: 0, for: 0.45, hertz: 330 }, { at: 0.5, for: 0.7, hertz: 220 }] },
  beep: { period: 1, wave: "triangle", volume: 0.35, tones: [{ at: 0, for: 0.3, hertz: 660 }] },
};

class Channel {
  private playing: TuneName | null = null;
  private out: GainNode | null = null;
  private next = 0;

  constructor(private readonly context: AudioContext) {}

  play(name: TuneName | null): void {
    if (name !== this.playing) this.restart(name);
    if (!name || !this.out) return;
    const tune = tunes[name];
    this.next = Math.max(this.next, this.context.currentTime); // the page had been frozen
    while (this.next < this.context.currentTime + AHEAD) {
      schedule(this.context, this.out, tune, this.next);
      this.next += tune.period;
    }
  }

  private restart(name: TuneName | null): void {
    this.out?.disconnect(); // silences what was scheduled at once
    this.out = name ? volume(this.context, tunes[name].volume) : null;
    this.playing = name;
    this.next = this.context.currentTime + 0.05;
  }
}

function volume(context: AudioContext, level: number): GainNode {
  const gain = context.createGain();
  gain.gain.value = level;
  gain.connect(context.destination);
  return gain;
}

function schedule(context: AudioContext, out: AudioNode, tune: Tune, start: number): void {
  for (const tone of tune.tones) {
    const from = start + tone.at;
    const to = from + tone.for;
    const shape = context.createGain();
    shape.gain.setValueAtTime(0, from); // short ramps: a hard edge clicks
    shape.gain.linearRampToValueAtTime(1, from + 0.01);
    shape.gain.setValueAtTime(1, to - 0.02);
    shape.gain.linearRampToValueAtTime(0, to);
    shape.connect(out);
    const oscillator = context.createOscillator();
    oscillator.type = tune.wave;
    oscillator.frequency.value = tone.hertz;
    oscillator.connect(shape);
    oscillator.start(from);
    oscillator.stop(to);
  }
}

export class Speaker {
  private readonly context: AudioContext | null;
  private readonly horn: Channel | null;
  private readonly sight: Channel | null;

  constructor(onChange: () => void) {
    this.context = typeof AudioContext === "undefined" ? null : new AudioContext();
    this.horn = this.context && new Channel(this.context);
    this.sight = this.context && new Channel(this.context);
    this.context?.addEventListener("statechange", onChange);
  }

  get possible(): boolean {
    return this.context !== null;
  }

  /** Browsers keep a page silent until somebody touched it. */
  canSound(): boolean {
    return this.context?.state === "running";
  }

  /** Must be called from a click or a key. */
  enable(): void {
    void this.context?.resume();
  }

  /** Call it several times a second: it keeps what sounds scheduled ahead. */
  play(pattern: Pattern, blind: boolean): void {
    if (!this.canSound()) return;
    this.horn?.play(pattern === "none" ? null : pattern);
    this.sight?.play(blind ? "blind" : null);
  }

  once(name: TuneName): void {
    if (!this.context || !this.canSound()) return;
    schedule(this.context, volume(this.context, tunes[name].volume), tunes[name], this.context.currentTime + 0.05);
  }
}
