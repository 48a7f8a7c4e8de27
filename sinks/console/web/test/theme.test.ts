// The colours of theme.css: can they be read, and told apart by eyes that see
// fewer of them? The simulation is that of Machado, Oliveira and Fernandes (2009).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

type Colour = readonly [number, number, number]; // linear light, 0 to 1

const css = readFileSync(`${process.env["TESTDATA"]}/../web/src/theme.css`, "utf8");
const tokensOf = (selector: string) => {
  const block = css.slice(css.indexOf(selector + " {"), css.indexOf("}", css.indexOf(selector + " {")));
  return Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1]!, m[2]!]));
};
const dark = tokensOf(":root");
const themes = { dark, light: { ...dark, ...tokensOf(':root[data-theme="light"]') } };

const linear = (c: number) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const colour = (hex: string): Colour => {
  const part = (at: number) => linear(parseInt(hex.slice(at, at + 2), 16) / 255);
  return [part(1), part(3), part(5)];
};
const luminance = ([r, g, b]: Colour) => 0.2126 * r + 0.7152 * g + 0.0722 * b;

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(colour(a)), luminance(colour(b))].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

const eyes: Record<string, number[][]> = {
  normal: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritan: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

function lab([r, g, b]: Colour, seen: number[][]): number[] {
  const [x, y, z] = seen.map((row) => Math.min(1, Math.max(0, row[0]! * r + row[1]! * g + row[2]! * b))) as [number, number, number];
  const f = (v: number) => (v > 0.008856 ? Math.cbrt(v) : 7.787 * v + 16 / 116);
  const fx = f((0.4124 * x + 0.3576 * y + 0.1805 * z) / 0.9505);
  const fy = f(0.2126 * x + 0.7152 * y + 0.0722 * z);
  const fz = f((0.0193 * x + 0.1192 * y + 0.9505 * z) / 1.089);
  return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
}

const apart = (a: string, b: string, seen: number[][]) => Math.hypot(...lab(colour(a), seen).map((v, i) => v - lab(colour(b), seen)[i]!));

const levels = ["red", "orange", "yellow", "blue"] as const;
const inkOn = { red: "on-red", orange: "on-level", yellow: "on-level", blue: "on-blue" } as const;

for (const [name, theme] of Object.entries(themes)) {
  const token = (t: string) => {
    assert(theme[t], `no token --${t}`);
    return theme[t]!;
  };

  test(`text can be read on every ground (${name})`, () => {
    for (const ink of ["ink", "ink-2", "ink-3", "accent"]) {
      for (const ground of ["ground", "panel", "raised"]) {
        const c = contrast(token(ink), token(ground));
        assert(c >= 4.5, `--${ink} on --${ground}: ${c.toFixed(2)}`);
      }
    }
    for (const [ink, ground] of [["on-accent", "accent"], ["amber", "amber-ground"], ["amber", "ground"], ["amber", "raised"]] as const) {
      const c = contrast(token(ink), token(ground));
      assert(c >= 4.5, `--${ink} on --${ground}: ${c.toFixed(2)}`);
    }
  });

  test(`a level's word can be read on its colour, and its shape stands out of the ground (${name})`, () => {
    for (const level of levels) {
      const word = contrast(token(inkOn[level]), token(level));
      assert(word >= 4.5, `${level}: ${word.toFixed(2)}`);
      const edge = theme["shape-edge"] ?? token(level); // a light theme outlines what is too light
      const shape = Math.max(contrast(token(level), token("ground")), contrast(edge, token("ground")));
      assert(shape >= 3, `${level} on the ground: ${shape.toFixed(2)}`);
    }
  });

  test(`four levels are four colours to any eyes (${name})`, () => {
    for (const [eye, seen] of Object.entries(eyes)) {
      levels.forEach((a, i) => {
        for (const b of levels.slice(i + 1)) {
          const d = apart(token(a), token(b), seen);
          assert(d >= 18, `${a} and ${b} for ${eye} eyes: ${d.toFixed(1)}`);
        }
      });
    }
  });
}
