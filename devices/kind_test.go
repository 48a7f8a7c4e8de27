package devices

import (
	"os"
	"testing"
	"testing/fstest"
	"time"
)

func kinds(t testing.TB) []*Kind {
	t.Helper()
	all, err := LoadKinds(os.DirFS("../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestShippedKinds: the kinds in configs/kinds are sound, and say of some
// numbers what a person of the field would.
func TestShippedKinds(t *testing.T) {
	byID := map[string]*Kind{}
	for _, k := range kinds(t) {
		byID[k.ID] = k
		if k.Silence < 2*k.Interval || k.Lateness <= 0 {
			t.Errorf("%s: interval %s, silence %s, lateness %s", k.ID, k.Interval, k.Silence, k.Lateness)
		}
	}
	for _, id := range []string{"electricity_meter", "electrical_fire", "combustible_gas", "tailings_pond", "slope"} {
		if byID[id] == nil {
			t.Fatalf("no kind %s", id)
		}
	}
	for _, c := range []struct {
		kind, field string
		n           float64
		want        Quality
		over        bool
	}{
		{"combustible_gas", "gas_lel_pct", 12.6, Good, false},
		{"combustible_gas", "gas_lel_pct", -5, Good, false},
		{"combustible_gas", "gas_lel_pct", 110, Good, false},
		{"combustible_gas", "gas_lel_pct", 110.1, Suspect, true},
		{"combustible_gas", "gas_lel_pct", -5.1, Bad, false},
		{"combustible_gas", "gas_lel_pct", 65535, Bad, false},
		{"combustible_gas", "gas_lel_pct", 1e9, Suspect, true},
		{"combustible_gas", "valve_state", 3, Good, false},
		{"combustible_gas", "valve_state", 4, Bad, false},
		{"combustible_gas", "valve_state", 0.5, Bad, false},
		{"electricity_meter", "voltage_a_v", 501, Bad, false},
		{"electricity_meter", "energy_import_kwh", 65535, Good, false},
		{"electrical_fire", "cable_temp_1_c", 201, Suspect, true},
		{"electrical_fire", "cable_temp_1_c", -41, Bad, false},
		{"tailings_pond", "dry_beach_m", -0.1, Suspect, true},
		{"tailings_pond", "dry_beach_m", 2001, Bad, false},
		{"tailings_pond", "phreatic_depth_m", -9999, Bad, false},
		{"slope", "gnss_dx_mm", -10001, Suspect, true},
		{"slope", "gnss_dx_mm", 10001, Suspect, true},
	} {
		f, ok := byID[c.kind].Field(c.field)
		if !ok {
			t.Fatalf("%s has no field %s", c.kind, c.field)
		}
		if q, over := f.assess(c.n); q != c.want || over != c.over {
			t.Errorf("%s %s = %v: %s, over %v; want %s, %v", c.kind, c.field, c.n, q, over, c.want, c.over)
		}
	}
}

const goodKind = `kind: gas
name: {zh: 气, en: Gas}
interval: 1m
fields:
  - name: gas_lel_pct
    title: {zh: 浓度, en: Concentration}
    unit: "%LEL"
    range: [0, 100]
    danger: high
  - name: valve_state
    title: {zh: 阀, en: Valve}
    states:
      "0": {zh: 开, en: open}
`

func TestKindDefaults(t *testing.T) {
	k, err := ParseKind("gas.yaml", []byte(goodKind))
	if err != nil {
		t.Fatal(err)
	}
	if k.Silence != 10*time.Minute || k.Lateness != 10*time.Minute {
		t.Errorf("silence %s, lateness %s", k.Silence, k.Lateness)
	}
}

// TestKindErrors: every mistake is told with its place and what to do.
func TestKindErrors(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "range:", "rnage:", `gas.yaml:8:5: unknown key "rnage", did you mean "range"?`},
		{"key of no kind", "danger: high", "colour: red", `gas.yaml:9:5: unknown key "colour", want one of: danger, max_delta, name, range, sentinels, states, title, unit`},
		{"range order", "[0, 100]", "[100, 0]", `gas.yaml:8:12: range [100, 0]: the lower end comes first`},
		{"no range", "    range: [0, 100]\n", "", `gas.yaml:5:5: field "gas_lel_pct" needs a range: what the sensor can credibly say`},
		{"infinite range", "[0, 100]", "[0, .inf]", `gas.yaml:8:12: range [0, +Inf]: both ends must be numbers`},
		{"wrong unit", `"%LEL"`, `"%"`, `gas.yaml:7:11: unit "%" does not fit the name "gas_lel_pct", whose suffix _lel_pct says "%LEL"`},
		{"unit without suffix", "gas_lel_pct", "gas", `gas.yaml:7:11: unit "%LEL": the name "gas" must end in its unit, e.g. _mm or _lel_pct`},
		{"direction", "danger: high", "danger: up", `gas.yaml:9:13: unknown direction "up", want one of: high, low, both`},
		{"twice", "valve_state", "gas_lel_pct", `gas.yaml:10:11: field "gas_lel_pct" is declared twice`},
		{"field name", "gas_lel_pct", "Gas-lel_pct", `gas.yaml:5:11: field "Gas-lel_pct": want lower-case letters, digits and _, beginning with a letter`},
		{"one language", "{zh: 浓度, en: Concentration}", "{zh: 浓度}", `gas.yaml:6:12: want a text in both languages: {zh: …, en: …}`},
		{"state", `"0":`, `"open":`, `gas.yaml:13:7: state "open": want a whole number`},
		{"states and range", "    states:", "    range: [0, 1]\n    states:", `gas.yaml:12:12: a field with states has no range: the states are what it can say`},
		{"interval", "interval: 1m", "interval: 0s", `gas.yaml:3:11: interval 0s: say how often a device speaks when nothing happens, e.g. 5m`},
		{"bad duration", "interval: 1m", "interval: soon", `gas.yaml:3:11: duration "soon": want a number with its unit, e.g. 30s, 10m or 1h30m`},
		{"number for text", "interval: 1m", "interval: 1m\nlateness: -1s", `gas.yaml:4:11: lateness -1s is negative`},
		{"silence", "interval: 1m", "interval: 1m\nsilence: 30s", `gas.yaml:4:10: silence 30s is shorter than interval 1m0s: every device would be silent`},
		{"file name", "kind: gas", "kind: oil", `gas.yaml:1:7: kind "oil" stands in the file of "gas": name the file oil.yaml`},
		{"sentinel", "danger: high", "sentinels: [.nan]", `gas.yaml:9:17: sentinel NaN: a device cannot send it, leave it out`},
		{"a jump wider than the range", "danger: high", "max_delta: {value: 101}", `gas.yaml:9:24: max_delta 101 is wider than the range 0 to 100: nothing could ever jump`},
		{"a jump of nothing", "danger: high", "max_delta: {per: 1m}", `gas.yaml:9:16: max_delta: want either value or param, how far a value may lie from the one before it`},
		{"a jump twice", "danger: high", "max_delta: {value: 5, param: rated_current_a}", `gas.yaml:9:16: max_delta: want either value or param, how far a value may lie from the one before it`},
		{"a jump downwards", "danger: high", "max_delta: {value: -5}", `gas.yaml:9:16: max_delta -5: want a number above 0`},
		{"a factor of a number", "danger: high", "max_delta: {value: 5, factor: 2}", `gas.yaml:9:35: factor is for param: write the number as value`},
		{"time backwards", "danger: high", "max_delta: {value: 5, per: -1m}", `gas.yaml:9:32: per -1m0s is negative`},
		{"states do not jump", "    states:", "    max_delta: {value: 1}\n    states:", `gas.yaml:12:16: a field with states does not jump: leave max_delta out`},
		{"syntax", "name: {zh: 气, en: Gas}", "name: {zh: 气", `gas.yaml:3:1: ',' or '}' must be specified`},
		{"key twice", "interval: 1m", "interval: 1m\ninterval: 2m", `gas.yaml:4:1: `},
		{"two documents", "interval: 1m", "interval: 1m\n---\na: 1", `gas.yaml:`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := replaceOnce(t, goodKind, c.from, c.to)
			_, err := ParseKind("gas.yaml", []byte(text))
			checkComplaint(t, err, c.want)
		})
	}
}

func TestLoadKindsReportsAll(t *testing.T) {
	dir := fstest.MapFS{
		"gas.yaml":   {Data: []byte(replaceOnce(t, goodKind, "range:", "rnage:"))},
		"empty.yaml": {Data: []byte("# nothing\n")},
		"other.txt":  {Data: []byte("{{{")},
	}
	_, err := LoadKinds(dir)
	checkComplaint(t, err, "empty.yaml:1:1: the file is empty")
	checkComplaint(t, err, `gas.yaml:8:5: unknown key "rnage", did you mean "range"?`)
}

func TestKindsShareFields(t *testing.T) {
	const shared = `fields:
  - {name: battery_v, title: {zh: 电池电压, en: Battery}, unit: V, range: [0, 60]}
  - {name: gas_lel_pct, title: {zh: 别的, en: Other}, unit: "%LEL", range: [0, 1]}
`
	dir := fstest.MapFS{
		"gas.yaml":           {Data: []byte("include: [health]\n" + goodKind)},
		"oil.yaml":           {Data: []byte("include: [health]\n" + replaceOnce(t, goodKind, "kind: gas", "kind: oil"))},
		"shared/health.yaml": {Data: []byte(shared)},
	}
	all, err := LoadKinds(dir)
	if err != nil {
		t.Fatal(err)
	}
	gas, _ := all[0].Field("battery_v")
	oil, _ := all[1].Field("battery_v")
	if gas == nil || oil == nil || gas == oil {
		t.Errorf("every kind wants a battery_v of its own: %p and %p", gas, oil)
	}
	if f, _ := all[0].Field("gas_lel_pct"); f.Range != [2]float64{0, 100} {
		t.Errorf("the kind's own field was replaced: %v", f.Range)
	}

	dir["gas.yaml"].Data = []byte("include: [helth]\n" + goodKind)
	dir["shared/health.yaml"].Data = []byte(replaceOnce(t, shared, "[0, 60]", "[60, 0]"))
	_, err = LoadKinds(dir)
	checkComplaint(t, err, `gas.yaml:1:11: there is no shared/helth.yaml beside the kinds, did you mean "health"?`)
	checkComplaint(t, err, `shared/health.yaml:2:71: range [60, 0]: the lower end comes first`)
}

func FuzzParseKind(f *testing.F) {
	f.Add([]byte(goodKind))
	for _, name := range []string{"combustible_gas", "slope"} {
		data, err := os.ReadFile("../configs/kinds/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKind("gas.yaml", data)
		if err == nil && (k.ID != "gas" || len(k.Fields) == 0 || k.Interval <= 0) {
			t.Fatalf("accepted %+v", k)
		}
	})
}
