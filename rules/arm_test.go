package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

func (w *world) reconfigure() *world {
	w.t.Helper()
	w.reg = w.registry()
	w.changes = w.engine.Reconfigure(w.options(), w.now, w.changes)
	return w
}

func TestARuleWithoutItsDesignValueIsListedAsNotArmed(t *testing.T) {
	w := newWorld(t, config("east", "p1", "pond"), gas("east", "g1"))
	if got := w.engine.Armed(); got != 2 { // gas and detector
		t.Errorf("%d armed", got)
	}
	unarmed := w.engine.Unarmed()
	if len(unarmed) != 1 || !slices.Equal(unarmed[0].Missing, []string{"min_dry_beach_m"}) {
		t.Fatalf("unarmed %v", unarmed)
	}
	want := "rule beach at east/p1 dry_beach_m: set min_dry_beach_m in the params of device p1 or of site east"
	if got := unarmed[0].String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.see("east/p1", "dry_beach_m", 1).expect()

	// The value is set: from here on the rule is armed, and judges what is held.
	w.config.Sites[0].Params = map[string]float64{"min_dry_beach_m": 100}
	w.see("east/p1", "dry_beach_m", 90).reconfigure()
	if got := w.engine.Unarmed(); len(got) != 0 || w.engine.Armed() != 3 {
		t.Errorf("armed %d, unarmed %v", w.engine.Armed(), got)
	}
	w.see("east/p1", "dry_beach_m", 90).expect("beach east/p1 dry_beach_m red 90")
}

func TestARuleIsNotThereWhereThereIsNothingToWatch(t *testing.T) {
	c := config("east", "p1", "pond")
	c.Params = map[string]float64{"no_beach": 1}
	w := newWorld(t, c, config("east", "p2", "pond"))
	w.rules = w.parse(`
kind: pond
rules: [{id: beach, field: dry_beach_m, unless: no_beach, worse: low, ` + rulesHead + `, clear: {hysteresis: 1}, steps: [{level: red, limit: {param: min_dry_beach_m}}]}]`)
	if w.reconfigure(); w.engine.Armed() != 0 || len(w.engine.Unarmed()) != 1 || w.engine.Unarmed()[0].Device.ID != "p2" {
		t.Errorf("%d armed, not armed %v", w.engine.Armed(), w.engine.Unarmed())
	}
}

// An order is a design value that says that it is in force, and a dated baseline;
// what was before it is nobody's affair, and when it is taken away so is the alarm.
func TestARuleOfAnOrder(t *testing.T) {
	w := newWorld(t, config("east", "p1", "pond"))
	w.rules = w.parse(`
kind: pond
rules: [{id: order, field: pond_level_m, only: keep_low, measure: {delta: {}}, worse: high, ` + rulesHead + `, clear: {hysteresis: 0.1}, steps: [{level: orange, limit: 1, for: 15m}]}]`)
	w.reconfigure().see("east/p1", "pond_level_m", 90).after(20*time.Minute).see("east/p1", "pond_level_m", 90).expect()
	if n := len(w.engine.Unarmed()); n != 0 || w.engine.Armed() != 0 {
		t.Errorf("%d armed, %d not, without an order", w.engine.Armed(), n)
	}
	w.config.Sites[0].Params = map[string]float64{"keep_low": 1}
	if w.reconfigure(); len(w.engine.Unarmed()) != 1 {
		t.Errorf("an order without its baseline: not armed %v", w.engine.Unarmed())
	}
	w.config.Devices[0].Baselines = []devices.Baseline{{Field: "pond_level_m", Value: 88, From: time.UnixMilli(w.now).Add(time.Minute)}}
	w.reconfigure().after(time.Minute).expect()
	w.see("east/p1", "pond_level_m", 90).after(15*time.Minute - time.Second).expect()
	w.after(time.Second).expect("order east/p1 pond_level_m orange 2")
	w.config.Sites[0].Params["keep_low"] = 0
	w.reconfigure().expect("order east/p1 pond_level_m normal 2")
}

func TestLimitsThatMakeNoSenseAtAPointAreNotArmed(t *testing.T) {
	for value, want := range map[float64]string{
		5000: "the orange limit 6000 lies outside what dry_beach_m can read, 0 to 2000",
		0:    "the red limit 0 is not beyond the orange limit 0",
	} {
		c := config("east", "p1", "pond")
		c.Params = map[string]float64{"min_dry_beach_m": value}
		w := newWorld(t, c)
		if got := w.engine.Unarmed(); len(got) != 1 || got[0].Reason().EN != want || !strings.Contains(got[0].Reason().ZH, "色限值") {
			t.Errorf("%v: %v", value, got)
		}
	}
}

func TestADefaultArmsUntilTheSiteSaysOtherwise(t *testing.T) {
	low, high := gas("east", "g1"), gas("east", "g2")
	high.Params = map[string]float64{"low_lel_pct": 10}
	w := newWorld(t, low, high)
	w.rules = w.parse(`
kind: gas
rules: [{id: gas, field: gas_lel_pct, worse: high, ` + rulesHead + `, clear: {hysteresis: 1}, steps: [{level: yellow, limit: {param: low_lel_pct, default: 20}}]}]`)
	w.reconfigure().see("east/g1", "gas_lel_pct", 12).see("east/g2", "gas_lel_pct", 12).expect("gas east/g2 gas_lel_pct yellow 12")
}

func TestAChangedRegistryIsABarrier(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"), config("east", "c1", "cable"))
	w.see("east/g1", "gas_lel_pct", 60).see("east/g2", "gas_lel_pct", 60).see("east/c1", "cable_temp_1_c", 61)
	w.expect("gas east/g1 gas_lel_pct red 60", "gas east/g2 gas_lel_pct red 60")
	t.Run("what is the same stays", func(t *testing.T) {
		w.after(30 * time.Second).reconfigure().after(29 * time.Second).expect()
		w.after(time.Second).expect("cable east/c1 cable_temp_1_c yellow 61") // the wait went on
	})
	t.Run("a reading decoded before it is judged", func(t *testing.T) {
		r := w.reading("east/c1", "cable_temp_1_c", 20)
		w.config.Kinds = testKinds(w.t)
		w.reconfigure().judge(r).expect("cable east/c1 cable_temp_1_c normal 20")
	})
	t.Run("what is gone ends", func(t *testing.T) {
		w.config.Devices = w.config.Devices[1:]
		w.config.Devices[0].State = devices.OutOfService
		w.reconfigure().expect("gas east/g1 gas_lel_pct normal 60", "gas east/g2 gas_lel_pct normal 60")
	})
	t.Run("new ones have all the time they may take", func(t *testing.T) {
		w.config.Devices = append(w.config.Devices, gas("west", "g3"))
		w.after(time.Hour).told()
		w.reconfigure().after(10*time.Minute - time.Second).expect()
		w.after(time.Second).expect("silent west/g3 fault")
	})
	t.Run("a device that leaves its service is not silent", func(t *testing.T) {
		w.config.Devices[len(w.config.Devices)-1].State = devices.Commissioning
		w.reconfigure().expect("silent west/g3 normal")
		w.config.Devices[len(w.config.Devices)-1].State = devices.InService
		w.after(time.Hour).reconfigure().expect()
		w.after(10 * time.Minute).expect("silent west/g3 fault")
	})
}

func TestAChangedRuleIsJudgedOnTheValuesHeld(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"))
	w.see("east/g1", "gas_lel_pct", 60).see("east/g2", "gas_lel_pct", 18)
	w.expect("gas east/g1 gas_lel_pct red 60")
	w.rules = w.parse(strings.Replace(gasRules, "limit: 20", "limit: 15", 1), cableRules)
	w.reconfigure().expect("gas east/g2 gas_lel_pct yellow 18")
	// Another wording is no other rule.
	w.rules = w.parse(strings.ReplaceAll(strings.Replace(gasRules, "limit: 20", "limit: 15", 1), "en: title", "en: another title"), cableRules)
	w.reconfigure().expect()
	if r := w.engine.Levels(nil)[0].Rule; r.Title.EN != "another title" {
		t.Errorf("the level still tells of %q", r.Title.EN)
	}
	w.rules = w.parse(strings.Replace(strings.Replace(gasRules, "limit: 20", "limit: 30", 1), "limit: 50", "limit: 70", 1), cableRules)
	w.reconfigure().expect("gas east/g1 gas_lel_pct yellow 60", "gas east/g2 gas_lel_pct normal 18")
	w.rules = nil
	w.reconfigure().expect("gas east/g1 gas_lel_pct normal 60")
}

func TestASnapshotFromAnotherTimeIsUsedAsFarAsItGoes(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"), gas("west", "g3"))
	w.see("east/g1", "gas_lel_pct", 60).see("east/g2", "gas_lel_pct", 60).told()
	snapshot, err := w.engine.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	w.config.Devices = []devices.DeviceConfig{gas("east", "g1"), gas("west", "g4")}
	w.reg = w.registry()
	w.engine = rules.NewEngine(w.options())
	if err := w.engine.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	if got, want := w.levels(), "gas east/g1 gas_lel_pct red 60"; got != want {
		t.Errorf("levels %s, want %s", got, want)
	}
	if err := w.engine.Restore([]byte("another thing")); err != rules.ErrSnapshot {
		t.Errorf("restored from another thing: %v", err)
	}
	if got, want := w.levels(), "gas east/g1 gas_lel_pct red 60"; got != want {
		t.Errorf("after a refused snapshot: %s", got)
	}
}

func TestAWholeSiteStaysFoldedThroughAChange(t *testing.T) {
	w := newWorld(t, gas("east", "g1"), gas("east", "g2"))
	w.see("east/g1", "gas_lel_pct", 1).see("east/g2", "gas_lel_pct", 1).after(10 * time.Minute).told()
	w.reconfigure().expect()
	w.config.Devices = append(w.config.Devices, gas("east", "g3"))
	w.reconfigure().expect()
	w.config.Devices = w.config.Devices[:1]
	w.reconfigure().expect("silent east/g2 normal", "site_silent east normal", "silent east/g1 fault")
}

// TestAFieldNobodySendsCostsNothing: a kind has many fields, a device sends a
// few. What a device costs follows from those.
func TestAFieldNobodySendsCostsNothing(t *testing.T) {
	size := func(watched int) int {
		var fields, set strings.Builder
		for i := range watched {
			fmt.Fprintf(&fields, "  - {name: temp_%d_c, title: {zh: 温度, en: temperature}, unit: °C, range: [-40, 200]}\n", i)
			fmt.Fprintf(&set, "  - {id: r%d, field: temp_%d_c, worse: high, %s, clear: {hysteresis: 5}, steps: [{level: red, limit: 80}]}\n", i, i, rulesHead)
		}
		k, err := devices.ParseKind("board.yaml", []byte("kind: board\nname: {zh: 箱, en: board}\ninterval: 1m\nfields:\n"+fields.String()))
		if err != nil {
			t.Fatal(err)
		}
		all, err := rules.ParseRules("board.yaml", []byte("kind: board\nrules:\n"+set.String()), []*devices.Kind{k})
		if err != nil {
			t.Fatal(err)
		}
		o := devices.RegistryOptions{Kinds: []*devices.Kind{k}, Sites: []*devices.Site{{ID: "s"}}}
		for i := range 100 {
			o.Devices = append(o.Devices, config("s", fmt.Sprintf("d%02d", i), "board"))
		}
		reg, err := devices.NewRegistry(o)
		if err != nil {
			t.Fatal(err)
		}
		e := rules.NewEngine(rules.EngineOptions{Registry: reg, Rules: all})
		if e.Armed() != 100*watched {
			t.Errorf("%d of %d rules are armed", e.Armed(), 100*watched)
		}
		raised := 0
		for d := range reg.Devices() {
			r := &devices.Reading{Device: d, Time: start, Received: start, Values: []devices.Value{{Field: k.Fields[0], Number: 90}}}
			raised += len(e.Judge(r, start, nil))
		}
		if raised != 100 {
			t.Errorf("%d of 100 first values beyond the limit were told", raised)
		}
		snapshot, err := e.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return len(snapshot)
	}
	if one, many := size(1), size(40); many > one {
		t.Errorf("devices that send one of forty fields take %d bytes, those that have only one %d", many, one)
	}
}
