// Ten thousand open alarms: as quick as forty, and none of them lost.

import assert from "node:assert/strict";
import { api, gateway, test } from "./page.mjs";

const open = async () => {
  const alarms = [];
  for (let after = ""; ; ) {
    const page = await api(`alarms?limit=1000&after=${encodeURIComponent(after)}`);
    alarms.push(...page.alarms);
    if (!page.next) return alarms;
    after = page.next;
  }
};

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
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
    }).observe({ entryTypes: ["longtask"] });
  });
  await gateway("raise/orange/1000");
  await page.waitForFunction((n) => document.querySelector(".list").getAttribute("aria-rowcount") === String(n), before + 1_000 + 1);
  console.log(`longest task in the burst: ${await page.evaluate(() => window.longest)} ms`);
  const alarms = await open();
  assert.equal(await rowCount(page), alarms.length);
  const newest = alarms.filter((a) => a.state === "active_unacked" && a.level === "orange" && a.flags.every((f) => f !== "shelved"));
  newest.sort((a, b) => (a.raised_time < b.raised_time ? 1 : a.raised_time > b.raised_time ? -1 : a.id < b.id ? -1 : 1));
  const shown = await page.$$eval(".rows .row.orange.open", (rows) => rows.map((r) => r.id.replace("row-", "")));
  assert.deepEqual(shown, newest.slice(0, shown.length).map((a) => a.id));
});
