import assert from "node:assert/strict";
import { test } from "node:test";
import { Alarms, type Counts, type Group, inOrder, matches, noFilter, tallies, unackedReds } from "../src/alarms.ts";
import type { Alarm, Level } from "../src/protocol.ts";
import { Chance, makeAlarm, randomAlarm } from "./make.ts";

test("unacknowledged first, then the worse level, then the newer; what was set aside last", () => {
  const at = (minute: string) => `2026-06-27T06:${minute}:00.000Z`;
  const expected = [
    makeAlarm("red-new", { level: "red", raised_time: at("30") }),
    makeAlarm("red-old", { level: "red", raised_time: at("10") }),
    makeAlarm("orange", { level: "orange", raised_time: at("50") }),
    makeAlarm("blue", { level: "blue" }),
    makeAlarm("fault", { level: "fault" }),
    makeAlarm("over-unseen", { level: "normal", worst_level: "red", state: "cleared_unacked" }),
    makeAlarm("taken", { level: "red", state: "active_acked", acked_time: at("40") }),
    makeAlarm("over-seen", { level: "normal", worst_level: "red", state: "cleared_unacked", acked_time: at("40") }),
    makeAlarm("shelved", { level: "red", flags: ["shelved"] }),
  ];
  const shuffled = expected.slice().sort((a, b) => a.id.localeCompare(b.id));
  assert.deepEqual(shuffled.sort(inOrder).map((a) => a.id), expected.map((a) => a.id));
});

test("the list stays in order under any events", () => {
  const chance = new Chance(7);
  const alarms = new Alarms();
  alarms.load("e", 0, []);
  for (let seq = 1; seq <= 5_000; seq++) {
    alarms.apply({ seq, id: "", type: "", time: "", alarm: randomAlarm(chance, `a${chance.below(300)}`, seq) });
    if (seq % 500 !== 0) continue;
    const all = alarms.all();
    assert.deepEqual(all.map((a) => a.id), all.slice().sort(inOrder).map((a) => a.id));
    assert.equal(new Set(all.map((a) => a.id)).size, all.length);
    agree(alarms.counts(), all);
  }
});

/** Every number of the strip counts what its filter lists. */
function agree(counts: Counts, alarms: readonly Alarm[]): void {
  const listed = (group: Group, level: Level | null) => alarms.filter((a) => matches(a, { ...noFilter, group, level })).length;
  for (const group of ["all", "unacked", "acked", "cleared", "shelved", "suppressed", "silence"] as const) {
    assert.equal(listed(group, null), counts[group], group);
  }
  for (const level of ["red", "orange", "yellow", "blue", "fault"] as const) {
    assert.equal(listed("all", level), counts.levels[level], level);
  }
}

test("every number of the strip counts what its filter lists", () => {
  const chance = new Chance(11);
  const list = Array.from({ length: 500 }, (_, i) => randomAlarm(chance, `a${i}`, i)).filter((a) => a.state !== "closed");
  list.push(makeAlarm("silent", { level: "fault", rule: "silent" }));
  const alarms = new Alarms();
  alarms.load("e", 1, list);
  agree(alarms.counts(), list);
  assert.equal(list.filter((a) => matches(a, { ...noFilter, site: "other" })).length, 0);
});

test("a site stands as its worst alarm; what was set aside does not count", () => {
  const found = tallies([
    makeAlarm("a", { site: "one", level: "fault" }),
    makeAlarm("b", { site: "one", level: "orange" }),
    makeAlarm("c", { site: "two", level: "red", flags: ["shelved"] }),
  ]);
  assert.deepEqual([...found], [["one", { worst: "orange", n: 2 }]]);
});

test("the reds nobody has taken are exactly those", () => {
  const chance = new Chance(5);
  for (let round = 0; round < 100; round++) {
    const alarms = Array.from({ length: 20 }, (_, i) => randomAlarm(chance, `a${i}`, i)).filter((a) => a.state !== "closed");
    const expected = alarms.filter((a) => a.level === "red" && a.state === "active_unacked" && !a.flags.some((f) => f === "shelved" || f === "suppressed"));
    assert.deepEqual(unackedReds(alarms.sort(inOrder)).map((a) => a.id), expected.sort(inOrder).map((a) => a.id));
  }
});
