import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { hasFlag, isCleared, isUnacked, levelRank, shownLevel } from "../alarms.ts";
import type { CommandBody, Verb } from "../api.ts";
import type { No } from "../commands.ts";
import type { Form } from "../console.ts";
import { useConsole } from "../context.ts";
import { formatMoment } from "../format.ts";
import { known, t } from "../i18n/index.ts";
import type { Alarm, Disposition } from "../protocol.ts";

const dispositions: Disposition[] = ["real", "false_alarm", "test", "maintenance", "device_fault"];
const shelveMinutes = [15, 60, 240, 480] as const;

/** Five verbs, five buttons: acknowledging, noting, shelving, resetting and closing are never one. */
export function Actions({ alarm }: { alarm: Alarm }) {
  const console = useConsole();
  const form = console.form.value;
  const setForm = (to: Form) => (console.form.value = to);
  const { commands } = console;
  const pending = commands.pending.value.get(alarm.id);
  const no = commands.refused.value.get(alarm.id);

  if (!console.mayCommand()) return <p class="actions none">{t("do.viewer")}</p>;
  const sight = console.sight.value;
  const cut = sight.blind && sight.cause !== "judge" && sight.cause !== "catching_up";
  const run = async (verb: Verb, body?: CommandBody) => {
    if (await commands.run(alarm.id, verb, body)) setForm("none");
  };
  const button = (verb: Verb, onClick: () => void, main = false) => (
    <button type="button" class={main ? "main" : ""} disabled={cut || pending !== undefined} onClick={onClick}>
      {pending?.verb === verb ? t("do.submitting") : t(`do.${verb}` as "do.ack")}
    </button>
  );
  return (
    <div class="actions">
      {no && <p class="no" role="alert">{explain(no, console.now.value)}</p>}
      {cut && <p class="no">{t("do.offline")}</p>}
      {form !== "none" && form !== "bulk" && (
        <ActionForm key={form} form={form} alarm={alarm} busy={cut || pending !== undefined} onCancel={() => setForm("none")} onSend={run} />
      )}
      {(form === "none" || form === "bulk") && (
        <div class="buttons">
          {isUnacked(alarm) && button("ack", () => void run("ack"), true)}
          {button("note", () => setForm("note"))}
          {hasFlag(alarm, "shelved")
            ? button("unshelve", () => void run("unshelve"))
            : !isCleared(alarm) && button("shelve", () => setForm("shelve"))}
          {hasFlag(alarm, "latched") && button("reset", () => void run("reset"))}
          {isCleared(alarm) && button("close", () => setForm("close"), !isUnacked(alarm))}
        </div>
      )}
    </div>
  );
}

interface FormProps {
  form: Exclude<Form, "none" | "bulk">;
  alarm: Alarm;
  busy: boolean;
  onCancel: () => void;
  onSend: (verb: Verb, body: CommandBody) => Promise<void>;
}

function ActionForm({ form, alarm, busy, onCancel, onSend }: FormProps) {
  const [note, setNote] = useState("");
  const [minutes, setMinutes] = useState<number>(60);
  const [disposition, setDisposition] = useState<Disposition | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => field.current?.focus(), []); // before the next key is pressed
  const mustExplain = form === "note" || form === "shelve";
  const mustJudge = form === "close" && levelRank(shownLevel(alarm)) >= levelRank("orange");
  const ready = (!mustExplain || note.trim() !== "") && (!mustJudge || disposition !== null);
  const send = (e: Event) => {
    e.preventDefault();
    if (!ready || busy) return;
    const body: CommandBody = note.trim() === "" ? {} : { note: note.trim() };
    if (form === "shelve") body.minutes = minutes;
    if (form === "close" && disposition) body.disposition = disposition;
    void onSend(form, body);
  };
  return (
    <form class="form" onSubmit={send} onKeyDown={(e) => e.key === "Enter" && (e.ctrlKey || e.metaKey) && send(e)}>
      {form === "shelve" && (
        <Choice
          name="minutes"
          legend={t("do.until")}
          options={shelveMinutes.map((m) => [m, t(`do.minutes${m}`)])}
          chosen={minutes}
          onChoose={setMinutes}
        />
      )}
      {form === "close" && (
        <Choice
          name="disposition"
          legend={t("do.disposition")}
          options={dispositions.map((d) => [d, t(`disposition.${d}`)])}
          chosen={disposition}
          onChoose={setDisposition}
        />
      )}
      <label>
        <span>{t(form === "shelve" ? "do.why" : form === "close" ? "do.noteOptional" : "do.noteLabel")}</span>
        <textarea ref={field} rows={2} maxLength={2000} value={note} onInput={(e) => setNote(e.currentTarget.value)} />
      </label>
      <div class="buttons">
        <button type="button" onClick={onCancel}>
          {t("do.cancel")}
        </button>
        <button type="submit" class="main" disabled={!ready || busy}>
          {busy ? t("do.submitting") : `${t("do.send")} · ${t(`do.${form}`)}`}
        </button>
      </div>
    </form>
  );
}

interface ChoiceProps<T> {
  name: string;
  legend: string;
  options: (readonly [T, string])[];
  chosen: T | null;
  onChoose: (value: T) => void;
}

function Choice<T extends string | number>({ name, legend, options, chosen, onChoose }: ChoiceProps<T>) {
  return (
    <fieldset>
      <legend>{legend}</legend>
      {options.map(([value, text]) => (
        <label key={value}>
          <input type="radio" name={name} checked={chosen === value} onChange={() => onChoose(value)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** Who was first, when that is the reason; otherwise the gateway's own words. */
export function explain(no: No, now: number): string {
  if (no === "network") return t("no.network");
  if (no.by) {
    const key = known("no", no.code) ?? "no.already";
    return t(key, { who: no.by, when: formatMoment(no.at, now) });
  }
  const key = known("no", no.code);
  return key ? t(key) : t("no.other", { message: no.message });
}
