// What the page costs its main thread, by the browser's own trace.

/** Traces until end(), which gives the longest tasks in ms: by the clock, and by the processor time they took. */
export async function longestTask(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Tracing.start", { traceConfig: { includedCategories: ["toplevel", "__metadata"] }, transferMode: "ReportEvents" });
  const events = [];
  cdp.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  return {
    async end() {
      const complete = new Promise((resume) => cdp.once("Tracing.tracingComplete", resume));
      await cdp.send("Tracing.end");
      await complete;
      const main = new Set(events.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid}/${e.tid}`));
      const tasks = events.filter((e) => e.ph === "X" && main.has(`${e.pid}/${e.tid}`) && /RunTask$/.test(e.name));
      const longest = (of) => Math.round(Math.max(0, ...tasks.map((e) => of(e) ?? 0)) / 100) / 10;
      const busy = Math.round(tasks.reduce((sum, e) => sum + (e.tdur ?? 0), 0) / 1_000);
      return { tasks: tasks.length, longest_ms: longest((e) => e.dur), longest_cpu_ms: longest((e) => e.tdur), over_50_ms: tasks.filter((e) => e.dur > 50_000).length, busy_cpu_ms: busy };
    },
  };
}
