package rules_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"fengsui/devices"
	"fengsui/rules"
)

func TestTheRulesOfTheHouse(t *testing.T) {
	kinds, err := devices.LoadKinds(os.DirFS("../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := rules.LoadRules(os.DirFS("../configs/rules"), kinds)
	if err != nil {
		t.Fatal(err)
	}
	orders := []string{"撤离", "疏散", "停产", "停工", "evacuate", "shut down"}
	for _, r := range all {
		for _, word := range orders {
			if strings.Contains(r.Advice.ZH+r.Advice.EN, word) {
				t.Errorf("rule %s: the advice gives an order: %q", r.ID, word)
			}
		}
		if r.Basis.Status == rules.Verified && strings.Contains(r.Basis.Text, "待核实") {
			t.Errorf("rule %s is verified and says that it is not: %s", r.ID, r.Basis.Text)
		}
		if len(r.Version) != 8 {
			t.Errorf("rule %s has version %q", r.ID, r.Version)
		}
	}
}

func TestComplaintsSayWhere(t *testing.T) {
	head := "kind: gas\nrules:\n  - id: gas\n    field: gas_lel_pct\n    " + strings.ReplaceAll(rulesHead, "}, ", "}\n    ") + "\n    worse: high\n"
	good := head + "    clear: {hysteresis: 1}\n    steps:\n      - {level: yellow, limit: 20}\n      - {level: red, limit: 50}\n"
	if _, err := rules.ParseRules("gas.yaml", []byte(good), testKinds(t)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown kind", "kind: gas", "kind: gaz", `gas.yaml:1:7: unknown kind "gaz", did you mean "gas"?`},
		{"unknown field", "gas_lel_pct", "gas_lell_pct", `gas.yaml:4:12: kind gas has no field "gas_lell_pct", did you mean "gas_lel_pct"?`},
		{"unknown key", "worse:", "worze:", `gas.yaml:8:5: unknown key "worze", did you mean "worse"?`},
		{"only where not", "worse:", "only: no_fan\n    unless: no_fan\n    worse:", `gas.yaml:8:11: only and unless are both no_fan: the rule would watch nothing`},
		{"unknown level", "level: red", "level: crimson", `gas.yaml:12:17: unknown level "crimson", want one of: blue, yellow, orange, red, fault`},
		{"steps out of order", "level: red", "level: blue", `gas.yaml:12:17: blue after yellow: steps go from blue to red, and fault stands alone`},
		{"limits out of order", "limit: 50", "limit: 15", `gas.yaml:12:29: the red limit 15 is not beyond the yellow limit 20`},
		{"same limit, same time", "limit: 50", "limit: 20", `gas.yaml:12:29: the red limit 20 is not beyond the yellow limit 20`},
		{"limit out of range", "limit: 50", "limit: 500", `gas.yaml:12:29: the red limit 500 lies outside what gas_lel_pct can read, -5 to 110`},
		{"can never be left", "hysteresis: 1", "hysteresis: 30", `gas.yaml:11:32: the yellow limit 20 could never be left again: it clears at -10, and gas_lel_pct reads -5 to 110`},
		{"no word about clearing", "clear: {hysteresis: 1}", "latch: true", `gas.yaml:3:5: want clear: {hysteresis: …} in the field's unit, explicitly 0 if there is none, or clear: {limit: …}`},
		{"clear without hysteresis", "{hysteresis: 1}", "{for: 1m}", `gas.yaml:9:12: want either hysteresis, explicitly 0 if there is none, or limit`},
		{"negative hysteresis", "hysteresis: 1", "hysteresis: -1", `gas.yaml:9:25: hysteresis -1: want 0 or more, in the field's unit`},
		{"gas waits for nobody", "limit: 50}", "limit: 50, for: 30s}", `gas.yaml:12:38: gas_lel_pct trips on its first sample, always: leave for out`},
		{"negative for", "limit: 50}", "limit: 50, for: -30s}", `gas.yaml:12:38: for -30s is negative`},
		{"a time without unit", "limit: 50}", "limit: 50, for: 30}", `gas.yaml:12:38: duration "30": want a number with its unit`},
		{"states without states", "limit: 50}", "is: [1]}", `gas.yaml:12:9: want limit: a number, or {param: …, default: …, factor: …, offset: …}`},
		{"no direction", "worse: high", "worse: up", `gas.yaml:8:12: worse "up": want high, low or both, the direction in which values are worse`},
		{"one language", "en: title", "en: ''", `gas.yaml:5:12: title: want a text in both languages: {zh: …, en: …}`},
		{"status", "platform_default", "certified", `unknown status "certified" of the basis, want one of: verified, unverified, platform_default, site_document`},
		{"built in", "id: gas", "id: silent", `gas.yaml:3:9: rule "silent" is built in, choose another id`},
		{"bad id", "id: gas", "id: Gas!", `gas.yaml:3:9: id "Gas!": want lower-case letters, digits and _, beginning with a letter`},
		{"factor without param", "limit: 50", "limit: {factor: 2}", `gas.yaml:12:29: want param: the name of a design value; default, factor and offset are for it`},
		{"unknown key of a limit", "limit: 50", "limit: {param: p, facter: 2}", `gas.yaml:12:48: unknown key "facter", did you mean "factor"?`},
		{"factor is no number", "limit: 50", "limit: {param: p, factor: two}", `gas.yaml:12:48: want a number`},
		{"not a limit", "limit: 50", "limit: high", `gas.yaml:12:29: want a number, or {param: …, default: …, factor: …, offset: …}`},
		{"not a number", "limit: 50", "limit: .nan", `gas.yaml:12:29: want a number, or`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			_, err := rules.ParseRules("gas.yaml", []byte(text), testKinds(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestLoadRulesSkipsTestsAndReportsEverything(t *testing.T) {
	gas := &fstest.MapFile{Data: []byte(gasRules)}
	files := fs.FS(fstest.MapFS{"gas.yaml": gas, "gas_test.yaml": {Data: []byte("tests: []")}})
	all, err := rules.LoadRules(files, testKinds(t))
	if err != nil || len(all) != 2 {
		t.Fatalf("%d rules, %v", len(all), err)
	}
	files = fstest.MapFS{"a.yaml": gas, "b.yaml": gas, "c.yaml": {Data: []byte("kind: nothing")}, "d.yaml": {Data: []byte("{")}}
	_, err = rules.LoadRules(files, testKinds(t))
	for _, want := range []string{`b.yaml: rule "gas" stands in a.yaml already`, `c.yaml:1:7: unknown kind "nothing"`, "d.yaml:1:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
}

func TestOneFileMayBeForSeveralKinds(t *testing.T) {
	const text = "kinds: [gas, pond]\nrules:\n  - {id: low, field: battery_v, worse: low, " + rulesHead + ", clear: {hysteresis: 0.1}, steps: [{level: yellow, limit: 3}]}\n"
	kinds := testKinds(t)
	_, err := rules.ParseRules("health.yaml", []byte(text), kinds)
	if err == nil || !strings.Contains(err.Error(), "kind pond has no field \"battery_v\"") {
		t.Errorf("a kind without the field: %v", err)
	}
	parsed, err := rules.ParseRules("health.yaml", []byte(strings.Replace(text, "pond", "cable2", 1)), append(kinds, &devices.Kind{ID: "cable2"}))
	if err == nil || len(parsed) != 0 {
		t.Errorf("a kind without fields: %v, %v", parsed, err)
	}
	if parsed, err = rules.ParseRules("health.yaml", []byte(strings.Replace(text, "[gas, pond]", "[gas, gass]", 1)), kinds); err == nil || !strings.Contains(err.Error(), `health.yaml:1:14: unknown kind "gass", did you mean "gas"?`) {
		t.Errorf("a typo: %v, %v", parsed, err)
	}
	if parsed, err = rules.ParseRules("health.yaml", []byte("kind: pond\n"+text), kinds); err == nil || !strings.Contains(err.Error(), "want either kind or kinds") {
		t.Errorf("both: %v, %v", parsed, err)
	}
	other, err := devices.ParseKind("other.yaml", []byte("kind: other\nname: {zh: 别, en: other}\ninterval: 1m\nfields: [{name: battery_v, title: {zh: 电池, en: battery}, unit: V, range: [0, 60]}]"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err = rules.ParseRules("health.yaml", []byte(strings.Replace(text, "pond", "other", 1)), append(kinds, other))
	if err != nil || len(parsed) != 2 || parsed[0].Kind != "gas" || parsed[1].Kind != "other" || parsed[0].ID != parsed[1].ID {
		t.Errorf("a rule for two kinds: %v, %v", parsed, err)
	}
}

func TestVersionFollowsTheText(t *testing.T) {
	w := newWorld(t)
	again := w.parse(gasRules, strings.Replace(cableRules, "limit: 60", "limit: 61", 1), pondRules)
	for i, r := range again {
		if same := r.Version == w.rules[i].Version; same != (r.ID != "cable") {
			t.Errorf("rule %s: same version %v", r.ID, same)
		}
	}
}

func FuzzParseRules(f *testing.F) {
	for _, text := range []string{gasRules, cableRules, pondRules, measuredRules, confirmRules, valve, measuredRule, expectingRule} {
		f.Add([]byte(text))
	}
	kinds := testKinds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := rules.ParseRules("rules.yaml", data, kinds)
		if err != nil {
			return
		}
		reg, err := devices.NewRegistry(devices.RegistryOptions{
			Kinds: kinds, Sites: []*devices.Site{{ID: "s"}},
			Devices: []devices.DeviceConfig{config("s", "g", "gas"), config("s", "c", "cable"), config("s", "p", "pond")},
		})
		if err != nil {
			t.Fatal(err)
		}
		rules.NewEngine(rules.EngineOptions{Registry: reg, Rules: parsed})
	})
}
