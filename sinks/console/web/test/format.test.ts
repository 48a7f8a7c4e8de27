import assert from "node:assert/strict";
import { test } from "node:test";
import { ServerClock } from "../src/clock.ts";
import { formatAge, formatMoment, formatNumber, formatValue } from "../src/format.ts";
import { language, say, t, word } from "../src/i18n/index.ts";
import { texts } from "../src/i18n/texts.ts";
import { isStale, Values } from "../src/values.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

test("an age is told in its two largest units and never negative", () => {
  language.value = "zh";
  const ages: [number, string][] = [
    [-5 * second, "0 秒"],
    [59 * second, "59 秒"],
    [12 * minute + 7 * second, "12 分 07 秒"],
    [3 * hour + 2 * minute, "3 小时 02 分"],
    [49 * hour, "2 天 1 小时"],
  ];
  for (const [ms, text] of ages) assert.equal(formatAge(ms), text);
  language.value = "en";
  assert.equal(formatAge(61 * second), "1 m 01 s");
});

test("a moment of today is a time, another day's has its date", () => {
  const now = new Date(2026, 5, 27, 20, 28, 7).getTime();
  assert.equal(formatMoment(new Date(now).toISOString(), now), "20:28:07");
  assert.equal(formatMoment(new Date(now - 24 * hour).toISOString(), now), "06-26 20:28");
  assert.equal(formatMoment(new Date(2025, 11, 31, 9, 5).toISOString(), now), "2025-12-31 09:05");
  assert.equal(formatMoment(null, now), "—");
});

test("a number has at most three decimals, a value its unit, and nothing is not zero", () => {
  assert.equal(formatNumber(12.34567), "12.346");
  assert.equal(formatNumber(100000), "100000");
  assert.equal(formatValue(0, "%LEL"), "0 %LEL");
  assert.equal(formatValue(null, "%LEL"), "—");
});

test("both languages say the same things with the same parameters", () => {
  const params = (text: string) => [...text.matchAll(/\{\w+\}/g)].map((m) => m[0]).sort();
  for (const [key, [zh, en]] of Object.entries<readonly [string, string]>(texts)) {
    assert(zh !== "" && en !== "", key);
    assert.deepEqual(params(en), params(zh), key);
  }
});

test("texts of people fall back to the other language, unknown words to themselves", () => {
  language.value = "en";
  assert.equal(say({ zh: "坝体", en: "" }), "坝体");
  assert.equal(word("event", "teleported"), "teleported");
  assert.equal(t("calm.rules", { n: 7 }), "7 rules on watch");
});

test("the gateway's clock is the least late of its heartbeats", () => {
  const clock = new ServerClock();
  assert.equal(clock.at(0), null);
  clock.sample(10_000, 1_000 + 40);
  clock.sample(11_000, 2_000 + 5);
  clock.sample(12_000, 3_000 + 900);
  assert.equal(Math.round(clock.at(5_000)!), 13_995);
});

test("a heartbeat that lay in a buffer is known to be late", () => {
  const clock = new ServerClock();
  clock.sample(10_000, 1_000);
  clock.sample(11_000, 8_000);
  assert.equal(Math.round(clock.when(11_000)), 2_001);
});

test("a gateway whose clock was set back is not late for ever", () => {
  const clock = new ServerClock();
  clock.sample(100_000, 1_000);
  clock.sample(41_000, 2_000);
  assert.equal(clock.at(2_000), 41_000);
});

test("an older value never replaces a newer one, and age makes stale", () => {
  const values = new Values();
  const value = { site: "s", device: "d", field: "f", quality: "good" };
  values.take([{ ...value, value: 2, time: "2026-06-27T06:00:02.000Z", received: "2026-06-27T06:00:02.500Z" }]);
  values.take([{ ...value, value: 1, time: "2026-06-27T06:00:01.000Z", received: "2026-06-27T06:00:03.000Z" }]);
  const held = values.get("s", "d", "f")!;
  assert.equal(held.value, 2);
  const received = Date.parse(held.received);
  assert.equal(isStale(held, 30, received + 60_000), false);
  assert.equal(isStale(held, 30, received + 60_001), true);
});
