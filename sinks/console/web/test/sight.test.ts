import assert from "node:assert/strict";
import { test } from "node:test";
import type { Health } from "../src/protocol.ts";
import { Watch } from "../src/sight.ts";

const health = (over: Partial<Health> = {}): Health => ({
  time: "",
  epoch: "e",
  seq: 10,
  canary_time: "",
  canary_age_ms: 400,
  lag: { messages: 0 },
  ...over,
});

/** A screen that sees since a second. */
function seeing(): Watch {
  const w = new Watch(0);
  beat(w, 1_000);
  assert.equal(w.look(1_000).blind, false);
  return w;
}

function beat(w: Watch, now: number, over: Partial<Health> = {}): void {
  w.frame(now);
  w.health(health(over), now);
  w.progress(true, 10, now);
}

test("before the first list the screen does not pretend to see", () => {
  const w = new Watch(0);
  assert.deepEqual(w.look(100), { blind: true, cause: "starting", since: 0 });
  w.frame(200);
  w.progress(true, 10, 200);
  assert.deepEqual(w.look(200), { blind: true, cause: "starting", since: 0 });
});

test("no frame for three seconds blinds it, and a fresh one restores it", () => {
  const w = seeing();
  assert.equal(w.look(3_400).blind, false);
  assert.deepEqual(w.look(3_500), { blind: true, cause: "link", since: 1_000 });
  beat(w, 9_000);
  assert.equal(w.look(9_000).blind, false);
});

test("where the line goes silent, the line is blamed, not the judge whose canary it does not bring", () => {
  const w = seeing();
  beat(w, 2_000, { canary_age_ms: 1_400 });
  assert.deepEqual(w.look(3_600), { blind: true, cause: "link", since: 2_000 });
});

test("a socket that talks while the judge hangs blinds it as well", () => {
  const w = seeing();
  for (let now = 2_000; now <= 3_000; now += 1_000) beat(w, now, { canary_age_ms: now - 600 });
  assert.equal(w.look(3_500).blind, false);
  const sight = w.look(3_700);
  assert.deepEqual(sight, { blind: true, cause: "judge", since: 600 });
});

test("no canary at all is a judge that never spoke", () => {
  const w = seeing();
  beat(w, 2_000, { canary_age_ms: null });
  const sight = w.look(2_000);
  assert(sight.blind && sight.cause === "judge");
});

test("an old canary with a backlog is a gateway that catches up", () => {
  const w = seeing();
  beat(w, 2_000, { canary_age_ms: 4_000, lag: { messages: 12_000 } });
  const sight = w.look(2_000);
  assert(sight.blind && sight.cause === "catching_up");
});

test("being behind the gateway's head blinds it after three seconds, not at once", () => {
  const w = seeing();
  for (let now = 2_000; now <= 5_000; now += 1_000) beat(w, now, { seq: 11 });
  assert.equal(w.look(4_900).blind, false);
  assert.equal(w.isBehind(5_000), true);
  assert.equal(w.look(5_000).blind, true);
});

test("after a blindness it sees only when all it missed is on screen and the judge was heard", () => {
  const w = seeing();
  assert.equal(w.look(8_000).blind, true);
  w.frame(9_000);
  w.greeted();
  w.progress(false, 10, 9_000);
  assert.deepEqual(w.look(9_000), { blind: true, cause: "catching_up", since: 600 });
  w.progress(true, 10, 9_100);
  w.frame(9_100);
  assert.equal(w.look(9_100).blind, true);
  beat(w, 9_200);
  assert.equal(w.look(9_200).blind, false);
});

test("a fresh heartbeat does not end a blindness while events are still to come", () => {
  const w = seeing();
  assert.equal(w.look(8_000).blind, true);
  w.frame(9_000);
  w.health(health({ seq: 12 }), 9_000);
  w.progress(false, 10, 9_000);
  const sight = w.look(9_000);
  assert(sight.blind && sight.cause === "catching_up");
  w.progress(true, 12, 9_050);
  assert.equal(w.look(9_050).blind, false);
});

test("a heartbeat that lay in a buffer while all stood still is no sight", () => {
  const w = seeing();
  assert.equal(w.look(8_000).blind, true);
  w.frame(9_000);
  w.health(health(), 2_000);
  w.progress(true, 10, 9_000);
  assert.equal(w.look(9_000).blind, true);
});

test("a second hello on a healthy line does not blind it", () => {
  const w = seeing();
  w.frame(1_500);
  w.greeted();
  w.progress(false, 10, 1_500);
  assert.equal(w.look(1_500).blind, false);
});
