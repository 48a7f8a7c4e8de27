// What one person chose on one browser. Nothing about alarms is kept here.

import { effect, signal } from "@preact/signals";
import { type Language, language } from "./i18n/index.ts";

export type Theme = "auto" | "dark" | "light";

export const theme = signal<Theme>("auto");
/** What the page looks like now, whoever chose it. */
export const shownTheme = signal<"dark" | "light">("dark");

export function loadPrefs(): void {
  const lang = new URLSearchParams(location.search).get("lang") ?? read("language") ?? navigator.language;
  language.value = lang.startsWith("zh") ? "zh" : lang.startsWith("en") ? "en" : "zh";
  const look = new URLSearchParams(location.search).get("theme") ?? read("theme");
  theme.value = look === "dark" || look === "light" ? look : "auto";
  effect(() => {
    document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
  });
  const light = matchMedia("(prefers-color-scheme: light)");
  const system = signal(light.matches);
  light.addEventListener("change", () => (system.value = light.matches));
  effect(() => {
    const shown = theme.value !== "auto" ? theme.value : system.value ? "light" : "dark";
    document.documentElement.dataset["theme"] = shown;
    shownTheme.value = shown;
  });
}

export function chooseLanguage(to: Language): void {
  language.value = to;
  write("language", to);
}

export function chooseTheme(to: Theme): void {
  theme.value = to;
  write("theme", to);
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be forbidden; then the choice lasts as long as the page
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // as in read
  }
}
