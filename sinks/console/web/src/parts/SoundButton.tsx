import { steadyNow } from "../clock.ts";
import { useConsole } from "../context.ts";
import { formatAge } from "../format.ts";
import { t } from "../i18n/index.ts";

/** The first stop of the tab key: whoever must silence the horn finds it at once. */
export function SoundButton() {
  const console = useConsole();
  const { sound } = console;
  if (!sound.possible) return <span class="sound none">{t("sound.none")}</span>;
  if (!sound.enabled.value) {
    return (
      <button type="button" class="sound off" onClick={() => sound.enable()}>
        <SpeakerIcon crossed />
        {t("sound.enable")}
      </button>
    );
  }
  if (sound.muted.value) {
    const until = sound.mutedUntil.value;
    console.now.value; // counts down
    return (
      <span class="sound muted" role="status" title={t("sound.muteHint")}>
        <SpeakerIcon crossed />
        {t("sound.muted")}
        {until !== null && <b>{formatAge(until - steadyNow())}</b>}
      </span>
    );
  }
  if (sound.sounds.value) {
    return (
      <button type="button" class="sound on" title={t("sound.muteHint")} onClick={() => console.mute()}>
        <SpeakerIcon />
        {t("sound.mute")}
        <kbd>m</kbd>
      </button>
    );
  }
  return (
    <button type="button" class="sound ready" title={t("sound.test")} onClick={() => sound.test()}>
      <SpeakerIcon />
      {t(sound.elsewhere.value ? "sound.elsewhere" : "sound.quiet")}
    </button>
  );
}

function SpeakerIcon({ crossed = false }: { crossed?: boolean }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M3 9v6h4l5 5V4L7 9z" />
      <path fill="none" stroke="currentColor" stroke-width="2.2" d={crossed ? "m15.5 9 6 6m0-6-6 6" : "M15.5 8.500a5 5 0 0 1 0 7M18 6a8.5 8.5 0 0 1 0 12"} />
    </svg>
  );
}
