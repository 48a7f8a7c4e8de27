import assert from "node:assert/strict";
import { test } from "node:test";
import { Past, span, windowFor } from "../src/past.ts";
import type { Past as Answer, Value } from "../src/protocol.ts";

const answer = (points: Answer["points"], rest: Partial<Answer> = {}): Answer => ({
  site: "s", device: "d", field: "f", unit: "m", points, limits: [], complete: true, known: null, ...rest,
});

const value = (at: number, number: number | null, quality = "good"): Value => ({
  site: "s", device: "d", field: "f", value: number, quality, time: new Date(at).toISOString(), received: new Date(at).toISOString(),
});

test("live values go on where the past ends: none twice, none out of order, silence is a gap", () => {
  const past = new Past(answer([[1_000, 1, 3, 2], [11_000, 2, 2, 2, 1]]), 25_000);
  assert.equal(past.append(value(11_000, 9)), false);
  assert.equal(past.append(value(5_000, 9)), false);
  assert.equal(past.append(value(21_000, 4)), true);
  assert.equal(past.append(value(90_000, 5)), true);
  assert.deepEqual(past.times, [1, 11, 21, 21.001, 90]);
  assert.deepEqual(past.last, [2, 2, 4, null, 5]);
  assert.deepEqual(past.doubtful, [false, true, false, false, false]);
  assert.deepEqual(past.summary(0), { first: 2, last: 5, least: 1, greatest: 5 });
  assert.deepEqual(past.summary(15_000), { first: 4, last: 5, least: 4, greatest: 5 });
  assert.equal(past.summary(100_000), null);
});

test("what is bad is a mark without a number", () => {
  const past = new Past(answer([]), 25_000);
  past.append(value(1_000, 65_535, "bad"));
  past.append(value(2_000, 7, "suspect"));
  assert.deepEqual(past.last, [null, 7]);
  assert.deepEqual(past.doubtful, [true, true]);
});

test("the gateway says from when on it knows", () => {
  assert.equal(new Past(answer([]), 1).known, null);
  assert.equal(new Past(answer([], { complete: false, known: "2026-06-27T06:29:00.000Z" }), 1).known, Date.parse("2026-06-27T06:29:00Z"));
});

test("limits near the line are in the picture, far ones do not flatten it", () => {
  const some = { first: 10, last: 12, least: 10, greatest: 12 };
  const [low, high] = span(some, [14, 1_000], []);
  assert(low < 10 && high > 14 && high < 20);
  assert(span(some, [1_000], [1_000])[1] > 1_000);
  assert.deepEqual(span(null, [], []), [0, 1]);
  const flat = span({ first: 5, last: 5, least: 5, greatest: 5 }, [], []);
  assert(flat[0] < 5 && flat[1] > 5);
});

test("the window opens where the alarm began", () => {
  assert.equal(windowFor(60_000, [1_800_000, 7_200_000]), 1_800_000);
  assert.equal(windowFor(1_750_000, [1_800_000, 7_200_000]), 7_200_000);
  assert.equal(windowFor(1e12, [1_800_000, 7_200_000]), 7_200_000);
});
