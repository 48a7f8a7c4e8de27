package simulate

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
)

const demoFile = "../../configs/demo/devices.yaml"

// demoCounty reads the demo's devices as the gateway does.
func demoCounty(t *testing.T) ([]*devices.Kind, *devices.Registry) {
	t.Helper()
	kinds, err := devices.LoadKinds(os.DirFS("../../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(demoFile)
	if err != nil {
		t.Fatal(err)
	}
	file, err := devices.ParseDevices(demoFile, text, kinds)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := file.Registry(kinds)
	if err != nil {
		t.Fatal(err)
	}
	return kinds, registry
}

func TestDemoCountyIsTheOneDescribed(t *testing.T) {
	_, registry := demoCounty(t)
	type group struct {
		kind  string
		state devices.State
	}
	got := map[group]int{}
	for d := range registry.Devices() {
		got[group{d.Kind.ID, d.State}]++
		if d.State == devices.InService && (d.Interval < 2*time.Second || d.Interval > 10*time.Second) {
			t.Errorf("%s speaks every %v; the screen lives on 2 to 10 s", d.Key(), d.Interval)
		}
		for _, c := range d.Site.Contacts {
			if !strings.HasPrefix(c.Phone, "000-") {
				t.Errorf("%s: telephone number %q could be somebody's", d.Site.ID, c.Phone)
			}
		}
		if !strings.HasPrefix(d.Site.Area, "9999") {
			t.Errorf("%s: area code %q could be a real one", d.Site.ID, d.Site.Area)
		}
	}
	want := map[group]int{
		{"electricity_meter", devices.InService}: 20, {"electricity_meter", devices.Planned}: 3,
		{"combustible_gas", devices.InService}: 80, {"electrical_fire", devices.InService}: 24,
		{"tailings_pond", devices.InService}: 4, {"slope", devices.InService}: 19,
	}
	for _, kind := range []string{"electricity_meter", "combustible_gas", "electrical_fire", "tailings_pond", "slope"} {
		want[group{kind, devices.Commissioning}] = 1 // the newcomer's
	}
	for g, n := range want {
		if got[g] != n {
			t.Errorf("%d devices of kind %s are %s, want %d", got[g], g.kind, g.state, n)
		}
		delete(got, g)
	}
	if len(got) > 0 {
		t.Errorf("and there are %v", got)
	}
}

func TestDemoFileIsGenerated(t *testing.T) {
	before, err := os.ReadFile(demoFile)
	if err != nil {
		t.Fatal(err)
	}
	written := filepath.Join(t.TempDir(), "devices.yaml")
	if out, err := exec.Command("go", "run", "generate.go", written).CombinedOutput(); err != nil {
		t.Fatalf("go run generate.go: %v\n%s", err, out)
	}
	after, err := os.ReadFile(written)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("%s is not what generate.go writes: run go generate ./devices/simulate", demoFile)
	}
}

// TestDemoStaysCredible plays the demo's story through a day's worth of hours.
func TestDemoStaysCredible(t *testing.T) {
	_, registry := demoCounty(t)
	all := slices.Collect(registry.Devices())
	played := map[string]bool{}
	for hour := 0; hour < 24; hour += 3 {
		c, err := NewCounty(CountyOptions{Devices: all, Scenarios: Story(), Seed: uint64(hour), Pace: DemoPace})
		if err != nil {
			t.Fatal(err)
		}
		begin := noon.Add(time.Duration(hour) * time.Hour)
		c.Step(begin, nil)
		for at := time.Second; at <= 4*time.Minute; at += time.Second {
			for _, m := range c.Step(begin.Add(at), nil) {
				played[m.Device.Key()] = true
				checkRanges(t, m)
			}
		}
	}
	for _, d := range all {
		if played[d.Key()] != (d.State == devices.InService) {
			t.Errorf("%s is %s and spoke: %v", d.Key(), d.State, played[d.Key()])
		}
	}
}

// checkRanges holds a message to the fields of its kind.
func checkRanges(t *testing.T, m Message) {
	t.Helper()
	all, _ := decode(t, m.Payload)
	for _, reading := range all {
		for name, v := range reading.Values {
			f, ok := m.Device.Kind.Field(name)
			switch {
			case !ok:
				t.Fatalf("%s: kind %s has no field %s", m.Topic, m.Device.Kind.ID, name)
			case len(f.States) > 0:
				if v != math.Trunc(v) || f.States[stateCode(v)] == (devices.Text{}) {
					t.Fatalf("%s: %s is %v, which is none of its states", m.Topic, name, v)
				}
			case v < f.Range[0] || v > f.Range[1] || slices.Contains(f.Sentinels, v):
				t.Fatalf("%s: %s is %v, outside %v or a sentinel", m.Topic, name, v, f.Range)
			}
		}
	}
}

func stateCode(v float64) string { return string(rune('0' + int(v))) }

// TestOnlyTheStoryAlarms holds a county in which nothing happens to the limits
// that would wake somebody.
func TestOnlyTheStoryAlarms(t *testing.T) {
	_, registry := demoCounty(t)
	most := map[string]float64{
		"gas_lel_pct": 3, "residual_current_ma": 200,
		"cable_temp_1_c": 50, "cable_temp_2_c": 50, "cable_temp_3_c": 50, "cable_temp_4_c": 50, "ambient_temp_c": 45,
		"voltage_a_v": 233, "voltage_b_v": 233, "voltage_c_v": 233, "frequency_hz": 50.1,
		"tilt_x_deg": 0.2, "tilt_y_deg": 0.2, "crack_mm": 20, "rain_24h_mm": 0,
	}
	least := map[string]float64{
		"voltage_a_v": 205, "voltage_b_v": 205, "voltage_c_v": 205, "frequency_hz": 49.9, "power_factor": 0.87,
		"freeboard_m": 0.9, "dry_beach_m": 90, "phreatic_depth_m": 8.5, "battery_v": 3.24, "rssi_dbm": -105,
	}
	quiet := slices.Collect(registry.Devices())
	for hour := range 24 {
		c, err := NewCounty(CountyOptions{Devices: quiet, Seed: uint64(hour), Pace: DemoPace})
		if err != nil {
			t.Fatal(err)
		}
		begin := noon.Add(time.Duration(hour) * time.Hour)
		c.Step(begin, nil)
		c.Step(begin.Add(4*time.Minute), nil)
		for _, m := range c.Step(begin.Add(5*time.Minute), nil) {
			all, _ := decode(t, m.Payload)
			for name, v := range all[0].Values {
				limit := math.Inf(1)
				if rated, ok := m.Device.Param("rated_current_a"); ok && strings.HasPrefix(name, "current_") {
					limit = 0.76 * rated
				} else if name == "pond_level_m" {
					control, _ := m.Device.Param("production_level_m")
					limit = control - 0.4
				} else if high, ok := most[name]; ok {
					limit = high
				}
				low, bounded := least[name]
				if v > limit || bounded && v < low {
					t.Errorf("%s at %v: %s is %v though nothing happened", m.Topic, begin, name, v)
				}
			}
		}
	}
}
