// The state of the page and what changes it: frames from the gateway, time, and
// people. Views only read its signals and call its methods.

import { batch, computed, signal } from "@preact/signals";
import * as api from "./api.ts";
import { addressOf, filterIn, isSamePlace, type Place, placeIn, withFilter } from "./address.ts";
import { Alarms, attention, type Filter, isFiltering, isUnacked, matches, noFilter, tallies } from "./alarms.ts";
import { ServerClock, steadyNow } from "./clock.ts";
import { Commands } from "./commands.ts";
import { type Change, Follower, type Step } from "./follower.ts";
import { isNewOrWorse } from "./horn.ts";
import type { Alarm, AlarmEvent, Frame, Health, Kind, ServerHello, Session, Site, Value } from "./protocol.ts";
import { CANARY_LIMIT, type Sight, Watch } from "./sight.ts";
import { Sounding } from "./sounding.ts";
import { Stream } from "./stream.ts";
import { Ticks } from "./ticks.ts";
import { isStale, Values } from "./values.ts";

/** How many devices' values the page asks for, as a sign of life. */
const WATCHED = 256;
/** Looking goes over many alarms: not for each event of a burst. */
const LOOK_EVERY = 100;
/** An animation frame that has not come by then does not come: the tab is in the background. */
const DRAW_WITHIN = 250;
/** Data may come more often, but nothing on the page flashes more than three times a second. */
const BEAT_EVERY = 400;
const RECOVERED_FOR = 12_000;
const SITES_EVERY = 30_000;
const SUMMARY_EVERY = 5_000;
const IDLE_BEFORE_RELOAD = 30_000;
/** Without values for so long, the canary's age says how late we are. */
const DELAY_FOR = 10_000;

/** As many as one person can answer for at once. */
const BULK_LIMIT = 200;

/** The form that is open below an alarm. */
export type Form = "none" | "note" | "shelve" | "close" | "bulk";

export type Who =
  | { state: "unknown" }
  | { state: "signed_out"; error: string }
  | ({ state: "signed_in" } & Session);

export class Console {
  readonly who = signal<Who>({ state: "unknown" });
  readonly sound: Sounding;
  readonly commands = new Commands();

  // What the gateway says. Versions move at most once a drawn frame.
  private readonly list = new Alarms();
  private readonly values = new Values();
  private readonly version = signal(0);
  readonly health = signal<Health | null>(null);
  readonly sites = signal<readonly Site[]>([]);
  readonly kinds = signal<ReadonlyMap<string, Kind>>(new Map());
  readonly loaded = signal(false);
  readonly alarms = computed<readonly Alarm[]>(() => (this.version.value, this.list.all().slice()));
  /** By site, once a second: it goes over all alarms. */
  readonly siteTallies = computed(() => (this.now.value, this.loaded.value, tallies(this.list.all())));
  readonly counts = computed(() => (this.version.value, this.list.counts()));

  // Sight and time.
  private watch = new Watch(steadyNow());
  private readonly clock = new ServerClock();
  readonly now = signal(Date.now()); // the gateway's time, moves each second
  readonly sight = signal<Sight>({ blind: true, cause: "starting", since: steadyNow() });
  readonly blindFor = signal(0); // ms, moves each second
  readonly dataAsOf = signal<number | null>(null); // the gateway's time when the data stopped
  readonly delay = signal<number | null>(null);
  readonly skew = signal(0);
  readonly beat = signal(0);
  readonly attempt = signal(0);
  readonly recovered = signal<number | null>(null); // how many alarms changed while blind
  readonly newBuild = signal(false);
  private readonly missed = new Set<string>();
  private recoveredTimer: ReturnType<typeof setTimeout> | undefined;
  private everSaw = false;
  private lastAsk = 0;
  private lastBeat = 0;
  private lastLook = 0;
  private lastValues = 0;
  private lastInput = 0;

  // People.
  readonly filter = signal<Filter>(noFilter);
  readonly rows = computed(() => {
    const filter = this.filter.value;
    return isFiltering(filter) ? this.alarms.value.filter((a) => matches(a, filter)) : this.alarms.value;
  });
  readonly place = signal<Place>(null);
  readonly selected = computed(() => (this.place.value && "alarm" in this.place.value ? this.place.value.alarm : null));
  /** Ticked in the list, to be acknowledged together. */
  readonly ticked = signal<ReadonlySet<string>>(new Set());
  readonly help = signal(false);
  readonly timeline = signal<readonly AlarmEvent[] | "loading" | "failed">("loading");
  /** The selected alarm as last seen: still there after it was closed. */
  readonly shown = signal<Alarm | null>(null);
  /** Why nothing is shown of the selected alarm. */
  readonly lookup = signal<"reading" | "unknown" | "failed">("reading");
  readonly form = signal<Form>("none");
  readonly urgent = signal<Alarm | null>(null); // the newest red, for those who listen to the page
  readonly news = signal<readonly Alarm[]>([]); // raised since the last summary
  private fresh: Alarm[] = [];
  private below: string | null = null; // the row below the selected one when it was selected
  private attentionAtSelect = 0;

  private readonly stream: Stream;
  private readonly ticks = new Ticks(() => batch(() => this.follow()));
  private drawing = false;
  private drawingSince = 0;

  constructor(private readonly build: string) {
    this.sound = new Sounding(() => this.stream?.report());
    this.stream = new Stream({
      url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/stream`,
      build,
      mode: "desk",
      follower: new Follower(this.list),
      sound: () => this.sound.enabled.value,
      visible: () => !document.hidden,
      onFrame: (frame, step) => batch(() => this.frame(frame, step)),
      onSignedOut: () => (this.who.value = { state: "signed_out", error: "" }),
      onConnecting: (attempt) => (this.attempt.value = attempt),
      after: (ms, run) => this.ticks.after(ms, run),
    });
  }

  // ---- from outside: time, the network, the browser

  start(): void {
    this.ticks.start();
    setInterval(() => void this.readSites(), SITES_EVERY);
    setInterval(() => this.summarise(), SUMMARY_EVERY);
    addEventListener("online", () => this.stream.hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.stream.hurry();
      this.stream.report();
    });
    for (const touch of ["pointerdown", "keydown"]) {
      addEventListener(touch, () => {
        this.lastInput = steadyNow();
        this.sound.enable();
      });
    }
    addEventListener("popstate", () => this.readAddress());
    this.readAddress();
    void this.arrive();
  }

  private frame(frame: Frame, step: Step): void {
    const now = steadyNow();
    if (now - this.lastBeat >= BEAT_EVERY) {
      this.lastBeat = now;
      this.beat.value++;
    }
    this.watch.frame(now);
    if (frame.hello) this.hello(frame.hello);
    if (frame.h) this.heartbeat(frame.h, now);
    if (frame.v) this.newValues(frame.v, now);
    for (const change of step.changes) this.changed(change);
    if (step.replaced) this.replaced();
    else if (step.changes.length > 0) this.commands.arrived(this.list.seq);
    if (step.configured) void this.readSurroundings();
    this.watch.progress(this.stream.isCurrent(), this.list.seq, now);
    if (frame.h || step.replaced || now - this.lastLook >= LOOK_EVERY) this.look();
  }

  private hello(h: ServerHello): void {
    this.watch.greeted();
    this.who.value = { state: "signed_in", user: h.user, role: h.role };
    this.newBuild.value = h.build !== "" && h.build !== this.build;
    void this.readSurroundings();
  }

  private heartbeat(h: Health, now: number): void {
    this.health.value = h;
    const time = Date.parse(h.time);
    this.clock.sample(time, now);
    this.watch.health(h, this.clock.when(time));
    if (now - this.lastValues > DELAY_FOR) this.delay.value = h.canary_age_ms;
  }

  private newValues(values: Value[], now: number): void {
    this.values.take(values);
    this.redraw();
    const serverNow = this.clock.at(now);
    if (serverNow === null || values.length === 0) return;
    this.lastValues = now;
    this.delay.value = Math.max(0, serverNow - Math.max(...values.map((v) => Date.parse(v.received))));
  }

  private changed({ before, after, event }: Change): void {
    const id = (after ?? before)!.id;
    if (this.sight.value.blind) this.missed.add(id);
    if (after) {
      this.sound.heard(before, after);
      if (isNewOrWorse(before, after)) {
        this.fresh.push(after);
        if (after.level === "red") this.urgent.value = after;
      }
    }
    if (id === this.selected.value) {
      const last = after ?? event?.alarm ?? null;
      if (last) this.shown.value = last;
      if (event) this.addToTimeline(event);
    }
    if (!after) this.untick(id);
    this.redraw();
  }

  private replaced(): void {
    this.commands.newLog(this.list.seq);
    this.loaded.value = true;
    this.open(this.place.value);
    this.redraw();
  }

  /** Looks whether the screen sees, and lets what depends on time follow. */
  private look(): void {
    const now = steadyNow();
    this.lastLook = now;
    const sight = this.watch.look(now);
    const before = this.sight.value;
    if (sight.blind !== before.blind || (sight.blind && before.blind && sight.cause !== before.cause)) {
      this.sight.value = sight;
      if (sight.blind && !before.blind) this.missed.clear();
      if (!sight.blind && before.blind && this.everSaw) this.regained();
      if (!sight.blind) this.everSaw = true;
    }
    const asOf = sight.blind && this.loaded.value ? this.clock.at(sight.since) : null;
    this.dataAsOf.value = asOf === null ? null : Math.floor(asOf / 1_000) * 1_000;
    if (this.watch.isBehind(now) && now - this.lastAsk >= CANARY_LIMIT) {
      this.lastAsk = now;
      this.stream.ask();
    }
    this.blindFor.value = sight.blind ? Math.floor((now - sight.since) / 1_000) * 1_000 : 0;
    const serverNow = this.clock.at(now) ?? Date.now();
    if (Math.floor(serverNow / 1_000) !== Math.floor(this.now.value / 1_000)) {
      this.now.value = serverNow;
      this.skew.value = Math.round((Date.now() - serverNow) / 1_000);
    }
    this.sound.tick(this.list.all(), sight.blind && this.everSaw ? now - sight.since : 0, now);
    this.reloadWhenIdle(now);
  }

  private regained(): void {
    this.recovered.value = this.missed.size;
    clearTimeout(this.recoveredTimer);
    this.recoveredTimer = setTimeout(() => (this.recovered.value = null), RECOVERED_FOR);
  }

  /** A new build is taken over when nobody is at work and nothing sounds. */
  private reloadWhenIdle(now: number): void {
    if (!this.newBuild.value || this.sight.value.blind) return;
    const busy = now - this.lastInput < IDLE_BEFORE_RELOAD || this.commands.pending.value.size > 0;
    if (busy || this.sound.wanted.value !== "none") return;
    this.newBuild.value = false;
    // Once for each build: a gateway that serves an older page than it names must not make us spin.
    const wanted = this.health.value?.build ?? "";
    if (sessionStorage.getItem("reloaded") === wanted) return;
    sessionStorage.setItem("reloaded", wanted);
    location.reload();
  }

  /** Called several times a second, whether anything came or not. */
  private follow(): void {
    if (this.drawing && steadyNow() - this.drawingSince >= DRAW_WITHIN) this.draw();
    this.look();
  }

  /** Moves the version once a drawn frame, or four times a second where nothing is drawn. */
  private redraw(): void {
    if (this.drawing) return;
    this.drawing = true;
    this.drawingSince = steadyNow();
    if (!document.hidden) requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    if (!this.drawing) return;
    this.drawing = false;
    this.version.value++;
  }

  /** What was raised since the last summary, for those who listen to the page. */
  private summarise(): void {
    if (this.fresh.length === 0) return;
    this.news.value = this.fresh;
    this.fresh = [];
  }

  // ---- signing in

  private async arrive(): Promise<void> {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token !== null) {
      history.replaceState(null, "", location.pathname + location.search); // it must not stay in the history
      await this.signIn({ token });
      return;
    }
    try {
      this.signedIn(await api.session());
    } catch (err) {
      const refused = err instanceof api.Refusal && err.status === 401;
      this.who.value = { state: "signed_out", error: refused ? "" : "unreachable" };
      if (!refused) setTimeout(() => void this.arrive(), 3_000);
    }
  }

  async signIn(as: { name: string; password: string } | { token: string }): Promise<void> {
    try {
      this.signedIn(await api.signIn(as));
    } catch (err) {
      this.who.value = { state: "signed_out", error: err instanceof api.Refusal ? err.code : "unreachable" };
    }
  }

  private signedIn(session: Session): void {
    this.who.value = { state: "signed_in", user: session.user, role: session.role };
    this.watch = new Watch(steadyNow());
    this.stream.start();
    this.open(this.place.value);
  }

  async signOut(): Promise<void> {
    this.stream.stop();
    await api.signOut().catch(() => undefined); // the session ends by itself where the line is down
    location.assign("/"); // and nothing of it stays in memory
  }

  mayCommand(): boolean {
    const who = this.who.value;
    return who.state === "signed_in" && who.role !== "viewer";
  }

  // ---- what stands round the alarms

  private async readSurroundings(): Promise<void> {
    void this.readSites();
    try {
      this.kinds.value = new Map((await api.kinds()).map((k) => [k.id, k]));
      const inService = await api.devices(WATCHED, "&state=in_service");
      this.stream.watch(inService.devices.map((d) => `${d.site}/${d.id}`));
    } catch {
      // Names and live values are a help; the alarms do not depend on them.
    }
  }

  private async readSites(): Promise<void> {
    if (this.who.value.state !== "signed_in" || document.hidden) return;
    try {
      this.sites.value = await api.sites();
    } catch {
      // The next round tries again; what is blind is said by the stream.
    }
  }

  /** The newest value of the alarm's point, once one was told. */
  liveValue(a: Alarm): Value | undefined {
    this.version.value; // read so that views follow
    return a.field === "" ? undefined : this.values.get(a.site, a.device, a.field);
  }

  isStale(a: Alarm, v: Value): boolean {
    return isStale(v, this.kinds.value.get(a.kind)?.interval_seconds ?? 60, this.now.value);
  }

  /** When the newest reading of any device came in, the gateway's time. */
  newestReading(): number {
    this.version.value;
    return this.values.newest;
  }

  // ---- people at the list

  /** How long the alarm has lasted, or lasted until its condition was over. */
  ageOf(a: Alarm): number {
    if (!a.raised_time) return 0;
    return (a.cleared_time ? Date.parse(a.cleared_time) : this.now.value) - Date.parse(a.raised_time);
  }

  acknowledge(): void {
    const alarm = this.shown.value;
    if (alarm && isUnacked(alarm) && this.mayCommand()) void this.commands.run(alarm.id, "ack");
  }

  mute(): void {
    if (this.sound.sounds.value) this.sound.mute(steadyNow());
  }

  setFilter(change: Partial<Filter>): void {
    this.filter.value = { ...this.filter.value, ...change };
    history.replaceState(history.state, "", location.pathname + withFilter(location.search, this.filter.value));
  }

  clearFilter(): void {
    this.setFilter(noFilter);
  }

  isFiltered(): boolean {
    return isFiltering(this.filter.value);
  }

  /** Ticks a row, or takes the tick away; with all the rows between it and the last one ticked. */
  tick(id: string, between = false): void {
    const ticked = new Set(this.ticked.value);
    if (between) {
      const ids = this.rows.value.map((a) => a.id);
      const from = ids.indexOf([...ticked].at(-1) ?? id);
      const to = ids.indexOf(id);
      ids.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((some) => ticked.add(some));
    } else if (!ticked.delete(id)) ticked.add(id);
    this.ticked.value = new Set([...ticked].slice(0, BULK_LIMIT));
  }

  /** What of the ticked rows can be acknowledged together: a red alarm is looked at by itself. */
  bulk(): { ready: Alarm[]; reds: number } {
    this.version.value;
    const open = [...this.ticked.value].flatMap((id) => this.list.get(id) ?? []).filter(isUnacked);
    return { ready: open.filter((a) => a.level !== "red"), reds: open.filter((a) => a.level === "red").length };
  }

  /** One after the other; what was refused keeps its tick, and says why in its row. */
  async acknowledgeTicked(note: string): Promise<void> {
    for (const { id } of this.bulk().ready) {
      if (await this.commands.run(id, "ack", { note })) this.untick(id);
    }
  }

  private untick(id: string): void {
    const ticked = new Set(this.ticked.value);
    if (ticked.delete(id)) this.ticked.value = ticked;
  }

  select(id: string | null): void {
    this.visit(id === null ? null : { alarm: id });
  }

  /** Opens something beside the list; nothing: goes back to where it was opened from. */
  visit(place: Place): void {
    const from = this.place.value;
    if (isSamePlace(place, from)) return;
    const address = addressOf(place, location.search);
    const onward = place !== null && (from === null || "alarm" in place !== "alarm" in from);
    if (place === null && history.state?.opened) history.back();
    else if (onward) history.pushState({ opened: true }, "", address);
    else history.replaceState(history.state, "", address);
    this.open(place);
  }

  /** The next row, or the one before. A row that was just dealt with has moved
   * away in the list: the next one is then what had stood below it. */
  move(by: 1 | -1): void {
    const rows = this.rows.value;
    const at = rows.findIndex((a) => a.id === this.selected.value);
    const moved = at < 0 || attention(rows[at]!) !== this.attentionAtSelect;
    const below = moved ? rows.findIndex((a) => a.id === this.below) : -1;
    const to = below >= 0 ? below + (by === 1 ? 0 : -1) : at + by;
    const row = rows[Math.min(Math.max(to, 0), rows.length - 1)];
    if (row) this.select(row.id);
  }

  private readAddress(): void {
    this.filter.value = filterIn(location.search);
    const place = placeIn(location.pathname, location.search);
    history.replaceState(history.state, "", addressOf(place, location.search) + location.hash);
    this.open(place);
  }

  private open(place: Place): void {
    if (!isSamePlace(place, this.place.value)) this.form.value = "none";
    this.place.value = place;
    const id = this.selected.value;
    const alarm = id === null ? undefined : this.list.get(id);
    this.shown.value = alarm ?? (this.shown.value?.id === id ? this.shown.value : null);
    if (id === null) return;
    const rows = this.rows.value;
    const at = rows.findIndex((a) => a.id === id);
    this.below = rows[at + 1]?.id ?? null;
    this.attentionAtSelect = alarm ? attention(alarm) : 0;
    if (this.who.value.state !== "signed_in") return;
    if (!alarm) void this.readAlarm(id);
    void this.readTimeline(id);
  }

  /** An alarm that is not in the list is closed, or there is none. */
  private async readAlarm(id: string): Promise<void> {
    this.lookup.value = "reading";
    try {
      const alarm = await api.alarm(id);
      if (this.selected.value === id && (this.shown.value?.seq ?? 0) < alarm.seq) this.shown.value = alarm;
    } catch (err) {
      if (this.selected.value === id) this.lookup.value = err instanceof api.Refusal && err.status === 404 ? "unknown" : "failed";
    }
  }

  private async readTimeline(id: string): Promise<void> {
    this.timeline.value = "loading";
    let events: AlarmEvent[] | "failed";
    try {
      events = await api.timeline(id);
    } catch {
      events = "failed";
    }
    if (this.selected.value !== id) return;
    this.timeline.value = events;
    const last = events === "failed" ? null : events.at(-1)?.alarm;
    if (last && (!this.shown.value || this.shown.value.seq < last.seq)) this.shown.value = last;
  }

  private addToTimeline(e: AlarmEvent): void {
    const events = this.timeline.value;
    if (typeof events === "string" || events.some((old) => old.seq === e.seq)) return;
    this.timeline.value = [...events, e];
  }
}
