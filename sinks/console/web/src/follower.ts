// Follows the gateway's alarm log without ever jumping silently: whatever is
// lost, doubled or late on the way, the list ends as the gateway's own. Pure:
// frames in, what to ask out; the socket is stream.ts.

import type { Alarm, AlarmEvent, Frame, Snapshot } from "./protocol.ts";
import type { Alarms } from "./alarms.ts";
import { unfold } from "./unfold.ts";

/** What an alarm became: before is missing for a new one, after for one that is closed. */
export interface Change {
  before: Alarm | undefined;
  after: Alarm | undefined;
  event: AlarmEvent | null; // null when a snapshot brought it
}

export interface Step {
  /** The hello must be sent (again): something is missing. */
  ask: boolean;
  changes: Change[];
  /** A snapshot replaced the list. */
  replaced: boolean;
  /** Kinds, rules or devices changed. */
  configured: boolean;
}

const nothing: Step = { ask: false, changes: [], replaced: false, configured: false };
const ask: Step = { ...nothing, ask: true };

export class Follower {
  private asking = false;
  private answering = ""; // the epoch of the gateway's last hello
  private parts: Alarm[] = [];
  private partsOf = ""; // the snapshot they belong to
  private nextPart = 1;
  private head = Infinity; // how far the answer to our hello reaches

  constructor(readonly alarms: Alarms) {}

  /** Where we are, to put into a hello; after this an answer is awaited. */
  position(): { epoch?: string; seq?: number } {
    this.asking = true;
    this.head = Infinity;
    const { epoch, seq } = this.alarms;
    return epoch === "" ? {} : { epoch, seq };
  }

  /** Nothing that the answer to our hello announced is still to come. */
  isCurrent(): boolean {
    return !this.asking && this.alarms.seq >= this.head;
  }

  take(frame: Frame): Step {
    if (frame.hello) this.answering = frame.hello.epoch;
    if (frame.resume) return this.resume(frame.resume.from, frame.resume.to);
    if (frame.snapshot) return this.snapshot(frame.snapshot);
    if (frame.e) return this.event(frame.e);
    if (frame.h && this.alarms.epoch !== "" && frame.h.epoch !== this.alarms.epoch && !this.asking) return ask;
    return nothing;
  }

  private resume(from: number, to: number): Step {
    const known = this.answering === this.alarms.epoch && from <= this.alarms.seq + 1;
    if (!known) {
      this.alarms.epoch = ""; // ask for everything
      return ask;
    }
    this.asking = false;
    this.head = to;
    return nothing;
  }

  private snapshot(s: Snapshot): Step {
    const of = `${s.epoch}/${s.seq}`;
    if (s.part === 1) {
      this.parts = [];
      this.partsOf = of;
      this.nextPart = 1;
    }
    // A part that was lost or is of another snapshot: the gateway's lead over us will make us ask.
    if (s.part !== this.nextPart || of !== this.partsOf) return nothing;
    this.nextPart++;
    this.parts.push(...unfold(s));
    if (s.part < s.parts) return nothing;
    const before = new Map(this.alarms.all().map((a) => [a.id, a]));
    this.alarms.load(s.epoch, s.seq, this.parts);
    this.parts = [];
    this.nextPart = 1;
    this.asking = false;
    this.head = s.seq;
    return { ...nothing, replaced: true, changes: difference(before, this.alarms) };
  }

  private event(e: AlarmEvent): Step {
    if (this.alarms.epoch === "") return nothing;
    const before = e.alarm ? this.alarms.get(e.alarm.id) : undefined;
    switch (this.alarms.apply(e)) {
      case "applied": {
        if (!e.alarm) return { ...nothing, configured: true };
        const after = this.alarms.get(e.alarm.id);
        return { ...nothing, changes: [{ before, after, event: e }] };
      }
      case "duplicate":
        return nothing;
      case "gap":
        return this.asking ? nothing : ask;
    }
  }
}

function difference(before: ReadonlyMap<string, Alarm>, now: Alarms): Change[] {
  const changes: Change[] = [];
  for (const after of now.all()) {
    const old = before.get(after.id);
    if (!old || old.seq !== after.seq) changes.push({ before: old, after, event: null });
  }
  for (const old of before.values()) {
    if (!now.get(old.id)) changes.push({ before: old, after: undefined, event: null });
  }
  return changes;
}
