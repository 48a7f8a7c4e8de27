import { useState } from "preact/hooks";
import { useConsole } from "../context.ts";
import { known, language, t } from "../i18n/index.ts";
import { chooseLanguage } from "../prefs.ts";

export function Login({ error }: { error: string }) {
  const console = useConsole();
  const [byToken, setByToken] = useState(false);
  const [busy, setBusy] = useState(false);
  const send = async (e: SubmitEvent) => {
    e.preventDefault();
    console.sound.enable(); // a click at last: from here on the page may sound
    const form = new FormData(e.currentTarget as HTMLFormElement);
    const get = (name: string) => String(form.get(name) ?? "");
    setBusy(true);
    await console.signIn(byToken ? { token: get("token").trim() } : { name: get("name").trim(), password: get("password") });
    setBusy(false);
  };
  return (
    <main class="login">
      <form onSubmit={(e) => void send(e)}>
        <h1>
          {t("product")} <span>{t("centre")}</span>
        </h1>
        <h2>{t("login.title")}</h2>
        {byToken ? (
          <label key="token">
            <span>{t("login.token")}</span>
            <input name="token" type="password" autocomplete="off" required />
          </label>
        ) : (
          <>
            <label key="name">
              <span>{t("login.name")}</span>
              <input name="name" autocomplete="username" required />
            </label>
            <label key="password">
              <span>{t("login.password")}</span>
              <input name="password" type="password" autocomplete="current-password" required />
            </label>
          </>
        )}
        {error !== "" && (
          <p class="no" role="alert">
            {t(known("login", error) ?? "login.unreachable")}
          </p>
        )}
        <button type="submit" class="main" disabled={busy}>
          {t(busy ? "login.busy" : "login.go")}
        </button>
        <p class="other">
          <button type="button" class="quiet" onClick={() => setByToken(!byToken)}>
            {t(byToken ? "login.withPassword" : "login.withToken")}
          </button>
          <button type="button" class="quiet" onClick={() => chooseLanguage(language.value === "zh" ? "en" : "zh")}>
            {t("top.language")}
          </button>
        </p>
        <p class="faint">{t("login.scope")}</p>
      </form>
    </main>
  );
}
