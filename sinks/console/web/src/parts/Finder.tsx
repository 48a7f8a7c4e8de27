import { useConsole } from "../context.ts";
import { say, t } from "../i18n/index.ts";

/** Words and kinds, beside what the numbers choose. */
export function Finder() {
  const console = useConsole();
  const filter = console.filter.value;
  const kinds = [...new Set(console.alarms.value.map((a) => a.kind))].sort();
  return (
    <div class="finder">
      <input
        type="search"
        value={filter.text}
        placeholder={t("strip.find")}
        aria-label={t("strip.find")}
        onInput={(e) => console.setFilter({ text: e.currentTarget.value })}
      />
      {(kinds.length > 1 || filter.kind !== null) && (
        <select aria-label={t("strip.kind")} value={filter.kind ?? ""} onChange={(e) => console.setFilter({ kind: e.currentTarget.value || null })}>
          <option value="">{t("strip.kind")}</option>
          {kinds.map((id) => (
            <option key={id} value={id}>
              {say(console.kinds.value.get(id)?.name) || id}
            </option>
          ))}
        </select>
      )}
    </div>
  );
}
