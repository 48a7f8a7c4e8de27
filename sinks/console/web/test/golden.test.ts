import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Alarms } from "../src/alarms.ts";
import { Follower } from "../src/follower.ts";
import { known } from "../src/i18n/index.ts";
import type { AlarmEvent, Frame, Onboarding } from "../src/protocol.ts";
import { Watch } from "../src/sight.ts";
import { unfold } from "../src/unfold.ts";

/** The shapes that the Go tests write. */
const golden = (name: string) => JSON.parse(readFileSync(`${process.env["TESTDATA"]}/${name}.json`, "utf8"));

test("the gateway's own frames are followed to the end", () => {
  const follower = new Follower(new Alarms());
  follower.position();
  for (const name of ["hello", "snapshot", "e_acked", "e_config", "v", "h"]) follower.take(golden(name) as Frame);
  assert.equal(follower.alarms.seq, golden("e_config").e.seq);
  const acked = golden("e_acked").e as AlarmEvent;
  assert.deepEqual(follower.alarms.get(acked.alarm!.id), acked.alarm);
  assert.equal(follower.isCurrent(), true);
});

test("the rows of a snapshot are the alarms of the list", () => {
  assert.deepEqual(unfold((golden("snapshot") as Frame).snapshot!), golden("alarms").alarms);
});

test("a resume is followed as well", () => {
  const follower = new Follower(new Alarms());
  follower.alarms.load("k3f9", 4711, []);
  follower.position();
  follower.take(golden("hello"));
  assert.equal(follower.take(golden("resume")).ask, false);
  assert.equal(follower.isCurrent(), false);
});

test("h sees and h_blind does not", () => {
  for (const [name, blind] of [["h", false], ["h_blind", true]] as const) {
    const watch = new Watch(0);
    watch.frame(100);
    watch.health(golden(name).h, 100);
    watch.progress(true, golden(name).h.seq, 100);
    assert.equal(watch.look(100).blind, blind, name);
  }
});

test("the page has words for everything the gateway's examples name", () => {
  for (const e of golden("timeline").events as AlarmEvent[]) {
    assert(known("event", e.type), e.type);
    assert(known("state", e.alarm!.state), e.alarm!.state);
    assert(known("basis", e.alarm!.basis.status), e.alarm!.basis.status);
    for (const flag of e.alarm!.flags) assert(known("flag", flag), flag);
  }
  assert(known("no", golden("conflict").error.code));
  for (const { step } of (golden("onboarding") as Onboarding).steps) assert(known("step", step), step);
  const { properties } = JSON.parse(readFileSync(`${process.env["TESTDATA"]}/../openapi.json`, "utf8")).components.schemas.Refused;
  for (const code of properties.code.enum) assert(known("refused", code), code);
  for (const action of properties.action.enum) assert(known("action", action), action);
});
