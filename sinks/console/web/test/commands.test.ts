import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusal } from "../src/api.ts";
import { Commands } from "../src/commands.ts";

type Call = { path: string; key: string };

/** Answers fetch with these, one after the other, and keeps what was asked. */
function gateway(...answers: ({ status: number; body: unknown } | "broken")[]): Call[] {
  const calls: Call[] = [];
  globalThis.fetch = async (path, init) => {
    calls.push({ path: String(path), key: (init?.headers as Record<string, string>)["Idempotency-Key"] ?? "" });
    const answer = answers.shift()!;
    if (answer === "broken") throw new TypeError("network");
    return new Response(JSON.stringify(answer.body), { status: answer.status });
  };
  return calls;
}

test("a command is pending until its event came on the stream", async () => {
  gateway({ status: 200, body: { seq: 12 } });
  const commands = new Commands();
  commands.arrived(10);
  const run = commands.run("a", "ack");
  assert.deepEqual(commands.pending.value.get("a"), { verb: "ack", seq: null });
  assert.equal(await run, true);
  assert.deepEqual(commands.pending.value.get("a"), { verb: "ack", seq: 12 });
  commands.arrived(11);
  assert(commands.pending.value.has("a"));
  commands.arrived(12);
  assert.equal(commands.pending.value.size, 0);
});

test("an event that was faster than the answer is not waited for", async () => {
  gateway({ status: 200, body: { seq: 12 } });
  const commands = new Commands();
  commands.arrived(12);
  await commands.run("a", "ack");
  assert.equal(commands.pending.value.size, 0);
});

test("a second press while one is on its way does nothing", async () => {
  const calls = gateway({ status: 200, body: { seq: 12 } });
  const commands = new Commands();
  const first = commands.run("a", "ack");
  assert.equal(await commands.run("a", "ack"), false);
  await first;
  assert.equal(calls.length, 1);
});

test("who lost the race is told who was first", async () => {
  gateway({ status: 409, body: { error: { code: "already_acked", message: "m", by: "韩梅梅", at: "2026-06-27T06:46:01.950Z" } } });
  const commands = new Commands();
  assert.equal(await commands.run("a", "ack"), false);
  const no = commands.refused.value.get("a");
  assert(no instanceof Refusal);
  assert.deepEqual([no.status, no.code, no.by], [409, "already_acked", "韩梅梅"]);
  assert.equal(commands.pending.value.size, 0);
});

test("a broken line is retried with the same key", async () => {
  const calls = gateway("broken", { status: 503, body: {} }, { status: 200, body: { seq: 3 } });
  const commands = new Commands();
  assert.equal(await commands.run("a", "note", { note: "x" }), true);
  assert.equal(calls.length, 3);
  assert.equal(new Set(calls.map((c) => c.key)).size, 1);
  assert.match(calls[0]!.key, /^[0-9a-f]{32}$/);
});

test("a new log ends the waiting for events of the old one", async () => {
  gateway({ status: 200, body: { seq: 900 } });
  const commands = new Commands();
  await commands.run("a", "ack");
  assert(commands.pending.value.has("a"));
  commands.newLog(4);
  assert.equal(commands.pending.value.size, 0);
});
