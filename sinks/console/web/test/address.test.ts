import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, filterIn, isSamePlace, type Place, placeIn, withFilter } from "../src/address.ts";
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

test("a place that went through the address is the same, and what else stood there stays", () => {
  const places: Place[] = [null, { alarm: "01J a/b?&" }, { device: "sample-gas/gas-01" }, { device: "" }];
  for (const from of places) {
    for (const to of places) {
      const [path, search = ""] = addressOf(to, addressOf(from, "?lang=en&text=x/y").replace(/^[^?]*/, "")).split(/(?=\?)/);
      assert.deepEqual(placeIn(path!, search), to);
      assert.equal(filterIn(search).text, "x/y");
      assert.match(search, /lang=en/);
      assert.equal(isSamePlace(from, to), from === to);
    }
  }
  assert.equal(addressOf({ device: "sample-gas/gas-01" }, ""), "/?device=sample-gas/gas-01");
});

test("the address in a message opens the alarm, and a mistyped one is an alarm that nobody has", () => {
  assert.deepEqual(placeIn("/", "?alarm=A1"), { alarm: "A1" });
  assert.deepEqual(placeIn("/a/%zz", ""), { alarm: "%zz" });
  assert.deepEqual(placeIn("/", "?alarm="), null);
});
