package devices

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func march(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }

// TestBaseline: the newest that holds at a time counts, in whatever order they
// were written down.
func TestBaseline(t *testing.T) {
	r := county(t, DeviceConfig{Site: "pond", ID: "gnss-1", Kind: "slope", Baselines: []Baseline{
		{Field: "gnss_dx_mm", Value: 3, From: march(20)},
		{Field: "gnss_dy_mm", Value: -7, From: march(1)},
		{Field: "gnss_dx_mm", Value: 1, From: march(1)},
		{Field: "gnss_dx_mm", Value: 2, From: march(10)},
	}})
	d, _ := r.Device("pond", "gnss-1")
	for _, c := range []struct {
		field string
		at    time.Time
		want  float64
		ok    bool
	}{
		{"gnss_dx_mm", march(1).Add(-time.Millisecond), 0, false},
		{"gnss_dx_mm", march(1), 1, true},
		{"gnss_dx_mm", march(10).Add(-time.Millisecond), 1, true},
		{"gnss_dx_mm", march(10), 2, true},
		{"gnss_dx_mm", march(90), 3, true},
		{"gnss_dy_mm", march(90), -7, true},
		{"gnss_dz_mm", march(90), 0, false},
	} {
		if v, ok := d.Baseline(c.field, c.at.UnixMilli()); v != c.want || ok != c.ok {
			t.Errorf("%s at %s: got %v, %v, want %v, %v", c.field, c.at, v, ok, c.want, c.ok)
		}
	}
}

// TestBaselineIsPartOfTheDevice: it comes back from the bucket's JSON and from
// YAML, and another one gives the registry another hash.
func TestBaselineIsPartOfTheDevice(t *testing.T) {
	c := DeviceConfig{Site: "pond", ID: "gnss-1", Kind: "slope", Baselines: []Baseline{{Field: "gnss_dx_mm", Value: 1.5, From: march(1)}}}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back DeviceConfig
	if err := json.Unmarshal(data, &back); err != nil || len(back.Baselines) != 1 || back.Baselines[0] != c.Baselines[0] {
		t.Fatalf("%s became %+v (%v)", data, back, err)
	}
	f, err := ParseDevices("devices.yaml", []byte(`
sites: [{id: pond, name: {zh: 库, en: Pond}}]
devices:
  - {site: pond, id: gnss-1, kind: slope, baselines: [{field: gnss_dx_mm, value: 1.5, from: 2026-03-01T08:00:00+08:00}]}
`), kinds(t))
	if err != nil {
		t.Fatal(err)
	}
	if b := f.Devices[0].Baselines; len(b) != 1 || b[0].Value != 1.5 || !b[0].From.Equal(march(1)) {
		t.Errorf("YAML gives %+v", b)
	}
	plain := county(t, DeviceConfig{Site: "pond", ID: "gnss-1", Kind: "slope"}).Hash()
	with := county(t, c).Hash()
	c.Baselines[0].Value = 2
	if other := county(t, c).Hash(); with == plain || other == with || other == plain {
		t.Error("the hash does not tell baselines apart")
	}
}

func TestBaselineRefused(t *testing.T) {
	for want, b := range map[string][]Baseline{
		`unknown field "gnss_dx_m" of slope, did you mean "gnss_dx_mm"?`:                                      {{Field: "gnss_dx_m", From: march(1)}},
		`the baseline of gnss_dx_mm is NaN, want a number`:                                                    {{Field: "gnss_dx_mm", Value: math.NaN(), From: march(1)}},
		`the baseline of gnss_dx_mm needs the time from which it holds, e.g. from: 2026-03-01T00:00:00+08:00`: {{Field: "gnss_dx_mm"}},
		`two baselines of gnss_dx_mm hold from the same time, 2026-03-01T00:00:00Z; keep one`:                 {{Field: "gnss_dx_mm", Value: 1, From: march(1)}, {Field: "gnss_dx_mm", Value: 2, From: march(1)}},
	} {
		_, err := NewRegistry(RegistryOptions{
			Kinds: kinds(t), Sites: []*Site{{ID: "a"}},
			Devices: []DeviceConfig{{Site: "a", ID: "x", Kind: "slope", Baselines: b}},
		})
		checkComplaint(t, err, "device a/x: "+want)
	}
	_, err := ParseDevices("devices.yaml", []byte(`sites: [{id: pond, name: {zh: 库, en: Pond}}]
devices:
  - {site: pond, id: a, kind: slope, baselines: [{field: gnss_dx_mm, value: 1, from: 2026-03-01T00:00:00Z}, {field: gnss_dxx_mm, value: 1, from: 2026-03-01T00:00:00Z}]}
`), kinds(t))
	checkComplaint(t, err, `devices.yaml:3:117: device pond/a: unknown field "gnss_dxx_mm" of slope, did you mean "gnss_dx_mm"?`)
}
