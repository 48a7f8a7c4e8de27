// The tab's title and icon: all that a person sees of a page in the background.

import { effect, untracked } from "@preact/signals";
import type { Console } from "./console.ts";
import type { Level } from "./protocol.ts";
import { t, say } from "./i18n/index.ts";
import { isDegraded } from "./health.ts";
import { wakes } from "./horn.ts";
import { shapePath } from "./parts/shapes.ts";

const colours: Record<Level, string> = {
  red: "#f5383b",
  orange: "#ff9b21",
  yellow: "#fff06a",
  blue: "#4c9dff",
  fault: "#9fb0bd",
  normal: "#5d7180",
};

/** A tab shows less of a title. */
const TITLE_LENGTH = 80;

const urgent = ["red", "orange", "yellow", "blue", "fault"] as const;

export function showInTab(console: Console): void {
  const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]")!;
  const show = () => {
    const alternate = Math.floor(console.now.value / 1_000) % 2 === 1;
    document.title = titleOf(console, document.hidden && alternate);
    const drawn = iconOf(console);
    if (icon.href !== drawn) icon.href = drawn;
  };
  // Once a second, because an icon is dear to draw; at once when the screen goes blind or sees again.
  effect(() => {
    console.now.value;
    console.sight.value;
    console.who.value;
    untracked(show);
  });
}

function titleOf(console: Console, newest: boolean): string {
  if (console.who.value.state !== "signed_in") return t("centre");
  if (console.sight.value.blind) return `? ${t("centre")}`;
  const first = console.alarms.value[0];
  if (newest && first && wakes(first)) return `${t(`level.${first.level}`)} ${say(first.title).slice(0, TITLE_LENGTH)}`;
  const { waiting } = console.counts.value;
  const parts = urgent.filter((l) => waiting[l] > 0).slice(0, 2).map((l) => `${t(`level.${l}`)}${waiting[l]}`);
  return parts.length > 0 ? `(${parts.join(" ")}) ${t("centre")}` : t("centre");
}

/** The shape of the worst level that nobody has taken; ? when blind, ! when the gateway lacks a source or a sink. */
function iconOf(console: Console): string {
  if (console.who.value.state !== "signed_in") return svg(shape("normal"));
  if (console.sight.value.blind) return svg(sign("?"));
  const { waiting } = console.counts.value;
  const worst = urgent.find((l) => waiting[l] > 0);
  if (worst) return svg(shape(worst) + number(waiting[worst]));
  return svg(isDegraded(console.health.value) ? sign("!") : shape("normal"));
}

const shape = (level: Level) => `<path d="${shapePath(level)}" fill="${colours[level]}" stroke="#10161d"/>`;

const number = (n: number) =>
  `<text x="12" y="17" font-family="sans-serif" font-weight="bold" font-size="13" text-anchor="middle" fill="#10161d">${n > 99 ? "…" : n}</text>`;

const sign = (text: string) =>
  `<rect width="24" height="24" fill="#fff"/><text x="12" y="19" font-family="sans-serif" font-weight="bold" font-size="20" text-anchor="middle" fill="#000">${text}</text>`;

const svg = (inside: string) =>
  "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">${inside}</svg>`);
