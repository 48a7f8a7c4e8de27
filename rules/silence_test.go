package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
)

func TestADeviceThatStoppedIsSilent(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	w.see("east/g1", "gas_lel_pct", 1).after(10*time.Minute - time.Second).expect()
	w.after(time.Second).expect("silent east/g1 fault")
	w.after(time.Hour).expect()
	w.see("east/g1", "gas_lel_pct", 1).expect("silent east/g1 normal")
}

func TestADeviceThatNeverSpokeCountsFromTheFirstSource(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	w.after(10 * time.Minute).expect("silent east/g1 fault")
}

func TestOnlyDevicesInServiceAreSilent(t *testing.T) {
	for _, state := range devices.States {
		c := gas("east", "g1")
		c.State = state
		w := newWorld(t, c)
		w.after(time.Hour)
		if got := w.told() != ""; got != (state == devices.InService) {
			t.Errorf("%s: silent = %v", state, got)
		}
	}
}

func TestOfflineShortensTheSilence(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), config("west", "c1", "cable"))
	offline := func() { w.changes = w.engine.Offline(w.device("east/g1"), w.now, w.changes) }
	online := func() { w.changes = w.engine.Online(w.device("east/g1"), w.now, w.changes) }
	w.see("east/g1", "gas_lel_pct", 1).after(30 * time.Second)
	offline()
	w.after(59 * time.Second)
	online()
	w.after(time.Minute).expect()
	offline()
	w.after(59 * time.Second).expect()
	w.after(time.Second).expect("silent east/g1 fault")
	online()
	w.expect("silent east/g1 normal") // it may be quiet for ten minutes
	offline()
	w.after(30*time.Second).see("east/g1", "gas_lel_pct", 1).after(5 * time.Minute).expect()
}

func TestALostSourceIsOneAlarmAndItsDevicesWait(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("west", "g2"))
	w.see("east/g1", "gas_lel_pct", 1).see("west/g2", "gas_lel_pct", 1).after(9 * time.Minute)
	w.changes = w.engine.SourceDown("embedded", "no route", w.now, w.changes)
	if got := w.changes[0].Reason; got != "no route" {
		t.Errorf("reason %q", got)
	}
	w.expect("source_down embedded fault")
	w.after(5 * time.Hour).expect()
	w.changes = w.engine.SourceUp("embedded", w.now, w.changes)
	w.expect("source_down embedded normal")
	w.after(2*time.Minute - time.Second).expect() // at least one interval and a minute
	w.see("east/g1", "gas_lel_pct", 1).after(time.Second).expect("silent west/g2 fault")
}

func TestTwoSources(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("west", "g2"), gas("west", "never"))
	w.changes = w.engine.SourceUp("county", w.now, w.changes)
	w.see("east/g1", "gas_lel_pct", 1)
	w.changes = w.engine.Spoke(w.device("west/g2"), "county", w.now, w.changes)
	w.changes = w.engine.SourceDown("embedded", "", w.now, w.changes)
	w.expect("source_down embedded fault")
	// The one heard through the lost source waits; the one never heard could
	// have come through the other. Both of the west are silent: so is the west.
	w.after(10*time.Minute).expect(
		"site_silent west fault", "silent west/g2 fault suppressed", "silent west/never fault suppressed")
}

func TestAPauseOfTheGatewayIsNotSilence(t *testing.T) {
	for _, order := range []string{"advance first", "started first"} {
		t.Run(order, func(t *testing.T) {
			var all []devices.DeviceConfig
			for i := range 50 {
				all = append(all, gas("east", fmt.Sprint("g", i)))
			}
			w := newWorld(t, all...)
			for _, c := range all {
				w.see(c.Key(), "gas_lel_pct", 1)
			}
			for range 3 { // three runs with two hours between them
				w.after(9*time.Minute + 59*time.Second).expect()
				w.now += 2 * 3600 * 1000
				if order == "advance first" {
					w.boot()
				} else {
					w.changes = w.engine.Started(w.now, w.changes)
					w.changes = w.engine.Advance(w.now, w.changes)
					w.changes = w.engine.SourceUp("embedded", w.now, w.changes)
				}
				w.expect()
				w.after(2*time.Minute - time.Second).expect()
				for _, c := range all {
					w.see(c.Key(), "gas_lel_pct", 1)
				}
			}
			w.after(9*time.Minute + 59*time.Second).expect()
			for _, c := range all {
				w.see(c.Key(), "gas_lel_pct", 1)
			}
			w.after(time.Minute) // and the pause counts for nothing: nine minutes are left
			w.now += 2 * 3600 * 1000
			w.boot()
			w.after(9*time.Minute - time.Second).expect()
			w.after(time.Second)
			if got := strings.Count(w.told(), "silent"); got != 51 {
				t.Errorf("%d silent, want all and their site", got)
			}
		})
	}
}

func TestAWholeSiteIsOneAlarm(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"), gas("east", "g3"), gas("west", "g4"))
	speak := func(keys ...string) {
		for _, key := range keys {
			w.see(key, "gas_lel_pct", 1)
		}
	}
	speak("east/g1")
	w.after(20 * time.Second)
	speak("east/g2", "east/g3", "west/g4")
	// The first that is overdue finds the others quiet for longer than they
	// should be: the site is the root cause from the first moment on.
	w.after(10*time.Minute-20*time.Second).expect("site_silent east fault", "silent east/g1 fault suppressed")
	w.after(10*time.Second).see("west/g4", "gas_lel_pct", 1)
	w.after(10*time.Second).expect("silent east/g2 fault suppressed", "silent east/g3 fault suppressed")
	// One is back, the others have an interval and a minute.
	speak("east/g2")
	w.expect("site_silent east normal", "silent east/g2 normal")
	w.after(time.Minute)
	speak("east/g3", "west/g4")
	w.expect("silent east/g3 normal")
	w.after(time.Minute).expect("silent east/g1 fault")
	speak("east/g1")
	w.expect("silent east/g1 normal")
}

func TestOneOfASiteIsNotTheSite(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"))
	for range 12 {
		w.after(time.Minute).see("east/g2", "gas_lel_pct", 1)
	}
	w.expect("silent east/g1 fault")
}

func TestAWrongClockIsAFault(t *testing.T) {
	w := newWorld(t, gas("east", "g1"))
	r := w.reading("east/g1", "gas_lel_pct", 1)
	r.Flags = devices.ClockSuspect
	w.judge(r).expect("clock_fault east/g1 fault")
	w.after(time.Second).judge(r).expect()
	old := w.reading("east/g1", "gas_lel_pct", 1)
	old.Flags = devices.History
	w.after(time.Second).judge(old).expect() // history says nothing of the clock now
	w.after(time.Second).see("east/g1", "gas_lel_pct", 1).expect("clock_fault east/g1 normal")
}
