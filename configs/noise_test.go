package configs_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"fengsui/configs"
	"fengsui/devices"
	"fengsui/rules"
)

// TestTheNoiseOfInstrumentsRaisesNothing: two days of a place where nothing moves,
// read by instruments as good as those in the field, from the first reading on.
func TestTheNoiseOfInstrumentsRaisesNothing(t *testing.T) {
	kinds, err := devices.LoadKinds(configs.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.LoadRules(configs.Rules(), kinds)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind, field string
		every       time.Duration
		sigma       float64
	}{
		{"slope", "gnss_dx_mm", time.Hour, 1.5},
		{"slope", "gnss_dx_mm", 5 * time.Minute, 1.5},
		{"slope", "crack_mm", time.Hour, 0.1},
		{"slope", "deep_disp_x_mm", time.Hour, 0.3},
		{"slope", "tilt_x_deg", time.Hour, 0.02},
		{"tailings_pond", "pond_level_m", 10 * time.Minute, 0.01},
		{"tailings_pond", "disp_surf_x_mm", time.Hour, 1.5},
		{"tailings_pond", "disp_surf_x_mm", 10 * time.Minute, 1.5},
		{"tailings_pond", "disp_deep_1_mm", time.Hour, 0.3},
	} {
		t.Run(fmt.Sprintf("%s every %s", c.field, c.every), func(t *testing.T) {
			for seed := range uint64(20) {
				rng := rand.New(rand.NewPCG(seed, 0))
				e, d, f := place(t, kinds, set, c.kind, c.field)
				for at := time.Duration(0); at < 48*time.Hour; at += c.every {
					r := &devices.Reading{Device: d, Time: at.Milliseconds(), Received: at.Milliseconds(), Values: []devices.Value{{Field: f, Number: 20 + c.sigma*rng.NormFloat64()}}}
					for _, change := range e.Judge(r, r.Received, nil) {
						t.Errorf("seed %d: %s is %s after %s", seed, change.Rule.ID, change.Level, at)
					}
				}
			}
		})
	}
}

// place is a device of a kind whose tilt was 20° when it was mounted.
func place(t *testing.T, kinds []*devices.Kind, set []*rules.Rule, kind, field string) (*rules.Engine, *devices.Device, *devices.Field) {
	t.Helper()
	c := devices.DeviceConfig{Site: "s", ID: "d", Kind: kind, State: devices.InService}
	if kind == "slope" {
		c.Baselines = []devices.Baseline{{Field: "tilt_x_deg", Value: 20, From: time.UnixMilli(-1)}}
	}
	reg, err := devices.NewRegistry(devices.RegistryOptions{Kinds: kinds, Sites: []*devices.Site{{ID: "s"}}, Devices: []devices.DeviceConfig{c}})
	if err != nil {
		t.Fatal(err)
	}
	d, _ := reg.Device("s", "d")
	f, ok := d.Kind.Field(field)
	if !ok {
		t.Fatalf("%s has no field %s", kind, field)
	}
	return rules.NewEngine(rules.EngineOptions{Registry: reg, Rules: set}), d, f
}
