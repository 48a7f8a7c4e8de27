package devices

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// county is a small registry to test against.
func county(t testing.TB, extra ...DeviceConfig) *Registry {
	t.Helper()
	r, err := NewRegistry(RegistryOptions{
		Kinds: kinds(t),
		Sites: []*Site{
			{ID: "pond", Name: Text{ZH: "库", EN: "Pond"}, Area: "371324", Params: map[string]float64{"crest_elev_m": 186}},
			{ID: "canteen", Name: Text{ZH: "店", EN: "Canteen"}},
		},
		Devices: append([]DeviceConfig{
			{Site: "pond", ID: "dam-1", Kind: "tailings_pond", State: InService},
			{Site: "canteen", ID: "gas-1", Kind: "combustible_gas", State: InService},
			{Site: "canteen", ID: "gas-2", Kind: "combustible_gas", State: Planned},
			{Site: "canteen", ID: "gas-3", Kind: "combustible_gas", State: OutOfService},
			{Site: "canteen", ID: "gas-4", Kind: "combustible_gas", State: Retired},
			{Site: "canteen", ID: "gas-5", Kind: "combustible_gas", State: Commissioning},
		}, extra...),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRegistryFinds(t *testing.T) {
	r := county(t)
	d, ok := r.Device("canteen", "gas-1")
	if !ok || d.Key() != "canteen/gas-1" || d.Kind.ID != "combustible_gas" || d.Name.EN != "gas-1" {
		t.Fatalf("got %+v", d)
	}
	for _, key := range []string{"canteen/gas-9", "canteen/", "/gas-1", "canteen", "pond/gas-1", ""} {
		if d, ok := r.DeviceByKey(key); ok {
			t.Errorf("%q gives %s", key, d.Key())
		}
	}
	var keys []string
	for d := range r.Devices() {
		keys = append(keys, d.Key())
	}
	if !slices.IsSorted(keys) || len(keys) != 6 || r.Len() != 6 {
		t.Errorf("devices are %v", keys)
	}
	keys = nil
	for s := range r.Sites() {
		keys = append(keys, s.ID)
	}
	if !slices.Equal(keys, []string{"canteen", "pond"}) {
		t.Errorf("sites are %v", keys)
	}
	if n := len(slices.Collect(r.DevicesOf("canteen"))); n != 5 {
		t.Errorf("the canteen has %d devices", n)
	}
	if d, _ := r.Device("pond", "dam-1"); d.Param0("crest_elev_m") != 186 {
		t.Error("a site's parameter is not found at its device")
	}
}

// Param0 is the parameter, or 0.
func (d *Device) Param0(name string) float64 {
	v, _ := d.Param(name)
	return v
}

// TestRegistryRefuses: all that is wrong is told at once.
func TestRegistryRefuses(t *testing.T) {
	_, err := NewRegistry(RegistryOptions{
		Kinds: kinds(t),
		Sites: []*Site{{ID: "a"}, {ID: "a"}, {ID: "devices"}, {ID: "gateway"}, {ID: "has space"}},
		Devices: []DeviceConfig{
			{Site: "a", ID: "x", Kind: "slope"},
			{Site: "a", ID: "x", Kind: "slope"},
			{Site: "a", ID: "y", Kind: "slpoe"},
			{Site: "aa", ID: "z", Kind: "slope"},
			{Site: "a", ID: "w", Kind: "slope", State: "broken"},
			{Site: "a", ID: "v", Kind: "slope", Interval: -1},
			{Site: "a", ID: "ü", Kind: "slope"},
		},
	})
	for _, want := range []string{
		`site "a" is registered twice`,
		`site id "devices" is taken by a foreign topic format, choose another`,
		`site id "gateway" is taken by a foreign topic format, choose another`,
		`site id "has space": want 1 to 64 of A–Z, a–z, 0–9, '.', '_' and '-'`,
		`device a/x is registered twice`,
		`device a/y: unknown kind "slpoe", did you mean "slope"?`,
		`device aa/z: unknown site "aa"`,
		`device a/w: unknown state "broken", want one of: planned, commissioning, in_service, out_of_service, retired`,
		`device a/v: interval -1ns is negative`,
		`device a/ü: id "ü": want 1 to 64 of A–Z, a–z, 0–9, '.', '_' and '-'`,
	} {
		checkComplaint(t, err, want)
	}
}

// TestRegistryHash: the hash tells content, not order.
func TestRegistryHash(t *testing.T) {
	o := RegistryOptions{Kinds: kinds(t)}
	for _, id := range []string{"a", "b", "c", "d"} {
		o.Sites = append(o.Sites, &Site{ID: id, Params: map[string]float64{"x": 1, "y": 2, "z": 3}})
		o.Devices = append(o.Devices, DeviceConfig{Site: id, ID: "1", Kind: "slope"}, DeviceConfig{Site: id, ID: "2", Kind: "slope"})
	}
	hash := func() string {
		r, err := NewRegistry(o)
		if err != nil {
			t.Fatal(err)
		}
		return r.Hash()
	}
	first := hash()
	for range 10 {
		rand.Shuffle(len(o.Kinds), func(i, j int) { o.Kinds[i], o.Kinds[j] = o.Kinds[j], o.Kinds[i] })
		rand.Shuffle(len(o.Sites), func(i, j int) { o.Sites[i], o.Sites[j] = o.Sites[j], o.Sites[i] })
		rand.Shuffle(len(o.Devices), func(i, j int) { o.Devices[i], o.Devices[j] = o.Devices[j], o.Devices[i] })
		if hash() != first {
			t.Fatal("another order gives another hash")
		}
	}
	o.Devices[3].State = Retired
	second := hash()
	o.Sites[0].Area = "1"
	if third := hash(); second == first || third == first || third == second {
		t.Error("other contents give the same hash")
	}
}

// TestDeviceConfigRoundTrip: what goes into the bucket comes out of it.
func TestDeviceConfigRoundTrip(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) Text {
		return Text{ZH: rapid.String().Draw(t, "zh"), EN: rapid.String().Draw(t, "en")}
	})
	params := rapid.MapOfN(rapid.StringMatching(`[a-z_]{1,9}`), rapid.Float64Range(-1e6, 1e6), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		c := DeviceConfig{
			Site: "s", ID: "d", Kind: "slope",
			Name:     text.Draw(t, "name"),
			State:    rapid.SampledFrom(States[:]).Draw(t, "state"),
			Interval: Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "interval")),
			Params:   params.Draw(t, "params"),
		}
		if rapid.Bool().Draw(t, "has since") {
			c.Since = time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "since")).UTC()
		}
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back DeviceConfig
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(data) || !back.Since.Equal(c.Since) {
			t.Fatalf("%s became %s (%v)", data, again, err)
		}
	})
}

func TestParseDevices(t *testing.T) {
	hash, err := HashPassword("secret")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseDevices("devices.yaml", []byte(`
sites:
  - id: pond-1
    name: {zh: 库, en: Pond}
    area: "371324"
    params: {crest_elev_m: 186}
    contacts: [{role: enterprise, name: 值班室, phone: "1"}]
    advice: {zh: 看, en: Look}
    password_hash: `+hash+`
devices:
  - {site: pond-1, id: a, kind: tailings_pond, name: {zh: 坝, en: Dam}, state: planned, since: 2026-03-01T08:00:00+08:00, interval: 90s, params: {crest_elev_m: 1}}
  - site: pond-1
    id: b
    kind: slope
    password_hash: `+hash+`
`), kinds(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Registry(kinds(t))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := r.Device("pond-1", "a")
	if a.State != Planned || a.Interval != 90*time.Second || !a.Since.Equal(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) || a.Param0("crest_elev_m") != 1 || a.Name.EN != "Dam" {
		t.Errorf("got %+v", a)
	}
	b, _ := r.Device("pond-1", "b")
	if b.State != InService || b.Site.Advice.EN != "Look" || b.Site.Contacts[0].Phone != "1" {
		t.Errorf("got %+v", b)
	}
	if len(f.Credentials) != 2 || f.Credentials[0] != (Credential{User: "pond-1", Hash: hash, Site: "pond-1"}) ||
		f.Credentials[1] != (Credential{User: "pond-1/b", Hash: hash, Site: "pond-1", Device: "b"}) {
		t.Errorf("credentials are %+v", f.Credentials)
	}
}

func TestParseDevicesErrors(t *testing.T) {
	_, err := ParseDevices("devices.yaml", []byte(`sites:
  - id: pond-1
    name: {zh: 库, en: Pond}
  - id: pond-1
    name: {zh: 库}
  - id: gateway
    name: {zh: 库, en: Pond}
    params: {x: .inf}
    password_hash: plain
devices:
  - {site: pond-2, id: a, kind: slope}
  - {site: pond-1, id: "a b", kind: slope}
  - {site: pond-1, id: b, kind: slop}
  - {site: pond-1, id: c, kind: slope, state: planed}
  - {site: pond-1, id: d, kind: slope, password_hash: "$2a$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
  - {site: pond-1, id: d, kind: slope}
  - {site: pond-1, id: e, kind: slope, params: {x: .nan}}
`), kinds(t))
	for _, want := range []string{
		`devices.yaml:4:9: site "pond-1" is registered twice`,
		`devices.yaml:5:11: site "pond-1": want a name in both languages: {zh: …, en: …}`,
		`devices.yaml:6:9: site id "gateway" is taken by a foreign topic format, choose another`,
		`devices.yaml:9:20: this is no bcrypt hash; make one with: fengsui device add`,
		`devices.yaml:11:12: device pond-2/a: unknown site "pond-2", did you mean "pond-1"?`,
		`devices.yaml:12:24: device pond-1/a b: id "a b": want 1 to 64 of A–Z, a–z, 0–9, '.', '_' and '-'`,
		`devices.yaml:13:33: device pond-1/b: unknown kind "slop", did you mean "slope"?`,
		`devices.yaml:14:47: device pond-1/c: unknown state "planed", want one of: planned, commissioning, in_service, out_of_service, retired`,
		`devices.yaml:15:55: a hash of cost 31 would keep the gateway busy at every connect, at most 14 is accepted`,
		`devices.yaml:16:24: device pond-1/d is registered twice`,
		`devices.yaml:17:52: device pond-1/e: parameter x is NaN, want a number`,
	} {
		checkComplaint(t, err, want)
	}
	for text, want := range map[string]string{
		"device: []":                              `devices.yaml:1:1: unknown key "device", did you mean "devices"?`,
		"sites:\n  - {id: a, nmae: {zh: a}}":      `devices.yaml:2:13: unknown key "nmae", did you mean "name"?`,
		"sites:\n  - {id: a, contacts: [{r: 1}]}": `devices.yaml:2:25: unknown key "r", want one of: name, phone, role`,
		"devices:\n  - {id: a, interval: 5}":      `devices.yaml:2:23: duration "5": want a number with its unit, e.g. 30s, 10m or 1h30m`,
		"devices: 7":                              `devices.yaml:1:10: `,
		"sites: {a: b}":                           `devices.yaml:1:8: `,
	} {
		_, err := ParseDevices("devices.yaml", []byte(text), kinds(t))
		checkComplaint(t, err, want)
	}
}

// TestShippedDevices: the example, and the demo's county, are sound.
func TestShippedDevices(t *testing.T) {
	for _, name := range []string{"../configs/devices.yaml", "../configs/demo/devices.yaml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := ParseDevices(name, data, kinds(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Registry(kinds(t)); err != nil {
			t.Fatal(err)
		}
		if len(f.Credentials) > 0 {
			t.Errorf("%s ships a password", name)
		}
	}
}

func FuzzParseDevices(f *testing.F) {
	data, err := os.ReadFile("../configs/devices.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("sites: &a\n  - *a"))
	f.Add([]byte("devices:\n  - <<: {id: a}\n    site: b"))
	all := kinds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseDevices("devices.yaml", data, all)
		if err != nil {
			return
		}
		if _, err := file.Registry(all); err != nil {
			t.Fatalf("the file was accepted, its registry not: %v", err)
		}
	})
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "Z": true, "0": true, "a.b-C_9": true, ".": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a/b": false, "a+": false, "#": false, "ä": false, "@": false, "[": false, "`": false, "{": false, "\x00": false, ":": false,
	} {
		if ValidID(id) != want {
			t.Errorf("%q: got %v", id, !want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"gas_lel_pct", "gas_vol_pct", "valve_state", "fan_on", "name", "range"}
	for word, want := range map[string]string{
		"gas_lell_pct": "gas_lel_pct", "gas_lel_pc": "gas_lel_pct", "gaslelpct": "gas_lel_pct", "rnage": "range",
		"fan_no": "fan_on", "valvestate": "valve_state", "x": "", "": "", "temperature": "", "nam": "name",
		"gas_lel": "gas_lel_pct", "valve": "valve_state", "gas": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.StringN(0, 12, -1).Draw(t, "a"), rapid.StringN(0, 12, -1).Draw(t, "b"), rapid.StringN(0, 12, -1).Draw(t, "c")
		if distance(a, b) != distance(b, a) || (distance(a, b) == 0) != (a == b) || distance(a, b) > max(len(a), len(b)) || distance(a, a+c) != len(c) {
			t.Fatalf("distance of %q and %q is %d", a, b, distance(a, b))
		}
	})
}
