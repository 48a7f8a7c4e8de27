import { render } from "preact";
import { Console } from "./console.ts";
import { loadPrefs } from "./prefs.ts";
import { showInTab } from "./tab.ts";
import { ConsoleContext } from "./context.ts";
import { Page } from "./views/Page.tsx";

/** Set by the build; the gateway names the same one in its hello. */
declare const BUILD: string;

loadPrefs();
const console = new Console(BUILD);
showInTab(console);
console.start();
render(
  <ConsoleContext.Provider value={console}>
    <Page />
  </ConsoleContext.Provider>,
  document.getElementById("page")!,
);
