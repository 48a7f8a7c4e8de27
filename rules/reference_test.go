package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fengsui/rules"
)

// referenceStep is one step of a ladder as people explain it: it goes on after
// its time beyond the limit, and off after its time below the clear limit.
type referenceStep struct {
	level        rules.Level
	limit, clear int
	wait, off    int // seconds

	on           bool
	above, below int // for how many seconds it has been; -1: it is not
}

// reference looks at the value once a second and knows no events, no timers and
// no tricks.
func reference(steps []referenceStep, values []int) (levels []rules.Level) {
	for _, v := range values {
		for i := range steps { // a second passed
			s := &steps[i]
			s.above, s.below = longer(s.above), longer(s.below)
		}
		turn(steps)
		for i := range steps { // and here is the value now
			s := &steps[i]
			s.above, s.below = holds(s.above, v >= s.limit), holds(s.below, v < s.clear)
		}
		turn(steps)
		level := rules.Normal
		for _, s := range steps {
			if s.on {
				level = s.level
			}
		}
		levels = append(levels, level)
	}
	return levels
}

func turn(steps []referenceStep) {
	for i := range steps {
		s := &steps[i]
		switch {
		case !s.on && s.above >= s.wait:
			for j := range i + 1 {
				steps[j].on = true
			}
		case s.on && s.below >= s.off:
			s.on = false
		}
	}
}

func longer(n int) int {
	if n >= 0 {
		return n + 1
	}
	return -1
}

func holds(n int, it bool) int {
	if !it {
		return -1
	}
	return max(n, 0)
}

// Random ladders over random values: what the engine tells is the reference's
// level, second by second.
func TestLadderIsTheReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		off := rapid.SampledFrom([]int{0, 0, 7, 40}).Draw(rt, "clear for")
		hysteresis := rapid.SampledFrom([]int{0, 3, 12}).Draw(rt, "hysteresis")
		var steps []referenceStep
		var text []string
		limit := 20
		for _, level := range []rules.Level{rules.Blue, rules.Yellow, rules.Orange, rules.Red} {
			if len(steps) > 0 && !rapid.Bool().Draw(rt, "step") {
				continue
			}
			limit += rapid.IntRange(1, 20).Draw(rt, "limit")
			wait := rapid.SampledFrom([]int{0, 0, 5, 30, 61}).Draw(rt, "for")
			steps = append(steps, referenceStep{level: level, limit: limit, clear: limit - hysteresis, wait: wait, off: off, above: -1, below: -1})
			text = append(text, fmt.Sprintf("{level: %s, limit: %d, for: %ds}", level, limit, wait))
		}
		w := newWorld(t, config("east", "c1", "cable"))
		w.rules = w.parse(fmt.Sprintf(`
kind: cable
rules: [{id: cable, field: cable_temp_1_c, worse: high, %s, clear: {hysteresis: %d, for: %ds}, steps: [%s]}]`,
			rulesHead, hysteresis, off, strings.Join(text, ", ")))
		w.reconfigure()

		var held []int
		var told []rules.Level
		level := rules.Normal
		for range rapid.IntRange(1, 25).Draw(rt, "samples") {
			value := rapid.IntRange(10, 110).Draw(rt, "value")
			for i := range rapid.IntRange(1, 70).Draw(rt, "seconds") {
				w.now += 1000
				w.changes = w.engine.Advance(w.now, nil)
				if i == 0 {
					w.changes = w.engine.Judge(w.reading("east/c1", "cable_temp_1_c", float64(value)), w.now, w.changes)
				}
				for _, c := range w.changes {
					if c.Field != nil {
						level = c.Level
					}
				}
				held, told = append(held, value), append(told, level)
			}
		}
		want := reference(steps, held)
		for i := range held {
			if told[i] != want[i] {
				rt.Fatalf("second %d, value %d: told %s, reference %s\nladder %s\nheld %v", i, held[i], told[i], want[i], text, held)
			}
		}
	})
}
