package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// kinds for tests: a gas detector, a cable thermometer with slow limits, a pond
// whose limits are design values.
func testKinds(t testing.TB) []*devices.Kind {
	t.Helper()
	var kinds []*devices.Kind
	for name, text := range map[string]string{"gas": `
kind: gas
name: {zh: 燃气, en: gas}
interval: 1m
lateness: 10m
fields:
  - {name: gas_lel_pct, title: {zh: 浓度, en: gas}, unit: "%LEL", range: [-5, 110], danger: high}
  - {name: battery_v, title: {zh: 电池, en: battery}, unit: V, range: [0, 60]}
  - name: detector_state
    title: {zh: 状态, en: state}
    states: {"0": {zh: 正常, en: ok}, "1": {zh: 预热, en: warm-up}, "2": {zh: 低报, en: low}, "3": {zh: 高报, en: high}, "4": {zh: 故障, en: fault}, "5": {zh: 消音, en: mute}}
  - name: valve_state
    title: {zh: 阀门, en: valve}
    states: {"0": {zh: 开, en: open}, "1": {zh: 关, en: closed}, "2": {zh: 故障, en: fault}}
`, "air": `
kind: air
name: {zh: 空气, en: air}
interval: 1m
fields:
  - {name: co_ppm, title: {zh: 一氧化碳, en: CO}, unit: ppm, range: [0, 1000], danger: high, max_delta: {value: 100}}
`, "cable": `
kind: cable
name: {zh: 线缆, en: cable}
interval: 1m
lateness: 10m
fields:
  - {name: cable_temp_1_c, title: {zh: 温度, en: temperature}, unit: "°C", range: [-40, 200], danger: high}
  - {name: cable_temp_2_c, title: {zh: 温度, en: temperature}, unit: "°C", range: [-40, 200], danger: high}
`, "pond": `
kind: pond
name: {zh: 尾矿库, en: pond}
interval: 10m
lateness: 1h
fields:
  - {name: pond_level_m, title: {zh: 水位, en: level}, unit: m, range: [0, 1000], danger: high}
  - {name: dry_beach_m, title: {zh: 干滩, en: beach}, unit: m, range: [0, 2000], danger: low}
`, "slope": `
kind: slope
name: {zh: 边坡, en: slope}
interval: 1h
silence: 100h
fields:
  - {name: tilt_x_deg, title: {zh: 倾角, en: tilt}, unit: °, range: [-90, 90], danger: both}
  - {name: gnss_dx_mm, title: {zh: 位移, en: displacement}, unit: mm, range: [-10000, 10000], danger: both}
  - {name: rain_5min_mm, title: {zh: 雨量, en: rain}, unit: mm, range: [0, 50], danger: high}
  - {name: rain_total_mm, title: {zh: 累计雨量, en: rain in all}, unit: mm, range: [0, 100000]}
`} {
		k, err := devices.ParseKind(name+".yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, k)
	}
	return kinds
}

const rulesHead = `title: {zh: 标题, en: title}, advice: {zh: 按本单位处置方案执行, en: as the site's plan says}, basis: {text: default, status: platform_default}`

const gasRules = `
kind: gas
rules:
  - {id: gas, field: gas_lel_pct, worse: high, latch: true, ` + rulesHead + `, clear: {limit: 10, for: 5m}, steps: [{level: yellow, limit: 20}, {level: red, limit: 50}]}
  - {id: detector, field: detector_state, ` + rulesHead + `, hold: [4, 5], steps: [{level: yellow, is: [2]}, {level: red, is: [3]}]}
`

const cableRules = `
kind: cable
rules:
  - {id: cable, field: cable_temp_1_c, worse: high, ` + rulesHead + `, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 60, for: 1m}, {level: orange, limit: 70, for: 1m}, {level: red, limit: 80, for: 30s}]}
`

const pondRules = `
kind: pond
rules:
  - {id: beach, field: dry_beach_m, worse: low, ` + rulesHead + `, clear: {hysteresis: 2}, steps: [{level: orange, limit: {param: min_dry_beach_m, factor: 1.2}}, {level: red, limit: {param: min_dry_beach_m}}]}
`

// world is an engine with its devices and its clock.
type world struct {
	t       testing.TB
	kinds   []*devices.Kind
	config  devices.RegistryOptions
	reg     *devices.Registry
	rules   []*rules.Rule
	engine  *rules.Engine
	now     int64
	changes []rules.Change
}

const start = int64(1_782_541_920_000)

func newWorld(t testing.TB, config ...devices.DeviceConfig) *world {
	t.Helper()
	w := &world{t: t, kinds: testKinds(t), now: start}
	w.config = devices.RegistryOptions{Kinds: w.kinds, Devices: config}
	for _, site := range []string{"east", "west"} {
		w.config.Sites = append(w.config.Sites, &devices.Site{ID: site, Name: devices.Text{ZH: site, EN: site}})
	}
	w.rules = w.parse(gasRules, cableRules, pondRules)
	w.reg = w.registry()
	w.engine = rules.NewEngine(w.options())
	w.boot()
	return w
}

func (w *world) options() rules.EngineOptions {
	return rules.EngineOptions{Registry: w.reg, Rules: w.rules}
}

func (w *world) parse(texts ...string) (out []*rules.Rule) {
	w.t.Helper()
	for _, text := range texts {
		r, err := rules.ParseRules("rules.yaml", []byte(text), w.kinds)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r...)
	}
	return out
}

func (w *world) registry() *devices.Registry {
	w.t.Helper()
	reg, err := devices.NewRegistry(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return reg
}

func (w *world) boot() {
	w.changes = w.engine.Advance(w.now, w.changes)
	w.changes = w.engine.Started(w.now, w.changes)
	w.changes = w.engine.SourceUp("embedded", w.now, w.changes)
}

// after lets time go on in steps of a second, as the judge does.
func (w *world) after(d time.Duration) *world {
	for end := w.now + d.Milliseconds(); w.now < end; {
		w.now = min(w.now+1000, end)
		w.changes = w.engine.Advance(w.now, w.changes)
	}
	return w
}

func (w *world) device(key string) *devices.Device {
	w.t.Helper()
	d, ok := w.reg.DeviceByKey(key)
	if !ok {
		w.t.Fatalf("no device %s", key)
	}
	return d
}

// reading is what the device measures now.
func (w *world) reading(key, field string, number float64) *devices.Reading {
	w.t.Helper()
	d := w.device(key)
	f, ok := d.Kind.Field(field)
	if !ok {
		w.t.Fatalf("no field %s", field)
	}
	return &devices.Reading{Device: d, Time: w.now, Received: w.now, Values: []devices.Value{{Field: f, Number: number}}}
}

func (w *world) judge(r *devices.Reading) *world {
	w.changes = w.engine.Spoke(r.Device, "embedded", w.now, w.changes)
	w.changes = w.engine.Judge(r, w.now, w.changes)
	return w
}

func (w *world) see(key, field string, number float64) *world {
	w.t.Helper()
	return w.judge(w.reading(key, field, number))
}

// told lists the changes since the last call, one a line.
func (w *world) told() string {
	out := shown(w.changes)
	w.changes = nil
	return out
}

func (w *world) levels() string { return shown(w.engine.Levels(nil)) }

func shown(changes []rules.Change) string {
	lines := make([]string, len(changes))
	for i, c := range changes {
		where := c.Source
		if c.Site != nil {
			where = c.Site.ID
		}
		if c.Device != nil {
			where = c.Device.Key()
		}
		if c.Field != nil {
			where += " " + c.Field.Name
		}
		lines[i] = fmt.Sprintf("%s %s %s", c.Rule.ID, where, c.Level)
		if c.Field != nil {
			lines[i] += fmt.Sprintf(" %v", c.Value)
		}
		if c.Unverified {
			lines[i] += " unverified"
		}
		if c.Backfill {
			lines[i] += " backfill"
		}
		if c.Suppressed {
			lines[i] += " suppressed"
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) expect(want ...string) *world {
	w.t.Helper()
	if got, want := w.told(), strings.Join(want, "\n"); got != want {
		w.t.Fatalf("told:\n%s\nwant:\n%s", got, want)
	}
	return w
}

func gas(site, id string) devices.DeviceConfig { return config(site, id, "gas") }

func config(site, id, kind string) devices.DeviceConfig {
	return devices.DeviceConfig{Site: site, ID: id, Kind: kind, State: devices.InService}
}
