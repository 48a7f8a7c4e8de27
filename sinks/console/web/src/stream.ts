// The socket: hello, reconnect with jitter, and every frame handed on. What the
// frames mean is follower.ts, whether the screen sees is sight.ts.

import type { Frame } from "./protocol.ts";
import { Follower, type Step } from "./follower.ts";
import { readJSON } from "./inbound.ts";
import type { Cancel } from "./ticks.ts";

const RETRY_FIRST = 500;
const RETRY_LAST = 8_000;
/** A socket that says nothing for so long is given up for a new one. */
const DEAD_AFTER = 6_000;
const SEEN_EVERY = 1_000;

const CLOSE_SIGNED_OUT = 4401;

export interface StreamOptions {
  url: string;
  build: string;
  mode: string;
  follower: Follower;
  sound: () => boolean;
  visible: () => boolean;
  onFrame: (frame: Frame, step: Step) => void;
  onSignedOut: () => void;
  onConnecting: (attempt: number) => void;
  after: (ms: number, run: () => void) => Cancel;
}

export class Stream {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private retry: Cancel | undefined;
  private giveUp: Cancel | undefined;
  private reporting = false;
  private told = "";
  private stopped = false;

  constructor(private readonly options: StreamOptions) {}

  start(): void {
    this.stopped = false;
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.drop();
  }

  isCurrent(): boolean {
    return this.options.follower.isCurrent();
  }

  /** The network is back or somebody looks: try at once. */
  hurry(): void {
    if (this.stopped || this.socket?.readyState === WebSocket.OPEN) return;
    this.attempt = 0;
    this.connect();
  }

  /** Sends the hello again: something is missing. */
  ask(): void {
    const { build, mode, follower, sound, visible } = this.options;
    this.send({ hello: { ...follower.position(), build, mode, sound: sound(), visible: visible() } });
  }

  /** Asks for the values of these devices besides those of open alarms. */
  watch(devices: string[]): void {
    this.send({ watch: devices });
  }

  /** Tells the gateway soon how far this page is and whether it is looked at and heard. */
  report(): void {
    if (this.reporting) return;
    this.reporting = true;
    this.options.after(SEEN_EVERY, () => {
      this.reporting = false;
      const { follower, sound, visible } = this.options;
      const seen = { seen: follower.alarms.seq, visible: visible(), sound: sound() };
      const text = JSON.stringify(seen);
      if (text === this.told || !this.send(seen)) return;
      this.told = text;
    });
  }

  private connect(): void {
    this.drop();
    this.options.onConnecting(this.attempt);
    const socket = new WebSocket(this.options.url);
    this.socket = socket;
    this.told = "";
    socket.onopen = () => this.ask();
    socket.onmessage = (m) => this.receive(m.data as string);
    socket.onclose = (c) => this.closed(c.code);
    this.awaitFrame();
  }

  private receive(text: string): void {
    this.awaitFrame();
    const frame = readJSON(text) as Frame;
    if (frame.hello) this.attempt = 0;
    const step = this.options.follower.take(frame);
    if (step.ask) this.ask();
    this.options.onFrame(frame, step);
    if (step.changes.length > 0 || step.replaced) this.report();
  }

  private closed(code: number): void {
    this.drop();
    if (code === CLOSE_SIGNED_OUT) {
      this.stopped = true;
      this.options.onSignedOut();
    }
    if (this.stopped) return;
    const wait = Math.min(RETRY_LAST, RETRY_FIRST * 2 ** this.attempt);
    this.attempt++;
    // Half of the wait is drawn by lot, so that a hundred pages do not come back at once.
    this.retry = this.options.after(wait * (0.5 + Math.random() / 2), () => this.connect());
  }

  private awaitFrame(): void {
    this.giveUp?.();
    this.giveUp = this.options.after(DEAD_AFTER, () => this.closed(0));
  }

  private drop(): void {
    this.retry?.();
    this.giveUp?.();
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private send(frame: object): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }
}
