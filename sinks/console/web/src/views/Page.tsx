import { useEffect, useRef } from "preact/hooks";
import type { Console } from "../console.ts";
import { useConsole } from "../context.ts";
import { t } from "../i18n/index.ts";
import { AlarmList } from "../parts/AlarmList.tsx";
import { Announcer } from "../parts/Announcer.tsx";
import { Calm } from "../parts/Calm.tsx";
import { Finder } from "../parts/Finder.tsx";
import { HealthBar } from "../parts/HealthBar.tsx";
import { Bulk } from "../parts/Bulk.tsx";
import { BlindBanner } from "../parts/LinkState.tsx";
import { Strip } from "../parts/Strip.tsx";
import { Takeover } from "../parts/Takeover.tsx";
import { TopBar } from "../parts/TopBar.tsx";
import { AlarmView } from "./Alarm.tsx";
import { DevicesView } from "./Devices.tsx";
import { DeviceView } from "./Device.tsx";
import { Login } from "./Login.tsx";
import { Keys, Overview } from "./Overview.tsx";

export function Page() {
  const console = useConsole();
  const who = console.who.value;
  if (who.state === "unknown") return null;
  return who.state === "signed_out" ? <Login error={who.error} /> : <Desk />;
}

/** The list of what is open, and beside it the one that is looked at. */
function Desk() {
  const console = useConsole();
  const { blind } = console.sight.value;
  const opened = console.place.value !== null;
  useEffect(() => {
    const press = (e: KeyboardEvent) => key(console, e);
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return (
    <div class={`desk ${opened ? "opened" : ""}`} data-sight={blind ? "blind" : "sees"} data-voice={console.sound.elsewhere.value ? "elsewhere" : "here"}>
      <TopBar />
      <BlindBanner />
      <div class={`data ${blind ? "unseen" : ""}`}>
        <Takeover />
        <HealthBar />
        <Strip />
        <main>
          <section class="alarms" aria-busy={!console.loaded.value}>
            {console.ticked.value.size > 0 && console.mayCommand() ? <Bulk /> : <Finder />}
            <Alarms />
          </section>
          <Beside />
        </main>
      </div>
      <Announcer />
      {console.help.value && <Help />}
    </div>
  );
}

/** What is opened: an alarm, a device, the list of devices; else the overview. */
function Beside() {
  const place = useConsole().place.value;
  if (place === null) return <Overview />;
  if ("alarm" in place) return <AlarmView />;
  return place.device === "" ? <DevicesView /> : <DeviceView key={place.device} id={place.device} />;
}

/** The keys, over everything; Esc or a click puts them away. */
function Help() {
  const console = useConsole();
  const close = useRef<HTMLButtonElement>(null);
  useEffect(() => close.current?.focus(), []);
  return (
    <div class="help" role="dialog" aria-modal="true" aria-label={t("overview.keys")} onClick={() => (console.help.value = false)}>
      <div>
        <Keys />
        <button type="button" ref={close}>
          {t("help.close")} <kbd>Esc</kbd>
        </button>
      </div>
    </div>
  );
}

/** Until the first list has come there is nothing to say, least of all that all is well. */
function Alarms() {
  const console = useConsole();
  if (!console.loaded.value) return <p class="calm faint">{t("list.loading")}</p>;
  return console.rows.value.length > 0 ? <AlarmList /> : <Calm />;
}

function key(console: Console, e: KeyboardEvent): void {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = (e.target as HTMLElement).closest("input, textarea, select");
  if (e.key === "Escape") {
    if (typing) (typing as HTMLElement).blur();
    else if (console.help.value) console.help.value = false;
    else if (console.ticked.value.size > 0 && console.form.value === "bulk") console.form.value = "none";
    else console.visit(null);
    return;
  }
  if (typing) return;
  const inList = (e.target as HTMLElement).closest(".list") !== null;
  const actions: Record<string, () => void> = {
    j: () => console.move(1),
    k: () => console.move(-1),
    a: () => (console.ticked.value.size > 0 ? (console.form.value = "bulk") : console.acknowledge()),
    n: () => (console.form.value = "note"),
    s: () => (console.form.value = "shelve"),
    m: () => console.mute(),
    x: () => console.selected.value && console.tick(console.selected.value),
    X: () => console.selected.value && console.tick(console.selected.value, true),
    "/": () => document.querySelector<HTMLElement>(".finder input")?.focus(),
    "?": () => (console.help.value = !console.help.value),
  };
  if (inList) {
    actions["ArrowDown"] = actions["j"]!;
    actions["ArrowUp"] = actions["k"]!;
    actions["Enter"] = () => document.querySelector<HTMLElement>(".detail button.main, .detail .actions button")?.focus();
  }
  const action = actions[e.key];
  if (!action) return;
  e.preventDefault();
  action();
}
