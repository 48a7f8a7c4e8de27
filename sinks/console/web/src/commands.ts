// Commands of people. No optimistic lie: a command counts as done when its
// event came back on the stream, not when the button was pressed.

import { signal } from "@preact/signals";
import * as api from "./api.ts";

export interface Pending {
  verb: api.Verb;
  seq: number | null; // null until the gateway answered; then the event to wait for
}

export type No = api.Refusal | "network";

export class Commands {
  readonly pending = signal<ReadonlyMap<string, Pending>>(new Map());
  readonly refused = signal<ReadonlyMap<string, No>>(new Map());
  private at = 0; // the last event on this page

  /** Reports whether the gateway took the command; what it refused is in refused. */
  async run(id: string, verb: api.Verb, body: api.CommandBody = {}): Promise<boolean> {
    if (this.pending.value.has(id)) return false;
    this.setRefused(id, null);
    this.setPending(id, { verb, seq: null });
    try {
      const { seq } = await api.command(id, verb, body);
      this.setPending(id, seq <= this.at ? null : { verb, seq });
      return true;
    } catch (err) {
      this.setPending(id, null);
      this.setRefused(id, err instanceof api.Refusal ? err : "network");
      return false;
    }
  }

  /** The stream has come to this event: what waited for it is done. */
  arrived(seq: number): void {
    this.at = seq;
    for (const [id, p] of this.pending.value) {
      if (p.seq !== null && p.seq <= seq) this.setPending(id, null);
    }
  }

  /** A new log counts from the start: what was answered in the old one is not waited for. */
  newLog(seq: number): void {
    this.at = seq;
    for (const [id, p] of this.pending.value) {
      if (p.seq !== null) this.setPending(id, null);
    }
  }

  forget(id: string): void {
    this.setRefused(id, null);
  }

  private setPending(id: string, p: Pending | null): void {
    this.pending.value = changed(this.pending.value, id, p);
  }

  private setRefused(id: string, no: No | null): void {
    if (no || this.refused.value.has(id)) this.refused.value = changed(this.refused.value, id, no);
  }
}

function changed<T>(map: ReadonlyMap<string, T>, id: string, value: T | null): ReadonlyMap<string, T> {
  const copy = new Map(map);
  if (value === null) copy.delete(id);
  else copy.set(id, value);
  return copy;
}
