// What the browser tests of the page share.

import assert from "node:assert/strict";
import { after, test as nodeTest } from "node:test";
import { launch, openConsole } from "./browser.mjs";

const baseURL = process.env.BASE_URL;
const token = process.env.TOKEN;
let browser = await launch();

/** The long form of a test was asked for. */
export const long = process.env.LONG === "true";

after(() => browser.close());

/** Runs body with a page that is signed in, has its list and sees. */
export function test(name, options, body) {
  nodeTest(name, async () => {
    const troubles = [];
    const page = await open({ ...options, onTrouble: (what) => troubles.push(what) });
    try {
      await body(page);
    } finally {
      await page.context().close();
    }
    assert.deepEqual(troubles, []);
  });
}

async function open({ sound, ...options }) {
  if (sound === false) {
    await browser.close();
    browser = await launch({ sound });
  }
  const page = await openConsole(browser, { baseURL, token, ...options });
  await page.waitForSelector('.desk[data-sight="sees"]');
  return page;
}

/** Something that happens at the gateway. */
export async function gateway(what) {
  const answer = await fetch(`${baseURL}/test/${what}`, { method: "POST" });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.text();
}

/** The gateway's own list, as a program would read it. */
export async function api(path) {
  const answer = await fetch(`${baseURL}/api/v1/${path}`, { headers: { Authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
}

export async function command(id, verb, body = {}) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json", "Idempotency-Key": String(Math.random()) };
  const answer = await fetch(`${baseURL}/api/v1/alarms/${id}/${verb}`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
}

export const row = (id) => `[id="row-${id}"]`;
