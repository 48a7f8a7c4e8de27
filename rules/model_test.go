package rules_test

import (
	"cmp"
	"math"
	"slices"

	"fengsui/devices"
	"fengsui/rules"
)

// The reference model says what level a rule must have, given all samples up to then.
// It knows no order of arrival, no tail, no timer: it begins at the first sample.

// modelSample is one value at its place in event time.
type modelSample struct {
	time    int64
	seq     int // of the device's own count
	value   float64
	quality modelQuality
	trigger bool // of the field that asks, not of the rule's own
	doubt   bool // it jumps
}

// model is a rule with what it looks up at the device.
type model struct {
	rule      *rules.Rule
	baselines []devices.Baseline
	jump      *devices.MaxDelta // of the rule's field, or of the one that asks
}

// level is that of the rule at now.
func (m *model) level(samples []modelSample, now int64) rules.Level {
	seen := slices.DeleteFunc(slices.Clone(samples), func(x modelSample) bool { return x.time > now })
	slices.SortStableFunc(seen, func(a, b modelSample) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq))
	})
	m.doubt(seen)
	if m.rule.Expect != nil {
		return m.expected(seen, now)
	}
	return m.ladder(m.looks(seen, now), now)
}

// doubt marks the values that lie too far from both values before them.
func (m *model) doubt(samples []modelSample) {
	var before []modelSample
	for i := range samples {
		x := &samples[i]
		if m.jump == nil || x.quality != isGood || x.trigger != (m.rule.Expect != nil) {
			continue
		}
		x.doubt = len(before) > 0
		for _, y := range before[max(len(before)-2, 0):] {
			limit := m.jump.Value
			if m.jump.Per > 0 {
				limit *= max(1, float64(x.time-y.time)/float64(m.jump.Per.Milliseconds()))
			}
			x.doubt = x.doubt && math.Abs(x.value-y.value) > limit
		}
		before = append(before, *x)
	}
}

// looks is what the ladder sees, at each sample and when something leaves a sum.
func (m *model) looks(samples []modelSample, now int64) (out []modelSample) {
	for i, x := range samples {
		ok := x.quality == isOver
		if x.quality == isGood && !slices.Contains(m.rule.Hold, x.value) {
			x.value, ok = m.measure(samples[:i+1], x.time)
		}
		if ok {
			out = append(out, x)
		}
	}
	if q := m.rule.Measure; q == nil || q.Quantity != rules.Sum && q.Quantity != rules.Growth {
		return out
	}
	var falls []modelSample
	for _, x := range samples {
		at := x.time + m.rule.Measure.Over.Milliseconds()
		seen := judged(samples, func(y modelSample) bool { return y.time < at })
		if x.quality == isGood && at <= now && seen[len(seen)-1].quality != isOver && !seen[len(seen)-1].doubt {
			x.time, x.doubt = at, false
			x.value, _ = m.measure(seen, at)
			falls = append(falls, x)
		}
	}
	all := slices.Concat(falls, out) // of the same moment: what falls, then the sample
	slices.SortStableFunc(all, func(a, b modelSample) int { return cmp.Compare(a.time, b.time) })
	return all
}

// judged are the samples that are values at all, as far as they are wanted.
func judged(samples []modelSample, wanted func(modelSample) bool) []modelSample {
	return slices.DeleteFunc(slices.Clone(samples), func(x modelSample) bool { return x.quality == isBad || !wanted(x) })
}

// measure is what the rule compares with its limits, at t, after these samples.
func (m *model) measure(samples []modelSample, t int64) (float64, bool) {
	good := judged(samples, func(x modelSample) bool { return x.quality == isGood })
	last := good[len(good)-1].value
	if m.rule.Measure == nil {
		return last, true
	}
	over := m.rule.Measure.Over.Milliseconds()
	switch m.rule.Measure.Quantity {
	case rules.Delta:
		for _, b := range slices.Backward(m.baselines) { // the newest first
			if b.From.UnixMilli() <= t {
				return micro(last - b.Value), true
			}
		}
		return 0, false
	case rules.Rate:
		return m.slope(places(good, over, 48, t), t)
	case rules.Growth:
		good = grown(good)
	}
	sum := 0.0
	good = judged(good, func(x modelSample) bool { return x.value != 0 })
	for _, p := range places(good, over, 288, t) {
		for _, x := range p {
			sum += x.value
		}
	}
	return micro(sum), true
}

// grown makes of what a counter read how much it counted since it was last read.
func grown(good []modelSample) (out []modelSample) {
	for i := 1; i < len(good); i++ {
		x := good[i]
		if before := good[i-1].value; x.value >= before {
			x.value -= before
		}
		out = append(out, x)
	}
	return out
}

// places gathers samples that lie in the same one of n parts of a window. They
// are in it as long as the newest of them is.
func places(samples []modelSample, over, n, t int64) (out [][]modelSample) {
	length := int64(math.Ceil(float64(over) / float64(n)))
	for i, x := range samples {
		if i == 0 || samples[i-1].time/length != x.time/length {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], x)
	}
	return slices.DeleteFunc(out, func(p []modelSample) bool { return p[len(p)-1].time <= t-over })
}

// slope is the median of those between the means of any two places.
func (m *model) slope(places [][]modelSample, t int64) (float64, bool) {
	var at, value, slopes []float64
	for i, p := range places {
		var t, v float64
		for _, x := range p {
			t, v = t+float64(x.time-p[0].time), v+x.value
		}
		at = append(at, float64(p[0].time-places[0][0].time)+t/float64(len(p)))
		value = append(value, v/float64(len(p)))
		for j := range i {
			slopes = append(slopes, (value[i]-value[j])/(at[i]-at[j])*float64(m.rule.Measure.Per.Milliseconds()))
		}
	}
	first := places[0]
	if len(at) < m.rule.Measure.Samples || t-first[len(first)-1].time < m.rule.Measure.Span.Milliseconds() {
		return 0, false
	}
	slices.Sort(slopes)
	return micro((slopes[(len(slopes)-1)/2] + slopes[len(slopes)/2]) / 2), true
}

func micro(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// rung is a step: whether it is on, and when it turns if nothing more is heard.
type rung struct {
	due int64
	on  bool
}

// ladder walks the looks: the level is that of the highest step that is on.
func (m *model) ladder(looks []modelSample, now int64) rules.Level {
	steps := make([]rung, len(m.rule.Steps))
	for i, x := range looks {
		m.wait(steps, x.time)
		for n := range steps {
			m.turn(&steps[n], n, looks[:i+1])
		}
	}
	m.wait(steps, now)
	level := rules.Normal
	for i, s := range steps {
		if s.on {
			level = m.rule.Steps[i].Level
		}
	}
	return level
}

// turn tells step n what the last look says; wait turns it when the time has come.
func (m *model) turn(s *rung, n int, looks []modelSample) {
	step, x := m.rule.Steps[n], looks[len(looks)-1]
	again := func(says func(int, modelSample) bool) bool { return len(looks) > 1 && says(n, looks[len(looks)-2]) }
	alone := !x.doubt || m.rule.Confirm.N > 0 || step.Level >= rules.Orange
	switch {
	case x.quality == isOver && !s.on: // waits for nothing
		s.due = x.time
	case x.quality == isOver, m.agreed(n, looks) && (alone || again(m.bad)):
		s.shall(true, x.time+step.For.Milliseconds())
	case m.good(n, x) && (!x.doubt || again(m.good)):
		s.shall(false, x.time+m.rule.Clear.For.Milliseconds())
	case !x.doubt, s.on && !m.good(n, x): // doubt alone ends no wait
		s.due = 0
	}
}

func (s *rung) shall(on bool, due int64) {
	if s.on == on {
		s.due = 0
	} else if s.due == 0 {
		s.due = due
	}
}

// agreed says that enough of the last looks were bad.
func (m *model) agreed(n int, looks []modelSample) bool {
	last := slices.Clone(looks[max(len(looks)-max(m.rule.Confirm.Of, 1), 0):])
	return len(slices.DeleteFunc(last, func(x modelSample) bool { return !m.bad(n, x) })) >= max(m.rule.Confirm.N, 1)
}

func (m *model) bad(n int, x modelSample) bool {
	step := m.rule.Steps[n]
	return x.quality == isOver || slices.Contains(step.Is, x.value) || step.Is == nil && m.worse(x.value) >= m.worse(step.Limit.Value)
}

func (m *model) good(n int, x modelSample) bool {
	limit := m.worse(m.rule.Steps[n].Limit.Value) - m.rule.Clear.Hysteresis
	return !m.bad(n, x) && (m.rule.Steps[n].Is != nil || m.worse(x.value) < limit)
}

// worse is the value as one that is worse the higher it is.
func (m *model) worse(v float64) float64 {
	switch m.rule.Worse {
	case devices.Low:
		return -v
	case devices.Both:
		return math.Abs(v)
	}
	return v
}

// wait turns steps whose time is up, in that order; a limit takes those below along.
func (m *model) wait(steps []rung, now int64) {
	for {
		first, end := -1, now+1
		for i, s := range steps {
			if s.due != 0 && s.due < end {
				first, end = i, s.due
			}
		}
		switch {
		case first < 0:
			return
		case steps[first].on:
			steps[first] = rung{}
		default:
			for i := range first + 1 {
				if i == first || m.rule.Steps[i].Is == nil {
					steps[i] = rung{on: true}
				}
			}
		}
	}
}

// expected is the level of a state that was asked for and is not there in time.
func (m *model) expected(samples []modelSample, now int64) rules.Level {
	asked, there, since := false, false, int64(0)
	for _, x := range samples {
		switch {
		case !x.trigger:
			there = x.quality == isGood && slices.Contains(m.rule.Expect.Is, x.value)
		case x.quality != isBad:
			asked = x.value >= m.rule.Expect.While.Limit.Value || asked && x.doubt
		}
		if !asked || there {
			since = 0
		} else if since == 0 {
			since = x.time
		}
	}
	if since != 0 && now-since >= m.rule.Expect.Within.Milliseconds() {
		return m.rule.Steps[0].Level
	}
	return rules.Normal
}
