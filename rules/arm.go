package rules

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"fengsui/devices"
)

// Unarmed is a rule that cannot be judged at a point. It is listed, counted and
// shown: a rule that is silently skipped is the worst kind of calm.
type Unarmed struct {
	Rule    *Rule
	Device  *devices.Device
	Field   *devices.Field
	Missing []string // design values to set at the device or at its site
	Reason  string   // for people: what is wrong and where to set it right
}

func (u Unarmed) String() string {
	return fmt.Sprintf("rule %s at %s %s: %s", u.Rule.ID, u.Device.Key(), u.Field.Name, u.Reason)
}

// arm builds the engine for a registry and a set of rules. What old, the devices
// of the engine before, knew of a point lives on where the rule there is the same.
func (e *Engine) arm(o EngineOptions, old map[string]*device) {
	byKind := map[string][]*Rule{}
	for _, r := range o.Rules {
		byKind[r.Kind] = append(byKind[r.Kind], r)
	}
	e.options = o
	e.devices, e.sites, e.unarmed, e.armed = nil, nil, nil, 0
	e.waits, e.absences = timers{}, timers{}
	e.pointers, e.keys = map[*devices.Device]*device{}, map[string]*device{}
	sites := map[string]*site{}
	for r := range o.Registry.Devices() {
		if !r.State.Judged() {
			continue
		}
		d := &device{Device: r, order: int64(len(e.devices)+1) << 32}
		d.timer = timer{owner: d, order: d.order}
		d.presence = presence{source: &e.any, heard: e.any.clock(e.now), offline: never}
		e.devices = append(e.devices, d)
		e.pointers[r], e.keys[r.Key()] = d, d
		d.joinSite(e, sites)
		for _, rule := range byKind[r.Kind.ID] {
			e.armAt(d, rule)
		}
		for _, p := range d.points {
			p.add(e.builtin.sensorFault, sensor{}, sensorPrint)
		}
		d.inherit(e, old[r.Key()])
		e.absences.set(&d.timer)
	}
}

func (d *device) joinSite(e *Engine, sites map[string]*site) {
	s := sites[d.Site.ID]
	if s == nil {
		s = &site{Site: d.Site, unfold: never}
		s.timer = timer{owner: s, order: d.order - 1}
		sites[d.Site.ID] = s
		e.sites = append(e.sites, s)
	}
	d.site = s
	if d.State == devices.InService {
		s.members = append(s.members, d)
	}
}

// armAt puts a rule at its point of a device, or on the list of those that cannot.
func (e *Engine) armAt(d *device, r *Rule) {
	f, ok := d.Kind.Field(r.Field)
	if !ok {
		e.unarmed = append(e.unarmed, Unarmed{
			Rule: r, Device: d.Device, Field: &devices.Field{Name: r.Field},
			Reason: fmt.Sprintf("kind %s has no field %s", d.Kind.ID, r.Field),
		})
		return
	}
	l, missing, err := resolve(r, d.Device, f)
	if err != nil || len(missing) > 0 {
		u := Unarmed{Rule: r, Device: d.Device, Field: f, Missing: missing}
		if err != nil {
			u.Reason = err.Error()
		} else {
			u.Reason = fmt.Sprintf("set %s in the params of device %s or of site %s", strings.Join(missing, ", "), d.ID, d.Site.ID)
		}
		e.unarmed = append(e.unarmed, u)
		return
	}
	p := d.point(f)
	if p == nil {
		p = newPoint(d, f)
		d.points = append(d.points, p)
	}
	p.add(r, l, l.print(r))
	e.armed++
}

// resolve puts the design values of a device and its site into a rule's limits.
func resolve(r *Rule, d *devices.Device, f *devices.Field) (l *ladder, missing []string, err error) {
	limits := make([]float64, len(r.Steps))
	for i, step := range r.Steps {
		limits[i] = step.Limit.at(d, &missing)
	}
	var clear *float64
	if r.Clear.Limit != nil {
		v := r.Clear.Limit.at(d, &missing)
		clear = &v
	}
	if len(missing) > 0 {
		return nil, missing, nil
	}
	l = newLadder(r, f, limits, clear)
	return l, nil, l.check(f)
}

// at is the limit at a device; a design value that is needed and that nobody has
// set is added to missing.
func (l Limit) at(d *devices.Device, missing *[]string) float64 {
	if l.Param == "" {
		return l.Value
	}
	v, ok := d.Param(l.Param)
	switch {
	case ok:
	case l.Default != nil:
		v = *l.Default
	case !slices.Contains(*missing, l.Param):
		*missing = append(*missing, l.Param)
	}
	if l.Factor != 0 {
		v *= l.Factor
	}
	return rounded(v + l.Offset)
}

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
			return fmt.Errorf("the %s limit %v lies outside what %s can read, %v to %v", g.level, g.limit, f.Name, low, high)
		}
		if l.low && (g.clear >= high || g.clear < g.limit) || !l.low && (g.clear <= low || g.clear > g.limit) {
			return fmt.Errorf("the %s limit %v could never be left again: it clears at %v, and %s reads %v to %v", g.level, g.limit, g.clear, f.Name, low, high)
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
			return fmt.Errorf("the %s limit %v is not beyond the %s limit %v", g.level, g.limit, milder.level, milder.limit)
		}
	}
	return nil
}

// sensorPrint stands for the one condition every point has.
const sensorPrint = 1

// print tells conditions apart: one that is judged in the same way continues
// from the state of the one before, however its texts changed.
func (l *ladder) print(r *Rule) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %+v", r.ID, *l)
	return h.Sum64()
}

// inherit continues what an earlier engine knew of the device.
func (d *device) inherit(e *Engine, old *device) {
	if old == nil {
		return
	}
	d.clock = old.clock
	d.presence = old.presence
	if d.State == devices.InService && old.State != devices.InService {
		d.presence.heard = d.presence.source.clock(e.now) // its service begins with all the time it may take
	}
	if d.State != devices.InService {
		d.presence.silent, d.presence.folded = false, false
	}
	for _, p := range old.points {
		d.inheritPoint(e, p)
	}
}

// inheritPoint takes over the samples of a point, and the states of its rules as
// far as they are judged in the same way. A changed rule is judged on the samples.
func (d *device) inheritPoint(e *Engine, old *point) {
	f, ok := d.Kind.Field(old.field.Name)
	if !ok {
		return
	}
	p := d.point(f)
	if p == nil {
		p = d.unruled(e, f)
	}
	p.tail, p.buffer, p.folded = old.tail, old.buffer, old.folded
	for _, w := range p.watches {
		passed := int64(math.MinInt64)
		if was := old.watch(w.rule.ID); was != nil {
			w.told = was.told
			if was.print == w.print {
				w.base, passed = was.base, was.live.at
			}
		}
		w.replay()
		w.cond.pass(&w.live, passed)
		e.waits.set(&w.timer)
	}
}

func (p *point) watch(rule string) *watch {
	for _, w := range p.watches {
		if w.rule.ID == rule {
			return w
		}
	}
	return nil
}

// Reconfigure is a barrier between two readings: from here on other devices are
// judged by other rules. Points whose rule did not change keep their state, a
// changed rule is judged on the values held, the levels of what is gone end.
func (e *Engine) Reconfigure(o EngineOptions, now int64, out []Change) []Change {
	e.now = max(e.now, now)
	old, sites := e.devices, e.sites
	e.arm(o, e.keys)
	for _, d := range old {
		out = e.endGone(d, out)
	}
	out = e.keepSites(sites, out)
	for _, d := range e.devices {
		for _, p := range d.points {
			for _, w := range p.watches {
				out = w.tell(out)
			}
		}
	}
	return out
}

// endGone ends the levels of a device that nothing continues.
func (e *Engine) endGone(old *device, out []Change) []Change {
	d := e.keys[old.Key()]
	if old.presence.silent && (d == nil || !d.presence.silent) {
		out = append(out, Change{Rule: e.builtin.silent, Device: old.Device})
	}
	if old.clock != nil && d == nil {
		out = append(out, old.clockChange(e, Normal, old.clock))
	}
	for _, p := range old.points {
		for _, w := range p.watches {
			if w.told.level == Normal || d.watches(w) {
				continue
			}
			c := w.change()
			c.Level, c.Unverified, c.Backfill = Normal, false, false
			out = append(out, c)
		}
	}
	return out
}

// watches says that the device still has the rule of w at its point.
func (d *device) watches(w *watch) bool {
	if d == nil {
		return false
	}
	p := d.pointByName(w.point.field.Name)
	return p != nil && p.watch(w.rule.ID) != nil
}

// keepSites continues the silence of whole sites.
func (e *Engine) keepSites(old []*site, out []Change) []Change {
	byID := make(map[string]*site, len(e.sites))
	for _, s := range e.sites {
		byID[s.ID] = s
	}
	for _, was := range old {
		s := byID[was.ID]
		if s != nil {
			s.unfold = was.unfold
			s.silent = was.silent && len(s.members) > 1 && slices.ContainsFunc(s.members, func(d *device) bool { return d.presence.silent })
		}
		if was.silent && (s == nil || !s.silent) {
			out = append(out, Change{Rule: e.builtin.siteSilent, Site: was.Site})
		}
		switch {
		case s == nil:
		case !s.silent && s.unfold == never:
			out = s.ring(e, e.now, out)
		default:
			e.absences.set(&s.timer)
		}
	}
	return out
}
