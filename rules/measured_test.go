package rules_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// slopeWorld has a slope with one rule.
func slopeWorld(t *testing.T, rule string, c devices.DeviceConfig) *world {
	t.Helper()
	c.Site, c.ID, c.Kind, c.State = "east", "s1", "slope", devices.InService
	w := newWorld(t, c)
	w.rules = w.parse("kind: slope\nrules: [{id: r, " + rulesHead + ", " + rule + "}]")
	return w.reconfigure()
}

// hourly sees a value every hour, the first now.
func (w *world) hourly(field string, numbers ...float64) *world {
	w.t.Helper()
	for _, n := range numbers {
		w.see("east/s1", field, n).after(time.Hour)
	}
	return w
}

const velocity = `field: gnss_dx_mm, measure: {rate: {over: 24h, per: 24h, samples: 5, span: 4h}}, unit: mm/d, worse: both, clear: {hysteresis: 1}, steps: [{level: yellow, limit: 5}, {level: red, limit: 20}]`

func TestARateIsTheRobustSlopeOfTheWindow(t *testing.T) {
	w := slopeWorld(t, velocity, devices.DeviceConfig{})
	w.hourly("gnss_dx_mm", 100, 101, 102, 103).expect() // 24 mm/d, but of four samples
	w.hourly("gnss_dx_mm", 104).expect("r east/s1 gnss_dx_mm red 24")
	if c := w.engine.Levels(nil)[0]; c.Unit() != "mm/d" || c.Limit != 20 {
		t.Errorf("told in %q, limit %v", c.Unit(), c.Limit)
	}
	w.hourly("gnss_dx_mm", 104, 104).expect() // the median is as fast as before
	w.hourly("gnss_dx_mm", 104).expect("r east/s1 gnss_dx_mm yellow 15.2")
	w.hourly("gnss_dx_mm", 104, 104, 104, 104, 104).expect("r east/s1 gnss_dx_mm normal 3.714286")
}

func TestARateNeedsItsSpan(t *testing.T) {
	w := slopeWorld(t, `field: gnss_dx_mm, measure: {rate: {over: 24m, per: 1h, samples: 3}}, unit: mm/h, worse: both, clear: {hysteresis: 1}, steps: [{level: red, limit: 5}]`, devices.DeviceConfig{})
	for n := range 12 {
		w.see("east/s1", "gnss_dx_mm", float64(n)).after(30 * time.Second)
	}
	w.expect() // five and a half minutes
	w.see("east/s1", "gnss_dx_mm", 12).expect("r east/s1 gnss_dx_mm red 120")
}

func TestARateDoesNotFollowOneOutlier(t *testing.T) {
	w := slopeWorld(t, velocity, devices.DeviceConfig{})
	w.hourly("gnss_dx_mm", 100, 100, 100, 160, 100, 100, 100).expect()
	w.hourly("gnss_dx_mm", 99, 98, 97, 96, 95, 94, 93).told()
	if got, want := w.levels(), "r east/s1 gnss_dx_mm yellow"; len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("a slope that goes the other way: %s", got)
	}
}

func TestARateForgetsWhatHasLeftTheWindow(t *testing.T) {
	w := slopeWorld(t, velocity, devices.DeviceConfig{})
	w.hourly("gnss_dx_mm", 0, 10, 20, 30, 40).told()
	w.after(30 * time.Hour).told()
	w.hourly("gnss_dx_mm", 0, 0, 0, 0).expect() // too few: what was told is held
	w.hourly("gnss_dx_mm", 0).expect("r east/s1 gnss_dx_mm normal 0")
}

func TestTangentAngleIsARateAgainstTheUniformVelocity(t *testing.T) {
	w := slopeWorld(t, `field: gnss_dx_mm, measure: {rate: {over: 24h, per: 24h, samples: 5, span: 4h}}, unit: mm/d, worse: both, clear: {hysteresis: 0}, steps: [
		{level: yellow, limit: {param: v0_mm_d}}, {level: orange, limit: {param: v0_mm_d, factor: 5.67}}, {level: red, limit: {param: v0_mm_d, factor: 11.43}}]`,
		devices.DeviceConfig{Params: map[string]float64{"v0_mm_d": 2.4}})
	w.hourly("gnss_dx_mm", 0, 0.1, 0.2, 0.3, 0.4).expect("r east/s1 gnss_dx_mm yellow 2.4")
	w.after(48*time.Hour).hourly("gnss_dx_mm", 0, 0.567, 1.134, 1.701, 2.268).expect("r east/s1 gnss_dx_mm orange 13.608")
	w.after(48*time.Hour).hourly("gnss_dx_mm", 0, 1.143, 2.286, 3.429, 4.572).expect("r east/s1 gnss_dx_mm red 27.432")
}

func TestADeltaIsToldFromTheDatedBaseline(t *testing.T) {
	const tilt = `field: tilt_x_deg, measure: {delta: {}}, worse: both, clear: {hysteresis: 0.1}, steps: [{level: yellow, limit: 1}, {level: orange, limit: 2}]`
	w := slopeWorld(t, tilt, devices.DeviceConfig{})
	if got := w.engine.Unarmed(); len(got) != 1 || got[0].String() != "rule r at east/s1 tilt_x_deg: set a baseline of tilt_x_deg at device s1: its reading at the time from which changes count" {
		t.Fatalf("unarmed %v", got)
	}
	w.see("east/s1", "tilt_x_deg", 80).expect()
	at := func(after time.Duration) time.Time { return time.UnixMilli(start).Add(after) }
	w.config.Devices[0].Baselines = []devices.Baseline{{Field: "tilt_x_deg", Value: 3.3, From: at(time.Minute)}, {Field: "tilt_x_deg", Value: 5.5, From: at(time.Hour)}, {Field: "gnss_dx_mm", Value: 50, From: at(0)}}
	w.reconfigure().see("east/s1", "tilt_x_deg", 80).expect() // no baseline holds yet
	w.after(time.Minute).see("east/s1", "tilt_x_deg", 4.3).expect("r east/s1 tilt_x_deg yellow 1")
	w.see("east/s1", "tilt_x_deg", 1.2).expect("r east/s1 tilt_x_deg orange -2.1")
	w.after(time.Hour).see("east/s1", "tilt_x_deg", 6).expect("r east/s1 tilt_x_deg normal 0.5")
	w.config.Devices[0].Baselines[1].Value = 7.5
	w.reconfigure().expect("r east/s1 tilt_x_deg yellow -1.5") // judged again from the corrected one
}

const rain = `field: rain_5min_mm, measure: {sum: {over: 3h}}, worse: high, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 50}, {level: red, limit: 100}]`

func TestASumSlides(t *testing.T) {
	w := slopeWorld(t, rain, devices.DeviceConfig{})
	w.hourly("rain_5min_mm", 30, 19.9).expect()
	w.see("east/s1", "rain_5min_mm", 0.1).expect("r east/s1 rain_5min_mm yellow 50")
	w.after(time.Hour-time.Second).see("east/s1", "rain_5min_mm", 0).expect()
	// The first 30 mm leave by time alone, with nobody saying anything.
	w.after(time.Second).expect("r east/s1 rain_5min_mm normal 20")
}

func TestWhatRoseAndFellBetweenTwoSamplesIsTold(t *testing.T) {
	w := slopeWorld(t, strings.Replace(rain, "limit: 50", "limit: 50, for: 1m", 1), devices.DeviceConfig{})
	earlier, now := w.reading("east/s1", "rain_5min_mm", 60), w.reading("east/s1", "rain_5min_mm", 0)
	earlier.Time -= 4 * time.Hour.Milliseconds() // out of a buffer, both at once
	w.judge(earlier).judge(now).expect("r east/s1 rain_5min_mm yellow 60", "r east/s1 rain_5min_mm normal 0")
}

func TestManySmallAmountsMakeARoundSum(t *testing.T) {
	w := slopeWorld(t, rain, devices.DeviceConfig{})
	for range 249 {
		w.see("east/s1", "rain_5min_mm", 0.2).after(time.Second)
	}
	w.expect()
	w.see("east/s1", "rain_5min_mm", 0.2).expect("r east/s1 rain_5min_mm yellow 50")
}

func TestWhatIsLeftOfASumIsRound(t *testing.T) {
	w := slopeWorld(t, `field: rain_5min_mm, measure: {sum: {over: 3h}}, worse: high, clear: {hysteresis: 1}, steps: [{level: yellow, limit: 2}]`, devices.DeviceConfig{})
	w.see("east/s1", "rain_5min_mm", 5).expect("r east/s1 rain_5min_mm yellow 5")
	for range 10 {
		w.after(time.Minute).see("east/s1", "rain_5min_mm", 0.1)
	}
	w.after(3*time.Hour - 10*time.Minute).expect() // ten tenths are 1, and 1 is not better than 1
	w.after(time.Minute).expect("r east/s1 rain_5min_mm normal 0.9")
}

func TestAFallIsNoSecondSample(t *testing.T) {
	w := slopeWorld(t, rain, devices.DeviceConfig{})
	w.hourly("rain_5min_mm", 5, 25)
	r := w.reading("east/s1", "rain_5min_mm", 25)
	r.Values[0].Quality = devices.Suspect
	w.judge(r).after(time.Hour).expect() // 55, then 50, on the word of one doubtful sample
	w.see("east/s1", "rain_5min_mm", 0).expect("r east/s1 rain_5min_mm yellow 50")
}

// What is gathered in a window goes on through a restart as without.
func TestADenseWindowSurvivesARestart(t *testing.T) {
	for _, rule := range []string{
		`field: gnss_dx_mm, measure: {rate: {over: 24h, per: 24h, samples: 2}}, unit: mm/d, worse: both, clear: {hysteresis: 0}, steps: [{level: yellow, limit: 0.000001}]`,
		`field: rain_5min_mm, measure: {sum: {over: 24h}}, worse: high, clear: {hysteresis: 0}, steps: [{level: yellow, limit: 1}]`,
		`field: rain_total_mm, measure: {growth: {over: 24h}}, worse: high, clear: {hysteresis: 0}, steps: [{level: yellow, limit: 1}]`,
	} {
		w := slopeWorld(t, rule, devices.DeviceConfig{})
		field := w.rules[0].Field
		see := func(n int, engines ...*rules.Engine) {
			for range n {
				w.now += 37_000
				r := w.reading("east/s1", field, float64(w.now/1000*7919%31))
				for _, e := range engines {
					e.Judge(r, w.now, e.Advance(w.now, nil))
				}
			}
		}
		state := func(e *rules.Engine) []byte {
			text, err := e.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		see(700, w.engine)
		restored := rules.NewEngine(w.options())
		if err := restored.Restore(state(w.engine)); err != nil {
			t.Fatal(err)
		}
		see(700, w.engine, restored)
		if !bytes.Equal(state(w.engine), state(restored)) {
			t.Errorf("%s: the restored one knows something else", field)
		}
	}
}

func TestOverRangeIsTheWorstLevelWhateverIsMeasured(t *testing.T) {
	w := slopeWorld(t, rain, devices.DeviceConfig{})
	over := func(n float64) {
		r := w.reading("east/s1", "rain_5min_mm", n)
		r.Values[0].Quality, r.Values[0].Over = devices.Suspect, true
		w.judge(r)
	}
	w.see("east/s1", "rain_5min_mm", 20).after(time.Hour)
	over(900)
	w.expect("r east/s1 rain_5min_mm red 900 unverified", "sensor_fault east/s1 rain_5min_mm fault 900")
	w.after(3 * time.Hour).expect() // what falls by time alone ends no doubt
	w.see("east/s1", "rain_5min_mm", 1).expect("r east/s1 rain_5min_mm normal 1", "sensor_fault east/s1 rain_5min_mm normal 1")
	r := w.reading("east/s1", "rain_5min_mm", 49)
	r.Values[0].Quality = devices.Bad
	w.judge(r).see("east/s1", "rain_5min_mm", 10).expect() // a bad value enters no sum
}

func TestAGrowthIsWhatACounterCounted(t *testing.T) {
	w := slopeWorld(t, `field: rain_total_mm, measure: {growth: {over: 3h}}, worse: high, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 50}]`, devices.DeviceConfig{})
	w.hourly("rain_total_mm", 7000, 7030).expect()
	w.see("east/s1", "rain_total_mm", 15).expect() // a reset: 15 since then
	w.see("east/s1", "rain_total_mm", 20).expect("r east/s1 rain_total_mm yellow 50")
	w.after(2 * time.Hour).expect("r east/s1 rain_total_mm normal 20")
}

func TestAChangedLimitKeepsWhatHasFallen(t *testing.T) {
	w := slopeWorld(t, strings.Replace(rain, "3h", "6h", 1), devices.DeviceConfig{})
	w.see("east/s1", "rain_5min_mm", 30).see("east/s1", "rain_5min_mm", 16)
	for range 60 { // five hours, of which the tail holds less than four
		w.after(5*time.Minute).see("east/s1", "rain_5min_mm", 0)
	}
	w.expect()
	changed := w.parse("kind: slope\nrules: [{id: r, " + rulesHead + ", field: rain_5min_mm, measure: {sum: {over: 6h}}, worse: high, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 46}]}]")
	snapshot, err := w.engine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	restored := rules.NewEngine(rules.EngineOptions{Registry: w.reg, Rules: changed})
	if err := restored.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	if got, want := shown(restored.Levels(nil)), "r east/s1 rain_5min_mm yellow 46"; got != want {
		t.Errorf("restored: %s, want %s", got, want)
	}
	w.rules = changed
	w.reconfigure().expect("r east/s1 rain_5min_mm yellow 46")
}

func TestConfirmWantsSeveralSamples(t *testing.T) {
	w := newWorld(t, config("east", "c1", "cable"))
	w.rules = w.parse("kind: cable\nrules: [{id: r, " + rulesHead + ", field: cable_temp_1_c, confirm: {n: 2, of: 3}, worse: high, clear: {hysteresis: 5}, steps: [{level: yellow, limit: 60}, {level: red, limit: 80}]}]")
	w.reconfigure()
	see := func(n float64) *world { return w.after(time.Minute).see("east/c1", "cable_temp_1_c", n) }
	see(90).expect()
	see(20).expect()
	see(61).expect("r east/c1 cable_temp_1_c yellow 61")
	see(20).expect("r east/c1 cable_temp_1_c normal 20") // one of the last three
	see(20).expect()
	see(90).expect()
	see(81).expect("r east/c1 cable_temp_1_c red 81")
	see(20).expect() // two of three still are
	see(61).expect("r east/c1 cable_temp_1_c yellow 61")
	r := w.after(time.Minute).reading("east/c1", "cable_temp_1_c", 300)
	r.Values[0].Quality, r.Values[0].Over = devices.Suspect, true
	w.judge(r).expect("r east/c1 cable_temp_1_c red 300 unverified", "sensor_fault east/c1 cable_temp_1_c fault 300")
}

// valve expects the valve to be closed half a minute after the gas.
const valve = `
kind: gas
rules: [{id: valve, field: valve_state, ` + rulesHead + `, level: red, expect: {is: [1], within: 30s, while: {field: gas_lel_pct, worse: high, limit: {param: low_lel_pct, default: 20}}}}]`

func valveWorld(t *testing.T) *world {
	w := newWorld(t, gas("east", "g1"))
	w.rules = w.parse(valve)
	return w.reconfigure()
}

func TestAnExpectedStateThatDoesNotCome(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "valve_state", 0).see("east/g1", "gas_lel_pct", 25)
		w.after(29*time.Second).see("east/g1", "valve_state", 1).after(time.Hour).told()
		if got := w.levels(); got != "silent east/g1 fault" {
			t.Errorf("levels %s", got)
		}
	})
	t.Run("too late", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "valve_state", 0).see("east/g1", "gas_lel_pct", 25)
		w.after(20*time.Second).see("east/g1", "gas_lel_pct", 30).after(9 * time.Second).expect()
		w.after(time.Second).expect("valve east/g1 valve_state red 0")
		w.see("east/g1", "valve_state", 1).expect("valve east/g1 valve_state normal 1")
		w.see("east/g1", "valve_state", 2).after(30 * time.Second).expect("valve east/g1 valve_state red 2")
		w.see("east/g1", "gas_lel_pct", 19).expect("valve east/g1 valve_state normal 2")
	})
	t.Run("nobody knows", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "gas_lel_pct", 25).after(30 * time.Second)
		if c := w.engine.Levels(nil)[0]; !math.IsNaN(c.Value) || c.Quality != devices.Bad || c.Limit != 1 || c.Sample != start {
			t.Errorf("told %+v", c)
		}
		w.expect("valve east/g1 valve_state red NaN")
		w.see("east/g1", "gas_lel_pct", 10).expect("valve east/g1 valve_state normal NaN")
	})
	t.Run("a word that is none", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "valve_state", 1).see("east/g1", "gas_lel_pct", 25)
		r := w.after(time.Minute).reading("east/g1", "valve_state", 77)
		r.Values[0].Quality = devices.Bad
		w.judge(r).after(30 * time.Second).expect("valve east/g1 valve_state red 77")
	})
	t.Run("a doubtful word", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "gas_lel_pct", 25)
		r := w.reading("east/g1", "valve_state", 1)
		r.Values[0].Quality = devices.Suspect
		w.judge(r).after(30 * time.Second).expect("valve east/g1 valve_state red 1")
	})
	t.Run("a doubtful trigger asks, and takes nothing back", func(t *testing.T) {
		w := valveWorld(t)
		doubtful := func(n float64) {
			r := w.reading("east/g1", "gas_lel_pct", n)
			r.Values[0].Quality = devices.Suspect
			w.judge(r)
		}
		doubtful(25)
		w.after(time.Second)
		doubtful(3)
		w.after(29 * time.Second).expect("valve east/g1 valve_state red NaN")
	})
	t.Run("it was closed in time, we hear of it late", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "valve_state", 0).see("east/g1", "gas_lel_pct", 25)
		r := w.after(20*time.Second).reading("east/g1", "valve_state", 1)
		w.after(time.Minute).see("east/g1", "gas_lel_pct", 26).expect("valve east/g1 valve_state red 0")
		w.judge(r).expect("valve east/g1 valve_state normal 1")
	})
	t.Run("a changed rule knows the state", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "valve_state", 1)
		for range 30 {
			w.after(time.Minute).see("east/g1", "gas_lel_pct", 3)
		}
		w.config.Devices[0].Params = map[string]float64{"low_lel_pct": 10}
		w.reconfigure().see("east/g1", "gas_lel_pct", 12).after(time.Minute).expect()
	})
	t.Run("the same through a restart", func(t *testing.T) {
		w := valveWorld(t).see("east/g1", "valve_state", 1)
		for range 30 {
			w.after(time.Minute).see("east/g1", "gas_lel_pct", 30)
		}
		snapshot, err := w.engine.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		w.engine = rules.NewEngine(w.options())
		if err := w.engine.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		w.see("east/g1", "gas_lel_pct", 30).after(time.Minute).expect()
		w.see("east/g1", "valve_state", 0).after(30 * time.Second).expect("valve east/g1 valve_state red 0")
	})
}
