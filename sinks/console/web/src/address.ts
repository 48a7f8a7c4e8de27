// The filter and what is opened stand in the address, so that a view can be kept and sent to others. Pure.

import { type Filter, type Group, noFilter } from "./alarms.ts";
import type { Level } from "./protocol.ts";

const groups: readonly string[] = ["unacked", "acked", "cleared", "shelved", "suppressed", "silence"];
const levels: readonly string[] = ["red", "orange", "yellow", "blue", "fault"];
const keys = ["group", "level", "site", "kind", "text"] as const;

export function filterIn(search: string): Filter {
  const p = new URLSearchParams(search);
  const known = <T extends string>(name: string, words: readonly string[]) => (words.includes(p.get(name) ?? "") ? (p.get(name) as T) : null);
  return {
    group: known<Group>("group", groups) ?? "all",
    level: known<Level>("level", levels),
    site: p.get("site"),
    kind: p.get("kind"),
    text: p.get("text") ?? "",
  };
}

/** The search part of an address with this filter; what else stands there stays. */
export function withFilter(search: string, f: Filter): string {
  const p = new URLSearchParams(search);
  for (const key of keys) {
    if (f[key] === noFilter[key]) p.delete(key);
    else p.set(key, f[key]!);
  }
  return searchOf(p);
}

/** What is opened beside the list: an alarm by its id, or a device as SITE/DEVICE. */
export type Place = { alarm: string } | { device: string } | null;

/** Messages link to /?alarm=ID, people keep /a/ID: both mean the same. */
export function placeIn(path: string, search: string): Place {
  const p = new URLSearchParams(search);
  const alarm = path.startsWith("/a/") ? decoded(path.slice(3)) : p.get("alarm");
  const device = p.get("device");
  return alarm ? { alarm } : device !== null ? { device } : null;
}

/** The address of a place; what else stands in the search part stays. */
export function addressOf(place: Place, search: string): string {
  const p = new URLSearchParams(search);
  p.delete("alarm");
  p.delete("device");
  if (place && "device" in place) p.set("device", place.device);
  return (place && "alarm" in place ? `/a/${encodeURIComponent(place.alarm)}` : "/") + searchOf(p);
}

export function isSamePlace(a: Place, b: Place): boolean {
  return addressOf(a, "") === addressOf(b, "");
}

function searchOf(p: URLSearchParams): string {
  const text = p.toString().replaceAll("%2F", "/");
  return text === "" ? "" : "?" + text;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // mistyped: no alarm has it, and the page says so
  }
}
