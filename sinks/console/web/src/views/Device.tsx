import { useEffect, useState } from "preact/hooks";
import * as api from "../api.ts";
import { useConsole } from "../context.ts";
import { formatAge, formatClock, formatMoment, formatValue } from "../format.ts";
import { known, say, t, word } from "../i18n/index.ts";
import { lookOf, Shape } from "../parts/Level.tsx";
import { Steps, Verdict } from "../parts/Steps.tsx";
import type { Device, Onboarding } from "../protocol.ts";

const READ_EVERY = 2_000;

/** What was read of a device, all at one time. */
interface Seen {
  device: Device;
  onboarding: Onboarding;
  at: number; // the gateway's time
}

/** One device as its installer needs it: how far it has come, why not further, what to do. */
export function DeviceView({ id }: { id: string }) {
  const console = useConsole();
  const [seen, setSeen] = useState<Seen | null>(null);
  const [trouble, setTrouble] = useState<"none" | "unknown" | "failed">("none");
  useEffect(() => {
    let current = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async () => {
      try {
        const [device, onboarding] = await Promise.all([api.device(id), api.onboarding(id)]);
        if (!current) return;
        setSeen({ device, onboarding, at: console.now.peek() });
        setTrouble("none");
      } catch (err) {
        if (!current) return;
        setTrouble(err instanceof api.Refusal && err.status === 404 ? "unknown" : "failed");
      }
      timer = setTimeout(() => void read(), READ_EVERY);
    };
    void read();
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [id]);
  return (
    <aside class="detail device" aria-label={t("device.label")} data-device={id}>
      <div class="scroll" tabIndex={0}>
        <button type="button" class="back" onClick={() => console.visit(null)}>
          <span aria-hidden="true">←</span> {t("detail.back")}
        </button>
        {trouble === "unknown" ? (
          <p class="gone" role="status">
            {t("device.unknown", { key: id })}
          </p>
        ) : seen ? (
          <>
            <Head device={seen.device} />
            <Verdict steps={seen.onboarding.steps} />
            <p class={`asof ${trouble === "failed" ? "no" : "faint"}`}>
              {t(trouble === "failed" ? "device.failed" : "device.asOf", { when: formatClock(seen.at) })}
            </p>
            <Steps steps={seen.onboarding.steps} />
            <OpenAlarms device={seen.device} />
            <Values device={seen.device} />
            <Address device={seen.device} />
            <Unarmed onboarding={seen.onboarding} />
            <Rejections list={seen.onboarding.rejections} />
            <Refused list={seen.onboarding.refused} />
          </>
        ) : (
          <p class="gone">{t(trouble === "failed" ? "device.failedFirst" : "device.reading")}</p>
        )}
      </div>
    </aside>
  );
}

function Head({ device }: { device: Device }) {
  const console = useConsole();
  const kind = console.kinds.value.get(device.kind);
  const site = console.sites.value.find((s) => s.id === device.site);
  return (
    <header>
      <div>
        <h2>{say(device.name) || device.id}</h2>
        <p>
          <b>{say(site?.name) || device.site}</b> · {say(kind?.name) || device.kind}
        </p>
        <p class="flags">
          <em class="flag state">{t(device.online ? "link.online" : "link.offline")}</em>
          <em class="flag">{word("devstate", device.state)}</em>
        </p>
      </div>
    </header>
  );
}

function Address({ device }: { device: Device }) {
  const console = useConsole();
  return (
    <dl class="address">
      <dt>{t("device.topic")}</dt>
      <dd class="id">
        v1/{device.site}/{device.id}/telemetry
      </dd>
      <dt>{t("device.lastSeen")}</dt>
      <dd>
        {device.last_seen
          ? `${formatMoment(device.last_seen, console.now.value)} · ${t("detail.readAgo", { age: formatAge(console.now.value - Date.parse(device.last_seen)) })}`
          : t("device.never")}
      </dd>
    </dl>
  );
}

function OpenAlarms({ device }: { device: Device }) {
  const console = useConsole();
  const open = console.alarms.value.filter((a) => a.site === device.site && a.device === device.id);
  if (open.length === 0) return null;
  return (
    <section>
      <h3>{t("device.alarms")}</h3>
      <ul class="links">
        {open.map((a) => (
          <li key={a.id}>
            <button type="button" class={lookOf(a)} onClick={() => console.select(a.id)}>
              <Shape look={lookOf(a)} />
              <b>{t(`level.${lookOf(a)}`)}</b>
              <span>{say(a.title) || a.rule}</span>
              <small>{word("state", a.state)}</small>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The newest value of every field, and which fields have none. */
function Values({ device }: { device: Device }) {
  const console = useConsole();
  const fields = console.kinds.value.get(device.kind)?.fields ?? [];
  const titleOf = (name: string) => say(fields.find((f) => f.name === name)?.title) || name;
  const awaited = fields.filter((f) => !device.values.some((v) => v.field === f.name));
  return (
    <section class="values">
      <h3>{t("device.values")}</h3>
      {device.values.length === 0 && <p class="faint">{t("device.noValues")}</p>}
      <ul>
        {device.values.map((v) => {
          const field = fields.find((f) => f.name === v.field);
          const state = v.value === null ? undefined : field?.states?.[String(v.value)];
          const age = console.now.value - Date.parse(v.received);
          return (
            <li key={v.field}>
              <span>
                {titleOf(v.field)}
                <small class="id">{v.field}</small>
              </span>
              <b class={age > 2_000 * device.interval_seconds ? "stale" : ""}>{say(state) || formatValue(v.value, field?.unit ?? "")}</b>
              <small>
                <em class={`quality ${v.quality}`}>{word("quality", v.quality)}</em> · {t("detail.readAgo", { age: formatAge(age) })}
              </small>
            </li>
          );
        })}
      </ul>
      {device.values.length > 0 && awaited.length > 0 && (
        <details>
          <summary>{t("device.awaited", { n: awaited.length })}</summary>
          <p>{awaited.map((f) => say(f.title) || f.name).join(t("device.comma"))}</p>
        </details>
      )}
    </section>
  );
}

function Unarmed({ onboarding }: { onboarding: Onboarding }) {
  if (onboarding.unarmed.length === 0) return null;
  return (
    <section class="notes">
      <h3>{t("device.unarmed", { n: onboarding.unarmed.length })}</h3>
      <ul>
        {onboarding.unarmed.map((u) => (
          <li key={u.rule + u.field}>
            <p>
              {say(u.title) || u.rule} <small class="id">{u.rule}</small>
            </p>
            <p class="fix">{u.missing.length > 0 ? t("device.missing", { params: u.missing.join(", ") }) : say(u.reason)}</p>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Rejections({ list }: { list: Onboarding["rejections"] }) {
  const console = useConsole();
  if (list.length === 0) return null;
  return (
    <section class="notes">
      <h3>{t("device.rejections")}</h3>
      <ul>
        {list.map((r) => (
          <li key={`${r.position} ${r.index} ${r.field ?? ""} ${r.code}`}>
            <p>
              <time>{formatMoment(r.received, console.now.value)}</time> {say(r.reason)}
              {r.count > 1 && ` · ${t("device.times", { n: r.count })}`}
            </p>
            {say(r.remedy) !== "" && <p class="fix">{say(r.remedy)}</p>}
            <small class="id">{r.topic}</small>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Refused({ list }: { list: Onboarding["refused"] }) {
  const console = useConsole();
  if (list.length === 0) return null;
  return (
    <section class="notes">
      <h3>{t("device.refused")}</h3>
      <ul>
        {list.map((r) => (
          <li key={`${r.address} ${r.client} ${r.action} ${r.topic} ${r.code}`}>
            <p>
              <time>{formatMoment(r.time, console.now.value)}</time> {word("action", r.action)} · {known("refused", r.code) ? word("refused", r.code) : r.reason}
              {r.count > 1 && ` · ${t("device.times", { n: r.count })}`}
            </p>
            <small class="id">{[r.address, r.client, r.user, r.topic].filter((w, i, all) => w !== "" && all.indexOf(w) === i).join(" · ")}</small>
          </li>
        ))}
      </ul>
    </section>
  );
}
