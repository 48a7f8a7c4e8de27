import { useEffect, useRef, useState } from "preact/hooks";
import { hasFlag, isAside, isCleared, isUnacked } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatAge, formatMoment, formatNumber } from "../format.ts";
import { say, t, word } from "../i18n/index.ts";
import type { Alarm } from "../protocol.ts";
import { explain } from "./Actions.tsx";
import { LevelChip, lookOf } from "./Level.tsx";

/** Rows kept ready above and below what is visible. */
const SPARE = 6;
const shownFlags = ["first_out", "unverified", "latched", "backfill", "drill", "suppressed"];

/** Draws only the rows in view, so that ten thousand alarms cost what thirty do. */
export function AlarmList() {
  const console = useConsole();
  const box = useRef<HTMLDivElement>(null);
  const view = useView(box);
  const rows = console.rows.value;
  const selected = console.selected.value;
  const first = Math.max(0, Math.floor(view.top / view.row) - SPARE);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / view.row) + SPARE);
  const at = rows.findIndex((a) => a.id === selected);

  useEffect(() => {
    if (at >= 0 && box.current) keepInView(box.current, at * view.row, view.row);
  }, [selected]);

  return (
    <div
      class="list"
      role="grid"
      aria-label={t("list.label")}
      aria-rowcount={rows.length + 1}
      aria-activedescendant={at >= first && at < last ? `row-${selected}` : undefined}
      tabIndex={0}
      ref={box}
    >
      <div class="row head" role="row" aria-rowindex={1}>
        <span role="columnheader" class="tick">
          <span class="spoken">{t("bulk.tick")}</span>
        </span>
        {(["level", "what", "value", "age", "state"] as const).map((column) => (
          <span role="columnheader" key={column} class={column}>
            {t(`list.${column}`)}
          </span>
        ))}
      </div>
      <div class="rows" role="rowgroup" style={{ height: `${rows.length * view.row}px` }}>
        {rows.slice(first, last).map((alarm, i) => (
          <Row key={alarm.id} alarm={alarm} index={first + i} height={view.row} selected={alarm.id === selected} />
        ))}
      </div>
    </div>
  );
}

function Row({ alarm, index, height, selected }: { alarm: Alarm; index: number; height: number; selected: boolean }) {
  const console = useConsole();
  const phase = isAside(alarm) ? "aside" : isCleared(alarm) ? "over" : isUnacked(alarm) ? "open" : "taken";
  return (
    <div
      class={`row ${lookOf(alarm)} ${phase}`}
      role="row"
      id={`row-${alarm.id}`}
      data-device={`${alarm.site}/${alarm.device}`}
      data-state={alarm.state}
      aria-rowindex={index + 2}
      aria-selected={selected}
      style={{ transform: `translateY(${index * height}px)` }}
      onClick={(e) => (e.shiftKey ? console.tick(alarm.id, true) : e.ctrlKey || e.metaKey ? console.tick(alarm.id) : console.select(alarm.id))}
    >
      <span role="gridcell" class="tick" onClick={(e) => (e.stopPropagation(), console.tick(alarm.id, e.shiftKey))}>
        <input type="checkbox" tabIndex={-1} checked={console.ticked.value.has(alarm.id)} aria-label={t("bulk.tick")} />
      </span>
      <span role="gridcell" class="level">
        <LevelChip alarm={alarm} />
      </span>
      <span role="gridcell" class="what">
        <b>{say(alarm.title) || alarm.rule}</b>
        <small>
          <Flags alarm={alarm} />
          {say(alarm.site_name) || alarm.site}
          {alarm.device !== "" && ` · ${say(alarm.device_name) || alarm.device}`}
        </small>
      </span>
      <span role="gridcell" class="value">
        <ValueCell alarm={alarm} />
      </span>
      <span role="gridcell" class="age">
        <b>{formatAge(console.ageOf(alarm))}</b>
        <small>{formatMoment(alarm.raised_time, console.now.value)}</small>
      </span>
      <span role="gridcell" class="state">
        <StateCell alarm={alarm} />
      </span>
    </div>
  );
}

export function Flags({ alarm }: { alarm: Alarm }) {
  return (
    <>
      {shownFlags
        .filter((flag) => hasFlag(alarm, flag))
        .map((flag) => (
          <em key={flag} class={`flag ${flag}`}>
            {word("flag", flag)}
          </em>
        ))}
    </>
  );
}

/** The value now, where one is known, above the value that tripped and the limit. */
function ValueCell({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  if (alarm.value === null) return <small>{t("list.silent")}</small>;
  const live = console.liveValue(alarm);
  const stale = live !== undefined && console.isStale(alarm, live);
  return (
    <>
      <b class={stale ? "stale" : ""}>
        {formatNumber(live?.value ?? alarm.value)} <i>{alarm.unit}</i>
      </b>
      <small>
        {alarm.limit !== null && t("list.limit", { limit: formatNumber(alarm.limit) })}
        {live && <span class="trip"> · {t("list.trip", { value: formatNumber(alarm.value) })}</span>}
      </small>
    </>
  );
}

function StateCell({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  const now = console.now.value;
  if (console.commands.pending.value.has(alarm.id)) return <b class="busy">{t("do.submitting")}</b>;
  const no = console.commands.refused.value.get(alarm.id);
  if (no) return <b class="refused">{explain(no, now)}</b>;
  if (hasFlag(alarm, "shelved")) {
    return (
      <>
        <b>{t("flag.shelved")}</b>
        <small>{t("list.shelvedUntil", { when: formatMoment(alarm.shelved_until, now) })}</small>
      </>
    );
  }
  return (
    <>
      <b>{word("state", alarm.state)}</b>
      <small>
        {isCleared(alarm)
          ? alarm.acked_time === null
            ? t("list.nobodySaw")
            : t("list.clearedAt", { when: formatMoment(alarm.cleared_time, now) })
          : alarm.acked_time !== null && t("list.ackedBy", { who: alarm.acked_by, when: formatMoment(alarm.acked_time, now) })}
      </small>
    </>
  );
}

interface View {
  top: number;
  height: number;
  row: number;
}

/** What part of the list is visible, and how high the style sheet makes a row. */
function useView(box: { current: HTMLDivElement | null }): View {
  const [view, setView] = useState<View>({ top: 0, height: 800, row: 76 });
  useEffect(() => {
    const element = box.current!;
    const look = () => {
      const row = parseFloat(getComputedStyle(element).getPropertyValue("--row")) || 76;
      setView({ top: element.scrollTop, height: element.clientHeight, row });
    };
    const size = new ResizeObserver(look);
    size.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    look();
    return () => {
      size.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
  return view;
}

function keepInView(box: HTMLElement, top: number, height: number): void {
  const head = box.querySelector<HTMLElement>(".head")?.offsetHeight ?? 0;
  const visible = box.clientHeight - head;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + height > box.scrollTop + visible) box.scrollTop = top + height - visible;
}
