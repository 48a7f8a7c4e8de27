package rules

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"fengsui/devices"
)

// expected is the condition of a rule that expects a state after an action. It
// sits at a joint, where the samples of two fields meet: those of the field that
// must reach the state, and those, marked as triggers, of the one that asks for
// it. Its level comes when it was asked for and not there for the time given, on
// the held values; it goes as soon as one of the two ends. A state that nobody
// reports, or that is no state, is not there; a doubtful trigger asks as well as
// any, but does not take back what it asked.
type expected struct {
	is     []float64
	within int64 // ms
	level  Level
	while  rung
	worse  devices.Direction
}

// The one step of the condition, and what it remembers of the two fields: the
// trigger is beyond its limit; the state is there.
const (
	absent  = 1
	asked   = 1 // in state.beyond
	present = 1 // in state.better
)

func newExpected(r *Rule, at *limits) *expected {
	return &expected{
		is: r.Expect.Is, within: r.Expect.Within.Milliseconds(), level: r.Steps[0].Level,
		while: rung{limit: at.while}, worse: r.Expect.While.Worse,
	}
}

func (c *expected) step(s *state, x *sample) {
	s.keep()
	if s.due <= x.time {
		c.pass(s, x.time)
	}
	s.at = x.time
	if x.is(sampleTrigger) {
		c.trigger(s, x)
	} else {
		s.last, s.better = *x, 0
		if x.quality() == devices.Good && slices.Contains(c.is, x.number) {
			s.better = present
		}
	}
	c.settle(s, x)
}

func (c *expected) trigger(s *state, x *sample) {
	v := x.number
	if c.worse == devices.Both {
		v = math.Abs(v)
	}
	switch {
	case !x.judged():
	case c.while.beyond(v, c.worse == devices.Low):
		s.beyond = asked
	case !x.is(sampleDoubtful):
		s.beyond = 0
	}
}

// settle starts the wait or ends it, and with it the level; x is what led to it.
func (c *expected) settle(s *state, x *sample) {
	if s.beyond != asked || s.better == present {
		s.level, s.on, s.since[0], s.due = Normal, 0, never, never
		return
	}
	switch {
	case s.on == absent:
		if s.backfill() && !x.is(sampleBackfill) {
			c.blame(s, x)
		}
	case s.since[0] == never:
		s.since[0], s.due = x.time, x.time+c.within
		c.blame(s, x)
	}
}

// blame names the moment of a sample and the state as it is known then.
func (c *expected) blame(s *state, x *sample) {
	s.cause = s.known()
	s.cause.time, s.cause.received = x.time, x.received
	s.cause.flags = s.cause.flags&^sampleBackfill | x.flags&sampleBackfill
}

func (c *expected) pass(s *state, t int64) {
	if s.due > t {
		return
	}
	s.at, s.on, s.level, s.limit = s.due, absent, c.level, c.is[0]
	s.since[0], s.due = never, never
	s.cause.number, s.cause.flags = s.known().number, s.known().flags&^sampleBackfill|s.cause.flags&sampleBackfill
}

// known is the state as it was heard last; no number where it never was.
func (s *state) known() sample {
	if s.unrest == nil || s.last.time == 0 {
		return sample{number: math.NaN(), flags: sampleBad}
	}
	return s.last
}

// again keeps what is known of the state, which may have been said long ago.
func (c *expected) again(old *state) state {
	s := fresh()
	s.keep()
	if old.unrest != nil {
		s.last = old.last
	}
	if s.last.quality() == devices.Good && slices.Contains(c.is, s.last.number) {
		s.better = present
	}
	return s
}

// check says what is wrong with the trigger at a device.
func (c *expected) check(r *Rule, d *devices.Device) error {
	f, ok := d.Kind.Field(r.Expect.While.Field)
	if !ok {
		return unfit("类型 %s 没有字段 %s", "kind %s has no field %s", d.Kind.ID, r.Expect.While.Field)
	}
	if c.while.limit < f.Range[0] || c.while.limit > f.Range[1] {
		return unfit("限值 %v 超出 %s 的量程 %v 至 %v", "the limit %v lies outside what %s can read, %v to %v", c.while.limit, f.Name, f.Range[0], f.Range[1])
	}
	return nil
}

func (c *expected) print(r *Rule) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %+v", r.ID, *c)
	return h.Sum64()
}
