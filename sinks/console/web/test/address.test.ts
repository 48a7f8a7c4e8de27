import assert from "node:assert/strict";
import { test } from "node:test";
import { filterIn, withFilter } from "../src/address.ts";
import { type Filter, isFiltering, matches, noFilter } from "../src/alarms.ts";
import { makeAlarm } from "./make.ts";

test("a filter that went through the address is the same, and what else stood there stays", () => {
  const filters: Filter[] = [
    noFilter,
    { group: "acked", level: "red", site: "plant & co", kind: "slope", text: "3号 断面" },
    { ...noFilter, text: "a=b&level=red" },
  ];
  for (const f of filters) {
    const search = withFilter("?lang=en&level=blue", f);
    assert.deepEqual(filterIn(search), f);
    assert.match(search, /lang=en/);
  }
  assert.equal(withFilter("?text=x", noFilter), "");
});

test("an address that nobody wrote by machine hides nothing", () => {
  assert.deepEqual(filterIn("?group=hidden&level=purple"), noFilter);
  assert.equal(isFiltering({ ...noFilter, text: "  " }), false);
});

test("words are found in what, where and which, in both languages, all of them", () => {
  const a = makeAlarm("a", { site_name: { zh: "甲镇尾矿库", en: "Town A pond" }, device: "pond-07" });
  for (const text of ["尾矿", "POND", "town gas", "pond-07", "燃气 甲镇"]) assert(matches(a, { ...noFilter, text }), text);
  for (const text of ["乙镇", "pond slope"]) assert(!matches(a, { ...noFilter, text }), text);
  assert(matches(a, { ...noFilter, kind: "combustible_gas" }));
  assert(!matches(a, { ...noFilter, kind: "slope" }));
});
