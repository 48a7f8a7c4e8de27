// A Chromium as the duty room's: no packages, no downloads, a fresh profile.

import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function launch({ sound = true } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: sound ? [...flags, "--autoplay-policy=no-user-gesture-required"] : flags,
  });
}

/** Opens the console signed in by its login link; whatever the page complains of ends the test. */
export async function openConsole(browser, { baseURL, token, path = "/", init, onTrouble, ...context }) {
  const page = await (await browser.newContext({ viewport: { width: 1366, height: 768 }, ...context })).newPage();
  if (init) await page.addInitScript(init);
  page.on("pageerror", (err) => onTrouble(`the page threw: ${err.message}`));
  page.on("console", (m) => {
    if (/content security policy/i.test(m.text())) onTrouble(m.text());
  });
  const abroad = (url) => !url.startsWith(baseURL) && !url.startsWith("data:");
  page.on("request", (r) => abroad(r.url()) && onTrouble(`the page asked for ${r.url()}`));
  await page.goto(`${baseURL}${path}#token=${encodeURIComponent(token)}`);
  return page;
}
