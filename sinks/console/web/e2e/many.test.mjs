// Ten thousand open alarms: as quick as forty, and none of them lost.

import assert from "node:assert/strict";
import { api, gateway, row, test } from "./page.mjs";

const open = async () => {
  const ids = [];
  for (let after = ""; ; ) {
    const page = await api(`alarms?limit=1000&after=${encodeURIComponent(after)}`);
    ids.push(...page.alarms.map((a) => a.id));
    if (!page.next) return ids;
    after = page.next;
  }
};

const rowCount = (page) => page.getAttribute(".list", "aria-rowcount").then((n) => Number(n) - 1);

test("only the rows in view are drawn, and the last one can be reached", {}, async (page) => {
  const ids = await open();
  assert.equal(await rowCount(page), ids.length);
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  assert(nodes < 1_500, `${nodes} nodes`);
  await page.$eval(".list", (list) => list.scrollTo(0, list.scrollHeight));
  await page.waitForSelector(`.row[aria-rowindex="${ids.length + 1}"]`);
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
  const ids = (await gateway("raise/orange/1000")).split(" ");
  await page.waitForFunction((n) => document.querySelector(".list").getAttribute("aria-rowcount") === String(n), before + 1_000 + 1);
  await page.waitForSelector(row(ids.at(-1)), { state: "attached" });
  console.log(`longest task in the burst: ${await page.evaluate(() => window.longest)} ms`);
  assert.equal(await rowCount(page), (await open()).length);
});
