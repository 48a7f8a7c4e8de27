import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Alarms } from "../src/alarms.ts";
import { Follower } from "../src/follower.ts";
import type { Frame } from "../src/protocol.ts";
import { Stream } from "../src/stream.ts";
import { makeAlarm, snapshotOf } from "./make.ts";

/** Stands for the browser's socket; the test is the other end. */
class FakeSocket {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  readyState = 0;
  sent: Record<string, unknown>[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((m: { data: string }) => void) | null = null;
  onclose: ((c: { code: number }) => void) | null = null;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 3;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  hangUp(code: number): void {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

const hello: Frame = { hello: { epoch: "e", seq: 5, time: "", build: "b", user: "u", role: "operator" } };
const snapshot: Frame = { snapshot: snapshotOf("e", 5, [makeAlarm("a", { seq: 5 })]) };

/** Runs body with a stream, the sockets it opens, and time that the test moves. */
function withStream(body: (stream: Stream, sockets: FakeSocket[], seen: { signedOut: boolean }) => void): void {
  mock.timers.enable({ apis: ["setTimeout"] });
  FakeSocket.all = [];
  (globalThis as { WebSocket: unknown }).WebSocket = FakeSocket;
  const seen = { signedOut: false };
  const stream = new Stream({
    url: "ws://gateway/api/v1/stream",
    build: "b",
    mode: "desk",
    follower: new Follower(new Alarms()),
    sound: () => true,
    visible: () => true,
    onFrame: () => undefined,
    onSignedOut: () => (seen.signedOut = true),
    onConnecting: () => undefined,
    after: (ms, run) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  });
  try {
    stream.start();
    body(stream, FakeSocket.all, seen);
  } finally {
    stream.stop();
    mock.timers.reset();
  }
}

const lastHello = (s: FakeSocket) => s.sent.filter((f) => "hello" in f).at(-1)?.["hello"];

test("the first hello names no position, the next one where we are", () => {
  withStream((_, sockets) => {
    sockets[0]!.open();
    assert.deepEqual(lastHello(sockets[0]!), { build: "b", mode: "desk", sound: true, visible: true });
    sockets[0]!.say(hello);
    sockets[0]!.say(snapshot);
    sockets[0]!.hangUp(1006);
    mock.timers.tick(500);
    sockets[1]!.open();
    assert.deepEqual(lastHello(sockets[1]!), { epoch: "e", seq: 5, build: "b", mode: "desk", sound: true, visible: true });
  });
});

test("it comes back ever more slowly, at most every eight seconds", () => {
  withStream((_, sockets) => {
    for (const longest of [500, 1_000, 2_000, 4_000, 8_000, 8_000]) {
      const before = sockets.length;
      sockets.at(-1)!.hangUp(1006);
      mock.timers.tick(longest / 2 - 1);
      assert.equal(sockets.length, before, `before half of ${longest} ms`);
      mock.timers.tick(longest / 2 + 1);
      assert.equal(sockets.length, before + 1, `after ${longest} ms`);
    }
  });
});

test("it comes back at once when the network does", () => {
  withStream((stream, sockets) => {
    sockets[0]!.hangUp(1006);
    stream.hurry();
    assert.equal(sockets.length, 2);
    sockets[1]!.open();
    stream.hurry();
    assert.equal(sockets.length, 2);
  });
});

test("a socket that has gone quiet is replaced", () => {
  withStream((_, sockets) => {
    sockets[0]!.open();
    sockets[0]!.say(hello);
    mock.timers.tick(5_999);
    assert.equal(sockets.length, 1);
    mock.timers.tick(1);
    mock.timers.tick(500);
    assert.equal(sockets.length, 2);
  });
});

test("a gap is answered with another hello on the same socket", () => {
  withStream((_, sockets) => {
    sockets[0]!.open();
    sockets[0]!.say(hello);
    sockets[0]!.say(snapshot);
    sockets[0]!.say({ e: { seq: 7, id: "", type: "raised", time: "", alarm: makeAlarm("b", { seq: 7 }) } });
    assert.equal(sockets[0]!.sent.filter((f) => "hello" in f).length, 2);
    assert.deepEqual((lastHello(sockets[0]!) as { seq: number }).seq, 5);
  });
});

test("what was seen is told once a second at most", () => {
  withStream((stream, sockets) => {
    sockets[0]!.open();
    sockets[0]!.say(hello);
    sockets[0]!.say(snapshot);
    for (let seq = 6; seq <= 20; seq++) {
      sockets[0]!.say({ e: { seq, id: "", type: "raised", time: "", alarm: makeAlarm("b", { seq }) } });
    }
    mock.timers.tick(1_000);
    const told = sockets[0]!.sent.filter((f) => "seen" in f);
    assert.deepEqual(told, [{ seen: 20, visible: true, sound: true }]);
    stream.report();
    mock.timers.tick(1_000);
    assert.equal(sockets[0]!.sent.filter((f) => "seen" in f).length, 1);
  });
});

test("signed out means no more tries", () => {
  withStream((_, sockets, seen) => {
    sockets[0]!.open();
    sockets[0]!.hangUp(4401);
    mock.timers.tick(60_000);
    assert.equal(sockets.length, 1);
    assert.equal(seen.signedOut, true);
  });
});
