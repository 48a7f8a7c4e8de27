// A board with forty alarms: what a person on duty does, and sees.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { api, command, gateway, row, test } from "./page.mjs";

/** Runs body while the judge hangs. */
async function whileHung(body) {
  await gateway("hang");
  try {
    return await body();
  } finally {
    await gateway("unhang");
  }
}

const zh = { path: "/?lang=zh&theme=dark" };

test("the login link signs in and leaves no token behind", zh, async (page) => {
  assert(!page.url().includes("token"), page.url());
  assert.match(await page.textContent(".who"), /admin/);
});

test("an alarm that is raised is listed first, and says its level in colour, shape and word", zh, async (page) => {
  const id = await gateway("raise/red/1");
  await page.waitForSelector(row(id));
  const looks = await page.$eval(row(id), (r) => ({
    first: r.getAttribute("aria-rowindex"),
    word: r.querySelector(".chip b").textContent,
    shape: r.querySelector(".chip .shape path").getAttribute("d"),
    colour: getComputedStyle(r.querySelector(".chip")).backgroundColor,
  }));
  assert.deepEqual(looks, { first: "2", word: "红", shape: "M3 3h18v18H3z", colour: "rgb(245, 56, 59)" });
  assert.match(await page.textContent(".takeover"), /红色报警/);
  await page.waitForFunction(() => /^\(红\d/.test(document.title));
  await command(id, "ack");
});

test("the keyboard alone finds an alarm, acknowledges it and writes a note", zh, async (page) => {
  const id = await gateway("raise/orange/1");
  await page.waitForSelector(row(id));
  await page.keyboard.press("j");
  while (!page.url().includes(`/a/${id}`)) await page.keyboard.press("j");
  await page.keyboard.press("a");
  await page.waitForSelector(`.detail[data-alarm="${id}"][data-state="active_acked"]`);
  await page.keyboard.press("n");
  await page.waitForSelector(".form textarea:focus");
  await page.keyboard.type("已电话核实");
  await page.waitForSelector(".form button[type=submit]:enabled");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".timeline q");
  assert.equal(await page.textContent(".timeline q"), "已电话核实");
  const alarm = await api(`alarms/${id}`);
  assert.equal(alarm.acked_by, "admin");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.waitForSelector(".overview");
});

test("closing an orange alarm needs a disposition, and takes it off the list", zh, async (page) => {
  const [over] = (await api("alarms?limit=1000")).alarms.filter((a) => a.state === "cleared_unacked" && a.worst_level === "orange");
  await page.goto(`${new URL(page.url()).origin}/a/${over.id}?lang=zh`);
  await page.click(".actions button:has-text('关闭')");
  const submit = page.locator(".form button[type=submit]");
  assert.equal(await submit.isDisabled(), true);
  await page.check(".form label:has-text('误报') input");
  await submit.click();
  await page.waitForSelector(".gone");
  assert.match(await page.textContent(".gone"), /已关闭 · admin .* · 误报/);
  assert.equal((await api(`alarms/${over.id}`)).disposition, "false_alarm");
});

test("the link of a message opens its alarm, open or closed, and says clearly when there is none", zh, async (page) => {
  const origin = new URL(page.url()).origin;
  const visit = async (id, lang = "zh") => {
    await page.goto(`${origin}/?alarm=${id}&lang=${lang}`);
    await page.waitForURL(`${origin}/a/${id}?lang=${lang}`);
  };
  const all = (await api("alarms?limit=1000")).alarms;
  const open = all.find((a) => a.state === "active_acked").id;
  await visit(open);
  await page.waitForSelector(`.detail[data-alarm="${open}"][data-state="active_acked"] .timeline li`);
  const over = all.find((a) => a.state === "cleared_unacked").id;
  await command(over, "close", { disposition: "test" });
  await visit(over);
  await page.waitForSelector(`.detail[data-alarm="${over}"][data-state="closed"] .timeline li`);
  assert.match(await page.textContent(".gone"), /此报警已关闭 · admin .* · 测试/);
  await visit("no-such-alarm");
  await page.waitForSelector(".gone:has-text('网关没有编号为 no-such-alarm 的报警')");
  await visit("no-such-alarm", "en");
  await page.waitForSelector(".gone:has-text('The gateway has no alarm no-such-alarm')");
});

test("whoever follows a message's link without a session signs in and is there", zh, async (page) => {
  const { id } = (await api("alarms?limit=1")).alarms[0];
  await page.context().clearCookies();
  await page.goto(`${new URL(page.url()).origin}/?alarm=${id}&lang=zh`);
  await page.click(".login button:has-text('用令牌登录')");
  await page.fill(".login input[name=token]", process.env.TOKEN);
  await page.click(".login button[type=submit]");
  await page.waitForSelector(`.detail[data-alarm="${id}"] .timeline li`);
});

test("who loses a race is told who was first and when", zh, async (page) => {
  const id = await gateway("raise/yellow/1");
  await page.click(row(id));
  let release;
  const held = new Promise((r) => (release = r));
  await page.route("**/ack", async (route) => {
    await held;
    await route.continue();
  });
  await page.click(".actions .main");
  assert.match(await page.textContent(".actions .main"), /提交中/);
  assert.equal(await page.getAttribute(".detail", "data-state"), "active_unacked");
  await command(id, "ack");
  release();
  await page.waitForSelector(".actions .no");
  assert.match(await page.textContent(".actions .no"), /admin 已于 \d\d:\d\d:\d\d 确认/);
});

test("what is ticked is acknowledged together with one reason, by keyboard; a red one is not among it", zh, async (page) => {
  const [red] = (await gateway("raise/red/1")).split(" ");
  const ids = (await gateway("raise/orange/2")).split(" ");
  for (const id of [red, ...ids]) {
    await page.waitForSelector(row(id));
    await page.click(row(id));
    await page.keyboard.press("x");
  }
  assert.match(await page.textContent(".bulk"), /已勾选 3 条.*红色 1 条须逐条确认/s);
  await page.keyboard.press("a");
  await page.waitForSelector(".bulk input:focus");
  await page.keyboard.type("同一原因，已派人");
  await page.keyboard.press("Enter");
  for (const id of ids) {
    while ((await api(`alarms/${id}`)).state !== "active_acked") await page.waitForTimeout(50);
    const { events } = await api(`alarms/${id}/events`);
    assert.equal(events.at(-1).note, "同一原因，已派人");
  }
  await page.waitForFunction(() => document.querySelector(".bulk").textContent.includes("已勾选 1 条"));
  assert.equal((await api(`alarms/${red}`)).state, "active_unacked");
  await command(red, "ack");
});

test("what is refused of a bulk keeps its tick, and the page says why", zh, async (page) => {
  const ids = (await gateway("raise/yellow/2")).split(" ");
  for (const id of ids) {
    await page.waitForSelector(row(id), { state: "attached" });
    await page.locator(`${row(id)} .tick`).click();
  }
  await page.route(`**/${ids[0]}/ack`, async (route) => {
    await command(ids[0], "ack"); // somebody else is faster
    await route.continue();
  });
  await page.fill(".bulk input", "一起看过");
  await page.keyboard.press("Enter");
  await page.waitForSelector(".bulk .refused");
  assert.match(await page.textContent(".bulk .refused"), /1 条未成：admin 已于 .* 确认/);
  while ((await api(`alarms/${ids[1]}`)).state !== "active_acked") await page.waitForTimeout(50);
});

test("the filter stands in the address, and whoever opens it sees the same", zh, async (page) => {
  await page.keyboard.press("/");
  await page.keyboard.type("镇");
  await page.locator(".count.level").nth(2).click();
  assert.match(page.url(), /level=yellow/);
  const shown = () => page.$$eval(".rows .row", (rows) => rows.map((r) => r.id));
  const before = await shown();
  await page.locator(".rows .row").first().click(); // an opened alarm keeps the filter in the address
  await page.reload();
  await page.waitForSelector('.desk[data-sight="sees"]');
  assert.deepEqual(await shown(), before);
  assert.equal(await page.inputValue(".finder input"), "镇");
});

test("the trend is drawn, told in words and as a table, and says from when on it knows", zh, async (page) => {
  const id = await gateway("raise/orange/1");
  await page.waitForSelector(row(id));
  await page.click(row(id));
  await page.waitForSelector(".trend canvas");
  assert.match(await page.getAttribute(".picture", "aria-label"), /最低 .*最高 .*达到红限值 50/);
  const inked = await page.$eval(".trend canvas", (c) => {
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    return data.filter((v, i) => i % 4 === 3 && v > 0).length;
  });
  assert(inked > 1_000, `${inked} pixels are drawn`);
  await page.click(".trend summary");
  await page.waitForSelector(".trend tbody tr:nth-child(11)");
  await page.click(".trend button:has-text('24 时')");
  await page.waitForSelector(".trend .reading:has-text('以前的数据不在网关内存中')");
});

test("the chart is loaded when the first trend is looked at, and until then the trend says so", zh, async (page) => {
  const asked = [];
  page.on("request", (r) => r.url().includes("/chart.js") && asked.push(r.url()));
  let release;
  const held = new Promise((r) => (release = r));
  await page.route("**/chart.js", async (route) => {
    await held;
    await route.continue();
  });
  assert.equal(await page.evaluate(() => performance.getEntriesByName(`${location.origin}/chart.js`).length), 0);
  await page.locator(".rows .row:not(.silent)").first().click();
  await page.waitForSelector(".trend .picture:has-text('正在载入图形')");
  assert.match(await page.textContent(".trend .reading"), /最低 .*最高/);
  release();
  await page.waitForSelector(".trend canvas");
  await page.click(".trend button:has-text('8 时')");
  await page.waitForSelector(".trend canvas");
  assert.equal(asked.length, 1);
});

test("a chart that cannot be loaded leaves sentence and table, and is asked for again", zh, async (page) => {
  await page.route("**/chart.js", (route) => route.abort());
  const rows = page.locator(".rows .row:not(.silent)");
  await rows.nth(0).click();
  await page.waitForSelector(".trend .picture:has-text('图形未能载入')");
  assert.match(await page.textContent(".trend"), /最低 .*最高/);
  await page.click(".trend summary");
  await page.waitForSelector(".trend tbody tr:nth-child(11)");
  await rows.nth(1).click();
  await page.waitForSelector(".trend canvas");
});

test("a device says how far it has come, why not further and what to do, and follows what is done about it", zh, async (page) => {
  await gateway("install/refused");
  await page.goto(`${new URL(page.url()).origin}/?device=newcomer/gas-01&lang=zh`);
  const step = (name, phase) => page.waitForSelector(`.ladder .${phase}[data-step="${name}"]`);
  await step("connected", "stuck");
  assert.match(await page.textContent(".verdict"), /停在第 1 步：连接/);
  assert.match(await page.textContent(".ladder .stuck"), /密码错误 3 次，最近一次来自 192\.0\.2\.31:51044.*处理.*fengsui device password newcomer gas-01/s);
  assert.match(await page.textContent(".device"), /最近被拒的连接与发布.*连接 · 密码错误 · 3 次/s);
  assert.match(await page.textContent(".values"), /还没有读数/);

  await gateway("install/misspelled");
  await step("first_message", "done");
  await step("decoded", "stuck");
  await page.waitForSelector(".ladder .stuck .fix:has-text('最接近的字段是 gas_lel_pct')");
  assert.match(await page.textContent(".device"), /最近被拒的报文.*字段 gas_lell_pct 不存在/s);

  await gateway("install/done");
  await page.waitForSelector(".verdict.through:has-text('五步全通')");
  await page.waitForSelector(".values li:has-text('1.5 %LEL')");
  assert.match(await page.textContent(".device"), /未启用的规则 1 条.*上升过快.*缺少参数 gas_rise_lel_pct/s);
  assert.deepEqual(await violations(page), []);
  await page.click(".top button:has-text('English')");
  await page.waitForSelector(".verdict:has-text('All five steps done')");
});

test("a device is opened from its alarm and from the list, and back leads to where one was", zh, async (page) => {
  const id = await gateway("raise/orange/1");
  const { site, device } = await api(`alarms/${id}`);
  await page.click(row(id));
  await page.click(`.detail a:has-text("${site}/${device}")`);
  await page.waitForSelector(`.device[data-device="${site}/${device}"] .ladder`);
  assert.equal(new URL(page.url()).searchParams.get("device"), `${site}/${device}`);
  await page.keyboard.press("Escape");
  await page.waitForSelector(`.detail[data-alarm="${id}"]`);
  await page.goBack();
  await page.waitForSelector(".overview");
  await page.click(".list-devices");
  await page.fill(".devices input", "newcomer GAS-01");
  await page.click(".devices .links:not(:has(li + li)) button:has-text('待接入燃气报警器')"); // the only one left
  await page.waitForSelector('.device[data-device="newcomer/gas-01"] .ladder');
});

test("a device that nobody registered is said to be none", zh, async (page) => {
  for (const key of ["newcomer/gas-99", "nowhere"]) {
    await page.goto(`${new URL(page.url()).origin}/?device=${key}&lang=zh`);
    await page.waitForSelector(`.gone:has-text('没有登记设备 ${key}')`);
  }
});

test("the keys are told at ?, and Escape puts them away", zh, async (page) => {
  await page.keyboard.press("?");
  await page.waitForSelector(".help button:focus");
  assert.deepEqual(await violations(page, ".help"), []);
  await page.keyboard.press("Escape");
  await page.waitForSelector(".help", { state: "detached" });
});

test("of two pages on one machine one sounds, and mutes are for both", zh, async (page) => {
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.waitForSelector('.desk[data-sight="sees"]');
  const voices = () => Promise.all([page, other].map((p) => p.getAttribute(".desk", "data-voice")));
  while ((await voices()).sort().join() !== "elsewhere,here") await page.waitForTimeout(100);
  const id = await gateway("raise/orange/1");
  for (const p of [page, other]) await p.waitForSelector(".sound.on");
  await other.click(".sound.on");
  for (const p of [page, other]) await p.waitForSelector(".sound.muted");
  await command(id, "ack");
});

test("a number of the strip lists what it counts", zh, async (page) => {
  const button = page.locator(".count.shelved");
  const n = Number(await button.locator("b").textContent());
  assert(n > 0);
  await button.click();
  assert.equal(await page.locator(".rows .row").count(), Math.min(n, 30));
  await page.click(".strip .clear");
});

test("a judge that hangs blinds the screen though the socket lives, and what was missed is told", zh, async (page) => {
  await whileHung(async () => {
    await page.waitForSelector('.desk[data-sight="blind"]');
    assert.match(await page.textContent(".blind"), /屏幕失明.*数据截至 \d\d:\d\d:\d\d.*判级程序停止响应/);
    assert.match(await page.title(), /^\?/);
    const [id] = (await gateway("raise/yellow/3")).split(" ");
    await page.waitForSelector(row(id), { state: "attached" });
  });
  await page.waitForSelector('.desk[data-sight="sees"]');
  assert.match(await page.textContent(".recovered"), /已补齐 \d+ 条报警/);
});

test("on a phone the alarm covers the list, never the banner of blindness", { ...zh, viewport: { width: 390, height: 844 } }, async (page) => {
  await page.locator(".rows .row").first().click();
  await page.waitForSelector(".detail h2");
  await whileHung(async () => {
    await page.waitForSelector(".blind .title");
    const seen = await page.evaluate(() => {
      const box = document.querySelector(".blind .title").getBoundingClientRect();
      return document.elementFromPoint(box.x + 5, box.y + 5).closest(".blind") !== null;
    });
    assert.equal(seen, true);
  });
});

test("on a phone the device covers the list, and nothing of it is wider", { ...zh, path: "/?device=newcomer/gas-01&lang=zh", viewport: { width: 320, height: 640 } }, async (page) => {
  await gateway("install/refused");
  await page.waitForSelector(".ladder .stuck .fix");
  const box = await page.locator(".device").boundingBox();
  assert.equal(box.width, 320);
  const wide = await page.$$eval(".device *", (all) => all.filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.className || e.tagName));
  assert.deepEqual(wide, []);
  await page.click(".device .back");
  await page.waitForSelector(".device", { state: "detached" });
});

for (const lang of ["zh", "en"]) {
  const narrow = { path: `/?lang=${lang}`, viewport: { width: 320, height: 640 } };
  test(`320 pixels need no sideways scrolling (${lang})`, narrow, async (page) => {
    for (const open of [false, true]) {
      if (open) await page.locator(".rows .row").first().click();
      const wide = await page.evaluate(() =>
        [...document.querySelectorAll("body *")]
          .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".row small, .row b, .spoken"))
          .map((e) => e.className || e.tagName),
      );
      assert.deepEqual(wide, []);
    }
    const box = await page.locator(".actions button").last().boundingBox();
    assert(box.height >= 44 && box.y + box.height <= 640, "the buttons stand at the thumb");
  });
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function violations(page, part = "body") {
  await page.evaluate(axe);
  const rules = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"];
  const found = await page.evaluate(([part, runOnly]) => window.axe.run(part, { runOnly }), [part, rules]);
  assert([...found.passes, ...found.incomplete].some((p) => p.id === "color-contrast"), "axe looked");
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(" ")).slice(0, 3)}`);
}

for (const lang of ["zh", "en"]) {
  for (const theme of ["dark", "light"]) {
    const look = { path: `/?lang=${lang}&theme=${theme}`, reducedMotion: "reduce" };
    test(`axe finds nothing in the list, an alarm and its forms (${lang}, ${theme})`, look, async (page) => {
      await page.locator(".rows .row").first().click();
      await page.waitForSelector(".timeline li");
      await page.keyboard.press("n");
      assert.deepEqual(await violations(page), []);
    });
  }
}

test("axe finds nothing in the banner of blindness and in the login", zh, async (page) => {
  await whileHung(async () => {
    await page.waitForSelector(".blind .title");
    assert.deepEqual(await violations(page, ".blind"), []);
  });
  await page.click(".who");
  await page.waitForSelector(".login");
  assert.deepEqual(await violations(page), []);
});

test("reduced motion stops the pulse", { ...zh, reducedMotion: "reduce" }, async (page) => {
  const moving = await page.$$eval(".chip .shape", (all) => all.filter((e) => getComputedStyle(e).animationName !== "none").length);
  assert.equal(moving, 0);
});

test("a browser that blocks sound says so until somebody touches it, and the gateway knows", { ...zh, sound: false }, async (page) => {
  await page.waitForSelector(".sound.off");
  const silent = async () => (await api("consoles")).consoles.filter((c) => !c.sound).length;
  assert.equal(await silent(), 1);
  await page.click(".sound.off");
  await page.waitForSelector(".sound.off", { state: "detached" });
  while ((await silent()) > 0) await page.waitForTimeout(100);
});
