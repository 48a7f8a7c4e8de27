package rules_test

import (
	"testing"
	"time"

	"fengsui/devices"
)

func TestGasTripsOnTheFirstSample(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	w.see("east/g1", "gas_lel_pct", 3).expect()
	w.after(time.Minute).see("east/g1", "gas_lel_pct", 20).expect("gas east/g1 gas_lel_pct yellow 20")
	w.after(time.Minute).see("east/g1", "gas_lel_pct", 52).expect("gas east/g1 gas_lel_pct red 52")
	// The clear limit is 10 for 5 minutes, whatever the step.
	w.after(time.Minute).see("east/g1", "gas_lel_pct", 30).expect()
	w.after(time.Minute).see("east/g1", "gas_lel_pct", 9).expect()
	w.after(4*time.Minute).see("east/g1", "gas_lel_pct", 8).expect()
	w.after(59 * time.Second).expect()
	w.after(time.Second).expect("gas east/g1 gas_lel_pct normal 8")
}

func TestLevelsNeedTheirTimeAndFireOnTheHeldValue(t *testing.T) {
	w := newWorld(t, config("east", "c1", "cable"))
	w.see("east/c1", "cable_temp_1_c", 61).after(59 * time.Second).expect()
	w.after(time.Second).expect("cable east/c1 cable_temp_1_c yellow 61")
	// Red needs less time than orange; going up takes the lower steps along.
	w.see("east/c1", "cable_temp_1_c", 81).after(30 * time.Second).expect("cable east/c1 cable_temp_1_c red 81")
	w.see("east/c1", "cable_temp_1_c", 74).expect("cable east/c1 cable_temp_1_c orange 74")
	w.see("east/c1", "cable_temp_1_c", 66).expect() // within 5 of orange
	w.see("east/c1", "cable_temp_1_c", 64).expect("cable east/c1 cable_temp_1_c yellow 64")
	w.see("east/c1", "cable_temp_1_c", 54).expect("cable east/c1 cable_temp_1_c normal 54")
}

func TestAnInterruptedWaitStartsAgain(t *testing.T) {
	w := newWorld(t, config("east", "c1", "cable"))
	w.see("east/c1", "cable_temp_1_c", 61).after(50*time.Second).see("east/c1", "cable_temp_1_c", 59)
	w.after(time.Second).see("east/c1", "cable_temp_1_c", 61).after(59 * time.Second).expect()
	w.after(time.Second).expect("cable east/c1 cable_temp_1_c yellow 61")
}

func TestAClockThatIsOffNeitherShortensNorLengthensTheWait(t *testing.T) {
	for _, off := range []time.Duration{-4 * time.Minute, 4 * time.Minute} {
		w := newWorld(t, config("east", "c1", "cable"))
		r := w.reading("east/c1", "cable_temp_1_c", 61)
		r.Time += off.Milliseconds()
		w.judge(r).after(59 * time.Second).expect()
		w.after(time.Second).expect("cable east/c1 cable_temp_1_c yellow 61")
	}
}

func TestLowerIsWorse(t *testing.T) {
	c := config("east", "p1", "pond")
	c.Params = map[string]float64{"min_dry_beach_m": 100}
	w := newWorld(t, c)
	w.see("east/p1", "dry_beach_m", 121).expect()
	w.see("east/p1", "dry_beach_m", 120).expect("beach east/p1 dry_beach_m orange 120")
	w.see("east/p1", "dry_beach_m", 99).expect("beach east/p1 dry_beach_m red 99")
	w.see("east/p1", "dry_beach_m", 102).expect()
	w.see("east/p1", "dry_beach_m", 103).expect("beach east/p1 dry_beach_m orange 103")
	w.see("east/p1", "dry_beach_m", 123).expect("beach east/p1 dry_beach_m normal 123")
}

func TestStates(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	w.see("east/g1", "detector_state", 2).expect("detector east/g1 detector_state yellow 2")
	w.see("east/g1", "detector_state", 3).expect("detector east/g1 detector_state red 3")
	w.see("east/g1", "detector_state", 5).expect() // muted: still red
	w.see("east/g1", "detector_state", 4).expect() // broken: proves nothing
	w.see("east/g1", "detector_state", 0).expect("detector east/g1 detector_state normal 0")
}

func TestDoubt(t *testing.T) {
	suspect := func(w *world, key, field string, n float64) *world {
		r := w.after(time.Second).reading(key, field, n)
		r.Values[0].Quality = devices.Suspect
		return w.judge(r)
	}
	t.Run("over-range counts as the worst level at once", func(t *testing.T) {
		w := newWorld(t, config("east", "c1", "cable"))
		r := w.reading("east/c1", "cable_temp_1_c", 260)
		r.Values[0].Quality, r.Values[0].Over = devices.Bad, true
		w.judge(r).expect("cable east/c1 cable_temp_1_c red 260 unverified", "sensor_fault east/c1 cable_temp_1_c fault 260")
		w.see("east/c1", "cable_temp_1_c", 85).expect("cable east/c1 cable_temp_1_c red 85", "sensor_fault east/c1 cable_temp_1_c normal 85")
	})
	t.Run("bad values are not judged", func(t *testing.T) {
		w := newWorld(t, gas("east", "g1"))
		bad := func() {
			r := w.reading("east/g1", "gas_lel_pct", 99)
			r.Values[0].Quality = devices.Bad
			w.judge(r)
		}
		bad()
		bad()
		w.expect()
		bad()
		w.expect("sensor_fault east/g1 gas_lel_pct fault 99")
		w.see("east/g1", "gas_lel_pct", 1).expect("sensor_fault east/g1 gas_lel_pct normal 1")
	})
	t.Run("below orange a jump waits for a second sample", func(t *testing.T) {
		w := newWorld(t, config("east", "p1", "pond"))
		w.rules = w.parse(`
kind: pond
rules: [{id: level, field: pond_level_m, worse: high, ` + rulesHead + `, clear: {hysteresis: 1}, steps: [{level: yellow, limit: 10}, {level: orange, limit: 20}]}]`)
		w.changes = w.engine.Reconfigure(w.options(), w.now, nil)
		suspect(w, "east/p1", "pond_level_m", 11).expect()
		w.see("east/p1", "pond_level_m", 5).expect()
		suspect(w, "east/p1", "pond_level_m", 11).expect()
		suspect(w, "east/p1", "pond_level_m", 12).expect("level east/p1 pond_level_m yellow 12")
		suspect(w, "east/p1", "pond_level_m", 1).expect() // and alone it clears nothing
		suspect(w, "east/p1", "pond_level_m", 1).expect("level east/p1 pond_level_m normal 1")
		suspect(w, "east/p1", "pond_level_m", 30).expect("level east/p1 pond_level_m orange 30 unverified")
		w.see("east/p1", "pond_level_m", 31).expect("level east/p1 pond_level_m orange 31")
	})
	t.Run("gas waits for nobody", func(t *testing.T) {
		w := newWorld(t, gas("east", "g1"))
		suspect(w, "east/g1", "gas_lel_pct", 25).expect("gas east/g1 gas_lel_pct yellow 25 unverified")
	})
}

func TestHistoryThatIsNewestStandsUntilItIsNews(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	r := w.reading("east/g1", "gas_lel_pct", 60)
	r.Time -= 2 * 3600 * 1000
	r.Flags = devices.History | devices.Backfill
	w.judge(r).expect("gas east/g1 gas_lel_pct red 60 backfill")
	w.see("east/g1", "gas_lel_pct", 55).expect("gas east/g1 gas_lel_pct red 55")
}

func TestTooLateChangesNothing(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	w.after(time.Hour).see("east/g1", "gas_lel_pct", 3)
	w.told()
	late := w.reading("east/g1", "gas_lel_pct", 60)
	late.Time -= (10*time.Minute + time.Millisecond).Milliseconds()
	w.judge(late).expect() // later than the kind allows, whether or not it is flagged
	late.Time = w.now - 1000
	late.Flags = devices.History | devices.TooLate
	w.judge(late).expect()
}

func TestALateSampleIsJudgedAtItsPlace(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	w.see("east/g1", "gas_lel_pct", 3).after(time.Minute).see("east/g1", "gas_lel_pct", 4).expect()
	r := w.reading("east/g1", "gas_lel_pct", 60)
	r.Time -= 30_000
	// Red since half a minute ago; below the clear limit since now.
	w.after(2 * time.Second).judge(r).expect("gas east/g1 gas_lel_pct red 60")
	w.after(5*time.Minute - 2*time.Second).expect("gas east/g1 gas_lel_pct normal 4")
}

func TestALateSampleTellsWhatIsOverAlready(t *testing.T) {
	w := newWorld(t, config("east", "c1", "cable"))
	w.see("east/c1", "cable_temp_1_c", 20).after(2*time.Minute).see("east/c1", "cable_temp_1_c", 20).expect()
	r := w.reading("east/c1", "cable_temp_1_c", 85)
	r.Time -= 60_000
	w.judge(r).expect("cable east/c1 cable_temp_1_c red 85", "cable east/c1 cable_temp_1_c normal 20")
}

func TestATimerThatWasTooFastIsTakenBack(t *testing.T) {
	w := newWorld(t, config("east", "c1", "cable"))
	w.see("east/c1", "cable_temp_1_c", 61).after(time.Minute).expect("cable east/c1 cable_temp_1_c yellow 61")
	r := w.reading("east/c1", "cable_temp_1_c", 62)
	r.Time -= 500 // measured before the timer fired: still beyond, the level stands
	w.judge(r).expect()
	r = w.reading("east/c1", "cable_temp_1_c", 20)
	r.Time -= 400 // it was not a whole minute
	w.judge(r).expect("cable east/c1 cable_temp_1_c normal 20")
}

func TestALateSampleDoesNotTellAgainWhatWasTold(t *testing.T) {
	w := newWorld(t, config("east", "c1", "cable"))
	w.see("east/c1", "cable_temp_1_c", 61).after(time.Minute).expect("cable east/c1 cable_temp_1_c yellow 61")
	w.after(30*time.Second).see("east/c1", "cable_temp_1_c", 20).expect("cable east/c1 cable_temp_1_c normal 20")
	r := w.reading("east/c1", "cable_temp_1_c", 62)
	r.Time -= 60_000
	w.judge(r).expect()
}

func TestWhereBothSidesAreDangerous(t *testing.T) {
	over := func(w *world, n float64) *world {
		r := w.after(time.Second).reading("east/s1", "tilt_x_deg", n)
		r.Values[0].Quality, r.Values[0].Over = devices.Bad, true
		return w.judge(r)
	}
	fault := func(n string) string { return "sensor_fault east/s1 tilt_x_deg fault " + n }
	t.Run("the size counts", func(t *testing.T) {
		w := newWorld(t, config("east", "s1", "slope"))
		w.rules = w.parse(`
kind: slope
rules: [{id: tilt, field: tilt_x_deg, worse: both, ` + rulesHead + `, clear: {hysteresis: 1}, steps: [{level: yellow, limit: 2}, {level: orange, limit: 5}]}]`)
		w.reconfigure().see("east/s1", "tilt_x_deg", -3).expect("tilt east/s1 tilt_x_deg yellow -3")
		w.see("east/s1", "tilt_x_deg", 6).expect("tilt east/s1 tilt_x_deg orange 6")
		w.see("east/s1", "tilt_x_deg", -0.5).expect("tilt east/s1 tilt_x_deg normal -0.5")
		over(w, -120).expect("tilt east/s1 tilt_x_deg orange -120 unverified", fault("-120"))
	})
	t.Run("over-range counts for the rule of its side", func(t *testing.T) {
		w := newWorld(t, config("east", "s1", "slope"))
		w.rules = w.parse(`
kind: slope
rules:
  - {id: up, field: tilt_x_deg, worse: high, ` + rulesHead + `, clear: {hysteresis: 1}, steps: [{level: yellow, limit: 2}]}
  - {id: down, field: tilt_x_deg, worse: low, ` + rulesHead + `, clear: {hysteresis: 1}, steps: [{level: yellow, limit: -2}]}`)
		w.reconfigure().see("east/s1", "tilt_x_deg", -3).expect("down east/s1 tilt_x_deg yellow -3")
		over(w, 120).expect("up east/s1 tilt_x_deg yellow 120 unverified", fault("120")) // and clears nothing
	})
}
