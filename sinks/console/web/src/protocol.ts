// What the gateway and the page say to each other; PROTOCOL.md beside the Go
// sources explains it, testdata/*.json show it.

export interface Text {
  zh: string;
  en: string;
}

export type Level = "normal" | "blue" | "yellow" | "orange" | "red" | "fault";
export type State = "active_unacked" | "active_acked" | "cleared_unacked" | "closed";
export type Disposition = "real" | "false_alarm" | "test" | "maintenance" | "device_fault";

/** RFC 3339 with milliseconds in UTC: as a string it sorts like the moment it means. */
export type Moment = string;

export interface Contact {
  role: string;
  name: string;
  phone?: string;
}

export interface Alarm {
  id: string;
  seq: number;
  site: string;
  site_name: Text;
  area: string;
  device: string;
  device_name: Text;
  kind: string;
  field: string;
  rule: string;
  rule_version: string;
  level: Level;
  worst_level: Level;
  state: State;
  flags: string[];
  value: number | null;
  limit: number | null;
  unit: string;
  quality: string;
  sample_time: Moment | null;
  received_time: Moment | null;
  raised_time: Moment | null;
  cleared_time: Moment | null;
  closed_time: Moment | null;
  acked_by: string;
  acked_time: Moment | null;
  shelved_until: Moment | null;
  shelved_by: string;
  closed_by: string;
  disposition: string;
  title: Text;
  advice: Text;
  basis: { text: string; status: string };
  contacts: Contact[] | null;
}

export interface AlarmEvent {
  seq: number;
  id: string;
  type: string;
  time: Moment;
  by?: string;
  note?: string;
  alarm: Alarm | null;
}

export interface Value {
  site: string;
  device: string;
  field: string;
  value: number | null;
  quality: string;
  time: Moment;
  received: Moment;
}

export interface Health {
  time: Moment;
  epoch: string;
  seq: number;
  canary_time: Moment | null;
  canary_age_ms: number | null;
  lag?: { messages: number };
  sources?: { name: string; up: boolean; since: Moment | null; reason: string; last?: Moment | null }[] | null;
  sinks?: { name: string; lag_entries: number; lag_seconds: number; error: string; rate?: number; eta_seconds?: number }[] | null;
  disk?: { level: "ok" | "warn70" | "warn90" | "floor" | "failed"; free_bytes: number; size_bytes: number };
  log?: { bytes: number; free_bytes: number; floor_bytes: number };
  consoles?: { connected: number; walls: number; without_sound: number; visible: number };
  counts?: { devices: number; online: number; offline: number; rules_armed: number; rules_unarmed: number };
  build?: string;
}

export interface Snapshot {
  epoch: string;
  seq: number;
  part: number;
  parts: number;
  /** What many alarms have in common. */
  shared: Partial<Alarm>[];
  alarms: Row[];
}

/** An alarm in a snapshot: id, seq, which of shared, device, value, raised (Unix ms), sample (ms after it), received (ms after that), what else it has. */
export type Row = [
  id: string,
  seq: number,
  shared: number[],
  device: string,
  value: number | null,
  raised: number | null,
  sample: number | null,
  received: number | null,
  rest?: Partial<Alarm>,
];

export interface ServerHello {
  epoch: string;
  seq: number;
  time: Moment;
  build: string;
  user: string;
  role: Role;
}

export type Role = "viewer" | "operator" | "admin";

/** A frame from the gateway has one of these keys; others are of a newer gateway and ignored. */
export interface Frame {
  hello?: ServerHello;
  resume?: { from: number; to: number };
  snapshot?: Snapshot;
  e?: AlarmEvent;
  v?: Value[];
  h?: Health;
}

export interface Session {
  user: string;
  role: Role;
}

export interface Site {
  id: string;
  name: Text;
  area: string;
  contacts: Contact[] | null;
  devices: number;
  online: number;
}

export interface Kind {
  id: string;
  name: Text;
  interval_seconds: number;
  fields: { name: string; title: Text; unit: string; states?: Record<string, Text> | null }[];
}

/** A registered device as it is now. */
export interface Device {
  id: string;
  site: string;
  kind: string;
  name: Text;
  state: string;
  online: boolean;
  last_seen: Moment | null;
  interval_seconds: number;
  level: Level;
  values: Omit<Value, "site" | "device">[];
}

/** How far what a device sends comes, and why not further. */
export interface Onboarding {
  steps: { step: string; done: boolean; time: Moment | null; reason: Text; hint: Text }[];
  rejections: { received: Moment | null; position: number; index: number; topic: string; code: string; field?: string; first: Moment; count: number; reason: Text; remedy: Text }[];
  refused: { time: Moment | null; address: string; client: string; user: string; action: string; topic: string; code: string; reason: string; count: number }[];
  armed: number;
  unarmed: { rule: string; title: Text; field: string; missing: string[]; reason: Text }[];
}

/** A line in the picture of a field: from here on the level is reached. */
export interface FieldLimit {
  level: Level;
  value: number;
  worse: "high" | "low";
}

/** The past of one point: [Unix ms, least, greatest, last], nulls for a gap, a 1 behind where the quality was not good. */
export interface Past {
  site: string;
  device: string;
  field: string;
  unit: string;
  points: [number, number | null, number | null, number | null, 1?][];
  limits: FieldLimit[];
  complete: boolean;
  known: Moment | null;
}
