// The filter stands in the address, so that a view can be kept and sent to others. Pure.

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
  const text = p.toString();
  return text === "" ? "" : "?" + text;
}
