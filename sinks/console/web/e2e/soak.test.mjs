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
  for (let i = 0; i < 2; i++) await duty(); // code is compiled, caches are full
  await sameAsAPI(page, api);
  const warm = await held();
  const course = [];
  for (let i = 0; i < ROUNDS; i++) {
    await duty();
    course.push(await held());
  }
  await sameAsAPI(page, api);
  const end = await held();
  const open = (await openAlarms(api)).length;
  const events = ROUNDS * (long ? 2_000 : 1_000);
  console.log(`${events} events, ${open} alarms open: warm ${JSON.stringify(warm)}, end ${JSON.stringify(end)}`);
  if (long) console.log(course.filter((_, i) => i % 12 === 0).map((c) => JSON.stringify(c)).join("\n"));
  assert(end.nodes - warm.nodes < 400, `${end.nodes - warm.nodes} nodes more`);
  assert(end.listeners - warm.listeners < 100, `${end.listeners - warm.listeners} listeners more`);
  // An alarm is about 2 kB; what was closed is ten thousand times that.
  assert(end.heap - warm.heap < 2 << 20, `${((end.heap - warm.heap) / 1024).toFixed(0)} kB more`);
});
