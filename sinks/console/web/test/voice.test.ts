import assert from "node:assert/strict";
import { test } from "node:test";
import { type Peer, Voice, VOICE_LOST } from "../src/voice.ts";

const peer = (id: string, able = true, visible = true): Peer => ({ id, able, visible });

/** Who sounds when each has heard each. */
function speaking(peers: Peer[]): string[] {
  return peers
    .filter((own) => {
      const voice = new Voice();
      for (const other of peers) if (other.id !== own.id) voice.heard(other, 0);
      return voice.speaks(own, 1);
    })
    .map((p) => p.id);
}

test("of any pages exactly one sounds: one that can, one that is looked at", () => {
  assert.deepEqual(speaking([peer("a"), peer("b"), peer("c")]), ["a"]);
  assert.deepEqual(speaking([peer("a", false), peer("b", true, false), peer("c")]), ["c"]);
  assert.deepEqual(speaking([peer("a", false), peer("b", true, false)]), ["b"]);
  assert.deepEqual(speaking([peer("a", false)]), ["a"]);
});

test("a page that has gone silent is taken over from", () => {
  const voice = new Voice();
  voice.heard(peer("a"), 0);
  assert.equal(voice.speaks(peer("b"), VOICE_LOST), false);
  assert.equal(voice.speaks(peer("b"), VOICE_LOST + 1), true);
});
