package rules

import (
	"math"
	"slices"

	"fengsui/devices"
)

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
	p := d.pointAt(old.joint(), f.Name)
	switch {
	case p == nil && old.trigger != nil:
		return
	case p == nil:
		p = d.pointOf(f)
	}
	if old.watch(e.builtin.sensorFault.ID) != nil {
		p.addSensor(e.builtin.sensorFault)
	}
	p.tail, p.folded = old.tail, old.folded
	p.keepJumps(old.jumps)
	for _, w := range p.watches {
		passed := int64(math.MinInt64)
		if was := old.watch(w.rule.ID); was != nil {
			w.told = was.told
			if was.print == w.print {
				w.base, passed = was.base, was.live.at
			} else {
				w.base = w.cond.again(&was.base)
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
	p := d.pointAt(w.point.joint(), w.point.field.Name)
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
