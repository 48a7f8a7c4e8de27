// Ten thousand open alarms: as quick as forty, and none of them lost.

import assert from "node:assert/strict";
import { openAlarms, sameAsAPI } from "./list.mjs";
import { api, gateway, long, test } from "./page.mjs";
import { longestTask } from "./cost.mjs";

const open = () => openAlarms(api);

const rowCount = (page) => page.getAttribute(".list", "aria-rowcount").then((n) => Number(n) - 1);

test("only the rows in view are drawn, and the last one can be reached", {}, async (page) => {
  const { length } = await open();
  assert.equal(await rowCount(page), length);
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  assert(nodes < 1_500, `${nodes} nodes`);
  await page.$eval(".list", (list) => list.scrollTo(0, list.scrollHeight));
  await page.waitForSelector(`.row[aria-rowindex="${length + 1}"]`);
  assert((await page.locator(".rows .row").count()) <= 60);
});

test("a burst of a thousand alarms arrives whole", {}, async (page) => {
  const before = await rowCount(page);
  await gateway("raise/orange/1000");
  await page.waitForFunction((n) => document.querySelector(".list").getAttribute("aria-rowcount") === String(n), before + 1_000 + 1);
  const alarms = await open();
  assert.equal(await rowCount(page), alarms.length);
  const newest = alarms.filter((a) => a.state === "active_unacked" && a.level === "orange" && a.flags.every((f) => f !== "shelved"));
  newest.sort((a, b) => (a.raised_time < b.raised_time ? 1 : a.raised_time > b.raised_time ? -1 : a.id < b.id ? -1 : 1));
  const shown = await page.$$eval(".rows .row.orange.open", (rows) => rows.map((r) => r.id.replace("row-", "")));
  assert.deepEqual(shown, newest.slice(0, shown.length).map((a) => a.id));
});

test("in a flood the list is drawn once a frame, however many events came, and is right in the end", { path: "/?lang=zh" }, async (page) => {
  await page.evaluate(() => {
    window.drawn = window.frames = 0;
    new MutationObserver(() => window.drawn++).observe(document.querySelector(".rows"), { childList: true, subtree: true, attributes: true, characterData: true });
    const count = () => (window.frames++, requestAnimationFrame(count));
    count();
  });
  const cost = long ? await longestTask(page) : null;
  const began = performance.now();
  const events = Number(await gateway(long ? "lives/2500/1000" : "lives/250/0"));
  const { drawn, frames } = await page.evaluate(() => ({ drawn: window.drawn, frames: window.frames }));
  const seconds = (performance.now() - began) / 1_000;
  await sameAsAPI(page, api, 300);
  assert.equal(await rowCount(page), (await open()).length);
  if (cost) console.log(`${events} events in ${seconds.toFixed(1)} s: list drawn ${drawn} times in ${frames} frames; ${JSON.stringify(await cost.end())}`);
  // Where no frame comes the list is drawn four times a second, and ages move once a second.
  assert(drawn <= frames + 5 * seconds + 10, `${events} events drew the list ${drawn} times in ${frames} frames`);
});
