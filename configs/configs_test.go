package configs_test

import (
	"testing"

	"fengsui/configs"
	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/ruletest"
)

// TestShippedRules runs the tests that lie beside the rules: each holds, and
// every level of every rule is expected by one.
func TestShippedRules(t *testing.T) {
	kinds, err := devices.LoadKinds(configs.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.LoadRules(configs.Rules(), kinds)
	if err != nil {
		t.Fatal(err)
	}
	files, err := ruletest.Load(configs.Rules(), kinds, set)
	if err != nil {
		t.Fatal(err)
	}
	var results []ruletest.Result
	for _, f := range files {
		r := f.Run()
		results = append(results, r)
		for _, x := range r.Failures {
			t.Errorf("%s: %s: %s\n%s", x.Place, x.Test, x.What.EN, x.Timeline)
		}
	}
	for _, g := range ruletest.Coverage(set, results) {
		t.Errorf("no test expects rule %s to come to %s", g.Rule.ID, g.Level)
	}
}

// TestEverythingIsArmedInTheDemo: somebody who sees it for the first time is not
// to wonder what is missing.
func TestEverythingIsArmedInTheDemo(t *testing.T) {
	kinds, err := devices.LoadKinds(configs.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.LoadRules(configs.Rules(), kinds)
	if err != nil {
		t.Fatal(err)
	}
	text, err := configs.DemoDevices()
	if err != nil {
		t.Fatal(err)
	}
	file, err := devices.ParseDevices("devices.yaml", text, kinds)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := file.Registry(kinds)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: set}).Unarmed() {
		t.Error(u)
	}
}
