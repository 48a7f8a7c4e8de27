// The page in a language nobody speaks: every text of its own is longer, accented
// and stands in ⟦⟧, every word of people elsewhere in ⟪⟫. What stands in neither
// was not translated; what does not fit would not fit in the next language either.

import assert from "node:assert/strict";
import { api, gateway, row, test } from "./page.mjs";

/** What is said outside of both brackets, but for numbers, ids and units. */
async function foreign(page, known) {
  const said = await page.evaluate(() => {
    const texts = [document.title];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) if (!walk.currentNode.parentElement.closest("noscript, kbd, .id")) texts.push(walk.currentNode.data);
    for (const e of document.querySelectorAll("[title], [aria-label], [placeholder]")) {
      texts.push(e.title ?? "", e.getAttribute("aria-label") ?? "", e.getAttribute("placeholder") ?? "");
    }
    return texts;
  });
  const left = said.map((text) => {
    for (let before = ""; before !== text; ) {
      before = text;
      text = text.replace(/⟪[^⟪⟫]*⟫/g, "").replace(/⟦[^⟦⟧]*⟧/g, "");
    }
    return text;
  });
  return [...new Set(left.flatMap((text) => text.match(/[\p{L}][\p{L}\p{N}_/-]*/gu) ?? []))].filter((word) => !known.has(word));
}

/** Where a text of the page's own is cut off. */
const cut = (page) =>
  page.evaluate(() =>
    [...document.querySelectorAll("body *")]
      .filter((e) => {
        const own = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("");
        if (!own.includes("⟦") || e.closest(".spoken, noscript") || e.textContent.includes("⟪")) return false;
        const { overflowX, overflowY } = getComputedStyle(e);
        const box = e.getBoundingClientRect();
        if (box.width === 0 || getComputedStyle(e).clipPath !== "none") return false;
        const within = e.closest("button, .row > span, .count, .chip, header, .takeover, .top")?.getBoundingClientRect() ?? box;
        return (
          (overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0) ||
          (overflowY === "hidden" && e.scrollHeight > e.clientHeight + 3 && e.clientHeight > 0) ||
          box.right > innerWidth + 1 ||
          box.right > within.right + 2 ||
          box.left < within.left - 2
        );
      })
      .map((e) => `${e.parentElement.className}>${e.tagName}.${e.className}: ${e.textContent.slice(0, 40)}`),
  );

const known = new Set(["s", "UTC", "admin", "embedded", "history"]);

async function looksRight(page, where) {
  await page.waitForFunction(() => document.title.includes("⟦"));
  assert.deepEqual(await foreign(page, known), [], `${where}: not translated`);
  assert.deepEqual(await cut(page), [], `${where}: cut off`);
}

for (const lang of ["zh", "en"]) {
  for (const [name, viewport] of Object.entries({ desk: { width: 1366, height: 768 }, phone: { width: 390, height: 844 } })) {
    test(`every text is translated and fits when it is longer (${lang}, ${name})`, { path: `/?lang=${lang}`, viewport }, async (page) => {
      const origin = new URL(page.url()).origin;
      await looksRight(page, "list");
      const [id] = (await gateway("raise/red/1")).split(" ");
      await page.waitForSelector(row(id), { state: "attached" });
      await looksRight(page, "takeover");
      const all = (await api("alarms?limit=1000")).alarms;
      for (const state of ["active_unacked", "active_acked", "cleared_unacked"]) {
        await page.goto(`${origin}/a/${all.find((a) => a.state === state).id}?lang=${lang}`);
        await page.waitForSelector(".timeline li");
        await looksRight(page, state);
        for (const form of ["n", "s"]) {
          await page.keyboard.press(form);
          await looksRight(page, `${state}, form ${form}`);
          await page.keyboard.press("Escape");
        }
      }
      await page.keyboard.press("x");
      await page.waitForSelector(".bulk");
      await looksRight(page, "bulk");
      await page.keyboard.press("?");
      await page.waitForSelector(".help");
      await looksRight(page, "help");
      await gateway("hang");
      try {
        await page.goto(`${origin}/?lang=${lang}`);
        await page.waitForSelector(".blind .title");
        await looksRight(page, "blind");
      } finally {
        await gateway("unhang");
      }
      await page.goto(`${origin}/?device=&lang=${lang}`);
      await page.waitForSelector(".devices li");
      await looksRight(page, "devices");
      await page.context().clearCookies();
      await page.goto(`${origin}/?lang=${lang}`);
      await page.waitForSelector(".login");
      await looksRight(page, "login");
    });
  }
}
