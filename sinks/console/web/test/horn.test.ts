import assert from "node:assert/strict";
import { test } from "node:test";
import { Horn, isNewOrWorse, loudest, RESOUND_AFTER, wakes } from "../src/horn.ts";
import { inOrder } from "../src/alarms.ts";
import { Chance, makeAlarm, randomAlarm } from "./make.ts";

const red = makeAlarm("r", { level: "red" });
const orange = makeAlarm("o", { level: "orange" });
const yellow = makeAlarm("y", { level: "yellow" });
const acked = (a: typeof red) => ({ ...a, state: "active_acked" as const, acked_time: "2026-06-27T06:01:00.000Z" });

test("the worst unacknowledged alarm decides what sounds", () => {
  assert.equal(loudest([red, orange]), "red");
  assert.equal(loudest([orange, yellow]), "orange");
  assert.equal(loudest([yellow]), "none");
  assert.equal(loudest([acked(red)]), "none");
});

test("what was shelved, folded or reported late does not sound", () => {
  for (const flag of ["shelved", "suppressed", "backfill"]) {
    assert.equal(loudest([{ ...red, flags: [flag] }]), "none", flag);
    assert.equal(new Horn().heard(undefined, { ...red, flags: [flag] }), false, flag);
  }
});

test("a red that ended before anybody took it is still heard, one level lower", () => {
  const over = { ...red, level: "normal" as const, state: "cleared_unacked" as const };
  assert.equal(loudest([over]), "orange");
  assert.equal(loudest([{ ...over, acked_time: "2026-06-27T06:01:00.000Z" }]), "none");
});

test("the order of the list hides nothing that should sound", () => {
  const chance = new Chance(3);
  for (let round = 0; round < 300; round++) {
    const alarms = Array.from({ length: 12 }, (_, i) => randomAlarm(chance, `a${i}`, i)).filter((a) => a.state !== "closed");
    const each = alarms.map((a) => loudest([a]));
    const expected = each.includes("red") ? "red" : each.includes("orange") ? "orange" : "none";
    assert.equal(loudest(alarms.slice().sort(inOrder)), expected, `round ${round}`);
  }
});

test("muting is not acknowledging: a new or worse alarm sounds again", () => {
  const horn = new Horn();
  horn.mute(0);
  assert.equal(horn.pattern([orange], 1_000), "none");
  assert(wakes(orange));
  horn.heard(undefined, makeAlarm("o2", { level: "orange" }));
  assert.equal(horn.pattern([orange], 2_000), "orange");

  horn.mute(3_000);
  horn.heard(orange, { ...orange, value: 60 });
  assert.equal(horn.pattern([orange], 4_000), "none");
  horn.heard(orange, { ...orange, level: "red", worst_level: "red" });
  assert.equal(horn.pattern([red], 5_000), "red");
});

test("a blue alarm ends no mute", () => {
  const horn = new Horn();
  horn.mute(0);
  horn.heard(undefined, makeAlarm("b", { level: "blue" }));
  assert.equal(horn.pattern([red], 1_000), "none");
});

test("a muted red sounds again after a while, a muted orange does not", () => {
  const horn = new Horn();
  horn.mute(0);
  assert.equal(horn.pattern([orange], RESOUND_AFTER), "none");
  assert.equal(horn.pattern([red], RESOUND_AFTER - 1), "none");
  assert.equal(horn.pattern([red], RESOUND_AFTER), "red");
});

test("yellow is one beep when it comes, and when it comes back", () => {
  const horn = new Horn();
  assert.equal(horn.heard(undefined, yellow), true);
  assert.equal(horn.heard(yellow, yellow), false);
  assert.equal(horn.heard(acked(yellow), yellow), true);
  assert.equal(horn.heard(undefined, orange), false);
});

test("a device fault is silent, a lost source beeps", () => {
  assert.equal(new Horn().heard(undefined, makeAlarm("f", { level: "fault" })), false);
  assert.equal(new Horn().heard(undefined, makeAlarm("g", { level: "fault", kind: "gateway" })), true);
});

test("better is not news", () => {
  assert.equal(isNewOrWorse(red, { ...red, level: "orange" }), false);
  assert.equal(isNewOrWorse(orange, acked(orange)), false);
});
