// An empty board: calm, with proof of life, and never before the list has come.

import assert from "node:assert/strict";
import { test } from "./page.mjs";

test("nothing open is said calmly, with the age of the last sign of life", { path: "/?lang=zh" }, async (page) => {
  assert.equal(await page.textContent(".calm h2"), "一切正常");
  assert.match(await page.textContent(".calm"), /最后(读数|心跳) \d+ 秒前/);
});

test("until the first list has come the page does not say that all is well", { path: "/?lang=zh" }, async (page) => {
  await page.route("**/api/v1/stream", (route) => route.abort());
  await page.routeWebSocket(/stream/, () => undefined); // a gateway that never says a word
  await page.reload();
  await page.waitForSelector(".blind .title");
  assert.equal(await page.locator(".calm h2").count(), 0);
  assert.match(await page.textContent(".blind"), /尚未收到数据/);
});
