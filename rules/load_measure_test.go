package rules_test

import (
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

const measuredHead = "kind: pond\nrules:\n  - id: level\n    field: pond_level_m\n    title: {zh: 标题, en: title}\n    advice: {zh: 按本单位处置方案执行, en: as the site's plan says}\n    basis: {text: default, status: platform_default}\n"

const measuredRule = measuredHead + `    measure: {rate: {over: 24h, per: 24h, samples: 5}}
    unit: m/d
    confirm: {n: 2, of: 3}
    worse: both
    clear: {hysteresis: 0.1}
    steps:
      - {level: yellow, limit: 0.5}
`

const expectingRule = `kind: gas
rules:
  - id: detector
    field: detector_state
    title: {zh: 标题, en: title}
    advice: {zh: 按本单位处置方案执行, en: as the site's plan says}
    basis: {text: default, status: platform_default}
    expect: {is: [3], within: 30s, while: {field: gas_lel_pct, worse: high, limit: {param: low_lel_pct, default: 20}}}
    level: red
`

func TestMeasuresAreRead(t *testing.T) {
	w := newWorld(t)
	r := w.parse(measuredRule)[0]
	if *r.Measure != (rules.Measure{Quantity: rules.Rate, Over: 24 * time.Hour, Per: 24 * time.Hour, Samples: 5, Span: 6 * time.Hour}) || r.Unit != "m/d" || r.Confirm != (rules.Confirm{N: 2, Of: 3}) {
		t.Errorf("%+v %+v", r.Measure, r)
	}
	for text, want := range map[string]rules.Measure{
		"rate: {over: 24h, per: 24h, samples: 5, span: 1h}": {Quantity: rules.Rate, Over: 24 * time.Hour, Per: 24 * time.Hour, Samples: 5, Span: time.Hour},
		"sum: {over: 24h}":   {Quantity: rules.Sum, Over: 24 * time.Hour},
		"growth: {over: 1h}": {Quantity: rules.Growth, Over: time.Hour},
		"delta: {}":          {Quantity: rules.Delta},
	} {
		text = strings.Replace(measuredRule, "rate: {over: 24h, per: 24h, samples: 5}", text, 1)
		if got := w.parse(strings.Replace(text, "    confirm: {n: 2, of: 3}\n", "", 1))[0].Measure; *got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	r = w.parse(expectingRule)[0]
	x := r.Expect
	if len(x.Is) != 1 || x.Is[0] != 3 || x.Within != 30*time.Second || x.While.Field != "gas_lel_pct" || x.While.Worse != devices.High || *x.While.Limit.Default != 20 {
		t.Errorf("%+v", x)
	}
	if len(r.Steps) != 1 || r.Steps[0].Level != rules.Red || r.Steps[0].For != 30*time.Second {
		t.Errorf("%+v", r.Steps)
	}
}

func TestComplaintsAboutMeasuresSayWhere(t *testing.T) {
	for _, c := range []struct{ name, text, old, new, want string }{
		{"two measures", measuredRule, "samples: 5}}", "samples: 5}, delta: {}}", `8:14: want one of rate: {over: …, per: …, samples: …, span: …}, delta: {}, sum: {over: …}, growth: {over: …}`},
		{"no measure", measuredRule, "{rate: {over: 24h, per: 24h, samples: 5}}", "{}", `8:14: want one of rate`},
		{"unknown measure", measuredRule, "{rate:", "{rat:", `8:15: unknown key "rat", did you mean "rate"?`},
		{"unknown word of a rate", measuredRule, "samples:", "sample:", `8:43: unknown key "sample", did you mean "samples"?`},
		{"no window", measuredRule, "over: 24h, ", "", `8:21: over 0s: want the length of the window, 1m0s to 744h0m0s`},
		{"too long a window", measuredRule, "over: 24h", "over: 8760h", `8:28: over 8760h0m0s: want the length of the window, 1m0s to 744h0m0s`},
		{"no per", measuredRule, "per: 24h, ", "", `8:21: per 0s: want the time a rate is told for, e.g. 24h for units a day`},
		{"one sample has no slope", measuredRule, "samples: 5", "samples: 1", `8:52: samples 1: want how many a slope needs at least, 2 to 48`},
		{"no span", measuredRule, "samples: 5", "samples: 5, span: 0s", `8:61: span 0s: want how far the first and the last reading lie apart at least, more than 0 and less than over 24h0m0s`},
		{"a span that no window has", measuredRule, "samples: 5", "samples: 5, span: 24h", `8:61: span 24h0m0s: want how far`},
		{"a rate without its unit", measuredRule, "    unit: m/d\n", "", `3:5: want unit: that of the rate, e.g. mm/d`},
		{"a unit of nothing", measuredRule, "measure: {rate: {over: 24h, per: 24h, samples: 5}}", "latch: true", `9:11: the unit of a value is its field's: unit is for what a measure makes of it`},
		{"more than there are", measuredRule, "n: 2", "n: 4", `10:18: n 4: want 2 to 3, the samples that must agree of the last 3`},
		{"too many to remember", measuredRule, "of: 3", "of: 30", `10:25: of 30: want 2 to 8 samples`},
		{"sums need no second sample", measuredRule, "rate: {over: 24h, per: 24h, samples: 5}", "sum: {over: 24h}", `10:14: a sum is made of many samples already: leave confirm out`},
		{"a limit that growth is never below", strings.Replace(measuredRule, "    confirm: {n: 2, of: 3}\n", "", 1), "rate: {over: 24h, per: 24h, samples: 5}}\n    unit: m/d\n    worse: both\n    clear: {hysteresis: 0.1}", "growth: {over: 24h}}\n    worse: high\n    clear: {hysteresis: 1}", `12:32: the yellow limit 0.5 could never be left again: it clears at -0.5`},
		{"measured states", strings.Replace(measuredRule, "pond_level_m", "detector_state", 1), "kind: pond", "kind: gas", `8:14: detector_state holds states, which are not measured`},
		{"gas waits for no slope", strings.Replace(measuredRule, "pond_level_m", "gas_lel_pct", 1), "kind: pond", "kind: gas", `8:14: gas_lel_pct trips on its first sample, always: leave measure out`},
		{"gas waits for no second sample", strings.Replace(measuredRule, "pond_level_m", "gas_lel_pct", 1), "kind: pond", "kind: gas", `10:14: gas_lel_pct trips on its first sample, always: leave confirm out`},
		{"gas doubts no jump", strings.Replace(measuredRule, "pond_level_m", "co_ppm", 1), "kind: pond", "kind: air", `3:5: co_ppm trips on its first sample, always: leave its max_delta out of the kind air`},
		{"a level of its own", measuredRule, "unit: m/d", "unit: m/d\n    level: red", `10:12: level stands beside expect; a rule with limits has a level in every step`},
		{"steps of an expectation", expectingRule, "level: red", "level: red\n    worse: high", `10:12: a rule that expects a state has no worse: only expect and level`},
		{"no level", expectingRule, "    level: red\n", "", `3:5: unknown level "", want one of: blue, yellow, orange, red, fault`},
		{"no such state", expectingRule, "is: [3]", "is: [9]", `8:19: detector_state has no state 9`},
		{"no state", expectingRule, "is: [3], ", "", `8:13: want is: the numbers of the states that must be reached`},
		{"no time", expectingRule, "within: 30s, ", "", `8:13: within 0s: want the time there is to reach the state, e.g. 30s`},
		{"no trigger", expectingRule, ", while: {field: gas_lel_pct, worse: high, limit: {param: low_lel_pct, default: 20}}", "", `8:13: want while: {field: …, worse: …, limit: …}, when the state is expected`},
		{"unknown trigger", expectingRule, "field: gas_lel_pct", "field: gas_lel", `8:51: kind gas has no field "gas_lel"`},
		{"a trigger with states", expectingRule, "field: gas_lel_pct", "field: detector_state", `8:51: detector_state holds states: want a field with a limit`},
		{"a trigger without direction", expectingRule, "worse: high, ", "", `8:43: worse "": want high, low or both`},
		{"a trigger without limit", expectingRule, "{param: low_lel_pct, default: 20}", "high", `want a number, or {param: …, default: …, factor: …, offset: …}`},
		{"a trigger out of range", expectingRule, "{param: low_lel_pct, default: 20}", "200", `the limit 200 lies outside what gas_lel_pct can read, -5 to 110`},
		{"a number is no state", expectingRule, "field: detector_state", "field: battery_v", `4:12: battery_v holds no states: expect is for fields that do`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(c.text, c.old, c.new, 1)
			if c.old != "" && text == c.text {
				t.Fatal("nothing was changed")
			}
			_, err := rules.ParseRules("r.yaml", []byte(text), testKinds(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
