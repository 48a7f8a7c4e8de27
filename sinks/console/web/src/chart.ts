// The picture of a trend: line, limits, what happened when. It is a file of its
// own, loaded when the first trend is looked at, and knows nothing of the page
// but what it is handed.

import uPlot from "uplot";
import { type Past, span, type Summary } from "./past.ts";
import type { Level } from "./protocol.ts";
import { shapePath } from "./parts/shapes.ts";

const HEIGHT = 220;

export interface Line {
  level: Level;
  value: number;
  low: boolean; // a lower value is worse
}

export interface Mark {
  at: number; // Unix seconds
  level: Level;
  kind: "raised" | "acked" | "cleared";
}

/** What a drawing shows; it changes while the chart stays. */
export interface Scene {
  past: Past;
  limits: Line[];
  marks: Mark[];
  now: number;
  from: number;
  summary: Summary | null;
  tripped: number | null;
}

/** How the page writes numbers and times. */
export interface Hand {
  number: (n: number) => string;
  clock: (ms: number) => string;
}

export class Chart {
  private readonly plot: uPlot;
  private readonly resized: ResizeObserver;

  /** Draws into box what scene says, and tells which sample the pointer is on. */
  constructor(box: HTMLElement, private readonly scene: () => Scene, hand: Hand, onRead: (index: number | null) => void) {
    this.plot = new uPlot(optionsOf(box, scene, hand, onRead), dataOf(scene().past), box);
    this.resized = new ResizeObserver(() => this.plot.setSize({ width: box.clientWidth, height: HEIGHT }));
    this.resized.observe(box);
  }

  redraw(): void {
    this.plot.setData(dataOf(this.scene().past));
  }

  remove(): void {
    this.resized.disconnect();
    this.plot.destroy();
  }
}

const dataOf = (past: Past): uPlot.AlignedData => [past.times, past.least, past.greatest, past.last] as uPlot.AlignedData;

function optionsOf(box: HTMLElement, scene: () => Scene, hand: Hand, onRead: (index: number | null) => void): uPlot.Options {
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
      { ...axis, size: 26, gap: 4, space: 64, grid: { show: false }, values: (_, splits) => splits.map((s) => hand.clock(s * 1_000).slice(0, 5)) },
      { ...axis, size: (u, values) => widest(u, values, axis.font), gap: 6, grid: { stroke: colour("line"), width: 1 }, values: (_, splits) => splits.map(hand.number) },
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
      draw: [(u) => drawBefore(u, scene(), hand, colour)],
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
function drawBefore(u: uPlot, scene: Scene, hand: Hand, colour: Colour): void {
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
    ctx.fillText(hand.number(line.value), right + 17 * one, y);
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
