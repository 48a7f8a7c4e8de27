import { useConsole } from "../context.ts";
import { formatMoment, formatValue } from "../format.ts";
import { t, word } from "../i18n/index.ts";
import type { AlarmEvent } from "../protocol.ts";
import { Shape } from "./Level.tsx";

/** What the machine saw and what people did, newest first. */
export function Timeline() {
  const console = useConsole();
  const events = console.timeline.value;
  return (
    <section class="timeline">
      <h3>{t("detail.timeline")}</h3>
      {events === "loading" && <p>…</p>}
      {events === "failed" && <p>{t("detail.timelineFailed")}</p>}
      {typeof events !== "string" && (
        <ol>
          {events.slice().reverse().map((e) => (
            <Entry key={e.seq} event={e} />
          ))}
        </ol>
      )}
    </section>
  );
}

const byMachine = new Set(["raised", "level_up", "level_down", "rearmed", "cleared"]);

function Entry({ event }: { event: AlarmEvent }) {
  const console = useConsole();
  const alarm = event.alarm;
  const machine = byMachine.has(event.type);
  return (
    <li class={machine ? "machine" : "human"}>
      <time>{formatMoment(event.time, console.now.value)}</time>
      <Shape look={machine && event.type !== "cleared" ? (alarm?.level ?? "normal") : "normal"} />
      <span>
        <b>{word("event", event.type)}</b>
        {machine && alarm?.value != null && <span> {formatValue(alarm.value, alarm.unit)}</span>}
        {event.by && <span> {event.by}</span>}
        {event.type === "closed" && alarm?.disposition && <span> · {word("disposition", alarm.disposition)}</span>}
        {event.note && <q>{event.note}</q>}
      </span>
    </li>
  );
}
