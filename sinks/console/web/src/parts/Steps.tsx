import { useConsole } from "../context.ts";
import { formatAge, formatMoment } from "../format.ts";
import { say, t, word } from "../i18n/index.ts";
import type { Onboarding } from "../protocol.ts";

type Step = Onboarding["steps"][number];

/** Where it stands, to be read at arm's length. */
export function Verdict({ steps }: { steps: Step[] }) {
  const stuck = steps.findIndex((s) => !s.done);
  return (
    <p class={`verdict ${stuck < 0 ? "through" : "stuck"}`} role="status">
      <b aria-hidden="true">{stuck < 0 ? "✓" : `${steps.filter((s) => s.done).length}/${steps.length}`}</b>
      <span>{stuck < 0 ? t("device.through") : t("device.stuck", { n: stuck + 1, step: word("step", steps[stuck]!.step) })}</span>
    </p>
  );
}

/** The way from the wall to the watch: what is done, where it stops and what to do there. */
export function Steps({ steps }: { steps: Step[] }) {
  const console = useConsole();
  const now = console.now.value;
  const stuck = steps.findIndex((s) => !s.done);
  return (
    <ol class="ladder" aria-label={t("device.steps")}>
      {steps.map((s, i) => {
        const phase = s.done ? "done" : i === stuck ? "stuck" : "waiting";
        return (
          <li key={s.step} class={phase} data-step={s.step} aria-current={phase === "stuck" ? "step" : undefined}>
            <i aria-hidden="true">{s.done ? "✓" : i + 1}</i>
            <div>
              <p class="what">
                <b>{word("step", s.step)}</b>
                <span>{phase === "waiting" ? say(s.reason) : t(`step.${phase}`)}</span>
                {s.time && (
                  <time>
                    {formatMoment(s.time, now)} · {t("detail.readAgo", { age: formatAge(now - Date.parse(s.time)) })}
                  </time>
                )}
              </p>
              {phase !== "waiting" && <p class="why">{say(s.reason)}</p>}
              {say(s.hint) !== "" && (
                <p class="fix">
                  <b>{t("device.fix")}</b> {say(s.hint)}
                </p>
              )}
            </div>
          </li>
        );
      })}
    </ol>
  );
}
