import { hasFlag, isCleared } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatAge, formatMoment, formatNumber } from "../format.ts";
import { say, t, word } from "../i18n/index.ts";
import type { Alarm } from "../protocol.ts";
import { addressOf } from "../address.ts";
import { Actions } from "../parts/Actions.tsx";
import { Flags } from "../parts/AlarmList.tsx";
import { LevelChip, lookOf } from "../parts/Level.tsx";
import { Timeline } from "../parts/Timeline.tsx";
import { Trend } from "../parts/Trend.tsx";

/** One alarm: how bad, what to do, whom to call, what happened, and the five verbs. */
export function AlarmView() {
  const console = useConsole();
  const alarm = console.shown.value;
  return (
    <aside class="detail" aria-label={t("list.what")} data-alarm={alarm?.id} data-state={alarm?.state}>
      <div class="scroll">
        <button type="button" class="back" onClick={() => console.select(null)}>
          <span aria-hidden="true">←</span> {t("detail.back")}
        </button>
        {alarm ? <Facts alarm={alarm} /> : <Missing />}
      </div>
      {alarm && alarm.state !== "closed" && <Actions alarm={alarm} />}
    </aside>
  );
}

/** An address may name an alarm that nobody has. */
function Missing() {
  const console = useConsole();
  return (
    <p class="gone" role="status">
      {t(`detail.${console.lookup.value}`, { id: console.selected.value ?? "" })}
    </p>
  );
}

function Facts({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  const now = console.now.value;
  return (
    <>
      <header class={lookOf(alarm)}>
        <LevelChip alarm={alarm} />
        <div>
          <h2>{say(alarm.title) || alarm.rule}</h2>
          <p>
            <b>{say(alarm.site_name) || alarm.site}</b>
            {alarm.device !== "" && ` · ${say(alarm.device_name) || alarm.device}`}
          </p>
          <p class="flags">
            <em class="flag state">{word("state", alarm.state)}</em>
            <Flags alarm={alarm} />
            {!isCleared(alarm) && alarm.worst_level !== alarm.level && (
              <em class="flag">{t("detail.worst", { level: t(`level.${alarm.worst_level}`) })}</em>
            )}
            {hasFlag(alarm, "shelved") && (
              <em class="flag">
                {t("flag.shelved")} {t("list.shelvedUntil", { when: formatMoment(alarm.shelved_until, now) })}
              </em>
            )}
          </p>
        </div>
      </header>
      {alarm.state === "closed" && (
        <p class="gone">
          {t("detail.gone")} · {alarm.closed_by} {formatMoment(alarm.closed_time, now)}
          {alarm.disposition && ` · ${word("disposition", alarm.disposition)}`}
        </p>
      )}
      <Numbers alarm={alarm} />
      <Since alarm={alarm} />
      <Contacts alarm={alarm} />
      {say(alarm.advice) !== "" && (
        <section class="advice">
          <h3>{t("detail.advice")}</h3>
          <p>{say(alarm.advice)}</p>
        </section>
      )}
      {alarm.field !== "" && <Trend key={alarm.id} alarm={alarm} />}
      <dl>
        {alarm.acked_time && (
          <>
            <dt>{t("event.acked")}</dt>
            <dd>
              {alarm.acked_by} {formatMoment(alarm.acked_time, now)}
            </dd>
          </>
        )}
        <dt>{t("detail.basis")}</dt>
        <dd>
          {alarm.basis.text} <small>{word("basis", alarm.basis.status)}</small>
        </dd>
        <dt>{t("detail.device")}</dt>
        <dd class="id">
          {alarm.device === "" ? alarm.site : <DeviceLink device={`${alarm.site}/${alarm.device}`} />}
          {alarm.field !== "" && `/${alarm.field}`}
        </dd>
        <dt>{t("detail.rule")}</dt>
        <dd class="id">{alarm.rule}</dd>
      </dl>
      <Timeline />
    </>
  );
}

function DeviceLink({ device }: { device: string }) {
  const console = useConsole();
  const open = (e: MouseEvent) => {
    if (e.ctrlKey || e.metaKey || e.shiftKey) return; // into a tab of its own
    e.preventDefault();
    console.visit({ device });
  };
  return (
    <a href={addressOf({ device }, location.search)} onClick={open}>
      {device}
    </a>
  );
}

/** Trip value, value now, limit, side by side. */
function Numbers({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  if (alarm.value === null) return null;
  const live = console.liveValue(alarm);
  const stale = live !== undefined && console.isStale(alarm, live);
  return (
    <div class="numbers">
      <div>
        <small>{t(isCleared(alarm) ? "detail.cleared" : "detail.trip")}</small>
        <b>{formatNumber(alarm.value)}</b>
        <small>{alarm.unit}</small>
      </div>
      <div class={`now ${stale ? "stale" : ""}`}>
        <small>{t("detail.now")}</small>
        <b>{live && live.value !== null ? formatNumber(live.value) : "—"}</b>
        <small>
          {live
            ? `${alarm.unit} · ${t("detail.readAgo", { age: formatAge(console.now.value - Date.parse(live.time)) })}`
            : t("detail.noValue")}
        </small>
      </div>
      <div>
        <small>{t("detail.limit")}</small>
        <b>{alarm.limit === null ? "—" : formatNumber(alarm.limit)}</b>
        <small>{alarm.limit === null ? "" : alarm.unit}</small>
      </div>
    </div>
  );
}

/** Since when, and how sure the number is. */
function Since({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  const now = console.now.value;
  return (
    <p class="since">
      <span>
        {t("detail.raised")} <b>{formatMoment(alarm.raised_time, now)}</b>
      </span>
      <span>
        {t(isCleared(alarm) ? "detail.lasted" : "detail.lasts")} <b>{formatAge(console.ageOf(alarm))}</b>
      </span>
      {alarm.sample_time && (
        <span>
          {t("detail.sample")} {formatMoment(alarm.sample_time, now)} <em class={`quality ${alarm.quality}`}>{word("quality", alarm.quality)}</em>
        </span>
      )}
    </p>
  );
}

function Contacts({ alarm }: { alarm: Alarm }) {
  if (!alarm.contacts || alarm.contacts.length === 0) return null;
  return (
    <section class="contacts">
      <h3>{t("detail.contacts")}</h3>
      <ul>
        {alarm.contacts.map((c) => (
          <li key={c.role + c.name}>
            <span>
              {c.name} <small>{word("contact", c.role)}</small>
            </span>
            {c.phone && <a href={`tel:${c.phone}`}>{c.phone}</a>}
          </li>
        ))}
      </ul>
    </section>
  );
}
