package rules

import (
	"math"
	"slices"

	"fengsui/devices"
)

// condition is what a rule asks of a point: an automaton over the point's
// samples. It sees them in the order of their event times, whatever the order
// they arrived in, and never the wall clock. All it remembers is in the state,
// so that a state can be copied, kept and continued after a late sample.
type condition interface {
	// step takes the next sample; first it passes the time up to it.
	step(s *state, x *sample)
	// pass lets event time go on to t without a sample: the last value holds.
	pass(s *state, t int64)
	// again begins anew with what still holds of the state of another condition
	// of the same rule at the same point: the rule was changed.
	again(old *state) state
}

// never is the event time of what does not happen.
const never = math.MaxInt64

// state is where a condition stands after some samples. Ten thousand devices have
// a hundred thousand of them, nearly all at rest: what only the others need is
// made when it is needed, see wake, and belongs to one state alone, see copy.
type state struct {
	at  int64 // event time of the last sample taken, or of the last change by time alone
	due int64 // event time at which time alone changes the level; never if it does not

	on     uint8 // steps reached, one bit each
	beyond uint8 // steps whose limit the last judged sample was beyond
	better uint8 // steps whose clear limit it was better than
	run    uint8 // bad values in a row
	level  Level
	doubt  bool  // not yet confirmed: see Change.Unverified
	keeps  bool  // it never rests: its condition always remembers something
	votes  votes // of a ladder with confirm

	*unrest // nil while it is at rest: normal, and nothing waits
}

// unrest is what a state remembers while there is something to remember.
type unrest struct {
	since [maxSteps]int64 // since when the wait to reach a step, or to leave it, has run
	limit float64         // of the level
	cause sample          // what led to it
	last  sample          // the last that was judged: of a ladder, while something waits

	window *window // of a measure that looks back; copied by copy alone
}

// wake makes the state remember what a state at rest need not.
func (s *state) wake() {
	if s.unrest != nil {
		return
	}
	s.unrest = new(unrest)
	for i := range s.since {
		s.since[i] = never
	}
}

// keep wakes a state that never rests again.
func (s *state) keep() {
	s.wake()
	s.keeps = true
}

// rest lets go of what a state remembered, if nothing is and nothing waits.
func (s *state) rest() {
	if s.level == Normal && s.due == never && !s.keeps {
		s.unrest = nil
	}
}

// aside is the state as it is now, to look at later.
func (s *state) aside() state {
	c := *s
	if s.unrest != nil {
		u := *s.unrest
		c.unrest = &u
	}
	return c
}

// copy is a state that goes on by itself.
func (s *state) copy() state {
	c := s.aside()
	if c.unrest != nil && s.window != nil {
		w := *s.window
		w.slots = slices.Clone(w.slots)
		c.window = &w
	}
	return c
}

// fresh is the state before any sample.
func fresh() state { return state{at: math.MinInt64, due: never} }

// backfill says that the level is decided by history.
func (s *state) backfill() bool { return s.cause.flags&sampleBackfill != 0 }

// shown is what others were told of a state; they are told again when it differs.
type shown struct {
	level    Level
	doubt    bool
	backfill bool
}

func (s *state) shown() shown {
	if s.level == Normal {
		return shown{}
	}
	return shown{level: s.level, doubt: s.doubt, backfill: s.backfill()}
}

// sample is one value of a point.
type sample struct {
	time, received int64 // event time and receive time, Unix ms
	number         float64
	seq            uint32 // the low half of the device's counter, 0 where it has none
	flags          sampleFlags
}

type sampleFlags uint8

const (
	sampleSuspect sampleFlags = 1 << iota
	sampleBad
	sampleOver
	sampleBackfill
	sampleTrigger // at a joint: it is the trigger's
	sampleJump    // it lies too far from the values before it: see jumps

	sampleDoubtful = sampleSuspect | sampleJump
)

// newSample is a value as rules see it.
func newSample(r *devices.Reading, v *devices.Value) sample {
	x := sample{time: r.Time, received: r.Received, number: v.Number, seq: uint32(r.Seq)}
	switch v.Quality {
	case devices.Suspect:
		x.flags |= sampleSuspect
	case devices.Bad:
		x.flags |= sampleBad
	}
	if v.Over {
		x.flags |= sampleOver
	}
	if r.Flags&devices.Backfill != 0 {
		x.flags |= sampleBackfill
	}
	return x
}

func (x *sample) is(f sampleFlags) bool { return x.flags&f != 0 }

// asTrigger is a trigger's sample as it comes to a joint.
func (x sample) asTrigger() sample {
	x.flags |= sampleTrigger
	return x
}

// judged says whether rules look at the sample. What is beyond the range on the
// dangerous side is, however bad its quality.
func (x *sample) judged() bool { return x.flags&(sampleBad|sampleOver) != sampleBad }

func (x *sample) quality() devices.Quality {
	switch {
	case x.is(sampleBad):
		return devices.Bad
	case x.is(sampleDoubtful):
		return devices.Suspect
	}
	return devices.Good
}

// before orders samples by event time, at the same moment by the device's
// counter. Where both are the same, the one that arrived first comes first.
func (x *sample) before(y *sample) bool {
	if x.time != y.time {
		return x.time < y.time
	}
	return x.seq != 0 && y.seq != 0 && int32(x.seq-y.seq) < 0
}
