// The file with the charts: a third of all there is to load, and nobody waits
// for it who only looks at the list.

type Charts = typeof import("./chart.ts");

let loading: Promise<Charts> | null = null;
let failures = 0;

/** Loads it once. After a failure the next one who asks tries anew, under another address: a browser remembers what failed. */
export function loadChart(): Promise<Charts> {
  const address = failures === 0 ? "/chart.js" : `/chart.js?again=${failures}`;
  loading ??= (import(address) as Promise<Charts>).catch((err: unknown) => {
    loading = null;
    failures++;
    throw err;
  });
  return loading;
}
