package rules_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/devices"
	"fengsui/rules"
)

// propertyWorld has a point of every sort: at once with a slow clearing, slow
// with three steps, states, low is worse, everything that is measured, confirmed
// or expected, and one without a rule.
func propertyWorld(t testing.TB) *world {
	pond, slope := config("west", "p1", "pond"), config("west", "s1", "slope")
	pond.Params = map[string]float64{"min_dry_beach_m": 100}
	slope.Baselines = []devices.Baseline{{Field: "tilt_x_deg", Value: 1, From: time.UnixMilli(start)}, {Field: "tilt_x_deg", Value: 2.5, From: time.UnixMilli(start).Add(20 * time.Minute)}}
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"), config("east", "c1", "cable"), pond, slope)
	w.rules = append(w.rules, w.parse(valve, measuredRules, confirmRules)...)
	w.reg = w.registry()
	w.engine = rules.NewEngine(w.options())
	w.boot()
	return w
}

const measuredRules = `
kind: slope
rules:
  - {id: rain, field: rain_5min_mm, measure: {sum: {over: 20m}}, worse: high, ` + rulesHead + `, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 20}, {level: red, limit: 40, for: 1m}]}
  - {id: total, field: rain_total_mm, measure: {growth: {over: 20m}}, worse: high, ` + rulesHead + `, clear: {hysteresis: 5, for: 1m}, steps: [{level: yellow, limit: 20}]}
  - {id: velocity, field: gnss_dx_mm, measure: {rate: {over: 20m, per: 1h, samples: 3}}, unit: mm/h, confirm: {n: 2, of: 3}, worse: both, ` + rulesHead + `, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 10}, {level: red, limit: 100}]}
  - {id: tilt, field: tilt_x_deg, measure: {delta: {}}, worse: both, ` + rulesHead + `, clear: {hysteresis: 0.5}, steps: [{level: yellow, limit: 1, for: 1m}, {level: red, limit: 5}]}
`

const confirmRules = `
kind: cable
rules: [{id: confirm, field: cable_temp_2_c, confirm: {n: 2, of: 3}, worse: high, ` + rulesHead + `, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 60}, {level: red, limit: 80, for: 1m}]}]
`

type measured struct {
	key, field string
	numbers    []float64
}

// measurable lists the points with rules, and numbers near their limits.
func measurable() []measured {
	return []measured{
		{"east/g1", "gas_lel_pct", []float64{0, 9, 15, 20, 25, 50, 60}},
		{"east/g2", "gas_lel_pct", []float64{0, 9, 20, 60}},
		{"east/g1", "detector_state", []float64{0, 1, 2, 3, 4, 5}},
		{"east/c1", "cable_temp_1_c", []float64{20, 54, 57, 61, 66, 71, 76, 81}},
		{"west/p1", "dry_beach_m", []float64{90, 101, 110, 121, 150}},
		{"east/c1", "cable_temp_2_c", []float64{20, 57, 61, 81}},
		{"east/g2", "valve_state", []float64{0, 1, 2}},
		{"west/s1", "rain_5min_mm", []float64{0, 0.1, 7, 15}},
		{"west/s1", "rain_total_mm", []float64{0, 10, 20, 35}},
		{"west/s1", "gnss_dx_mm", []float64{0, 1, 2, 5, -5}},
		{"west/s1", "tilt_x_deg", []float64{0, 1, 2, 2.5, 4, 8}},
	}
}

// unruled is a point without a rule: it remembers nothing before its first bad value.
var unruled = measured{"east/g1", "battery_v", []float64{3, 99}}

func drawReading(t *rapid.T, w *world, points []measured) *devices.Reading {
	p := rapid.SampledFrom(points).Draw(t, "point")
	r := w.reading(p.key, p.field, rapid.SampledFrom(p.numbers).Draw(t, "number"))
	v := &r.Values[0]
	switch rapid.SampledFrom([]string{"good", "good", "good", "suspect", "bad", "over"}).Draw(t, "quality") {
	case "suspect":
		v.Quality = devices.Suspect
	case "bad":
		v.Quality = devices.Bad
	case "over":
		v.Over = len(v.Field.States) == 0
	}
	return r
}

// outcome is what must not depend on the order of arrival.
func outcome(w *world) string {
	var lines []string
	for _, c := range w.engine.Levels(nil) {
		if c.Field != nil {
			lines = append(lines, fmt.Sprintf("%s %s %s %s %v %v %v %v %v", c.Rule.ID, c.Device.Key(), c.Field.Name, c.Level, c.Value, c.Limit, c.Sample-start, c.Unverified, c.Backfill))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// worst is the worst level ever told of each point.
func worst(changes []rules.Change) map[string]rules.Level {
	levels := map[string]rules.Level{}
	for _, c := range changes {
		if c.Field != nil {
			key := c.Rule.ID + " " + c.Device.Key() + " " + c.Field.Name
			levels[key] = max(levels[key], c.Level)
		}
	}
	return levels
}

// The same readings in any order of arrival within the kind's lateness end in
// the same levels as in order, and nothing that the ordered run raised stays
// untold.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ordered, shuffled := propertyWorld(t), propertyWorld(t)
		var readings []*devices.Reading
		for range rapid.IntRange(1, 40).Draw(rt, "readings") {
			ordered.now += int64(rapid.IntRange(1, 150).Draw(rt, "seconds")) * 1000
			r := drawReading(rt, ordered, measurable())
			readings = append(readings, r)
			w := *r
			w.Received = ordered.now
			ordered.changes = ordered.engine.Advance(ordered.now, ordered.changes)
			ordered.judge(&w)
		}
		// Every reading is on its way for up to 9 minutes; the lateness is 10.
		arrivals := slices.Clone(readings)
		for i, r := range arrivals {
			late := *r
			late.Received = r.Time + int64(rapid.IntRange(0, 9*60).Draw(rt, "delay"))*1000
			arrivals[i] = &late
		}
		slices.SortStableFunc(arrivals, func(a, b *devices.Reading) int { return cmp.Compare(a.Received, b.Received) })
		for _, r := range arrivals {
			shuffled.now = r.Received
			shuffled.changes = shuffled.engine.Advance(shuffled.now, shuffled.changes)
			shuffled.judge(r)
		}
		for _, w := range []*world{ordered, shuffled} {
			w.now += time.Hour.Milliseconds()
			w.changes = w.engine.Advance(w.now, w.changes)
		}
		if got, want := outcome(shuffled), outcome(ordered); got != want {
			rt.Fatalf("shuffled:\n%s\nordered:\n%s", got, want)
		}
		told := worst(shuffled.changes)
		for key, level := range worst(ordered.changes) {
			if told[key] < level {
				rt.Fatalf("%s: told at worst %s, in order %s", key, told[key], level)
			}
		}
	})
}

// act does something that may happen to an engine, the same to each of them.
func act(t *rapid.T, now int64, r *devices.Reading, engines ...*rules.Engine) (out [][]rules.Change) {
	verb := rapid.SampledFrom([]string{"judge", "judge", "judge", "judge", "advance", "up", "down", "offline", "online", "started"}).Draw(t, "verb")
	for _, e := range engines {
		c := e.Advance(now, nil)
		switch verb {
		case "judge":
			c = e.Judge(r, now, e.Spoke(r.Device, "embedded", now, c))
		case "up":
			c = e.SourceUp("embedded", now, c)
		case "down":
			c = e.SourceDown("embedded", "gone", now, c)
		case "offline":
			c = e.Offline(r.Device, now, c)
		case "online":
			c = e.Online(r.Device, now, c)
		case "started":
			c = e.Started(now, c)
		}
		out = append(out, c)
	}
	return out
}

// full renders all that a change says.
func full(changes []rules.Change) string {
	lines := strings.Split(shown(changes), "\n")
	for i, c := range changes {
		lines[i] += fmt.Sprintf(" limit %v quality %s sample %d received %d %s", c.Limit, c.Quality, c.Sample-start, c.Received-start, c.Reason)
	}
	return strings.Join(lines, "\n")
}

// A run that is cut, restored and continued says what an uninterrupted one says;
// so does one whose registry is exchanged for an equal one.
func TestRestoreContinues(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := propertyWorld(t)
		other := rules.NewEngine(w.options())
		snapshot, err := w.engine.Snapshot()
		if err != nil {
			rt.Fatal(err)
		}
		if err := other.Restore(snapshot); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			w.now += int64(rapid.IntRange(0, 400).Draw(rt, "seconds")) * 1000
			r := drawReading(rt, w, append(measurable(), unruled))
			r.Time -= int64(rapid.SampledFrom([]int{0, 0, 0, 1, 30, 300, 700}).Draw(rt, "late")) * 1000
			if rapid.IntRange(0, 9).Draw(rt, "clock") == 0 {
				r.Flags |= devices.ClockSuspect
			}
			out := act(rt, w.now, r, w.engine, other)
			if a, b := full(out[0]), full(out[1]); a != b {
				rt.Fatalf("uninterrupted:\n%s\nrestored:\n%s", a, b)
			}
			switch rapid.IntRange(0, 5).Draw(rt, "cut") {
			case 0:
				if snapshot, err = other.Snapshot(); err != nil {
					rt.Fatal(err)
				}
				w.reg = w.registry()
				other = rules.NewEngine(w.options())
				if err := other.Restore(snapshot); err != nil {
					rt.Fatal(err)
				}
			case 1:
				w.reg = w.registry()
				if c := other.Reconfigure(w.options(), w.now, nil); len(c) > 0 {
					rt.Fatalf("an equal registry told %s", full(c))
				}
			}
			a, b := full(w.engine.Levels(nil)), full(other.Levels(nil))
			if a != b {
				rt.Fatalf("levels uninterrupted:\n%s\nrestored:\n%s", a, b)
			}
			if a, aok := w.engine.NextDeadline(); true {
				if b, bok := other.NextDeadline(); a != b || aok != bok {
					rt.Fatalf("next deadline %d %v, restored %d %v", a-start, aok, b-start, bok)
				}
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	w := propertyWorld(f)
	for _, n := range []float64{1, 60, 61, 85} {
		w.see("east/g1", "gas_lel_pct", n).see("east/c1", "cable_temp_1_c", n).see("east/c1", "cable_temp_2_c", n).see("east/g1", "valve_state", 1)
		w.see("west/s1", "rain_5min_mm", n/2).see("west/s1", "rain_total_mm", n).see("west/s1", "gnss_dx_mm", n).after(time.Minute)
		snapshot, err := w.engine.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(snapshot)
	}
	readings := []*devices.Reading{w.reading("east/g1", "gas_lel_pct", 60), w.reading("west/s1", "rain_5min_mm", 10), w.reading("west/s1", "rain_total_mm", 10), w.reading("west/s1", "gnss_dx_mm", 10)}
	f.Fuzz(func(t *testing.T, data []byte) {
		e := rules.NewEngine(w.options())
		if e.Restore(data) != nil {
			return
		}
		for _, r := range readings {
			e.Judge(r, w.now, nil)
		}
		e.Advance(w.now+1000, nil)
		e.Levels(nil)
		if _, err := e.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
}
