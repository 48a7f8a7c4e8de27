// Numbers, ages and times as people on duty read them.

import type { Moment } from "./protocol.ts";
import { t } from "./i18n/index.ts";

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 3, useGrouping: false });

/** At most three decimals: more than any limit has. */
export function formatNumber(n: number): string {
  return number.format(n);
}

export function formatValue(n: number | null | undefined, unit: string): string {
  if (n === null || n === undefined) return "—";
  return unit === "" ? formatNumber(n) : `${formatNumber(n)} ${unit}`;
}

const two = (n: number) => String(n).padStart(2, "0");

/** The two largest units are enough; never negative, because clocks differ a little. */
export function formatAge(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1_000));
  if (s < 60) return t("age.s", { s });
  if (s < 3_600) return t("age.m", { m: Math.floor(s / 60), s: two(s % 60) });
  if (s < 86_400) return t("age.h", { h: Math.floor(s / 3_600), m: two(Math.floor(s / 60) % 60) });
  return t("age.d", { d: Math.floor(s / 86_400), h: Math.floor(s / 3_600) % 24 });
}

/** Time of day as on the wall of the duty room: 20:28:07. */
export function formatClock(ms: number): string {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export function formatDate(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}

/** UTC+8, so that nobody takes one zone's time for another's. */
export function formatZone(ms: number): string {
  const minutes = -new Date(ms).getTimezoneOffset();
  const size = Math.abs(minutes);
  const rest = size % 60 === 0 ? "" : `:${two(size % 60)}`;
  return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(size / 60)}${rest}`;
}

/** A moment as it is told today: the time alone; on other days after the date. */
export function formatMoment(moment: Moment | null, now: number): string {
  if (!moment) return "—";
  const ms = Date.parse(moment);
  const date = formatDate(ms);
  const today = formatDate(now);
  if (date === today) return formatClock(ms);
  const sameYear = date.slice(0, 4) === today.slice(0, 4);
  return `${sameYear ? date.slice(5) : date} ${formatClock(ms).slice(0, 5)}`;
}
