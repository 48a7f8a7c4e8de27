// Alarms for tests, and chance that can be repeated.

import type { Alarm, Level, Row, Snapshot, State } from "../src/protocol.ts";

export function makeAlarm(id: string, over: Partial<Alarm> = {}): Alarm {
  const level: Level = over.level ?? "yellow";
  return {
    id,
    seq: 1,
    site: "sample",
    site_name: { zh: "示例", en: "Sample" },
    area: "",
    device: "d1",
    device_name: { zh: "一号", en: "One" },
    kind: "combustible_gas",
    field: "gas_lel_pct",
    rule: "combustible_gas_high",
    rule_version: "v",
    level,
    worst_level: level,
    state: "active_unacked",
    flags: [],
    value: 52,
    limit: 50,
    unit: "%LEL",
    quality: "good",
    sample_time: null,
    received_time: null,
    raised_time: "2026-06-27T06:00:00.000Z",
    cleared_time: null,
    closed_time: null,
    acked_by: "",
    acked_time: null,
    shelved_until: null,
    shelved_by: "",
    closed_by: "",
    disposition: "",
    title: { zh: "可燃气体浓度高", en: "Gas high" },
    advice: { zh: "", en: "" },
    basis: { text: "", status: "platform_default" },
    contacts: [],
    ...over,
  };
}

/** A snapshot of alarms as the gateway writes one. */
export function snapshotOf(epoch: string, seq: number, alarms: readonly Alarm[], part = 1, parts = 1): Snapshot {
  const shared: Partial<Alarm>[] = [];
  const rows = alarms.map((a): Row => {
    const { id, seq, device, value, raised_time, sample_time, received_time, ...rest } = a;
    const { acked_by, acked_time, cleared_time, ...common } = rest;
    const text = JSON.stringify(common);
    let n = shared.findIndex((s) => JSON.stringify(s) === text);
    if (n < 0) n = shared.push(common) - 1;
    const raised = ms(raised_time);
    const sample = ms(sample_time);
    return [id, seq, [n], device, value, raised, after(sample, raised), after(ms(received_time), sample), { acked_by, acked_time, cleared_time }];
  });
  return { epoch, seq, part, parts, shared, alarms: rows };
}

const ms = (moment: string | null) => (moment === null ? null : Date.parse(moment));
const after = (at: number | null, since: number | null) => (at === null ? null : at - (since ?? 0));

/** mulberry32: small, seeded, good enough to shuffle histories. */
export class Chance {
  constructor(private state: number) {}

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

const levels: Level[] = ["blue", "yellow", "orange", "red", "fault"];
const states: State[] = ["active_unacked", "active_acked", "cleared_unacked", "closed"];
const flagSets = [[], [], [], ["shelved"], ["suppressed"], ["backfill"], ["first_out", "latched"]];

export function randomAlarm(chance: Chance, id: string, seq: number): Alarm {
  const level = chance.pick(levels);
  const state = chance.pick(states);
  const acked = state === "active_acked" || (state === "cleared_unacked" && chance.happens(0.5));
  return makeAlarm(id, {
    seq,
    level: state === "cleared_unacked" ? "normal" : level,
    worst_level: level,
    state,
    flags: chance.pick(flagSets),
    raised_time: `2026-06-27T06:${String(chance.below(60)).padStart(2, "0")}:00.000Z`,
    acked_time: acked ? "2026-06-27T07:00:00.000Z" : null,
    acked_by: acked ? "somebody" : "",
  });
}
