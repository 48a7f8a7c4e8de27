// A snapshot says once what many alarms have in common; here each is whole again.

import type { Alarm, Moment, Row, Snapshot } from "./protocol.ts";

const empty = {
  cleared_time: null,
  closed_time: null,
  acked_by: "",
  acked_time: null,
  shelved_until: null,
  shelved_by: "",
  closed_by: "",
  disposition: "",
};

export function unfold(s: Snapshot): Alarm[] {
  return s.alarms.map((row) => alarmOf(row, s.shared));
}

function alarmOf([id, seq, shared, device, value, raised, sample, received, rest]: Row, all: Partial<Alarm>[]): Alarm {
  const sampled = sample === null ? null : (raised ?? 0) + sample;
  const own = {
    id,
    seq,
    device,
    value,
    raised_time: moment(raised),
    sample_time: moment(sampled),
    received_time: moment(received === null ? null : (sampled ?? 0) + received),
  };
  return Object.assign({}, empty, ...shared.map((n) => all[n]), own, rest) as Alarm;
}

const moment = (ms: number | null): Moment | null => (ms === null ? null : new Date(ms).toISOString());
