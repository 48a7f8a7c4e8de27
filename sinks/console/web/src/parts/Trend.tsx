import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import * as api from "../api.ts";
import type { Chart, Hand, Line, Mark, Scene } from "../chart.ts";
import { loadChart } from "../chunk.ts";
import { levelRank } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatClock, formatDate, formatNumber, formatValue } from "../format.ts";
import { language, t } from "../i18n/index.ts";
import { Past, type Summary, windowFor } from "../past.ts";
import { shownTheme } from "../prefs.ts";
import type { Alarm, AlarmEvent } from "../protocol.ts";

const MINUTE = 60_000;
const windows = [30 * MINUTE, 120 * MINUTE, 480 * MINUTE, 1_440 * MINUTE] as const;
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

/** Words and table stand by themselves; the drawing comes to them when its file has come. */
function Picture({ alarm, past, size }: { alarm: Alarm; past: Past; size: number }) {
  const console = useConsole();
  const box = useRef<HTMLDivElement>(null);
  const scene = useRef<Scene>(null);
  const [chart, setChart] = useState<Chart | "loading" | "failed">("loading");
  const [under, setUnder] = useState<number | null>(null);
  const now = console.now.value;
  const live = console.liveValue(alarm);
  const marks = useMemo(() => marksOf(console.timeline.value), [console.timeline.value]);
  const limits = useMemo(() => linesOf(alarm, past), [alarm.id, alarm.limit, past]);
  if (live) past.append(live);
  const summary = past.summary(now - size);
  scene.current = { past, limits, marks, now, from: Math.max(now - size, Math.min((past.times[0] ?? 0) * 1_000, now - NARROWEST)), summary, tripped: alarm.limit };

  useEffect(() => {
    const element = box.current;
    if (!element) return; // an effect may come when its picture is gone already
    let current = true;
    let drawn: Chart | null = null;
    setChart("loading");
    loadChart().then(
      (file) => current && setChart((drawn = new file.Chart(element, () => scene.current!, hand, setUnder))),
      () => current && setChart("failed"),
    );
    return () => {
      current = false;
      drawn?.remove();
    };
  }, [past, shownTheme.value, language.value]);
  useEffect(() => {
    if (typeof chart !== "string") chart.redraw();
  }, [chart, past.times.length, Math.floor(now / 1_000), marks, limits]);

  const read = under !== null && past.last[under] != null;
  const sentence = sentenceOf(past, summary, limits);
  return (
    <>
      <div class={`picture ${typeof chart === "string" ? chart : ""}`} ref={box} role="img" aria-label={sentence}>
        {chart === "loading" && <p class="faint">{t("trend.drawing")}</p>}
        {chart === "failed" && <p class="faint">{t("trend.noChart")}</p>}
      </div>
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

const hand: Hand = { number: formatNumber, clock: formatClock };

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
