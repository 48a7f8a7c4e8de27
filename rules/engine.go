package rules

import (
	"iter"

	"fengsui/devices"
)

// Registry is what the engine wants to know of the devices: all of them, in an
// order that is always the same.
type Registry interface {
	Devices() iter.Seq[*devices.Device]
}

// EngineOptions is what an engine judges: these devices by these rules.
type EngineOptions struct {
	Registry Registry
	Rules    []*Rule
}

// Engine judges readings. All time is the judge's clock, Unix ms, handed in and
// never running backwards; one goroutine uses it. Every method that may change a
// level appends the changes to out and returns it.
type Engine struct {
	options  EngineOptions
	builtin  builtin
	devices  []*device // in the registry's order
	pointers map[*devices.Device]*device
	keys     map[string]*device
	sites    []*site
	sources  map[string]*source
	troubles map[string]trouble // of the gateway itself, by name
	any      source             // up while at least one source is: the clock of those never heard

	waits    timers // of rules: `for` and `clear.for`
	absences timers // of devices and sites

	now, before int64 // the clock, and its step before the last

	armed   int
	unarmed []Unarmed

	written int // bytes of the last snapshot: the next one is about as long
}

// device is a device with its points and its presence.
type device struct {
	*devices.Device
	order    int64
	armed    []*armed // the rules that are judged here
	points   []*point // of the fields heard so far
	joints   []*point // of points, those where two fields meet
	expect   int      // index of the point the next value is probably for
	clock    *sample  // the reading that showed its clock to be wrong; nil while it is right
	site     *site
	presence presence
	timer    timer
}

// NewEngine arms the rules at the registry's devices. Nothing was heard yet and
// no source is up.
func NewEngine(o EngineOptions) *Engine {
	e := &Engine{builtin: newBuiltin(), sources: map[string]*source{}, troubles: map[string]trouble{}}
	e.arm(o, nil)
	return e
}

// Advance moves the clock to now and fires every timer that is due, in deadline
// order. Call it before whatever else happened at now.
//
// After a step longer than a judge at work ever takes, devices are given the
// benefit of the doubt until the next call: the entry at hand may be the one
// that says the gateway was off.
func (e *Engine) Advance(now int64, out []Change) []Change {
	deaf := now-e.now > beat
	if now > e.now {
		e.before, e.now = e.now, now
	}
	for {
		t := e.waits.next()
		if !deaf {
			t = e.next()
		}
		if t == nil || t.at > now {
			return out
		}
		out = t.owner.ring(e, t.at, out)
	}
}

// next is the timer that rings next.
func (e *Engine) next() *timer {
	t := e.waits.next()
	if a := e.absences.next(); t == nil || a != nil && sooner(a, t) {
		return a
	}
	return t
}

// NextDeadline is when the next timer is due, and whether there is one.
func (e *Engine) NextDeadline() (int64, bool) {
	if t := e.next(); t != nil {
		return t.at, true
	}
	return 0, false
}

// Judge takes a reading, and marks those of its values as suspect that jump. It
// says nothing of presence: see Spoke.
func (e *Engine) Judge(r *devices.Reading, now int64, out []Change) []Change {
	if !r.Judged() {
		return out
	}
	d := e.find(r.Device)
	if d == nil {
		return out
	}
	out = d.checkClock(e, r, out)
	for i := range r.Values {
		v := &r.Values[i]
		p := d.point(v.Field)
		if p == nil && r.Device != d.Device {
			p = d.pointAt("", v.Field.Name) // its field, too, is the old registry's
		}
		fault := v.Quality == devices.Bad || v.Over
		if p == nil {
			if !fault && !d.watched(v.Field) {
				continue
			}
			p = d.pointOf(v.Field)
		}
		if fault {
			p.addSensor(e.builtin.sensorFault)
		}
		x := newSample(r, v)
		var jumps bool
		if out, jumps = p.take(e, x, out); jumps {
			v.Quality = max(v.Quality, devices.Suspect)
		}
		for _, j := range d.joints {
			switch p.field {
			case j.field:
				out, _ = j.take(e, x, out)
			case j.trigger:
				out, _ = j.take(e, x.asTrigger(), out)
			}
		}
	}
	return out
}

// find is the engine's side of a device; nil if it is not judged. A reading
// decoded before the registry changed still names the device of the old one.
func (e *Engine) find(d *devices.Device) *device {
	if x := e.pointers[d]; x != nil {
		return x
	}
	if d == nil {
		return nil
	}
	return e.keys[d.Key()]
}

// point finds the point of a field. Values mostly come in the same order.
func (d *device) point(f *devices.Field) *point {
	for range d.points {
		if d.expect >= len(d.points) {
			d.expect = 0
		}
		p := d.points[d.expect]
		d.expect++
		if p.field == f && p.trigger == nil {
			return p
		}
	}
	return nil
}

// watched says that a rule is judged at a field.
func (d *device) watched(f *devices.Field) bool {
	for _, a := range d.armed {
		if a.field.Name == f.Name {
			return true
		}
	}
	return false
}

// pointOf is the point of a field of the device's kind, with the rules that watch
// it; it is made if it is not there. A kind has many fields of which a device
// sends a few: a point begins with the field's first value, and where no rule
// watches, with its sensor's first fault.
func (d *device) pointOf(f *devices.Field) *point {
	if own, ok := d.Kind.Field(f.Name); ok {
		f = own
	}
	p := d.point(f)
	if p == nil {
		p = newPoint(d, f)
		for _, a := range d.armed {
			if a.field == f && a.rule.Expect == nil {
				p.add(a.rule, a.condition, a.print)
			}
		}
		d.points = append(d.points, p)
	}
	return p
}

// pointAt finds the point of a field by name, or the joint of a rule there.
func (d *device) pointAt(joint, field string) *point {
	for _, p := range d.points {
		if p.field.Name == field && p.joint() == joint {
			return p
		}
	}
	return nil
}

// join makes a joint for a rule about f that looks at the trigger, too.
func (d *device) join(f, trigger *devices.Field) *point {
	d.pointOf(f)
	d.pointOf(trigger)
	j := newPoint(d, f)
	j.trigger, j.jumps = trigger, jumpsAt(d.Device, trigger)
	j.order = d.order + int64(1+len(d.Kind.Fields)+len(d.joints))*maxWatches
	d.points, d.joints = append(d.points, j), append(d.joints, j)
	return j
}

// checkClock raises and clears the built-in rule clock_fault.
func (d *device) checkClock(e *Engine, r *devices.Reading, out []Change) []Change {
	wrong := r.Flags&devices.ClockSuspect != 0
	if wrong == (d.clock != nil) || !wrong && r.Flags&devices.History != 0 {
		return out
	}
	x := sample{time: r.Time, received: r.Received}
	if !wrong {
		d.clock = nil
		return append(out, d.clockChange(e, Normal, &x))
	}
	d.clock = &x
	return append(out, d.clockChange(e, Fault, &x))
}

func (d *device) clockChange(e *Engine, level Level, x *sample) Change {
	return Change{Rule: e.builtin.clockFault, Device: d.Device, Level: level, Sample: x.time, Received: x.received}
}

// Levels lists every level that is not Normal now.
func (e *Engine) Levels(out []Change) []Change {
	for _, s := range e.sourcesByName() {
		if s.lost {
			out = append(out, s.change(e))
		}
	}
	for _, name := range e.troublesByName() {
		out = append(out, e.trouble(name))
	}
	for _, s := range e.sites {
		if s.silent {
			out = append(out, s.change(e))
		}
	}
	for _, d := range e.devices {
		out = d.levels(e, out)
	}
	return out
}

func (d *device) levels(e *Engine, out []Change) []Change {
	if d.presence.silent {
		out = append(out, d.silence(e))
	}
	if d.clock != nil {
		out = append(out, d.clockChange(e, Fault, d.clock))
	}
	for _, p := range d.points {
		for _, w := range p.watches {
			if w.told.level != Normal {
				out = append(out, w.change())
			}
		}
	}
	return out
}

// Armed counts the rules that are judged, one for every point.
func (e *Engine) Armed() int { return e.armed }

// Unarmed lists the rules that are not judged, one for every point, and why. The
// list is the engine's own and stays as it is: another is made when rules or
// devices change.
func (e *Engine) Unarmed() []Unarmed { return e.unarmed }
