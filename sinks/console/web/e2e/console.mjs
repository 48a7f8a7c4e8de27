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
//	                       FAILED reason          and exit 1
//
// The end of the input ends the script. From the environment: BASE_URL and TOKEN
// of the gateway, its PID, CHROMIUM (default /usr/bin/chromium), and SHOTS, a
// folder for pictures of each step.

import { createInterface } from "node:readline";
import { launch, openConsole } from "./browser.mjs";

const env = (name) => process.env[name] ?? fail(`${name} is not set`);
const baseURL = env("BASE_URL").replace(/\/$/, "");
const gateway = Number(env("PID"));
const patience = 15_000;

const browser = await launch();
const page = await openConsole(browser, { baseURL, token: env("TOKEN"), onTrouble: fail });

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
};

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
  await page.waitForSelector('.desk[data-sight="sees"]', { timeout: patience });
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
