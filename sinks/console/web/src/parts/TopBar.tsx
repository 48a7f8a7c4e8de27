import { useConsole } from "../context.ts";
import { formatClock, formatDate, formatZone } from "../format.ts";
import { isDelayed } from "../health.ts";
import { language, t } from "../i18n/index.ts";
import { chooseLanguage, chooseTheme, theme, type Theme } from "../prefs.ts";
import { SoundButton } from "./SoundButton.tsx";

const nextTheme: Record<Theme, Theme> = { auto: "dark", dark: "light", light: "auto" };

export function TopBar() {
  const console = useConsole();
  const who = console.who.value;
  return (
    <header class="top">
      <SoundButton />
      <div class="brand">
        <Tower />
        <b>{t("product")}</b>
        <span>{t("centre")}</span>
      </div>
      <div class="chrome">
        <button type="button" class="quiet" title={t("top.theme")} onClick={() => chooseTheme(nextTheme[theme.value])}>
          <ThemeIcon />
          <span>{t(`theme.${theme.value}`)}</span>
        </button>
        <button
          type="button"
          class="quiet"
          lang={language.value === "zh" ? "en" : "zh-CN"}
          onClick={() => chooseLanguage(language.value === "zh" ? "en" : "zh")}
        >
          {t("top.language")}
        </button>
        {who.state === "signed_in" && (
          <button type="button" class="quiet who" title={t("top.signOut")} onClick={() => void console.signOut()}>
            <span>{who.user}</span>
            <small>{t(`role.${who.role}`)}</small>
            <span class="out">{t("top.signOut")}</span>
          </button>
        )}
      </div>
      <Pulse />
    </header>
  );
}

/** Proof of life: a clock of the gateway, how late the data is, and a dot that only data moves. */
function Pulse() {
  const console = useConsole();
  const { blind } = console.sight.value;
  const now = console.now.value;
  const delay = console.delay.value;
  return (
    <div class={`pulse ${blind ? "stopped" : ""}`}>
      <div class={`delay ${!blind && isDelayed(console.health.value) ? "late" : ""}`} title={t("top.delay")}>
        <small>{t("top.delay")}</small>
        <i class={`beat ${console.beat.value % 2 === 0 ? "even" : "odd"}`} aria-hidden="true" />
        <b>{blind || delay === null ? "—" : `${(delay / 1_000).toFixed(1)} s`}</b>
      </div>
      <time class="clock" title={t("top.time")}>
        <b>{formatClock(now)}</b>
        <small>
          {formatDate(now)} {formatZone(now)}
        </small>
      </time>
    </div>
  );
}

/** A beacon tower with its fire. */
function Tower() {
  return (
    <svg class="tower" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M8 10h8l1.5 12h-11zM6.5 7.500h11V10h-11z" />
      <path class="fire" d="M12 1c.4 1.7 2 2.2 2 3.900a2 2 0 0 1-4 0C10 3.6 11.4 3 12 1z" />
    </svg>
  );
}

function ThemeIcon() {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M12 3a9 9 0 1 0 0 18z" />
      <path d="M12 3a9 9 0 0 1 0 18" fill="none" stroke="currentColor" stroke-width="2" />
    </svg>
  );
}
