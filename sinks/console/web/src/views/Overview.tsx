import { levelRank } from "../alarms.ts";
import { useConsole } from "../context.ts";
import { formatAge } from "../format.ts";
import { say, t } from "../i18n/index.ts";
import { Shape } from "../parts/Level.tsx";

/** What stands beside the list while no alarm is opened: the sites and the gateway itself. */
export function Overview() {
  return (
    <aside class="detail overview">
      <div class="scroll">
        <Gateway />
        <Sites />
        <Keys />
      </div>
    </aside>
  );
}

function Sites() {
  const console = useConsole();
  const open = console.siteTallies.value;
  const rank = (id: string) => levelRank(open.get(id)?.worst ?? "normal");
  const sites = console.sites.value.slice().sort((a, b) => rank(b.id) - rank(a.id) || a.id.localeCompare(b.id));
  const chosen = console.filter.value.site;
  return (
    <section>
      <h3>{t("overview.sites")}</h3>
      {sites.length === 0 && <p class="faint">{t("overview.noSites")}</p>}
      <ul class="sites">
        {sites.map((site) => {
          const tally = open.get(site.id);
          return (
            <li key={site.id}>
              <button type="button" aria-pressed={chosen === site.id} onClick={() => console.setFilter({ site: chosen === site.id ? null : site.id })}>
                <Shape look={tally?.worst ?? "normal"} />
                <span class="name">{say(site.name) || site.id}</span>
                <b>{tally?.n ?? ""}</b>
                <small class={site.online < site.devices ? "lacking" : ""}>
                  {site.online} / {site.devices}
                </small>
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Gateway() {
  const console = useConsole();
  const h = console.health.value;
  if (!h) return null;
  return (
    <section>
      <h3>{t("overview.gateway")}</h3>
      <dl>
        {h.sources && h.sources.length > 0 && (
          <>
            <dt>{t("overview.sources")}</dt>
            <dd>
              {h.sources.map((s) => (
                <Mark key={s.name} ok={s.up} name={s.name} says={t(s.up ? "overview.up" : "overview.down")} />
              ))}
            </dd>
          </>
        )}
        {h.sinks && h.sinks.length > 0 && (
          <>
            <dt>{t("overview.sinks")}</dt>
            <dd>
              {h.sinks.map((s) => (
                <Mark key={s.name} ok={s.error === ""} name={s.name} says={sinkWord(s)} />
              ))}
            </dd>
          </>
        )}
        {h.counts && (
          <>
            <dt>{t("overview.rules")}</dt>
            <dd>{t("overview.nRules", { n: h.counts.rules_armed, unarmed: h.counts.rules_unarmed })}</dd>
          </>
        )}
        {h.consoles && (
          <>
            <dt>{t("overview.consoles")}</dt>
            <dd>{t("overview.nConsoles", { n: h.consoles.connected, silent: h.consoles.without_sound })}</dd>
          </>
        )}
        {h.disk && (
          <>
            <dt>{t("overview.disk")}</dt>
            <dd>{t("overview.free", { free: gigabytes(h.disk.free_bytes), size: gigabytes(h.disk.size_bytes) })}</dd>
          </>
        )}
      </dl>
    </section>
  );
}

const gigabytes = (bytes: number) => (bytes / 2 ** 30).toFixed(0);

function sinkWord(s: { lag_seconds: number; error: string }): string {
  if (s.error !== "") return t("overview.down");
  return s.lag_seconds > 5 ? t("overview.behind", { lag: formatAge(s.lag_seconds * 1_000) }) : t("overview.current");
}

function Mark({ ok, name, says }: { ok: boolean; name: string; says: string }) {
  return (
    <span class={`mark ${ok ? "" : "bad"}`}>
      {name} <small>{says}</small>
    </span>
  );
}

export function Keys() {
  const keys = [
    ["j k", "move"],
    ["a", "ack"],
    ["n", "note"],
    ["s", "shelve"],
    ["x X", "tick"],
    ["m", "mute"],
    ["/", "find"],
    ["?", "help"],
    ["Esc", "back"],
  ] as const;
  return (
    <section class="keys">
      <h3>{t("overview.keys")}</h3>
      <p>
        {keys.map(([key, does]) => (
          <span key={key}>
            <kbd>{key}</kbd> {t(`keys.${does}`)}
          </span>
        ))}
      </p>
    </section>
  );
}
