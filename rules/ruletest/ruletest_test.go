package ruletest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/ruletest"
)

const gasKind = `
kind: gas
name: {zh: 燃气, en: gas}
interval: 1m
lateness: 10m
fields:
  - {name: gas_lel_pct, title: {zh: 浓度, en: gas}, unit: "%LEL", range: [-5, 110], danger: high}
  - {name: temp_1_c, title: {zh: 温度, en: temperature}, unit: °C, range: [-40, 200], danger: high}
  - {name: temp_2_c, title: {zh: 温度, en: temperature}, unit: °C, range: [-40, 200], danger: high}
`

const gasRules = `
kind: gas
rules:
  - id: gas_high
    field: gas_lel_pct
    title: {zh: 浓度高, en: Gas high}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: default, status: platform_default}
    worse: high
    steps: [{level: yellow, limit: {param: low_lel_pct, default: 20}}, {level: red, limit: 50}]
    clear: {limit: 10, for: 5m}
    latch: true
  - id: hot
    fields: [temp_1_c, temp_2_c]
    title: {zh: 温度高, en: Hot}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: default, status: platform_default}
    worse: high
    steps: [{level: orange, limit: {param: hot_c}, for: 2m}]
    clear: {hysteresis: 5}
`

func world(t testing.TB) ([]*devices.Kind, []*rules.Rule) {
	t.Helper()
	kind, err := devices.ParseKind("gas.yaml", []byte(gasKind))
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.ParseRules("gas.yaml", []byte(gasRules), []*devices.Kind{kind})
	if err != nil {
		t.Fatal(err)
	}
	return []*devices.Kind{kind}, set
}

func run(t *testing.T, text string) (ruletest.Result, []*rules.Rule) {
	t.Helper()
	kinds, set := world(t)
	f, err := ruletest.Parse("gas_test.yaml", []byte(text), kinds, set)
	if err != nil {
		t.Fatal(err)
	}
	return f.Run(), set
}

// story is a test that holds in every word, for others to break.
const story = `
kind: gas
tests:
  - name: 泄漏 / a leak
    readings:
      - {at: 0s, gas_lel_pct: 3}
      - {from: 1m, to: 5m, every: 1m, gas_lel_pct: 5..45}
      - {from: 6m, every: 1m, gas_lel_pct: [60, 50, 5]}
    expect:
      - {at: 2m, nothing: true}
      - {at: 3m, rule: gas_high, level: yellow, value: 25, limit: 20, state: active_unacked}
      - {at: 6m, rule: gas_high, field: gas_lel_pct, level: red, title: 浓度高}
      - {at: 12m59s, rule: gas_high, level: red}
      - {at: 20m, rule: gas_high, level: red, flags: [latched]}
      - {rule: hot, not_armed: true}
  - name: 高温 / heat
    params: {hot_c: 60, low_lel_pct: 15}
    readings:
      - {from: 0m, to: 4m, every: 1m, temp_2_c: 70, gas_lel_pct: 16}
      - {at: 5m, temp_2_c: 50}
    expect:
      - {at: 1m59s, rule: gas_high, level: yellow}
      - {at: 1m59s, rule: hot, level: normal}
      - {at: 2m, rule: hot, field: temp_2_c, level: orange}
      - {at: 2m, rule: gas_high, level: yellow}
      - {at: 5m, rule: hot, level: normal, state: cleared_unacked}
      - {at: 5m, rule: gas_high, level: yellow}
  - name: 迟到 / late, and beyond the range
    readings:
      - {at: 5m, gas_lel_pct: 3}
      - {at: 2m, late: 8m, gas_lel_pct: 150}
    expect:
      - {at: 9m59s, nothing: true}
      - {at: 10m, rule: gas_high, level: red, flags: [latched]}
      - {at: 10m, rule: sensor_fault, level: normal, state: cleared_unacked}
`

func TestAStoryThatHolds(t *testing.T) {
	result, set := run(t, story)
	for _, f := range result.Failures {
		t.Errorf("%s: %s\n%s", f.Place, f.What.EN, f.Timeline)
	}
	if gaps := ruletest.Coverage(set, []ruletest.Result{result}); len(gaps) > 0 {
		t.Errorf("every step came, yet these are missed: %v", gaps)
	}
}

// TestEveryWordOfAnExpectationCounts breaks the story in one word after the other.
func TestEveryWordOfAnExpectationCounts(t *testing.T) {
	for _, test := range []struct{ old, new, place, want string }{
		{"{at: 2m, nothing: true}", "{at: 3m30s, nothing: true}", "10:9", "not expected, but there is gas_high gas_lel_pct yellow"},
		{"at: 3m, rule: gas_high, level: yellow", "at: 2m, rule: gas_high, level: yellow", "11:9", "found normal"},
		{"level: red, title", "level: yellow, title", "12:9", "expected 6m gas_high gas_lel_pct yellow 浓度高, found gas_high gas_lel_pct red active_unacked value 60%LEL limit 50%LEL"},
		{"value: 25", "value: 26", "11:9", "value 26"},
		{"limit: 20,", "limit: 15,", "11:9", "limit 15"},
		{"level: yellow, value: 25, limit: 20, state: active_unacked", "level: yellow, state: cleared_unacked", "11:9", "cleared_unacked, found"},
		{"title: 浓度高", "title: 浓度低", "12:9", "浓度低, found"},
		{"flags: [latched]", "flags: [unverified]", "14:9", "unverified, found"},
		{"rule: hot, not_armed: true", "rule: gas_high, not_armed: true", "15:9", "expected rule gas_high not to be armed"},
		{"rule: hot, field: temp_2_c", "rule: hot, field: temp_1_c", "24:9", "found normal"},
		{"      - {at: 1m59s, rule: gas_high, level: yellow}\n", "", "22:9", "not expected, but there is gas_high"},
		{"params: {hot_c: 60, low", "params: {low", "23:9", "not armed: set hot_c"},
		{"rule: sensor_fault, level: normal, state: cleared_unacked", "rule: sensor_fault, level: fault", "35:9", "found sensor_fault"},
	} {
		text := strings.Replace(story, test.old, test.new, 1)
		if text == story {
			t.Fatalf("%q is not in the story", test.old)
		}
		result, _ := run(t, text)
		found := false
		for _, f := range result.Failures {
			found = found || f.Place == "gas_test.yaml:"+test.place && strings.Contains(f.What.EN, test.want) && f.What.ZH != ""
		}
		if !found {
			t.Errorf("%s → %s: want %s: …%s…, got %+v", test.old, test.new, test.place, test.want, result.Failures)
		}
	}
}

func TestATimelineTellsWhatHappened(t *testing.T) {
	result, _ := run(t, `
kind: gas
tests:
  - name: leak
    readings:
      - {from: 0s, to: 9m, every: 1m, gas_lel_pct: 1..10}
      - {at: 10m, gas_lel_pct: 60}
    expect:
      - {at: 10m, rule: gas_high, level: yellow}
`)
	want := strings.Join([]string{
		"         0s  gas_lel_pct 1",
		"          …  9 ×",
		"        10m  gas_lel_pct 60",
		"        10m    → raised: gas_high gas_lel_pct red active_unacked value 60%LEL limit 50%LEL",
		">       10m  ?",
		"  ▁▁▁▁▁▂▂▂▂▂█",
		"  gas_lel_pct 1 … 60",
	}, "\n")
	if len(result.Failures) != 1 || strings.TrimSpace(result.Failures[0].Timeline) != strings.TrimSpace(want) {
		t.Errorf("got %+v, want\n%s", result.Failures, want)
	}
}

func TestMistakesHaveAPlaceAndARemedy(t *testing.T) {
	const head = "kind: gas\ntests:\n  - name: leak\n"
	for text, want := range map[string]string{
		"kind: gsa\ntests: []\n": `1:7: unknown kind "gsa", did you mean "gas"?`,
		"kind: gas\ntests: []\n": `2:8: want at least one test`,
		"kind: gas\ntests:\n  - readings: [{at: 0s, gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n": `3:5: want name`,
		head + "    readings: []\n": `want expect`,
		head + "    readings: [{at: 0s}]\n    expect: [{at: 0s, nothing: true}]\n":                                           `want at least one field`,
		head + "    readings: [{at: 0s, gas_lel_ptc: 1}]\n    expect: [{at: 0s, nothing: true}]\n":                           `4:38: kind gas has no field "gas_lel_ptc", did you mean "gas_lel_pct"?`,
		head + "    readings: [{at: soon, gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n":                         `4:21: soon: want a time from the start`,
		head + "    readings: [{at: 0s, to: 5m, gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n":                   `to and every belong to from`,
		head + "    readings: [{from: 0s, to: 5m, gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n":                 `want every`,
		head + "    readings: [{gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n":                                   `want either at`,
		head + "    readings: [{from: 9m, to: 5m, every: 1m, gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n":      `comes before from`,
		head + "    readings: [{from: 0s, to: 2m, every: 1m, gas_lel_pct: [1, 2]}]\n    expect: [{at: 0s, nothing: true}]\n": `2 values for 3 readings`,
		head + "    readings: [{from: 0s, to: 9000h, every: 1ms, gas_lel_pct: 1}]\n    expect: [{at: 0s, nothing: true}]\n":  `too many`,
		head + "    readings: [{at: 0s, gas_lel_pct: much}]\n    expect: [{at: 0s, nothing: true}]\n":                        `want a number, a ramp`,
		head + "    readings: [{at: 0s, gas_lel_pct: .nan}]\n    expect: [{at: 0s, nothing: true}]\n":                        `want a number`,
		head + "    expect: [{at: 0s, nothing: true, rule: gas_high}]\n":                                                     `nothing is nothing at all`,
		head + "    expect: [{nothing: true}]\n":                                                                             `want at, the time`,
		head + "    expect: [{at: 1m, rule: gas_high}]\n":                                                                    `want one of: nothing`,
		head + "    expect: [{at: 1m, rule: gas_hihg, level: red}]\n":                                                        `there is no rule "gas_hihg" of gas, did you mean "gas_high"?`,
		head + "    expect: [{at: 1m, rule: gas_high, level: orange}]\n":                                                     `4:46: rule gas_high has no step orange`,
		head + "    expect: [{at: 1m, rule: gas_high, level: pink}]\n":                                                       `unknown level "pink"`,
		head + "    expect: [{at: 1m, rule: gas_high, field: temp_1_c, level: red}]\n":                                       `does not watch "temp_1_c"`,
		head + "    expect: [{at: 1m, rule: gas_high, level: red, state: open}]\n":                                           `unknown state "open"`,
		head + "    expect: [{at: 1m, rul: gas_high, level: red}]\n":                                                         `unknown key "rul", did you mean "rule"?`,
	} {
		kinds, set := world(t)
		_, err := ruletest.Parse("t.yaml", []byte(text), kinds, set)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "t.yaml:") {
			t.Errorf("%s\ngot %v, want …%s…", text, err, want)
		}
	}
}

func TestLoadReadsTheTestsBesideTheRules(t *testing.T) {
	kinds, set := world(t)
	dir := fstest.MapFS{"gas.yaml": {Data: []byte(gasRules)}, "gas_test.yaml": {Data: []byte(story)}}
	files, err := ruletest.Load(dir, kinds, set)
	if err != nil || len(files) != 1 || files[0].Name != "gas_test.yaml" {
		t.Errorf("loaded %v, %v", files, err)
	}
}

func ExampleCoverage() {
	kind, _ := devices.ParseKind("gas.yaml", []byte(gasKind))
	kinds := []*devices.Kind{kind}
	set, _ := rules.ParseRules("gas.yaml", []byte(gasRules), kinds)
	f, _ := ruletest.Parse("gas_test.yaml", []byte(`
kind: gas
tests:
  - name: 低报 / low alarm
    readings: [{at: 0s, gas_lel_pct: 25}]
    expect: [{at: 0s, rule: gas_high, level: yellow}]
`), kinds, set)
	for _, gap := range ruletest.Coverage(set, []ruletest.Result{f.Run()}) {
		fmt.Println(gap.Rule.ID, gap.Level)
	}
	// Output:
	// gas_high red
	// hot orange
}

func FuzzParse(f *testing.F) {
	kinds, set := world(f)
	f.Add([]byte(story))
	f.Add([]byte("kind: gas\ntests: [{name: a, readings: [{at: 0s, gas_lel_pct: 1}], expect: [{at: 0s, nothing: true}]}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if file, err := ruletest.Parse("t.yaml", text, kinds, set); err == nil && len(text) < 1000 {
			file.Run()
		}
	})
}
