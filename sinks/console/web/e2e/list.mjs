// The whole list as a person reads it by scrolling, beside what the API says of
// the same alarms.

import assert from "node:assert/strict";

const PATIENCE = 30_000;
const words = { red: "红", orange: "橙", yellow: "黄", blue: "蓝", fault: "故障", silent: "离线" };
const ladder = ["normal", "fault", "blue", "yellow", "orange", "red"];

/** The rows from the first to the last, or to a number of them: "id state level" in order. */
export async function shownRows(page, most = Infinity) {
  const rows = await page.evaluate(async (most) => {
    const list = document.querySelector(".list");
    if (!list) return [];
    const all = Number(list.getAttribute("aria-rowcount")) - 1;
    const total = Math.min(all, most);
    const found = new Map();
    const drawn = () => new Promise((resume) => requestAnimationFrame(resume));
    for (let top = 0; found.size < total; ) {
      list.scrollTo(0, top);
      await drawn();
      const before = found.size;
      for (const r of list.querySelectorAll(".rows .row")) {
        const text = `${r.id.replace("row-", "")} ${r.dataset.state} ${r.querySelector(".chip b").textContent}`;
        found.set(Number(r.getAttribute("aria-rowindex")), text);
      }
      if (Number(list.getAttribute("aria-rowcount")) - 1 !== all) break; // it moved while it was read
      if (found.size > before) top += list.clientHeight / 2;
    }
    list.scrollTo(0, 0);
    return [...found].sort(([a], [b]) => a - b).map(([, text]) => text);
  }, Math.min(most, 1e9));
  return rows.slice(0, most);
}

/** The rows that these alarms of the API must be. */
export function rowsOf(alarms) {
  const shown = (a) => (a.state === "cleared_unacked" || a.level === "normal" ? a.worst_level : a.level);
  const word = (a) => words[shown(a) === "fault" && /^(site_)?silent$|^source_down$/.test(a.rule) ? "silent" : shown(a)];
  const order = (a) => [attention(a), -ladder.indexOf(shown(a)), -Date.parse(a.raised_time), a.id];
  const compare = (a, b) => {
    const [x, y] = [order(a), order(b)];
    const at = x.findIndex((value, i) => value !== y[i]);
    return at < 0 ? 0 : x[at] < y[at] ? -1 : 1;
  };
  return [...alarms].sort(compare).map((a) => `${a.id} ${a.state} ${word(a)}`);
}

function attention(a) {
  if (a.flags.includes("shelved") || a.flags.includes("suppressed")) return 4;
  if (a.state === "active_unacked") return 0;
  if (a.state === "active_acked") return 2;
  return a.acked_time ? 3 : 1;
}

/** All alarms that are open, page by page. */
export async function openAlarms(api) {
  const alarms = [];
  for (let after = ""; ; ) {
    const answer = await api(`alarms?limit=1000&after=${encodeURIComponent(after)}`);
    alarms.push(...answer.alarms);
    if (!(after = answer.next)) return alarms;
  }
}

/** Waits until the page shows exactly what the API lists, in order: all of it, or its first rows. */
export async function sameAsAPI(page, api, most = Infinity) {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const [shown, want] = [await shownRows(page, most), rowsOf(await openAlarms(api)).slice(0, most)];
    if (shown.join() === want.join()) return;
    if (performance.now() > deadline) assert.deepEqual(shown, want);
    await page.waitForTimeout(100);
  }
}
