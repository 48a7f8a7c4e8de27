package rules_test

import (
	"fmt"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// A gas reading on its way: what it means, and what it becomes.
func Example() {
	kind, err := devices.ParseKind("gas.yaml", []byte(`
kind: gas
name: {zh: 燃气, en: gas}
interval: 1m
fields: [{name: gas_lel_pct, title: {zh: 浓度, en: gas}, unit: "%LEL", range: [-5, 110], danger: high}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	all, err := rules.ParseRules("rules.yaml", []byte(`
kind: gas
rules:
  - id: gas_high
    field: gas_lel_pct
    title: {zh: 可燃气体浓度高, en: Gas high}
    advice: {zh: 按本单位处置方案执行, en: Follow the site's own response plan}
    basis: {text: GB/T 50493-2019 §5.5.2, status: verified}
    worse: high
    steps: [{level: yellow, limit: 20}, {level: red, limit: 50}]
    clear: {limit: 10}`), []*devices.Kind{kind})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry, err := devices.NewRegistry(devices.RegistryOptions{
		Kinds:   []*devices.Kind{kind},
		Sites:   []*devices.Site{{ID: "kitchen"}},
		Devices: []devices.DeviceConfig{{Site: "kitchen", ID: "gas-01", Kind: "gas", State: devices.InService}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	engine := rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: all})
	book := alarms.NewBook()

	device, _ := registry.Device("kitchen", "gas-01")
	for i, number := range []float64{3, 24, 61, 61, 4} {
		now := int64(1_782_541_920_000 + i*60_000)
		changes := engine.Advance(now, nil)
		changes = engine.Judge(&devices.Reading{
			Device: device, Time: now, Received: now,
			Values: []devices.Value{{Field: kind.Fields[0], Number: number}},
		}, now, changes)
		for _, e := range book.Apply(changes, alarms.Cause{Position: uint64(i + 1), Clock: now}) {
			fmt.Println(number, e.Type, e.Alarm.Level, e.Alarm.State)
		}
	}
	// Output:
	// 24 raised yellow active_unacked
	// 61 level_up red active_unacked
	// 4 cleared normal cleared_unacked
}
