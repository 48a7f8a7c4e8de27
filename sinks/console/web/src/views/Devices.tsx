import { useEffect, useState } from "preact/hooks";
import * as api from "../api.ts";
import { useConsole } from "../context.ts";
import { formatAge } from "../format.ts";
import { say, t } from "../i18n/index.ts";
import type { Device } from "../protocol.ts";

const MOST = 1_000;
const READ_EVERY = 10_000;

/** All that is registered, by site; what is silent stands first. */
export function DevicesView() {
  const console = useConsole();
  const [list, setList] = useState<{ devices: Device[]; more: boolean } | "reading" | "failed">("reading");
  const [text, setText] = useState("");
  useEffect(() => {
    let current = true;
    const read = () =>
      api.devices(MOST).then(
        (all) => current && setList(all),
        () => current && setList((old) => (typeof old === "string" ? "failed" : old)),
      );
    void read();
    const timer = setInterval(() => void read(), READ_EVERY);
    return () => {
      current = false;
      clearInterval(timer);
    };
  }, []);
  return (
    <aside class="detail devices" aria-label={t("devices.title")}>
      <div class="scroll" tabIndex={0}>
        <button type="button" class="back" onClick={() => console.visit(null)}>
          <span aria-hidden="true">←</span> {t("detail.back")}
        </button>
        <h2>{t("devices.title")}</h2>
        <input type="search" value={text} placeholder={t("devices.find")} aria-label={t("devices.find")} onInput={(e) => setText(e.currentTarget.value)} />
        {typeof list === "string" ? (
          <p class="gone">{t(list === "failed" ? "device.failedFirst" : "device.reading")}</p>
        ) : (
          <Rows devices={list.devices} text={text} />
        )}
        {typeof list !== "string" && list.more && <p class="faint">{t("devices.more", { n: MOST })}</p>}
      </div>
    </aside>
  );
}

function Rows({ devices, text }: { devices: Device[]; text: string }) {
  const console = useConsole();
  const sites = new Map(console.sites.value.map((s) => [s.id, s.name]));
  const words = text.toLowerCase().split(/\s+/).filter((w) => w !== "");
  const found = devices
    .filter((d) => {
      const name = sites.get(d.site);
      const all = `${d.site}/${d.id} ${d.name.zh} ${d.name.en} ${name?.zh} ${name?.en}`.toLowerCase();
      return words.every((w) => all.includes(w));
    })
    .sort((a, b) => Number(a.online) - Number(b.online)); // stable: by site and id within
  if (found.length === 0) return <p class="gone">{t("devices.none")}</p>;
  return (
    <ul class="links">
      {found.map((d) => (
        <li key={`${d.site}/${d.id}`}>
          <button type="button" onClick={() => console.visit({ device: `${d.site}/${d.id}` })}>
            <b>{say(d.name) || d.id}</b>
            <span>{say(sites.get(d.site)) || d.site}</span>
            <small class={d.online ? "" : "lacking"}>
              {t(d.online ? "link.online" : "link.offline")} ·{" "}
              {d.last_seen ? t("detail.readAgo", { age: formatAge(console.now.value - Date.parse(d.last_seen)) }) : t("device.never")}
            </small>
          </button>
        </li>
      ))}
    </ul>
  );
}
