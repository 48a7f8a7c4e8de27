import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import * as api from "../api.ts";
import { levelRank } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatClock, formatDate, formatNumber, formatValue } from "../format.ts";
import { language, t } from "../i18n/index.ts";
import { Past, span, type Summary, windowFor } from "../past.ts";
import { shownTheme } from "../prefs.ts";
import type { Alarm, AlarmEvent, Level } from "../protocol.ts";
import { shapePath } from "./shapes.ts";

const MINUTE = 60_000;
const windows = [30 * MINUTE, 120 * MINUTE, 480 * MINUTE, 1_440 * MINUTE] as const;
const HEIGHT = 220;
/** Points across the picture: about one for every other pixel of a wide screen. */
const POINTS = 400;
/** A picture of a point that has only just begun to speak is no narrower than this. */
const NARROWEST = 5 * MINUTE;
const TABLE_ROWS = 24;

/** How the value came to where it is: line, limits, what happened when. */
export function Trend({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  const [chosen, choose] = useState<number | null>(null);
  const [past, setPast] = useState<Past | "loading" | "failed" | "none">("loading");
  const raised = Date.parse(alarm.raised_time ?? "");
  const size = chosen ?? windowFor(console.now.peek() - raised, windows);
  const interval = (console.kinds.value.get(alarm.kind)?.interval_seconds ?? 60) * 1_000;

  useEffect(() => {
    let current = true;
    const to = console.now.peek();
    setPast("loading");
    api.readings(alarm.site, alarm.device, alarm.field, to - size * 1.05, to + MINUTE, POINTS).then(
      (answer) => current && setPast(new Past(answer, 2.5 * interval)),
      (err: unknown) => current && setPast(err instanceof api.Refusal && err.status === 404 ? "none" : "failed"),
    );
    return () => {
      current = false;
    };
  }, [alarm.id, size, interval]);

  if (past === "none") return null;
  return (
    <section class="trend">
      <header>
        <h3>
          {t("trend.title")} {typeof past !== "string" && past.unit !== "" && <small>{past.unit}</small>}
        </h3>
        <div role="group" aria-label={t("trend.window")}>
          {windows.map((w) => (
            <button type="button" key={w} class="quiet" aria-pressed={w === size} onClick={() => choose(w)}>
              {t(`trend.w${w / MINUTE}` as "trend.w30")}
            </button>
          ))}
        </div>
      </header>
      {typeof past === "string" ? (
        <p class="picture faint">{t(past === "loading" ? "trend.loading" : "trend.failed")}</p>
      ) : (
        <Picture alarm={alarm} past={past} size={size} />
      )}
    </section>
  );
}

function Picture({ alarm, past, size }: { alarm: Alarm; past: Past; size: number }) {
  const console = useConsole();
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const scene = useRef<Scene>(null);
  const [under, setUnder] = useState<number | null>(null);
  const now = console.now.value;
  const live = console.liveValue(alarm);
  const marks = useMemo(() => marksOf(console.timeline.value), [console.timeline.value]);
  const limits = useMemo(() => linesOf(alarm, past), [alarm.id, alarm.limit, past]);
  if (live) past.append(live);
  const summary = past.summary(now - size);
  scene.current = { past, limits, marks, now, from: Math.max(now - size, Math.min((past.times[0] ?? 0) * 1_000, now - NARROWEST)), summary, tripped: alarm.limit };

  useEffect(() => {
    const element = box.current!;
    const drawn = new uPlot(optionsOf(element, () => scene.current!, setUnder), dataOf(past), element);
    chart.current = drawn;
    const resized = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      drawn.destroy();
    };
  }, [past, shownTheme.value, language.value]);
  useEffect(() => chart.current?.setData(dataOf(past)), [past, past.times.length, Math.floor(now / 1_000), marks, limits]);

  const read = under !== null && past.last[under] != null;
  const sentence = sentenceOf(past, summary, limits);
  return (
    <>
      <div class="picture" ref={box} role="img" aria-label={sentence} />
      <p class="reading" aria-hidden={read}>
        {read ? `${formatClock(past.times[under]! * 1_000)}  ${formatValue(past.last[under]!, past.unit)}` : sentence}
      </p>
      {past.known !== null && past.known > now - size && (
        <p class="reading faint">{t("trend.known", { when: `${formatDate(past.known)} ${formatClock(past.known)}` })}</p>
      )}
      <Table past={past} from={now - size} />
    </>
  );
}

/** The same in words, for who cannot see the picture or wants the figures. */
function Table({ past, from }: { past: Past; from: number }) {
  const [open, setOpen] = useState(false);
  const shown = past.times.map((_, i) => i).filter((i) => past.times[i]! * 1_000 >= from);
  const step = Math.max(1, Math.ceil(shown.length / TABLE_ROWS));
  const rows = shown.filter((_, i) => (shown.length - 1 - i) % step === 0).reverse();
  return (
    <details onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{t("trend.table")}</summary>
      {open && (
        <table>
          <thead>
            <tr>
              <th scope="col">{t("trend.time")}</th>
              <th scope="col">
                {t("list.value")} {past.unit}
              </th>
              <th scope="col">{t("trend.extremes")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((i) => (
              <tr key={past.times[i]}>
                <td>{formatClock(past.times[i]! * 1_000)}</td>
                <td>{past.last[i] == null ? t("trend.gap") : formatNumber(past.last[i]!)}</td>
                <td>{past.least[i] == null ? "" : `${formatNumber(past.least[i]!)} – ${formatNumber(past.greatest[i]!)}`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}

interface Line {
  level: Level;
  value: number;
  low: boolean; // a lower value is worse
}

interface Mark {
  at: number; // Unix seconds
  level: Level;
  kind: "raised" | "acked" | "cleared";
}

/** What a drawing shows; it changes while the chart stays. */
interface Scene {
  past: Past;
  limits: Line[];
  marks: Mark[];
  now: number;
  from: number;
  summary: Summary | null;
  tripped: number | null;
}

function linesOf(alarm: Alarm, past: Past): Line[] {
  const lines = past.limits.map((l) => ({ level: l.level, value: l.value, low: l.worse === "low" }));
  const own = alarm.limit !== null && alarm.unit === past.unit && !lines.some((l) => l.value === alarm.limit);
  if (own && alarm.worst_level !== "fault") lines.push({ level: alarm.worst_level, value: alarm.limit!, low: (alarm.value ?? 0) < alarm.limit! });
  return lines;
}

function marksOf(events: readonly AlarmEvent[] | "loading" | "failed"): Mark[] {
  if (typeof events === "string") return [];
  const kinds: Record<string, Mark["kind"]> = { raised: "raised", rearmed: "raised", level_up: "raised", acked: "acked", cleared: "cleared" };
  return events.flatMap((e) => {
    const kind = kinds[e.type];
    const told = kind === "raised" ? (e.alarm?.sample_time ?? e.time) : e.time;
    return kind ? [{ at: Date.parse(told) / 1_000, level: e.alarm?.level ?? "normal", kind }] : [];
  });
}

function sentenceOf(past: Past, summary: Summary | null, limits: Line[]): string {
  if (!summary) return t("trend.nothing");
  const text = t("trend.summary", {
    first: formatNumber(summary.first),
    last: formatValue(summary.last, past.unit),
    least: formatNumber(summary.least),
    greatest: formatNumber(summary.greatest),
  });
  const crossed = limits
    .filter((l) => (l.low ? summary.least <= l.value : summary.greatest >= l.value))
    .sort((a, b) => levelRank(b.level) - levelRank(a.level))[0];
  return crossed ? text + t("trend.crossed", { level: t(`level.${crossed.level}`), limit: formatNumber(crossed.value) }) : text;
}

const dataOf = (past: Past): uPlot.AlignedData => [past.times, past.least, past.greatest, past.last] as uPlot.AlignedData;

function optionsOf(box: HTMLElement, scene: () => Scene, onRead: (index: number | null) => void): uPlot.Options {
  const colour = (name: string) => getComputedStyle(box).getPropertyValue(`--${name}`).trim();
  const ink = colour("ink");
  const axis = { stroke: colour("ink-3"), font: `12px ${getComputedStyle(box).fontFamily}`, ticks: { stroke: colour("line"), width: 1, size: 4 } };
  const nothing = { stroke: "transparent", points: { show: false } };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 44, 0, 0],
    cursor: { y: false, points: { size: 9, fill: ink, stroke: colour("ground"), width: 2 }, drag: { setScale: false } },
    scales: {
      x: { time: true, range: () => [scene().from / 1_000, (scene().now + (scene().now - scene().from) * 0.02) / 1_000] },
      y: { range: () => span(scene().summary, scene().limits.map((l) => l.value), scene().limits.map((l) => l.value).filter((v) => v === scene().tripped)) },
    },
    axes: [
      { ...axis, size: 26, gap: 4, space: 64, grid: { show: false }, values: (_, splits) => splits.map((s) => formatClock(s * 1_000).slice(0, 5)) },
      { ...axis, size: (u, values) => widest(u, values, axis.font), gap: 6, grid: { stroke: colour("line"), width: 1 }, values: (_, splits) => splits.map(formatNumber) },
    ],
    series: [
      {},
      nothing,
      nothing,
      { stroke: ink, width: 2, spanGaps: false, points: { show: (_u, _s, first, last) => last - first < 40, size: 4, fill: ink } },
    ],
    bands: [{ series: [2, 1], fill: colour("hatch") }],
    hooks: {
      drawClear: [(u) => drawBehind(u, scene(), colour)],
      draw: [(u) => drawBefore(u, scene(), colour)],
      setCursor: [(u) => onRead(u.cursor.idx ?? null)],
    },
  };
}

function widest(u: uPlot, values: string[] | null, font: string): number {
  u.ctx.save();
  u.ctx.font = font;
  const width = Math.max(24, ...(values ?? []).map((v) => u.ctx.measureText(v).width));
  u.ctx.restore();
  return Math.ceil(width) + 14;
}

type Colour = (name: string) => string;

const fills: Partial<Record<Level, string>> = { red: "red", orange: "orange", yellow: "yellow", blue: "blue" };

/** From each limit on, the ground takes a breath of its level's colour. */
function drawBehind(u: uPlot, { limits }: Scene, colour: Colour): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const low of [false, true]) {
    const side = limits.filter((l) => l.low === low && fills[l.level]).sort((a, b) => (low ? b.value - a.value : a.value - b.value));
    side.forEach((line, i) => {
      const from = u.valToPos(line.value, "y", true);
      const next = side[i + 1];
      const to = next ? u.valToPos(next.value, "y", true) : low ? bbox.top + bbox.height : bbox.top;
      ctx.fillStyle = colour(`${fills[line.level]}-tint`);
      ctx.fillRect(bbox.left, Math.min(from, to), bbox.width, Math.abs(to - from));
    });
  }
  ctx.restore();
}

/** Limits with their shape and number, what happened, and where now is. */
function drawBefore(u: uPlot, scene: Scene, colour: Colour): void {
  const { ctx, bbox } = u;
  const one = devicePixelRatio;
  const right = bbox.left + bbox.width;
  const bottom = bbox.top + bbox.height;
  const inside = (y: number) => y >= bbox.top - 1 && y <= bottom + 1;
  ctx.save();
  ctx.lineWidth = 1.5 * one;
  ctx.font = `${12 * one}px ${getComputedStyle(u.root).fontFamily}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  let lastLabel = Infinity;
  for (const line of [...scene.limits].sort((a, b) => a.value - b.value)) {
    const y = u.valToPos(line.value, "y", true);
    if (!inside(y)) continue;
    ctx.strokeStyle = colour(fills[line.level] ?? "grey");
    ctx.setLineDash([6 * one, 4 * one]);
    stroke(ctx, bbox.left, y, right, y);
    if (lastLabel - y < 14 * one) continue; // two limits at one height: the line is enough
    lastLabel = y;
    drawShape(ctx, line.level, right + 4 * one, y - 5 * one, 10 * one, colour);
    ctx.fillStyle = colour("ink-2");
    ctx.fillText(formatNumber(line.value), right + 17 * one, y);
  }
  for (const mark of scene.marks) {
    const x = u.valToPos(mark.at, "x", true);
    if (x < bbox.left || x > right) continue;
    ctx.setLineDash(mark.kind === "raised" ? [] : [2 * one, 3 * one]);
    ctx.lineWidth = one;
    ctx.strokeStyle = colour("ink-3");
    stroke(ctx, x, bbox.top, x, bottom);
    if (mark.kind === "raised") drawShape(ctx, mark.level, x - 6 * one, bbox.top, 12 * one, colour);
    else {
      ctx.fillStyle = colour("ink-2");
      ctx.textAlign = "center";
      ctx.fillText(mark.kind === "acked" ? "✓" : "○", x, bbox.top + 7 * one);
      ctx.textAlign = "left";
    }
  }
  drawDoubt(u, scene.past, colour("amber"));
  ctx.setLineDash([one, 3 * one]);
  ctx.strokeStyle = colour("ink-2");
  const now = u.valToPos(scene.now / 1_000, "x", true);
  stroke(ctx, now, bbox.top, now, bottom);
  ctx.restore();
}

/** A cross where a value is not to be believed, at the bottom where there is no number. */
function drawDoubt(u: uPlot, past: Past, colour: string): void {
  const { ctx, bbox } = u;
  const r = 3.5 * devicePixelRatio;
  ctx.setLineDash([]);
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.strokeStyle = colour;
  past.doubtful.forEach((doubtful, i) => {
    if (!doubtful) return;
    const x = u.valToPos(past.times[i]!, "x", true);
    if (x < bbox.left) return;
    const value = past.last[i];
    const y = value == null ? bbox.top + bbox.height - 2 * r : u.valToPos(value, "y", true);
    stroke(ctx, x - r, y - r, x + r, y + r);
    stroke(ctx, x - r, y + r, x + r, y - r);
  });
}

function stroke(ctx: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}

function drawShape(ctx: CanvasRenderingContext2D, level: Level, x: number, y: number, size: number, colour: Colour): void {
  ctx.save();
  ctx.setLineDash([]);
  ctx.translate(x, y);
  ctx.scale(size / 24, size / 24);
  const path = new Path2D(shapePath(level));
  ctx.fillStyle = colour(fills[level] ?? "grey");
  ctx.fill(path);
  ctx.strokeStyle = colour("shape-edge");
  ctx.lineWidth = 2;
  ctx.stroke(path);
  ctx.restore();
}
