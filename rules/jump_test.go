package rules_test

import (
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// jumpWorld has a cable thermometer of which a change of more than 20 degrees is a
// jump, or as many as the device says, and one rule.
func jumpWorld(t *testing.T, max devices.MaxDelta, steps string) *world {
	t.Helper()
	w := newWorld(t, config("east", "c1", "cable"))
	for _, k := range w.kinds {
		if f, ok := k.Field("cable_temp_1_c"); ok {
			f.MaxDelta = &max
		}
	}
	w.rules = w.parse("kind: cable\nrules: [{id: r, field: cable_temp_1_c, worse: high, " + rulesHead + ", " + steps + "}]")
	w.config.Devices[0].Params = map[string]float64{"jump_c": 20}
	return w.reconfigure()
}

const jumpSteps = `clear: {hysteresis: 0}, steps: [{level: yellow, limit: 60}, {level: red, limit: 100}]`

// minutely sees a value every minute, the first now.
func (w *world) minutely(numbers ...float64) *world {
	w.t.Helper()
	for _, n := range numbers {
		w.see("east/c1", "cable_temp_1_c", n).after(time.Minute)
	}
	return w
}

func TestAJumpBelowOrangeWaitsForASecondSample(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40, 60).expect("r east/c1 cable_temp_1_c yellow 60") // as far as may be
	w.minutely(40, 40, 61).expect("r east/c1 cable_temp_1_c normal 40")
	w.minutely(61).expect("r east/c1 cable_temp_1_c yellow 61")
	w.minutely(30).expect() // and a jump alone clears nothing
	w.minutely(30).expect("r east/c1 cable_temp_1_c normal 30")
	w.minutely(90, 30, 30).expect() // an outlier is nothing
}

func TestAJumpToRedIsToldAtOnce(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40, 120).expect("r east/c1 cable_temp_1_c red 120 unverified")
	if c := w.engine.Levels(nil)[0]; c.Quality != devices.Suspect {
		t.Errorf("the alarm's quality is %s", c.Quality)
	}
	w.minutely(120).expect("r east/c1 cable_temp_1_c red 120") // confirmed
	w.minutely(40, 40).expect("r east/c1 cable_temp_1_c normal 40")
	w.minutely(120).expect("r east/c1 cable_temp_1_c red 120 unverified")
	w.minutely(40).expect("r east/c1 cable_temp_1_c normal 40") // it was an outlier
	w.minutely(120).expect("r east/c1 cable_temp_1_c red 120")  // seen twice it is none
}

func TestAJumpHasItsTime(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20, Per: time.Minute}, jumpSteps)
	w.minutely(10).after(2 * time.Minute).minutely(70).expect("r east/c1 cable_temp_1_c yellow 70") // in three minutes
	w.minutely(70, 25).expect()                                                                     // 45 lower after two minutes
	w.minutely(25).expect("r east/c1 cable_temp_1_c normal 25")
	w.see("east/c1", "cable_temp_1_c", 30).after(time.Second).minutely(50).expect().minutely(70).expect("r east/c1 cable_temp_1_c yellow 70") // a second is no less than the minute
}

func TestHowFarIsAJumpADeviceMaySay(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Param: "jump_c", Factor: 0.5}, jumpSteps)
	w.minutely(49, 60).expect() // by more than ten
	w.minutely(60).expect("r east/c1 cable_temp_1_c yellow 60")
	w.minutely(0, 0).told()
	delete(w.config.Devices[0].Params, "jump_c")
	w.reconfigure().minutely(60).expect("r east/c1 cable_temp_1_c yellow 60") // nobody says
}

// The readings that are kept say which of their values jumped.
func TestAJumpIsMarkedInTheReading(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	for i, c := range []struct {
		number float64
		want   devices.Quality
	}{{40, devices.Good}, {61, devices.Suspect}, {61, devices.Good}, {50, devices.Good}, {90, devices.Suspect}, {50, devices.Good}} {
		r := w.reading("east/c1", "cable_temp_1_c", c.number)
		w.judge(r).after(time.Minute)
		if got := r.Values[0].Quality; got != c.want {
			t.Errorf("value %d, %v, is %s", i, c.number, got)
		}
	}
}

// What is beyond the range, and what is no value, are no measure for others.
func TestABadValueIsNoMeasure(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(50)
	for range 3 {
		bad := w.reading("east/c1", "cable_temp_1_c", -40)
		bad.Values[0].Quality = devices.Bad
		w.judge(bad)
		over := w.reading("east/c1", "cable_temp_1_c", 300)
		over.Values[0].Quality, over.Values[0].Over = devices.Suspect, true
		w.judge(over).after(time.Minute)
	}
	w.told()
	w.minutely(60).expect("r east/c1 cable_temp_1_c yellow 60", "sensor_fault east/c1 cable_temp_1_c normal 60")
}

// Nor does a value that jumps say that the sensor is well again.
func TestAJumpEndsNoFault(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40)
	over := w.reading("east/c1", "cable_temp_1_c", 300)
	over.Values[0].Quality, over.Values[0].Over = devices.Suspect, true
	w.judge(over).expect("r east/c1 cable_temp_1_c red 300 unverified", "sensor_fault east/c1 cable_temp_1_c fault 300")
	w.minutely(90).expect()
	w.minutely(90).expect("r east/c1 cable_temp_1_c yellow 90", "sensor_fault east/c1 cable_temp_1_c normal 90")
}

// Values that have left the tail are compared with as others are.
func TestAJumpRemembersTwoValues(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40, 40, 40, 40, 40, 40, 61).after(3 * time.Minute)
	for range 2 {
		bad := w.reading("east/c1", "cable_temp_1_c", -999)
		bad.Values[0].Quality = devices.Bad
		w.judge(bad).after(9 * time.Minute)
	}
	r := w.reading("east/c1", "cable_temp_1_c", 40)
	if w.judge(r); r.Values[0].Quality != devices.Good {
		t.Errorf("after 40 and 61, 40 is %s", r.Values[0].Quality)
	}
}

// A value that jumped may not have, with a late one before it, and the other way round.
func TestALateSampleSaysWhatJumped(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	late := func(ago time.Duration, number float64) *devices.Reading {
		r := w.reading("east/c1", "cable_temp_1_c", number)
		r.Time -= ago.Milliseconds()
		return r
	}
	w.minutely(40, 61).expect()
	w.judge(late(90*time.Second, 50)).expect("r east/c1 cable_temp_1_c yellow 61")
	w.minutely(30, 30).expect("r east/c1 cable_temp_1_c normal 30")
	w.minutely(45).minutely(65).told()
	w.judge(late(61*time.Second, 20)).judge(late(62*time.Second, 20)).expect("r east/c1 cable_temp_1_c normal 65")
}

// What jumped, and by a late sample did not, was a level: it is told though it is over.
func TestALateSampleTellsWhatWasDoubted(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40, 61, 30).expect()
	late := w.reading("east/c1", "cable_temp_1_c", 50)
	late.Time -= 150_000
	w.judge(late).expect("r east/c1 cable_temp_1_c yellow 61", "r east/c1 cable_temp_1_c normal 30")
}

func TestAJumpingTriggerTakesNothingBack(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	for _, k := range w.kinds {
		if f, ok := k.Field("gas_lel_pct"); ok {
			f.MaxDelta = &devices.MaxDelta{Value: 30}
		}
	}
	w.rules = w.parse(`
kind: gas
rules: [{id: valve, field: valve_state, ` + rulesHead + `, level: red, expect: {is: [1], within: 30s, while: {field: gas_lel_pct, worse: high, limit: 20}}}]`)
	w.reconfigure().see("east/g1", "valve_state", 0).see("east/g1", "gas_lel_pct", 60).after(20*time.Second).see("east/g1", "gas_lel_pct", 0).after(9 * time.Second).expect()
	w.after(time.Second).expect("valve east/g1 valve_state red 0")
	w.see("east/g1", "gas_lel_pct", 0).expect("valve east/g1 valve_state normal 0")
}

// A value lies as far from those before it after a restart as it did.
func TestJumpsSurviveARestart(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40, 90).after(30*time.Minute).minutely(65, 65, 65, 65, 65, 65).after(30*time.Minute).minutely(40, 40).told()
	snapshot, err := w.engine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w.engine = rules.NewEngine(w.options())
	if err := w.engine.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	w.minutely(61).expect()
	w.minutely(65).expect("r east/c1 cable_temp_1_c yellow 65")
}

// Where a kind no longer speaks of jumps, what is held jumps no more.
func TestJumpsEndWithTheirLimit(t *testing.T) {
	w := jumpWorld(t, devices.MaxDelta{Value: 20}, jumpSteps)
	w.minutely(40, 61).expect()
	f, _ := w.device("east/c1").Kind.Field("cable_temp_1_c")
	f.MaxDelta = nil
	w.rules = w.parse(strings.Replace("kind: cable\nrules: [{id: r, field: cable_temp_1_c, worse: high, "+rulesHead+", "+jumpSteps+"}]", "60}", "61}", 1))
	w.reconfigure().expect("r east/c1 cable_temp_1_c yellow 61")
}
