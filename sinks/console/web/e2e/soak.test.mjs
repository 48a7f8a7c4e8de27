// Hours of duty in short: alarms come and go, are looked at and closed, and the
// page holds no more at the end than it did when it was warm.

import assert from "node:assert/strict";
import { openAlarms, sameAsAPI } from "./list.mjs";
import { api, command, gateway, long, row, test } from "./page.mjs";

const ROUNDS = long ? 120 : 6;

test("alarms that are over leave nothing behind", { path: "/?lang=zh" }, async (page) => {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  const held = async () => {
    await cdp.send("HeapProfiler.collectGarbage");
    const { metrics } = await cdp.send("Performance.getMetrics");
    const of = (name) => metrics.find((m) => m.name === name).value;
    return { heap: of("JSHeapUsedSize"), nodes: of("Nodes"), listeners: of("JSEventListeners") };
  };
  const there = (what) => page.locator(what).waitFor({ state: "attached" }); // keeps no hold of it
  const duty = async () => {
    const [id] = (await gateway("raise/orange/1")).split(" ");
    await there(row(id));
    await page.$eval(row(id), (r) => r.click());
    await there(`.detail[data-alarm="${id}"] .trend canvas`);
    await gateway(long ? "lives/500/400" : "lives/250/0");
    await command(id, "ack");
    await there(`.detail[data-alarm="${id}"][data-state="active_acked"]`);
    await page.keyboard.press("Escape");
    await there(".overview");
  };
  for (let i = 0; i < 2; i++) await duty(); // code is compiled
  const course = [];
  for (let i = 0; i < ROUNDS; i++) {
    await duty();
    course.push(await held());
  }
  await sameAsAPI(page, api);
  // What a single look finds may wait for the next collection: the least of several counts.
  const least = (from, to) => {
    const part = course.slice(Math.floor(from * ROUNDS), Math.floor(to * ROUNDS));
    const of = (name) => Math.min(...part.map((c) => c[name]));
    return { heap: of("heap"), nodes: of("nodes"), listeners: of("listeners") };
  };
  const early = long ? least(0.25, 0.5) : least(0, 0.5);
  const late = long ? least(0.75, 1) : least(0.5, 1);
  const open = (await openAlarms(api)).length;
  const events = ROUNDS * (long ? 2_000 : 1_000);
  console.log(`${events} events, ${open} alarms open: early ${JSON.stringify(early)}, late ${JSON.stringify(late)}`);
  if (long) console.log(course.filter((_, i) => i % 12 === 0).map((c) => JSON.stringify(c)).join("\n"));
  assert(late.nodes - early.nodes < 400, `${late.nodes - early.nodes} nodes more`);
  assert(late.listeners - early.listeners < 100, `${late.listeners - early.listeners} listeners more`);
  // The browser's own memory of what came by the socket fills up within some ten
  // thousand events: only the long form is behind that.
  if (long) assert(late.heap - early.heap < 2 << 20, `${((late.heap - early.heap) / 1024).toFixed(0)} kB more`);
  assert(late.heap < 24 << 20, `${(late.heap / 1024).toFixed(0)} kB`);
});
