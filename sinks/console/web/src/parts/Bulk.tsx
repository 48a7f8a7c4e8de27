import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useConsole } from "../context.ts";
import { t } from "../i18n/index.ts";
import { explain } from "./Actions.tsx";

/** Acknowledges what is ticked, with one reason. Red alarms are looked at one by one. */
export function Bulk() {
  const console = useConsole();
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const n = console.ticked.value.size;
  useLayoutEffect(() => {
    if (console.form.value === "bulk") field.current?.focus();
  }, [console.form.value]);
  const { ready, reds } = console.bulk();
  const refused = [...console.ticked.value].flatMap((id) => console.commands.refused.value.get(id) ?? []);
  const ok = note.trim() !== "" && ready.length > 0 && !busy;
  const send = async (e: Event) => {
    e.preventDefault();
    if (!ok) return;
    setBusy(true);
    await console.acknowledgeTicked(note.trim());
    setBusy(false);
    setNote("");
  };
  return (
    <form class="bulk" onSubmit={(e) => void send(e)}>
      <span role="status">
        {t("bulk.ticked", { n })}
        {refused.length > 0 && <em class="refused"> {t("bulk.refused", { n: refused.length, why: explain(refused[0]!, console.now.value) })}</em>}
        {reds > 0 && <em> {t("bulk.reds", { n: reds })}</em>}
      </span>
      <input ref={field} value={note} maxLength={2000} placeholder={t("bulk.why")} aria-label={t("bulk.why")} onInput={(e) => setNote(e.currentTarget.value)} />
      <button type="submit" class="main" disabled={!ok}>
        {busy ? t("do.submitting") : t("bulk.ack", { n: ready.length })}
      </button>
      <button type="button" onClick={() => (console.ticked.value = new Set())}>
        {t("bulk.none")}
      </button>
    </form>
  );
}
