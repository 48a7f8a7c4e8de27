// Drives the console in a browser against a running gateway. Whoever starts
// this script tells it line by line on standard input what to do next, and reads
// on standard output what came of it:
//
//	in                     out                    meaning
//	                       READY                  signed in, the list is there, the screen sees
//	alarm SITE DEVICE      ALARM_SHOWN ms         an unacknowledged alarm of that device is listed
//	ack SITE DEVICE        ACKED ms               acknowledged by keyboard; its event came back
//	freeze                 BLIND ms               SIGSTOP to PID; the screen says that it is blind
//	thaw                   RECOVERED ms           SIGCONT to PID; the screen sees again
//	blind                  BLIND ms               the screen says that it is blind
//	sees                   RECOVERED ms           the screen sees again, and says what it missed
//	same                   SAME ms                the list is the API's, row by row
//	listen                 LISTENS ms             from here on every tone is noted down
//	calm                   CALM ms                since then no two tones of one pitch sounded at once
//	leave                  LEFT ms                another tab is in front: timers and frames stop
//	return                 BACK ms                the tab is looked at again
//	close                  CLOSED ms              the tab is closed
//	open                   OPENED ms              and opened anew
//	looks JSON             LOOKS ms               title, icon, sound and rows match these patterns
//	                       FAILED reason          and exit 1
//
// The end of the input ends the script. From the environment: BASE_URL and TOKEN
// of the gateway, API_URL where that is another way to it, its PID, CHROMIUM (default
// /usr/bin/chromium), and SHOTS, a folder for pictures of each step.

import { createInterface } from "node:readline";
import { launch, openConsole } from "./browser.mjs";
import { sameAsAPI } from "./list.mjs";

const env = (name) => process.env[name] ?? fail(`${name} is not set`);
const baseURL = env("BASE_URL").replace(/\/$/, "");
const gateway = Number(env("PID"));
const patience = 15_000;

const apiURL = process.env.API_URL ?? baseURL;

const browser = await launch();
let page;

/** A signed-in page whose tones are counted and whose tab can be left. */
async function open() {
  const page = await openConsole(browser, { baseURL, token: env("TOKEN"), path: "/?lang=zh", init: tab, onTrouble: fail });
  await page.waitForSelector('.desk[data-sight="sees"]', { timeout: patience });
  return page;
}

async function api(path) {
  const answer = await fetch(`${apiURL}/api/v1/${path}`, { headers: { Authorization: `Bearer ${env("TOKEN")}` } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const steps = {
  async alarm(site, device) {
    await page.waitForSelector(row(site, device, "active_unacked"), { timeout: patience });
    return "ALARM_SHOWN";
  },
  async ack(site, device) {
    const found = await page.waitForSelector(row(site, device, "active_unacked"), { timeout: patience });
    const id = (await found.getAttribute("id")).replace("row-", "");
    await found.click();
    await page.waitForSelector(`.detail[data-alarm="${id}"] .actions button.main:enabled`, { timeout: patience });
    await page.keyboard.press("a");
    await page.waitForSelector(`.detail[data-alarm="${id}"][data-state="active_acked"]`, { timeout: patience });
    return "ACKED";
  },
  async freeze() {
    process.kill(gateway, "SIGSTOP");
    await page.waitForSelector('.desk[data-sight="blind"]', { timeout: patience });
    const seen = performance.now();
    await checkBlind();
    return ["BLIND", seen];
  },
  async thaw() {
    process.kill(gateway, "SIGCONT");
    await page.waitForSelector('.desk[data-sight="sees"]', { timeout: patience });
    const seen = performance.now();
    await page.waitForSelector(".recovered", { timeout: patience });
    return ["RECOVERED", seen];
  },
  async blind() {
    await page.waitForSelector('.desk[data-sight="blind"]', { timeout: patience });
    await checkBlind();
    return "BLIND";
  },
  async sees() {
    await page.waitForSelector('.desk[data-sight="sees"]', { timeout: patience });
    await page.waitForSelector(".recovered", { timeout: patience });
    return "RECOVERED";
  },
  async same() {
    await sameAsAPI(page, api);
    return "SAME";
  },
  async listen() {
    await page.evaluate(() => (window.tones.length = 0));
    return "LISTENS";
  },
  async calm() {
    const together = await page.evaluate(() => {
      const at = (a, b) => a.hertz === b.hertz && a.from < a.to && b.from < b.to && a.from < b.to && b.from < a.to;
      return window.tones.map((a) => window.tones.filter((b) => at(a, b)).length);
    });
    if (Math.max(0, ...together) > 1) fail(`${Math.max(...together)} tones of one pitch at once, ${together.length} in all`);
    return "CALM";
  },
  async leave() {
    await page.evaluate(() => window.leave());
    return "LEFT";
  },
  async return() {
    await page.evaluate(() => window.comeBack());
    return "BACK";
  },
  async close() {
    await page.context().close();
    return "CLOSED";
  },
  async open() {
    page = await open();
    return "OPENED";
  },
  async looks(...json) {
    const want = JSON.parse(json.join(" "));
    for (let deadline = performance.now() + patience; ; await new Promise((resume) => setTimeout(resume, 50))) {
      const looks = await page.evaluate(readLooks);
      const wrong = Object.keys(want).filter((key) => !new RegExp(want[key]).test(looks[key]));
      if (wrong.length === 0) return "LOOKS";
      if (performance.now() > deadline) fail(`${wrong.map((key) => `${key} is ${looks[key]}, want ${want[key]}`).join("; ")}`);
    }
  },
};

/** What a person sees and hears of the page without touching it. */
function readLooks() {
  const icon = decodeURIComponent(document.querySelector("link[rel=icon]").href);
  const rows = [...document.querySelectorAll(".rows .row")];
  return {
    title: document.title,
    icon: icon.match(/<text[^>]*>(.*?)<\/text>/)?.[1] ?? "",
    iconColour: icon.match(/fill="(#\w+)"/)?.[1] ?? "",
    sound: document.querySelector(".sound").className,
    sounding: String(window.tones.some((tone) => tone.to > tone.node.context.currentTime)),
    takeover: document.querySelector(".takeover")?.textContent ?? "",
    first: rows[0]?.textContent ?? "",
    states: rows.map((row) => row.dataset.state).join(" "),
    hidden: String(document.hidden),
  };
}

/**
 * Runs in the page before anything of it: notes down tones, and lets the tab be
 * left as a browser does it in the worst case: no frame is drawn and no timer
 * runs, only the network goes on.
 */
function tab() {
  window.tones = [];
  const { start, stop } = OscillatorNode.prototype;
  OscillatorNode.prototype.start = function (from) {
    this.tone = { hertz: this.frequency.value, from, to: Infinity, node: this };
    window.tones.push(this.tone);
    start.call(this, from);
  };
  OscillatorNode.prototype.stop = function (to) {
    this.tone.to = to;
    stop.call(this, to);
  };
  const { connect, disconnect } = AudioNode.prototype;
  AudioNode.prototype.connect = function (to, ...more) {
    this.into = to;
    return connect.call(this, to, ...more);
  };
  AudioNode.prototype.disconnect = function (...from) {
    for (const tone of window.tones) {
      if (tone.node.into?.into === this) tone.to = Math.min(tone.to, this.context.currentTime);
    }
    disconnect.apply(this, from);
  };
  let left = false;
  const waiting = [];
  const hold = (run) => () => (left ? waiting.push(run) : run());
  const { setTimeout, setInterval, requestAnimationFrame } = window;
  window.setTimeout = (run, after) => setTimeout.call(window, hold(run), after);
  window.setInterval = (run, every) => setInterval.call(window, () => left || run(), every);
  window.requestAnimationFrame = (run) => requestAnimationFrame.call(window, (at) => hold(() => run(at))());
  Object.defineProperty(document, "hidden", { get: () => left });
  Object.defineProperty(document, "visibilityState", { get: () => (left ? "hidden" : "visible") });
  const turn = (to) => {
    left = to;
    document.dispatchEvent(new Event("visibilitychange"));
    for (const run of waiting.splice(0)) hold(run)();
  };
  window.leave = () => turn(true);
  window.comeBack = () => turn(false);
}

const row = (site, device, state) => `.row[data-device="${site}/${device}"][data-state="${state}"]`;

/** Blind is a banner, a veil, a title and an icon: none of them alone would do. */
async function checkBlind() {
  const looks = await page.evaluate(() => ({
    banner: document.querySelector(".blind .title")?.getBoundingClientRect().height ?? 0,
    veil: getComputedStyle(document.querySelector(".unseen"), "::after").backgroundImage,
    grey: getComputedStyle(document.querySelector(".unseen main")).filter,
    title: document.title,
    icon: decodeURIComponent(document.querySelector("link[rel=icon]").href),
  }));
  if (looks.banner < 30) fail("the banner of blindness is not there");
  if (!looks.veil.includes("repeating-linear-gradient")) fail("the veil is not there");
  if (!looks.grey.includes("saturate(0.3)")) fail("the data kept its colours");
  if (!looks.title.startsWith("?")) fail(`the title does not say so: ${looks.title}`);
  if (!looks.icon.includes(">?<")) fail("the icon does not say so");
}

async function shoot(name) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
}

function fail(reason) {
  console.log(`FAILED ${reason}`);
  process.exit(1);
}

try {
  page = await open();
  if (page.url().includes("token")) fail("the token is still in the address bar");
  await shoot("ready");
  console.log("READY");
  for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...words] = line.trim().split(/\s+/);
    if (!steps[name]) fail(`unknown step ${line}`);
    const start = performance.now();
    const result = await steps[name](...words);
    const [word, end] = Array.isArray(result) ? result : [result, performance.now()];
    await shoot(name);
    console.log(`${word} ${Math.round(end - start)}`);
  }
} catch (err) {
  fail(String(err.message ?? err).split("\n")[0]);
} finally {
  await browser.close();
}
