package alarms_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// drawChanges is what an input entry does to levels. Like the engine's, a change
// is never the level before again, unless only its flags differ.
func drawChanges(t *rapid.T, levels map[string]rules.Change) []rules.Change {
	var out []rules.Change
	devs := []*devices.Device{first, other, {Site: &devices.Site{ID: "elsewhere"}, ID: "gas-01", Kind: kind}}
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		d := rapid.SampledFrom(devs).Draw(t, "device")
		latch := rapid.Bool().Draw(t, "latch")
		r := gasRule(latch)
		if latch {
			r.ID = "latching"
		}
		c := change(r, d, rapid.SampledFrom([]rules.Level{rules.Normal, rules.Normal, rules.Yellow, rules.Orange, rules.Red}).Draw(t, "level"))
		c.Value = float64(rapid.IntRange(0, 100).Draw(t, "value"))
		if c.Level != rules.Normal {
			c.Unverified = rapid.Bool().Draw(t, "unverified")
			c.Backfill = rapid.IntRange(0, 4).Draw(t, "backfill") == 0
			c.Suppressed = rapid.IntRange(0, 4).Draw(t, "suppressed") == 0
		}
		key := r.ID + d.Key()
		if was, ok := levels[key]; c.Level == rules.Normal && (!ok || was.Level == rules.Normal) {
			continue
		}
		levels[key] = c
		out = append(out, c)
	}
	return out
}

func drawCommand(t *rapid.T, d *desk) alarms.Command {
	c := alarms.Command{
		Alarm:       "A0",
		Verb:        rapid.SampledFrom([]alarms.Verb{alarms.Ack, alarms.Unack, alarms.Note, alarms.Shelve, alarms.Unshelve, alarms.ResetLatch, alarms.Close, alarms.Close}).Draw(t, "verb"),
		By:          rapid.SampledFrom([]string{"李雷", "韩梅梅"}).Draw(t, "by"),
		Note:        rapid.SampledFrom([]string{"", "a note"}).Draw(t, "note"),
		Until:       d.at.Clock + int64(rapid.IntRange(0, 100).Draw(t, "until"))*1000,
		Disposition: rapid.SampledFrom([]string{"", "real", "test"}).Draw(t, "disposition"),
		Key:         rapid.SampledFrom([]string{"", "", "k1", "k2"}).Draw(t, "key"),
	}
	if all := d.book.Alarms(); len(all) > 0 {
		c.Alarm = rapid.SampledFrom(all).Draw(t, "alarm").ID
	}
	return c
}

// live draws a history and plays it; visit sees each step before it happens.
func live(t *rapid.T, d *desk, levels map[string]rules.Change, visit func(changes []rules.Change)) {
	for range rapid.IntRange(1, 30).Draw(t, "steps") {
		d.next()
		changes := drawChanges(t, levels)
		if visit != nil {
			visit(changes)
		}
		d.record(d.book.Apply(changes, d.at))
		for range rapid.IntRange(0, 2).Draw(t, "commands") {
			if events, err := d.book.Command(drawCommand(t, d), d.at); err == nil && events[0].Seq == 0 {
				d.record(events)
			}
		}
		d.record(d.book.Tick(d.at))
	}
}

// same compares all that two books say.
func same(t *rapid.T, what string, a, b *alarms.Book) {
	if x, y := a.Alarms(), b.Alarms(); !reflect.DeepEqual(x, y) {
		t.Fatalf("%s: alarms\n%s\nwant\n%s", what, text(y), text(x))
	}
	if x, y := a.Count(), b.Count(); !reflect.DeepEqual(x, y) {
		t.Fatalf("%s: counts %v, want %v", what, y, x)
	}
	counted := map[alarms.Tally]int{}
	for _, alarm := range a.Alarms() {
		counted[alarms.Tally{Level: alarm.WorstLevel, State: alarm.State}]++
	}
	if kept := a.Count(); !reflect.DeepEqual(kept, counted) {
		t.Fatalf("%s: counts %v, there are %v", what, kept, counted)
	}
}

func text(v any) string {
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func ids(events []alarms.Event) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

// A book that is folded from its events, all or the last of each alarm, is the
// live book, and goes on like it.
func TestFoldedIsLive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		levels := map[string]rules.Change{}
		live(rt, d, levels, nil)
		whole, last := fold(d.log, false), fold(d.log, true)
		same(rt, "folded", d.book, whole)
		same(rt, "folded from the last events", d.book, last)
		d.next()
		changes := drawChanges(rt, levels)
		want := ids(d.book.Apply(changes, d.at))
		for _, b := range []*alarms.Book{whole, last} {
			if got := ids(b.Apply(changes, d.at)); !slices.Equal(got, want) {
				rt.Fatalf("goes on with %v, want %v", got, want)
			}
			same(rt, "folded, later", d.book, b)
		}
	})
}

// Whatever prefix of the events of an input entry a crash lets reach the log:
// applying the entry again gives exactly those missing, with the same ids.
func TestExactlyOnceAcrossACrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		levels := map[string]rules.Change{}
		live(rt, d, levels, nil)
		d.next()
		before := slices.Clone(d.log)
		changes := drawChanges(rt, levels)
		if rapid.Bool().Draw(rt, "a command before") {
			if events, err := d.book.Command(drawCommand(rt, d), d.at); err == nil && events[0].Seq == 0 {
				d.record(events)
				before = slices.Clone(d.log)
			}
		}
		events := d.book.Apply(changes, d.at)
		for n := range len(events) + 1 {
			log := slices.Clone(before)
			for i, e := range events[:n] {
				e.Seq = uint64(len(before) + i + 1)
				e.Alarm.Seq = e.Seq
				log = append(log, e)
			}
			for _, last := range []bool{false, true} {
				b := fold(log, last)
				if got, want := ids(b.Apply(changes, d.at)), ids(events[n:]); !slices.Equal(got, want) {
					rt.Fatalf("after %d of %d events: %v, want %v", n, len(events), got, want)
				}
				if again := b.Apply(nil, d.at); len(again) > 0 {
					rt.Fatalf("and again %v", ids(again))
				}
			}
		}
	})
}

// Applied again in full after the log was folded, nothing happens; also when
// people were at work at the same position, and even closed the alarm.
func TestReplayOfTheLastEntryIsSilent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		var changes []rules.Change
		live(rt, d, map[string]rules.Change{}, func(c []rules.Change) { changes = c })
		if len(d.log) == 0 || d.log[len(d.log)-1].Input != d.at.Position {
			return // nothing of the last entry is on record
		}
		for _, last := range []bool{false, true} {
			if again := fold(d.log, last).Apply(changes, d.at); len(again) > 0 {
				rt.Fatalf("applied again: %s", words(again))
			}
			// A second crash, with a command between the two.
			b, log := fold(d.log, last), slices.Clone(d.log)
			if events, err := b.Command(drawCommand(rt, d), d.at); err == nil && events[0].Seq == 0 {
				b.Recorded(&events[0], uint64(len(log)+1))
				log = append(log, events[0])
			}
			if again := fold(log, last).Apply(changes, d.at); len(again) > 0 {
				rt.Fatalf("applied again after the second crash: %s", words(again))
			}
		}
	})
}

// Every activation is raised or rearmed once: as many as a count that knows
// nothing but levels.
func TestEveryActivationOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		want, active := 0, map[string]bool{}
		live(rt, d, map[string]rules.Change{}, func(changes []rules.Change) {
			for _, c := range changes {
				key := c.Rule.ID + c.Device.Key()
				if c.Level != rules.Normal && !active[key] {
					want++
				}
				active[key] = c.Level != rules.Normal
			}
		})
		got, known := 0, map[string]bool{}
		for _, e := range d.log {
			if known[e.ID] {
				rt.Fatalf("two events with the id %s", e.ID)
			}
			known[e.ID] = true
			if e.Type == alarms.Raised || e.Type == alarms.Rearmed {
				got++
			}
		}
		if got != want {
			rt.Fatalf("%d raised or rearmed, %d activations", got, want)
		}
	})
}

// First out is the alarm that followed none of its site within ten minutes and was
// itself followed while it was open: told once, from the second one on. The oracle
// looks at the whole log.
func TestFirstOutIsWhoWasFollowed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		d.stride = int64(rapid.SampledFrom([]int{1, 90, 400}).Draw(rt, "seconds a step")) * 1000
		live(rt, d, map[string]rules.Change{}, nil)
		if rapid.Bool().Draw(rt, "restart") {
			d.book = fold(d.log, rapid.Bool().Draw(rt, "from the last events"))
		}
		want := map[string]bool{}
		newest, led, closed := map[string]alarms.Alarm{}, map[string]bool{}, map[string]bool{}
		for _, e := range d.log {
			if closed[e.Alarm.ID] = e.Type == alarms.ClosedEv; e.Type != alarms.Raised || slices.Contains(e.Alarm.Flags, "backfill") {
				continue
			}
			before, any := newest[e.Alarm.Site]
			newest[e.Alarm.Site] = e.Alarm
			if any && e.Alarm.RaisedTime-before.RaisedTime < 600_000 {
				want[before.ID] = want[before.ID] || led[before.ID] && !closed[before.ID]
			} else {
				led[e.Alarm.ID] = true
			}
		}
		for _, a := range d.book.Alarms() {
			if got := slices.Contains(a.Flags, "first_out"); got != want[a.ID] {
				rt.Fatalf("first out of %s is %v, want %v\n%s", a.ID, got, want[a.ID], words(d.log))
			}
		}
	})
}

// What stands is what the levels say: an alarm is active and not latched exactly
// where a level is not Normal, and a reconciliation changes nothing.
func TestWhatStandsIsWhatTheLevelsSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(t)
		levels := map[string]rules.Change{}
		live(rt, d, levels, nil)
		var now []rules.Change
		for _, c := range levels {
			if c.Level != rules.Normal {
				now = append(now, c)
			}
		}
		if events := d.next().book.Reconcile(now, d.at); len(events) > 0 {
			rt.Fatalf("reconciled: %s", words(events))
		}
		standing := map[string]bool{}
		for _, a := range d.book.Alarms() {
			if (a.State == alarms.ActiveUnacked || a.State == alarms.ActiveAcked) && !slices.Contains(a.Flags, "latched") {
				standing[a.Rule+a.Site+"/"+a.Device] = true
			}
		}
		for _, c := range now {
			if !standing[c.Rule.ID+c.Device.Key()] {
				rt.Fatalf("%s at %s is %s, and nothing stands", c.Rule.ID, c.Device.Key(), c.Level)
			}
		}
		if len(standing) != len(now) {
			rt.Fatalf("%d stand, %d levels", len(standing), len(now))
		}
	})
}
