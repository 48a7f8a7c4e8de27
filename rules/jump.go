package rules

import (
	"math"

	"fengsui/devices"
)

// jumps finds the values of a point that jump: that lie further than the field can
// have changed from both values before them, so that neither speaks for them. One
// outlier is doubted and what follows it believed; what says again what was
// doubted is believed as well. Which values jump follows from the samples in the
// order of their event times, as everything does.
type jumps struct {
	limit float64
	per   int64    // ms; 0: however long ago the value before was
	trail []sample // the last values that left the tail
}

// trailMost is with how many values before it a value is compared.
const trailMost = 2

// jumpsAt are those of a field at a device; nil where the field may change as it
// likes, or nobody has said how far.
func jumpsAt(d *devices.Device, f *devices.Field) *jumps {
	limit, ok := d.MaxDelta(f)
	if !ok {
		return nil
	}
	return &jumps{limit: limit, per: f.MaxDelta.Per.Milliseconds()}
}

// far says that x lies too far from y, a value before it.
func (j *jumps) far(x, y *sample) bool {
	limit := j.limit
	if passed := x.time - y.time; j.per > 0 && passed > j.per {
		limit *= float64(passed) / float64(j.per)
	}
	return math.Abs(x.number-y.number) > limit
}

// keepJumps continues from another point there, and marks its samples by what holds
// here.
func (p *point) keepJumps(old *jumps) {
	if p.jumps != nil && old != nil {
		p.jumps.trail = old.trail
	}
	for i := range p.tail {
		p.mark(i)
	}
}

// leave remembers a value that leaves the tail.
func (j *jumps) leave(x *sample) {
	if len(j.trail) == trailMost {
		j.trail = j.trail[:copy(j.trail, j.trail[1:])]
	}
	j.trail = append(j.trail, *x)
}

// compares says that a sample is a value to compare with others; at a joint that
// is the trigger's. What is beyond the range is doubtful enough, and no measure.
func (p *point) compares(x *sample) bool {
	return x.judged() && !x.is(sampleOver) && x.is(sampleTrigger) == (p.trigger != nil)
}

// jumped says that the sample at a place of the tail jumps.
func (p *point) jumped(at int) bool {
	x, left := &p.tail[at], trailMost
	if !p.compares(x) {
		return false
	}
	for _, before := range [...][]sample{p.tail[:at], p.jumps.trail} {
		for i := len(before) - 1; i >= 0 && left > 0; i-- {
			switch y := &before[i]; {
			case !p.compares(y):
			case !p.jumps.far(x, y):
				return false
			default:
				left--
			}
		}
	}
	return left < trailMost
}

// mark says of the sample at a place of the tail whether it jumps, and reports
// whether that is news.
func (p *point) mark(at int) (news bool) {
	x := &p.tail[at]
	was := x.is(sampleJump)
	x.flags &^= sampleJump
	if p.jumps != nil && p.jumped(at) {
		x.flags |= sampleJump
	}
	return was != x.is(sampleJump)
}

// turned are the places in the tail of values of which a late one says that they
// jump after all, or do not. Nothing comes after a late one at place 0.
type turned [trailMost]int

// markLate marks the late sample at a place, and the values that are compared with
// it now.
func (p *point) markLate(at int) (t turned) {
	p.mark(at)
	if p.jumps == nil || !p.compares(&p.tail[at]) {
		return t
	}
	for i, n := at+1, 0; i < len(p.tail) && n < len(t); i++ {
		if !p.compares(&p.tail[i]) {
			continue
		}
		if p.mark(i) {
			t[n] = i
		}
		n++
	}
	return t
}

// before is the sample at a place of the tail as it was before the late one came.
func (t turned) before(x *sample, at int) *sample {
	if at == 0 || t[0] != at && t[1] != at {
		return x
	}
	y := *x
	y.flags ^= sampleJump
	return &y
}
