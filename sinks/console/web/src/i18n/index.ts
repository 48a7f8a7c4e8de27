import { signal } from "@preact/signals";
import type { Text } from "../protocol.ts";
import { type Key, texts } from "./texts.ts";

export type { Key };
export type Language = "zh" | "en";

export const language = signal<Language>("zh");

/** The text of a key in the language chosen, with its parameters filled in. */
export function t(key: Key, params: Record<string, string | number> = {}): string {
  const text = texts[key][language.value === "zh" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}

/** For words the gateway may extend (event types, error codes): null when this page does not know one. */
export function known(prefix: string, word: string): Key | null {
  const key = `${prefix}.${word}`;
  return key in texts ? (key as Key) : null;
}

export function word(prefix: string, name: string): string {
  const key = known(prefix, name);
  return key ? t(key) : name;
}

/** What people wrote, in the language chosen or else in the other. */
export function say(text: Text | null | undefined): string {
  if (!text) return "";
  return language.value === "zh" ? text.zh || text.en : text.en || text.zh;
}
