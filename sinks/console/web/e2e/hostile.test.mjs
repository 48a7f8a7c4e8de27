// Everything that people elsewhere could write is hostile here: names, units,
// notes, topics, telephone numbers. The page shows it as text, and stays itself.

import assert from "node:assert/strict";
import { openAlarms } from "./list.mjs";
import { api, command, gateway, row, test } from "./page.mjs";

const note = '<img src=x onerror="window.hacked=1">\u202etxt.exe ' + "n".repeat(1_900);
const widths = { phone: { width: 390, height: 844 }, desk: { width: 1366, height: 768 } };

/** Nothing ran, nothing was built of outside words, nothing leads elsewhere, and nothing sticks out. */
async function isItself(page, where) {
  const found = await page.evaluate(() => {
    const all = [...document.querySelectorAll("body *")];
    const reach = (e) => e.getBoundingClientRect();
    return {
      ran: window.hacked ?? null,
      built: all.filter((e) => e.matches("img, script, style, iframe, object, embed, foreignObject, [onerror], [onload], [onmouseover]")).map((e) => e.outerHTML.slice(0, 80)),
      leads: [...document.querySelectorAll("[href]")].map((e) => e.href).filter((h) => h && !h.startsWith(location.origin) && !/^(tel:|data:image\/svg\+xml,)/.test(h)),
      turned: /[\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(document.body.innerText + document.title),
      sideways: document.documentElement.scrollWidth > innerWidth + 1,
      wide: all.filter((e) => reach(e).right > innerWidth + 1 && reach(e).width > 0 && !clipped(e)).map((e) => `${e.tagName}.${e.className}`).slice(0, 5),
      title: document.title.length < 120,
    };
    /** Something round it cuts off what is too much. */
    function clipped(e) {
      for (let box = e.parentElement; box; box = box.parentElement) {
        if (getComputedStyle(box).overflowX !== "visible" && reach(box).right <= innerWidth + 1) return true;
      }
      return false;
    }
  });
  assert.deepEqual(found, { ran: null, built: [], leads: [], turned: false, sideways: false, wide: [], title: true }, where);
}

for (const [name, viewport] of Object.entries(widths)) {
  test(`hostile names stay text in the list and in every alarm, and break no line (${name})`, { path: "/?lang=zh", viewport }, async (page) => {
    await isItself(page, "list");
    const heights = await page.$$eval(".rows .row", (rows) => new Set(rows.map((r) => r.getBoundingClientRect().height)).size);
    assert.equal(heights, 1, "all rows are of one height");
    const shown = await page.locator(".rows .row").first().boundingBox();
    assert(shown.y + shown.height < viewport.height, "the first alarm is in view");
    const alarms = new Set();
    for (const { id } of await openAlarms(api)) {
      const before = page.url();
      await page.keyboard.press("j"); // each in turn
      await page.waitForURL((url) => url.href !== before && url.pathname.startsWith("/a/"));
      alarms.add(page.url());
      await page.waitForSelector(`.detail[data-alarm="${new URL(page.url()).pathname.slice(3)}"] .timeline li`);
      await isItself(page, `alarm ${id}`);
      const buttons = await page.locator(".actions button").last().boundingBox();
      assert(buttons.y + buttons.height <= viewport.height, "what can be done is in view");
    }
    assert(alarms.size >= 40);
  });
}

test("a hostile note is told as it was written, and a hostile red goes across the top", { path: "/?lang=zh", viewport: widths.phone }, async (page) => {
  const [id] = (await gateway("raise/red/1")).split(" ");
  await command(id, "note", { note });
  await page.waitForSelector(".takeover");
  assert((await page.locator(".takeover").boundingBox()).height < 250, "the takeover leaves room for the list");
  await isItself(page, "takeover");
  await page.waitForSelector(row(id), { state: "attached" });
  await page.click(row(id));
  await page.waitForSelector(".timeline q");
  assert.equal(await page.textContent(".timeline q"), note.replace("\u202e", ""));
  await isItself(page, "note");
  await page.waitForFunction(() => !document.title.includes("\u202e") && document.title.startsWith("(红"));
});

test("a hostile device, its topics and its clients are text too", { path: "/?lang=zh", viewport: widths.phone }, async (page) => {
  const origin = new URL(page.url()).origin;
  for (const stage of ["misspelled", "done"]) {
    await gateway(`install/${stage}`);
    await page.goto(`${origin}/?device=newcomer/gas-01&lang=zh`);
    await page.waitForSelector(".device .notes li");
    await isItself(page, stage);
  }
  await page.goto(`${origin}/?device=&lang=zh`);
  await page.waitForSelector(".devices li");
  await isItself(page, "devices");
});

test("the gateway tells the browser to run nothing but the page", {}, async (page) => {
  const origin = new URL(page.url()).origin;
  for (const path of ["/", "/main.js", "/a/x", "/api/v1/alarms", "/no-such.file"]) {
    const { headers } = await fetch(origin + path);
    const policy = headers.get("content-security-policy") ?? "";
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]) {
      assert(policy.includes(part), `${path}: no ${part} in ${policy}`);
    }
    assert(!/unsafe|\*|data: /.test(policy.replace(/img-src[^;]*/, "")), `${path}: ${policy}`);
    assert.equal(headers.get("x-content-type-options"), "nosniff", path);
  }
});
