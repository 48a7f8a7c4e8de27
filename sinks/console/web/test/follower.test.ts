import assert from "node:assert/strict";
import { test } from "node:test";
import { Alarms, inOrder } from "../src/alarms.ts";
import { Follower } from "../src/follower.ts";
import type { Alarm, AlarmEvent, Frame } from "../src/protocol.ts";
import { Chance, makeAlarm, randomAlarm, snapshotOf } from "./make.ts";

/** The gateway's side of the protocol: an alarm log with a window of recent events. */
class Gateway {
  epoch = "e1";
  seq = 0;
  private open = new Map<string, Alarm>();
  private recent: AlarmEvent[] = [];

  constructor(private readonly chance: Chance) {}

  happen(): Frame {
    this.seq++;
    const configured = this.chance.happens(0.05); // such an event belongs to no alarm
    const alarm = configured ? null : randomAlarm(this.chance, `a${this.chance.below(20)}`, this.seq);
    if (alarm?.state === "closed") this.open.delete(alarm.id);
    else if (alarm) this.open.set(alarm.id, alarm);
    const e: AlarmEvent = { seq: this.seq, id: `ev${this.seq}`, type: configured ? "config" : "updated", time: "", alarm };
    this.recent.push(e);
    if (this.recent.length > 30) this.recent.shift();
    return { e };
  }

  newLog(): void {
    this.epoch += "x";
    this.seq = 0;
    this.open.clear();
    this.recent = [];
  }

  answer(hello: { epoch?: string; seq?: number }): Frame[] {
    const { epoch, seq } = this;
    const greeting: Frame = { hello: { epoch, seq, time: "", build: "", user: "", role: "viewer" } };
    const first = this.recent[0]?.seq ?? this.seq + 1;
    if (hello.epoch === epoch && hello.seq! <= seq && hello.seq! + 1 >= first) {
      const missed = this.recent.filter((e) => e.seq > hello.seq!);
      return [greeting, { resume: { from: hello.seq! + 1, to: seq } }, ...missed.map((e) => ({ e }))];
    }
    const alarms = this.alarms();
    const half = Math.ceil(alarms.length / 2);
    const parts = alarms.length > 4 ? [alarms.slice(0, half), alarms.slice(half)] : [alarms];
    return [
      greeting,
      ...parts.map((some, i) => ({ snapshot: snapshotOf(epoch, seq, some, i + 1, parts.length) })),
    ];
  }

  heartbeat(): Frame {
    return { h: { time: "", epoch: this.epoch, seq: this.seq, canary_time: "", canary_age_ms: 100 } };
  }

  alarms(): Alarm[] {
    return [...this.open.values()].sort(inOrder);
  }
}

/** One page behind a line that loses, doubles and swaps frames. */
class Line {
  readonly alarms = new Alarms();
  private readonly follower = new Follower(this.alarms);
  private onTheWay: Frame[] = [];

  constructor(
    private readonly gateway: Gateway,
    private readonly chance: Chance,
  ) {}

  send(...frames: Frame[]): void {
    for (const frame of frames) {
      if (this.chance.happens(0.1)) continue;
      this.onTheWay.push(frame);
      if (this.chance.happens(0.1)) this.onTheWay.push(frame);
      if (this.chance.happens(0.1)) swapLast(this.onTheWay);
    }
  }

  /** A broken line loses all that was on it; the page comes back with a hello. */
  breakDown(): void {
    this.onTheWay = [];
    this.ask();
  }

  deliver(n: number): void {
    for (const frame of this.onTheWay.splice(0, n)) {
      if (this.follower.take(frame).ask) this.ask();
    }
  }

  /** What sight.ts and the console do after three seconds behind the gateway's head. */
  askWhenBehind(): void {
    if (this.alarms.seq !== this.gateway.seq || this.alarms.epoch !== this.gateway.epoch) this.ask();
  }

  private ask(): void {
    this.send(...this.gateway.answer(this.follower.position()));
  }
}

const inShort = (alarms: readonly Alarm[]) => alarms.map((a) => JSON.stringify(Object.entries(a).sort())).join("\n");

function swapLast(frames: Frame[]): void {
  const [a, b] = frames.splice(-2);
  if (a && b) frames.push(b, a);
  else if (a) frames.push(a);
}

test("whatever is lost, doubled or swapped on the way, the list ends as the gateway's own", () => {
  for (let seed = 1; seed <= 400; seed++) {
    const chance = new Chance(seed);
    const gateway = new Gateway(chance);
    const line = new Line(gateway, chance);
    line.breakDown();
    for (let step = 0; step < 150; step++) {
      if (chance.happens(0.6)) line.send(gateway.happen());
      if (chance.happens(0.2)) line.send(gateway.heartbeat());
      if (chance.happens(0.03)) line.breakDown();
      if (chance.happens(0.01)) {
        gateway.newLog(); // the gateway restarts: its sockets break
        line.breakDown();
      }
      line.deliver(chance.below(4));
    }
    line.deliver(Infinity);
    for (let calm = 0; calm < 100; calm++) {
      line.askWhenBehind();
      line.send(gateway.heartbeat());
      line.deliver(Infinity);
    }
    assert.equal(line.alarms.epoch, gateway.epoch, `seed ${seed}`);
    assert.equal(line.alarms.seq, gateway.seq, `seed ${seed}`);
    assert.equal(inShort(line.alarms.all()), inShort(gateway.alarms()), `seed ${seed}`);
  }
});

function follower(): Follower {
  const f = new Follower(new Alarms());
  f.position();
  f.take({ hello: { epoch: "e", seq: 5, time: "", build: "", user: "", role: "viewer" } });
  f.take({ snapshot: snapshotOf("e", 5, [makeAlarm("a", { seq: 5 })], 1, 1) });
  return f;
}

const event = (seq: number, alarm: Alarm): Frame => ({ e: { seq, id: `${seq}`, type: "updated", time: "", alarm } });

test("a gap asks once and changes nothing until the answer", () => {
  const f = follower();
  assert.equal(f.take(event(7, makeAlarm("b", { seq: 7 }))).ask, true);
  assert.equal(f.alarms.get("b"), undefined);
  assert.deepEqual(f.position(), { epoch: "e", seq: 5 });
  assert.equal(f.take(event(8, makeAlarm("c", { seq: 8 }))).ask, false);
  assert.equal(f.isCurrent(), false);
});

test("a duplicate is dropped", () => {
  const f = follower();
  assert.deepEqual(f.take(event(5, makeAlarm("a", { level: "red" }))).changes, []);
  assert.equal(f.alarms.get("a")?.level, "yellow");
});

test("a closed alarm leaves the list but is told", () => {
  const f = follower();
  const [change] = f.take(event(6, makeAlarm("a", { seq: 6, state: "closed" }))).changes;
  assert.equal(change?.before?.id, "a");
  assert.equal(change?.after, undefined);
  assert.equal(change?.event?.alarm?.state, "closed");
  assert.deepEqual(f.alarms.all(), []);
});

test("a snapshot tells what it changed, and only that", () => {
  const f = follower();
  const { changes, replaced } = f.take({
    snapshot: snapshotOf("e2", 9, [makeAlarm("a", { seq: 5 }), makeAlarm("n", { seq: 9 })], 1, 1),
  });
  assert.equal(replaced, true);
  assert.deepEqual(changes.map((c) => c.after?.id), ["n"]);
});

test("a snapshot in parts replaces the list only when it is complete", () => {
  const f = follower();
  const part = (n: number, id: string): Frame => ({ snapshot: snapshotOf("e", 9, [makeAlarm(id)], n, 2) });
  f.take(part(1, "x"));
  assert.deepEqual(f.alarms.all().map((a) => a.id), ["a"]);
  f.take(part(2, "y"));
  assert.deepEqual(f.alarms.all().map((a) => a.id).sort(), ["x", "y"]);
});

test("parts of two snapshots are never mixed", () => {
  const f = follower();
  f.take({ snapshot: snapshotOf("e", 8, [makeAlarm("x")], 1, 2) });
  f.take({ snapshot: snapshotOf("e", 9, [makeAlarm("y")], 2, 2) });
  assert.deepEqual(f.alarms.all().map((a) => a.id), ["a"]);
});

test("a resume from beyond what we hold asks for everything", () => {
  const f = follower();
  f.position();
  assert.equal(f.take({ resume: { from: 9, to: 12 } }).ask, true);
  assert.deepEqual(f.position(), {});
});

test("a heartbeat of another log asks again", () => {
  const f = follower();
  const h = { time: "", epoch: "other", seq: 1, canary_time: "", canary_age_ms: 1 };
  assert.equal(f.take({ h }).ask, true);
});

test("a frame of a newer gateway is ignored", () => {
  assert.equal(follower().take({ weather: {} } as Frame).ask, false);
});

test("it is current only when all that was announced has come", () => {
  const f = follower();
  assert.equal(f.isCurrent(), true);
  f.position();
  f.take({ resume: { from: 6, to: 7 } });
  assert.equal(f.isCurrent(), false);
  f.take(event(6, makeAlarm("b", { seq: 6 })));
  f.take(event(7, makeAlarm("b", { seq: 7 })));
  assert.equal(f.isCurrent(), true);
});
