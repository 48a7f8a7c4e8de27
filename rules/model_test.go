package rules_test

import (
	"cmp"
	"math"
	"slices"

	"fengsui/devices"
	"fengsui/rules"
)

// The reference model says what level a rule must have at a moment, given all
// samples up to then. It knows no order of arrival, no state that is continued,
// no tail, no timer and no snapshot: every answer begins at the first sample.

// modelSample is one value at its place in event time.
type modelSample struct {
	time    int64
	seq     int // of the device's own count
	value   float64
	quality modelQuality
	trigger bool // of the field that asks, not of the rule's own
}

// model is a rule with what it looks up at the device.
type model struct {
	rule      *rules.Rule
	baselines []devices.Baseline
}

// level is that of the rule at now.
func (m *model) level(samples []modelSample, now int64) rules.Level {
	seen := slices.DeleteFunc(slices.Clone(samples), func(x modelSample) bool { return x.time > now })
	slices.SortStableFunc(seen, func(a, b modelSample) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.seq, b.seq))
	})
	if m.rule.Expect != nil {
		return m.expected(seen, now)
	}
	return m.ladder(m.looks(seen, now), now)
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
		if x.quality == isGood && at <= now && seen[len(seen)-1].quality != isOver {
			x.time = at
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
		return m.slope(places(good, over, 48, t))
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
func (m *model) slope(places [][]modelSample) (float64, bool) {
	var at, value, slopes []float64
	for _, p := range places {
		var t, v float64
		for _, x := range p {
			t, v = t+float64(x.time-p[0].time), v+x.value
		}
		at = append(at, float64(p[0].time-places[0][0].time)+t/float64(len(p)))
		value = append(value, v/float64(len(p)))
	}
	for i := range at {
		for j := i + 1; j < len(at); j++ {
			slopes = append(slopes, (value[j]-value[i])/(at[j]-at[i])*float64(m.rule.Measure.Per.Milliseconds()))
		}
	}
	if len(places) < m.rule.Measure.Samples {
		return 0, false
	}
	slices.Sort(slopes)
	n := len(slopes)
	return micro((slopes[(n-1)/2] + slopes[n/2]) / 2), true
}

func micro(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// rung is a step: since when values are bad enough to reach it, good enough to leave.
type rung struct {
	bad, good int64
	on        bool
}

// ladder walks the looks: the level is that of the highest step that is on.
func (m *model) ladder(looks []modelSample, now int64) rules.Level {
	steps := make([]rung, len(m.rule.Steps))
	for i, x := range looks {
		m.wait(steps, x.time)
		for n := range steps {
			m.turn(steps, n, looks[:i+1])
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

// turn tells step n what the last look says.
func (m *model) turn(steps []rung, n int, looks []modelSample) {
	s, x := &steps[n], looks[len(looks)-1]
	bad := m.bad(n, x)
	switch {
	case x.quality == isOver, m.agreed(n, looks):
		s.good = 0
		if s.bad == 0 && !s.on {
			s.bad = x.time
		}
		if !s.on && (x.quality == isOver || m.rule.Steps[n].For == 0) {
			m.reach(steps, n)
		}
	case !bad && m.good(n, x):
		s.bad = 0
		if s.good == 0 && s.on {
			s.good = x.time
		}
		if s.on && m.rule.Clear.For == 0 {
			*s = rung{}
		}
	default:
		s.bad, s.good = 0, 0
	}
}

// agreed says that enough of the last looks were bad.
func (m *model) agreed(n int, looks []modelSample) bool {
	votes, c := 0, m.rule.Confirm
	for _, x := range looks[max(len(looks)-max(c.Of, 1), 0):] {
		if m.bad(n, x) {
			votes++
		}
	}
	return votes >= max(c.N, 1)
}

func (m *model) bad(n int, x modelSample) bool {
	step := m.rule.Steps[n]
	switch {
	case x.quality == isOver:
		return true
	case step.Is != nil:
		return slices.Contains(step.Is, x.value)
	case m.rule.Worse == devices.Low:
		return x.value <= step.Limit.Value
	case m.rule.Worse == devices.Both:
		return math.Abs(x.value) >= step.Limit.Value
	}
	return x.value >= step.Limit.Value
}

func (m *model) good(n int, x modelSample) bool {
	limit, h := m.rule.Steps[n].Limit.Value, m.rule.Clear.Hysteresis
	switch m.rule.Worse {
	case devices.Low:
		return x.value > limit+h
	case devices.Both:
		x.value = math.Abs(x.value)
	}
	return m.rule.Steps[n].Is != nil || x.value < limit-h
}

// reach turns a step on, and of limits also those below.
func (m *model) reach(steps []rung, n int) {
	for i := range n + 1 {
		if i == n || m.rule.Steps[n].Is == nil {
			steps[i] = rung{on: true}
		}
	}
}

// wait turns steps whose time is up, in the order of those times.
func (m *model) wait(steps []rung, now int64) {
	for {
		first, end := -1, now+1
		for i, s := range steps {
			if up := s.bad + m.rule.Steps[i].For.Milliseconds(); s.bad != 0 && up < end {
				first, end = i, up
			}
			if down := s.good + m.rule.Clear.For.Milliseconds(); s.good != 0 && down < end {
				first, end = i, down
			}
		}
		switch {
		case first < 0:
			return
		case steps[first].on:
			steps[first] = rung{}
		default:
			m.reach(steps, first)
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
			asked = x.value >= m.rule.Expect.While.Limit.Value
		}
		switch {
		case !asked || there:
			since = 0
		case since == 0:
			since = x.time
		}
	}
	if since != 0 && now-since >= m.rule.Expect.Within.Milliseconds() {
		return m.rule.Steps[0].Level
	}
	return rules.Normal
}
