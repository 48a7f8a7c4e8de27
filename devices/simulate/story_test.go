package simulate_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/devices/simulate"
	"fengsui/rules"
)

// judged is one change of level, as the default rules see the demo's story.
type judged struct {
	at    time.Duration
	point string // kind and rule
	key   string // site/device
	level rules.Level
}

// watch plays a story to the real intake and the real rule engine, in no time.
func watch(t *testing.T, story []simulate.Scenario, lasts time.Duration) []judged {
	t.Helper()
	kinds, err := devices.LoadKinds(os.DirFS("../../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../configs/demo/devices.yaml")
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
	ruleSet, err := rules.LoadRules(os.DirFS("../../configs/rules"), kinds)
	if err != nil {
		t.Fatal(err)
	}
	county, err := simulate.NewCounty(simulate.CountyOptions{
		Devices: slices.Collect(registry.Devices()), Scenarios: story, Seed: 1, Pace: simulate.DemoPace,
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{
		t: t, county: county, silent: map[string]bool{},
		intake: devices.NewIntake(devices.IntakeOptions{Registry: registry}),
		engine: rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: ruleSet}),
		start:  time.Date(2026, 7, 1, 2, 0, 0, 0, time.UTC),
	}
	now := d.start.UnixMilli()
	d.engine.SourceUp("embedded", now, d.engine.Started(now, nil))
	for at := time.Duration(0); at <= lasts; at += time.Second / 4 {
		d.step(at)
	}
	return d.seen
}

// desk sees what a duty desk would.
type desk struct {
	t      *testing.T
	county *simulate.County
	intake *devices.Intake
	engine *rules.Engine
	start  time.Time
	silent map[string]bool
	seen   []judged
}

func (d *desk) step(at time.Duration) {
	now := d.start.Add(at).UnixMilli()
	changes := d.engine.Advance(now, nil)
	messages := d.county.Step(d.start.Add(at), nil)
	for _, device := range d.county.Breakable() {
		if silent := d.county.Silent(device); silent && !d.silent[device.Key()] {
			changes = d.engine.Offline(device, now, changes) // the broker publishes the last will
		}
		d.silent[device.Key()] = d.county.Silent(device)
	}
	for i, m := range messages {
		var decoded devices.Decoded
		var out devices.Outcome
		d.intake.Decode(devices.Incoming{Received: now, Index: i, Source: "embedded", Topic: m.Topic, Payload: m.Payload}, &decoded)
		v := d.intake.Accept(&decoded, &out)
		if v.Class != devices.Accepted || len(out.Rejections) > 0 {
			d.t.Fatalf("%v: %s %s is %v: %v", at, m.Topic, m.Payload, v.Class, out.Rejections)
		}
		changes = d.engine.Spoke(m.Device, "embedded", now, changes)
		for r := range v.Readings {
			changes = d.engine.Judge(&v.Readings[r], now, changes)
		}
	}
	for _, c := range changes {
		if c.Device != nil {
			d.seen = append(d.seen, judged{at, c.Device.Kind.ID + " " + c.Rule.ID, c.Device.Key(), c.Level})
		}
	}
}

func TestTheDutyDeskSeesTheStory(t *testing.T) {
	tests := []struct {
		point string
		level rules.Level
		from  time.Duration
		to    time.Duration
	}{
		{"combustible_gas combustible_gas_high", rules.Yellow, 4 * time.Second, 8 * time.Second},
		{"combustible_gas combustible_gas_high", rules.Red, 7 * time.Second, 13 * time.Second},
		{"tailings_pond pond_level_high", rules.Blue, 20 * time.Second, 45 * time.Second},
		{"tailings_pond pond_level_high", rules.Yellow, 30 * time.Second, 60 * time.Second},
		{"tailings_pond pond_level_high", rules.Orange, 45 * time.Second, 75 * time.Second},
		{"slope slope_tilt", rules.Blue, 25 * time.Second, 55 * time.Second},
		{"slope slope_tilt", rules.Yellow, 35 * time.Second, 70 * time.Second},
		{"slope slope_tilt", rules.Orange, 50 * time.Second, 90 * time.Second},
		{"electrical_fire cable_temperature_high", rules.Yellow, 70 * time.Second, 90 * time.Second},
		{"electrical_fire cable_temperature_high", rules.Orange, 78 * time.Second, 100 * time.Second},
		{"electrical_fire cable_temperature_high", rules.Red, 85 * time.Second, 115 * time.Second},
		{"electricity_meter silent", rules.Fault, 85 * time.Second, 95 * time.Second},
	}
	seen := watch(t, simulate.Story(), 2*time.Minute)
	for _, test := range tests {
		i := slices.IndexFunc(seen, func(j judged) bool { return j.point == test.point && j.level == test.level })
		if i < 0 {
			t.Errorf("%s never became %s; seen: %v", test.point, test.level, seen)
			continue
		}
		if at := seen[i].at; at < test.from || at > test.to {
			t.Errorf("%s became %s after %v; want between %v and %v", test.point, test.level, at, test.from, test.to)
		}
	}
	if places := placesOf(seen); len(places) != 5 {
		t.Errorf("alarms at %v; want one place for each part of the story", places)
	}
}

// placesOf lists the devices whose level was ever not normal, with the rule.
func placesOf(seen []judged) []string {
	var all []string
	for _, j := range seen {
		if place := j.key + " " + j.point; j.level != rules.Normal && !slices.Contains(all, place) {
			all = append(all, place)
		}
	}
	return all
}

// TestTheStoryGoesOnForEver holds an afternoon of the demo to its cast: alarms
// come and go, and none comes from where nothing happens.
func TestTheStoryGoesOnForEver(t *testing.T) {
	const lasts = 90 * time.Minute
	seen := watch(t, simulate.Story(), lasts)
	cast := map[string]int{}
	for _, place := range placesOf(seen) {
		_, kind, _ := strings.Cut(place, " ")
		cast[kind]++
	}
	want := map[string]int{
		"combustible_gas combustible_gas_high": 3, "tailings_pond pond_level_high": 2, "slope slope_tilt": 2,
		"electrical_fire cable_temperature_high": 3, "electricity_meter silent": 2,
	}
	if fmt.Sprint(cast) != fmt.Sprint(want) {
		t.Errorf("alarms by kind and rule: %v, want %v", cast, want)
	}
	worst, quiet := map[string]rules.Level{}, map[string]bool{}
	for _, j := range seen {
		worst[j.point] = max(worst[j.point], j.level)
		quiet[j.point] = quiet[j.point] || j.level == rules.Normal
	}
	for point := range want {
		if !quiet[point] {
			t.Errorf("%s never cleared in %v", point, lasts)
		}
	}
	for _, point := range []string{"tailings_pond pond_level_high", "slope slope_tilt"} {
		if worst[point] != rules.Orange {
			t.Errorf("%s is %s at its worst, want orange: people can still act", point, worst[point])
		}
	}
}

func TestEachScenarioAloneAlarms(t *testing.T) {
	wants := map[string]judged{
		"blocked_drain": {point: "tailings_pond pond_level_high", level: rules.Red},
		"overload":      {point: "electricity_meter current_high", level: rules.Red},
		"earth_leakage": {point: "electrical_fire residual_current_high", level: rules.Red},
	}
	for name, want := range wants {
		t.Run(name, func(t *testing.T) {
			s, err := simulate.FindScenario(name)
			if err != nil {
				t.Fatal(err)
			}
			seen := watch(t, []simulate.Scenario{s}, s.First+s.Every)
			if !slices.ContainsFunc(seen, func(j judged) bool { return j.point == want.point && j.level == want.level }) {
				t.Errorf("%s never became %s; seen: %v", want.point, want.level, seen)
			}
		})
	}
}
