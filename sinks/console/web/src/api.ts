// The gateway's REST interface as the page uses it.

import { readJSON } from "./inbound.ts";
import type { Alarm, AlarmEvent, Device, Disposition, Kind, Moment, Onboarding, Past, Session, Site } from "./protocol.ts";

/** The gateway said no. by and at tell the loser of a race who was first. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly by: string | null,
    readonly at: Moment | null,
  ) {
    super(message);
  }
}

async function call<T>(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<T> {
  const init: RequestInit = { method, headers: { ...headers }, credentials: "same-origin", cache: "no-store" };
  if (body) {
    init.body = JSON.stringify(body);
    init.headers = { ...headers, "Content-Type": "application/json" };
  }
  const answer = await fetch("/api/v1/" + path, init);
  if (answer.ok) return (answer.status === 204 ? undefined : readJSON(await answer.text())) as T;
  throw await refusal(answer);
}

async function refusal(answer: Response): Promise<Refusal> {
  type Body = { error?: { code?: string; message?: string; by?: string; at?: Moment } };
  const { error } = (await answer.text().then(readJSON).catch(() => ({}))) as Body;
  return new Refusal(answer.status, error?.code ?? "", error?.message ?? answer.statusText, error?.by ?? null, error?.at ?? null);
}

const at = encodeURIComponent;

export const session = () => call<Session>("GET", "session");
export const signIn = (who: { name: string; password: string } | { token: string }) => call<Session>("POST", "session", who);
export const signOut = () => call<void>("DELETE", "session");
export const sites = () => call<{ sites: Site[] | null }>("GET", "sites").then((r) => r.sites ?? []);
export const kinds = () => call<{ kinds: Kind[] | null }>("GET", "kinds").then((r) => r.kinds ?? []);
export const alarm = (id: string) => call<Alarm>("GET", `alarms/${at(id)}`);
export const timeline = (id: string) => call<{ events: AlarmEvent[] | null }>("GET", `alarms/${at(id)}/events`).then((r) => r.events ?? []);
export const readings = (site: string, device: string, field: string, from: number, to: number, points: number) =>
  call<Past>("GET", `devices/${at(site)}/${at(device)}/readings?field=${at(field)}&from=${Math.floor(from)}&to=${Math.floor(to)}&points=${points}`);
export const devices = (limit: number, filter = "") =>
  call<{ devices: Device[] | null; next: string }>("GET", `devices?limit=${limit}${filter}`).then((r) => ({ devices: r.devices ?? [], more: r.next !== "" }));
export const device = (key: string) => call<Device>("GET", `devices/${pathOf(key)}`);
export const onboarding = (key: string) => call<Onboarding>("GET", `devices/${pathOf(key)}/onboarding`);

/** SITE/DEVICE as two parts of a path. */
const pathOf = (key: string) => {
  const cut = key.indexOf("/");
  return `${at(key.slice(0, cut))}/${at(key.slice(cut + 1))}`;
};

export type Verb = "ack" | "unack" | "shelve" | "unshelve" | "note" | "reset" | "close";

export interface CommandBody {
  note?: string;
  disposition?: Disposition;
  minutes?: number;
}

const RETRY_AFTER = [500, 1_000, 2_000, 4_000];

/**
 * Sends a command until the gateway answered. The key makes that one command,
 * however often the line breaks; a refusal is an answer.
 */
export async function command(id: string, verb: Verb, body: CommandBody): Promise<{ seq: number; alarm: Alarm }> {
  const headers = { "Idempotency-Key": randomKey() };
  for (const wait of RETRY_AFTER) {
    try {
      return await call("POST", `alarms/${at(id)}/${verb}`, body, headers);
    } catch (err) {
      if (err instanceof Refusal && err.status < 500) throw err;
    }
    await new Promise((resume) => setTimeout(resume, wait));
  }
  return call("POST", `alarms/${at(id)}/${verb}`, body, headers);
}

/** crypto.randomUUID exists only under TLS; a console on a plant's network may have none. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}
