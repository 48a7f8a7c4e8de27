package rules

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"fengsui/devices"
)

// ladder is the condition of a rule's steps, with their limits at one point.
//
// Every step is a switch of its own. It goes on when the value was at its limit
// or beyond for the step's `for`, and off when the value was better than its
// clear limit for `clear.for`; between the two it stays. A step that goes on
// takes the ones below it along, so that going down never skips one that still
// holds. The level is that of the highest step that is on.
type ladder struct {
	steps    []rung // from the mildest to the worst
	low      bool   // a lower value is worse
	size     bool   // the size of the value counts, whatever its sign
	over     overSide
	hold     []float64
	clearFor int64 // ms
	atOnce   bool  // a single sample is enough, even a suspect one
	quorum   Confirm
}

// overSide says which values beyond the range are the worst level of a rule.
type overSide struct {
	none   bool    // the field's dangerous side is not the rule's
	middle float64 // where both sides are dangerous: only those on the rule's side of it
	both   bool
}

type rung struct {
	level Level
	limit float64
	clear float64
	is    []float64 // for states: the numbers that mean this step
	wait  int64     // ms
}

func (l *ladder) step(s *state, x *sample) {
	if s.due <= x.time {
		l.pass(s, x.time)
	}
	s.at = x.time
	if !l.judges(x) {
		return
	}
	beyond, better := l.read(x)
	up := beyond
	if l.quorum.Of > 0 {
		up = l.confirmed(s, x, beyond)
	}
	if beyond == 0 && s.on == 0 && s.due == never { // the usual case: nothing is, nothing was
		s.beyond, s.better = 0, better
		return
	}
	s.wake()
	c := l.weigh(s, x, claims{beyond: beyond, better: better, up: up, down: better})
	for i := range l.steps {
		l.move(s, x, i, c)
	}
	l.settle(s, x)
	if s.level != Normal {
		l.confirm(s, x, beyond)
	}
	s.beyond, s.better, s.last = beyond, better, *x
	s.rest()
}

// judges says whether the ladder looks at a sample at all.
func (l *ladder) judges(x *sample) bool {
	switch {
	case !x.judged() || slices.Contains(l.hold, x.number):
		return false
	case !x.is(sampleOver):
		return true
	case l.over.both && l.low:
		return !(x.number > l.over.middle)
	case l.over.both:
		return !(x.number < l.over.middle)
	}
	return !l.over.none
}

// read says at which steps the value is beyond the limit, and at which it is
// better than the clear limit.
func (l *ladder) read(x *sample) (beyond, better uint8) {
	v, over := x.number, x.is(sampleOver)
	if l.size {
		v = math.Abs(v)
	}
	for i := range l.steps {
		r := &l.steps[i]
		switch {
		case over, r.beyond(v, l.low):
			beyond |= 1 << i
		case r.better(v, l.low):
			better |= 1 << i
		}
	}
	return beyond, better
}

func (r *rung) beyond(v float64, low bool) bool {
	if r.is != nil {
		return slices.Contains(r.is, v)
	}
	if low {
		return v <= r.limit
	}
	return v >= r.limit
}

func (r *rung) better(v float64, low bool) bool {
	if r.is != nil {
		return true
	}
	if low {
		return v > r.clear
	}
	return v < r.clear
}

// claims is what a sample says of the steps, one bit each: what it says, and
// what it may say alone.
type claims struct{ beyond, better, up, down uint8 }

// weigh takes away what a suspect sample may not say alone: below orange it
// raises nothing, and it clears nothing, before a second sample says the same.
// At orange and red, and where a single sample trips, doubt raises at once; where
// several must agree, it has its vote.
func (l *ladder) weigh(s *state, x *sample, c claims) claims {
	if !x.is(sampleDoubtful) || x.is(sampleOver) {
		return c
	}
	c.down &= s.better
	for i := range l.steps {
		if bit := uint8(1) << i; l.steps[i].level < Orange && !l.atOnce && l.quorum.Of == 0 && s.beyond&bit == 0 {
			c.up &^= bit
		}
	}
	return c
}

// move turns one step on or off, or starts or stops its wait.
func (l *ladder) move(s *state, x *sample, i int, c claims) {
	bit := uint8(1) << i
	on, suspect := s.on&bit != 0, x.is(sampleDoubtful)
	switch {
	case c.up&bit != 0 && on:
		s.since[i] = never
	case c.up&bit != 0:
		s.since[i] = min(s.since[i], x.time)
		if l.steps[i].wait == 0 || x.is(sampleOver) {
			l.reach(s, i)
		}
	case c.down&bit != 0 && !on:
		s.since[i] = never
	case c.down&bit != 0:
		s.since[i] = min(s.since[i], x.time)
		if l.clearFor == 0 {
			s.on &^= bit
			s.since[i] = never
		}
	case suspect && !on, suspect && c.better&bit != 0:
		// doubt alone neither ends the wait for a level nor the wait for its end
	default:
		s.since[i] = never
	}
}

// reach turns step i on, and those below it with it.
func (l *ladder) reach(s *state, i int) {
	first := i
	if l.steps[i].is == nil {
		first = 0
	}
	for j := first; j <= i; j++ {
		s.on |= 1 << j
		s.since[j] = never
	}
}

func (l *ladder) pass(s *state, t int64) {
	for s.due <= t {
		now := s.due
		for i := range l.steps {
			if l.waitEnds(s, i) != now {
				continue
			}
			if s.on&(1<<i) == 0 {
				l.reach(s, i)
			} else {
				s.on &^= 1 << i
				s.since[i] = never
			}
		}
		s.at = now
		l.settle(s, &s.last)
	}
	s.rest()
}

// waitEnds is when step i goes on or off if nothing more is heard.
func (l *ladder) waitEnds(s *state, i int) int64 {
	switch {
	case s.since[i] == never:
		return never
	case s.on&(1<<i) != 0:
		return s.since[i] + l.clearFor
	}
	return s.since[i] + l.steps[i].wait
}

// due is when the first of the waits ends.
func (l *ladder) due(s *state) int64 {
	due := int64(never)
	for i := range l.steps {
		due = min(due, l.waitEnds(s, i))
	}
	return due
}

// settle draws the level and the next deadline from the steps; x is what led to it.
func (l *ladder) settle(s *state, x *sample) {
	top := -1
	for i := range l.steps {
		if s.on&(1<<i) != 0 {
			top = i
		}
	}
	s.due = l.due(s)
	level := Normal
	if top >= 0 {
		level = l.steps[top].level
	}
	if level == s.level {
		return
	}
	if top >= 0 {
		s.limit = l.steps[top].limit
	}
	s.level, s.cause = level, *x
	s.doubt = level != Normal && x.is(sampleDoubtful|sampleOver)
}

// confirm ends the doubt about a level, or makes it news, when x says again what
// history or a doubtful sample said.
func (l *ladder) confirm(s *state, x *sample, beyond uint8) {
	top := uint8(1)
	for s.on >= top<<1 {
		top <<= 1
	}
	if beyond&top == 0 || x.is(sampleOver) {
		return
	}
	if s.doubt && (!x.is(sampleDoubtful) || s.beyond&top != 0) {
		s.doubt, s.cause = false, *x
	}
	if s.backfill() && !x.is(sampleBackfill) {
		s.cause = *x
	}
}

func (*ladder) again(*state) state { return fresh() }

// newLadder puts a rule's limits in; it has passed validation.
func newLadder(r *Rule, f *devices.Field, at *limits) *ladder {
	l := &ladder{
		low: r.Worse == devices.Low, size: r.Worse == devices.Both, hold: r.Hold,
		clearFor: r.Clear.For.Milliseconds(), atOnce: tripsAtOnce(r.Field), quorum: r.Confirm,
	}
	l.over.middle = (f.Range[0] + f.Range[1]) / 2
	l.over.both = f.Danger == devices.Both && !l.size
	l.over.none = f.Danger != r.Worse && !l.over.both && !l.size
	for i, step := range r.Steps {
		g := rung{level: step.Level, limit: at.steps[i], is: step.Is, wait: step.For.Milliseconds()}
		switch {
		case step.Is != nil:
			g.limit = step.Is[0]
		case r.Clear.Limit != nil:
			g.clear = at.clear
		case l.low:
			g.clear = rounded(g.limit + r.Clear.Hysteresis)
		default:
			g.clear = rounded(g.limit - r.Clear.Hysteresis)
		}
		l.steps = append(l.steps, g)
	}
	return l
}

// rounded says 235.4 where 220 × 1.07 is a hair more.
func rounded(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// check says what is wrong with the limits at this point: steps that come in the
// wrong order, lie where the sensor cannot read, or could never be left.
func (l *ladder) check(f *devices.Field) error {
	for i, g := range l.steps {
		if g.is != nil {
			continue
		}
		low, high := f.Range[0], f.Range[1]
		if l.size {
			low, high = 0, max(-low, high)
		}
		if math.IsNaN(g.limit) || g.limit < low || g.limit > high {
			return unfit("%s限值 %v 超出 %s 的量程 %v 至 %v", "the %s limit %v lies outside what %s can read, %v to %v", g.level, g.limit, f.Name, low, high)
		}
		if l.low && (g.clear >= high || g.clear < g.limit) || !l.low && (g.clear <= low || g.clear > g.limit) {
			return unfit("%s限值 %v 达到后无法恢复：恢复值为 %v，而 %s 的量程为 %v 至 %v", "the %s limit %v could never be left again: it clears at %v, and %s reads %v to %v", g.level, g.limit, g.clear, f.Name, low, high)
		}
		if i == 0 {
			continue
		}
		milder := l.steps[i-1]
		worse := g.limit > milder.limit
		if l.low {
			worse = g.limit < milder.limit
		}
		if !worse && (g.limit != milder.limit || g.wait <= milder.wait) {
			return unfit("%s限值 %v 没有比%s限值 %v 更严重", "the %s limit %v is not beyond the %s limit %v", g.level, g.limit, milder.level, milder.limit)
		}
	}
	return nil
}

// print tells conditions apart: one that is judged in the same way continues
// from the state of the one before, however its texts changed.
func (l *ladder) print(r *Rule) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %+v", r.ID, *l)
	return h.Sum64()
}
