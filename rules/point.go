package rules

import (
	"math"
	"slices"

	"fengsui/devices"
)

// point is one field of one device, with the rules that watch it.
//
// A joint is the point of one rule that looks at two fields of the device: it
// has the samples of both in one tail, those of the trigger marked, and field is
// the one the rule is about.
type point struct {
	device  *device
	field   *devices.Field
	trigger *devices.Field // of a joint, else nil
	order   int64          // of the first of its timers

	// tail holds the samples within the kind's lateness of the newest, in
	// event-time order. What is older has become part of every watch's base, and
	// nothing older than that is taken any more.
	tail    []sample
	folded  int64  // event time of the newest sample in the bases
	jumps   *jumps // nil where the field may change as it likes
	watches []*watch
}

// joint is the rule of a joint; nothing where a point is none.
func (p *point) joint() string {
	if p.trigger == nil {
		return ""
	}
	return p.watches[0].rule.ID
}

// maxTail bounds what one point remembers, whatever its lateness: a device that
// sends more than that within the lateness of its kind, one every two seconds or
// faster, is given so much less of it. Ten thousand points then hold 100 MB at
// the very most, and a late sample is placed in microseconds.
const maxTail = 256

// watch is a rule at a point.
type watch struct {
	cond condition
	told shown
	live state // after the tail, and after the time that has passed since
	base state // after everything older than the tail

	point *point
	rule  *Rule
	print uint64  // of the rule and its limits here: the same print, the same state
	limit float64 // of the level told last
	timer timer
}

func newPoint(d *device, f *devices.Field) *point {
	return &point{device: d, field: f, jumps: jumpsAt(d.Device, f), folded: math.MinInt64, order: d.order + int64(1+slices.Index(d.Kind.Fields, f))*maxWatches}
}

// maxWatches is how many timers one point may have, for the order of timers.
const maxWatches = 1 << 10

func (p *point) add(r *Rule, c condition, print uint64) *watch {
	w := &watch{point: p, rule: r, cond: c, print: print, base: fresh(), live: fresh()}
	w.timer = timer{owner: w, order: p.order + int64(len(p.watches))}
	p.watches = append(p.watches, w)
	return w
}

// addSensor watches for faults of the sensor itself, from its first one on:
// before, there is nothing to remember.
func (p *point) addSensor(r *Rule) {
	if p.watch(r.ID) == nil {
		p.add(r, sensor{}, sensorPrint)
	}
}

func (p *point) newest() *sample { return &p.tail[len(p.tail)-1] }

// take judges a sample, at its place in event time, and reports whether it jumps.
func (p *point) take(e *Engine, x sample, out []Change) (_ []Change, jumps bool) {
	switch {
	case len(p.tail) == 0 || !x.before(p.newest()):
		p.tail = append(p.tail, x)
		p.mark(len(p.tail) - 1)
		jumps = p.newest().is(sampleJump)
		for _, w := range p.watches {
			out = w.follow(p.newest(), out)
		}
		p.fold()
	case x.time < p.newest().time-p.lateness() || x.time < p.folded:
		return out, false // too late to change anything
	default:
		at := p.insert(x)
		others := p.markLate(at)
		jumps = p.tail[at].is(sampleJump)
		for _, w := range p.watches {
			out = w.insert(at, others, out)
		}
	}
	for _, w := range p.watches {
		if w.live.due != never {
			e.waits.set(&w.timer)
		}
	}
	return out, jumps
}

// insert puts a late sample at its place and returns that.
func (p *point) insert(x sample) int {
	at := len(p.tail)
	for at > 0 && x.before(&p.tail[at-1]) {
		at--
	}
	p.tail = slices.Insert(p.tail, at, x)
	return at
}

func (p *point) lateness() int64 { return p.device.Kind.Lateness.Milliseconds() }

// fold moves samples that no late one can come before any more into the bases,
// at least half of the tail at a time.
func (p *point) fold() {
	half, old := max(len(p.tail)/2, 4), p.newest().time-p.lateness()
	full := len(p.tail) >= maxTail
	if len(p.tail) <= half || p.tail[half-1].time >= old && !full {
		return
	}
	n := 0
	for n < len(p.tail)-1 && (p.tail[n].time < old || full && n < half) {
		for _, w := range p.watches {
			w.cond.step(&w.base, &p.tail[n])
		}
		if p.jumps != nil && p.compares(&p.tail[n]) {
			p.jumps.leave(&p.tail[n])
		}
		n++
	}
	p.folded = p.tail[n-1].time
	p.tail = p.tail[:copy(p.tail, p.tail[n:])]
}

// follow steps over the newest sample.
func (w *watch) follow(x *sample, out []Change) []Change {
	if x.time < w.live.at {
		// A timer was faster than this sample: what it decided is forgotten, unless
		// it is decided so again.
		return w.insert(len(w.point.tail)-1, turned{}, out)
	}
	for w.live.due <= x.time {
		w.cond.pass(&w.live, w.live.due)
		out = w.tell(out)
	}
	w.cond.step(&w.live, x)
	return w.tell(out)
}

// replay makes live what the base and the tail say.
func (w *watch) replay() {
	w.live = w.base.copy()
	for i := range w.point.tail {
		w.cond.step(&w.live, &w.point.tail[i])
	}
}

// insert goes over the tail again after a late sample took its place there, and
// turned others. A
// level that was reached meanwhile and is over again is told as well: the
// ordered run would have raised it.
func (w *watch) insert(at int, others turned, out []Change) []Change {
	was, is := w.base.copy(), w.base.copy()
	var missed, had, reached state
	for i := range w.point.tail {
		x := &w.point.tail[i]
		if i != at {
			had = w.walk(&was, x.time, had)
			w.cond.step(&was, others.before(x, i))
			had = worse(had, was)
		}
		reached = w.walk(&is, x.time, reached)
		w.cond.step(&is, x)
		reached = worse(reached, is)
		if is.level == Normal {
			if reached.level > had.level {
				missed = worse(missed, reached)
			}
			reached, had = state{}, state{}
		}
	}
	had, reached = w.walk(&was, w.live.at, had), w.walk(&is, w.live.at, reached)
	if reached.level > max(had.level, is.level) {
		missed = worse(missed, reached)
	}
	if missed.level > w.told.level {
		w.live = missed
		out = w.tell(out)
	}
	w.live = is
	return w.tell(out)
}

// walk lets time go on to t and tells the worst state on the way, or the one
// known to be worse.
func (w *watch) walk(s *state, t int64, worst state) state {
	for s.due <= t {
		w.cond.pass(s, s.due)
		worst = worse(worst, *s)
	}
	return worst
}

func worse(a, b state) state {
	if b.level > a.level {
		return b.aside()
	}
	return a
}

// tell reports the level if others know it otherwise.
func (w *watch) tell(out []Change) []Change {
	if now := w.live.shown(); now != w.told {
		w.told = now
		out = append(out, w.change())
	}
	return out
}

func (w *watch) change() Change {
	s := &w.live
	var x *sample
	if s.level == Normal {
		x = w.held()
	} else {
		x, w.limit = &s.cause, s.limit
	}
	return Change{
		Rule: w.rule, Device: w.point.device.Device, Field: w.point.field,
		Level: s.level, Value: x.number, Limit: w.limit, Quality: x.quality(),
		Sample: x.time, Received: x.received,
		Unverified: s.doubt, Backfill: x.is(sampleBackfill),
	}
}

// held is what the rule holds: the newest value, or what it makes of the values.
func (w *watch) held() *sample {
	if w.rule.Measure == nil && w.rule.Expect == nil {
		return w.point.held()
	}
	x := w.live.known()
	return &x
}

// held is the newest value that rules look at.
func (p *point) held() *sample {
	for i := len(p.tail) - 1; i >= 0; i-- {
		if p.tail[i].judged() {
			return &p.tail[i]
		}
	}
	return &sample{}
}

// deadline translates the event time at which the level changes by time alone
// into the judge's clock: the newest value is held from its arrival on, so a
// device whose clock is off by minutes waits no longer and no shorter.
func (w *watch) deadline() int64 {
	if w.live.due == never || len(w.point.tail) == 0 {
		return never
	}
	x := w.point.newest()
	return w.live.due - x.time + x.received
}

func (w *watch) ring(_ *Engine, _ int64, out []Change) []Change {
	w.cond.pass(&w.live, w.live.due)
	return w.tell(out)
}
