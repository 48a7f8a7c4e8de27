package rules

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"fengsui/devices"
)

const (
	offlineLimit = 60 * 1000 // ms from a device's "offline" to its silence
	grace        = 60 * 1000 // ms on top of one interval when a source is back
	// beat: a judge at work advances the clock more often than this. After a
	// longer step nothing may have been heard because nobody was listening.
	beat = 5 * 1000
)

// source is where devices are heard through. The absence clocks of its devices
// are this one: it runs only while the source is up, so nobody falls silent
// because the gateway was deaf.
type source struct {
	name    string
	up      bool
	since   int64 // the judge's clock when it came up
	ran     int64 // ms it had run until then
	resumed int64 // what ran was when it last came up
	lost    bool  // told to be down
	reason  string
}

// clock is how long the source has been up in all, at a time of the judge's clock.
func (s *source) clock(now int64) int64 {
	if s.up {
		return s.ran + max(now-s.since, 0)
	}
	return s.ran
}

// when is the judge's clock at which the source's own will read t.
func (s *source) when(t int64) int64 {
	if !s.up || t == never {
		return never
	}
	return s.since + t - s.ran
}

func (s *source) start(now int64) {
	if !s.up {
		s.up, s.since, s.resumed = true, now, s.ran
	}
}

func (s *source) stop(now int64) {
	s.ran, s.up = s.clock(now), false
}

// presence is what the engine knows of a device's being there.
type presence struct {
	source  *source // it was last heard through; before its first word: any
	heard   int64   // the source's clock at its last word
	offline int64   // the source's clock when it was said to be offline; never if it was not
	silent  bool
	folded  bool // under its site
}

// limit is the source's clock at which the device falls silent.
func (d *device) limit() int64 {
	p := &d.presence
	at := p.heard + d.SilenceLimit().Milliseconds()
	if p.offline != never {
		at = min(at, p.offline+offlineLimit)
	}
	if p.heard < p.source.resumed {
		at = max(at, p.source.resumed+d.ExpectedInterval().Milliseconds()+grace)
	}
	return at
}

// overdue says that the device has missed its own interval: not yet silent, but
// not a sign of life either.
func (d *device) overdue(now int64) bool {
	p := &d.presence
	return p.silent || p.source.up &&
		(p.offline != never || p.source.clock(now) > max(p.heard, p.source.resumed)+d.ExpectedInterval().Milliseconds()+grace)
}

func (d *device) deadline() int64 {
	if d.State != devices.InService || d.presence.silent {
		return never
	}
	return d.presence.source.when(d.limit())
}

func (d *device) ring(e *Engine, at int64, out []Change) []Change {
	d.presence.silent = true
	s := d.site
	if !s.silent && s.allOverdue(at) {
		s.silent = true
		out = append(out, s.change(e))
	}
	if s.silent {
		out = s.fold(e, out)
	}
	if !d.presence.folded {
		out = append(out, d.silence(e))
	}
	return out
}

// silence is the present level of the rule "silent" at the device.
func (d *device) silence(e *Engine) Change {
	c := Change{Rule: e.builtin.silent, Device: d.Device, Suppressed: d.presence.folded}
	if d.presence.silent {
		c.Level = Fault
	}
	return c
}

// site is a place with devices in service, which may fall silent as a whole.
type site struct {
	*devices.Site
	members []*device
	silent  bool
	unfold  int64 // when members that are still silent after the site is back stand for themselves; never
	timer   timer
}

// allOverdue says that nobody at the site gives a sign of life. One device alone
// is no site.
func (s *site) allOverdue(now int64) bool {
	return len(s.members) > 1 && !slices.ContainsFunc(s.members, func(d *device) bool { return !d.overdue(now) })
}

// fold puts the silence of every member under that of the site.
func (s *site) fold(e *Engine, out []Change) []Change {
	s.unfold = never
	for _, m := range s.members {
		if m.presence.silent && !m.presence.folded {
			m.presence.folded = true
			out = append(out, m.silence(e))
		}
	}
	return out
}

// back ends the silence of the site. Its other members have an interval's time
// to speak before each stands for itself.
func (s *site) back(e *Engine, now int64, out []Change) []Change {
	s.silent = false
	var wait time.Duration
	for _, m := range s.members {
		if m.presence.silent {
			wait = max(wait, m.ExpectedInterval())
		}
	}
	s.unfold = now + wait.Milliseconds() + grace
	e.absences.set(&s.timer)
	return append(out, s.change(e))
}

func (s *site) deadline() int64 { return s.unfold }

func (s *site) ring(e *Engine, _ int64, out []Change) []Change {
	s.unfold = never
	for _, m := range s.members {
		if m.presence.folded {
			m.presence.folded = false
			out = append(out, m.silence(e))
		}
	}
	return out
}

func (s *site) change(e *Engine) Change {
	c := Change{Rule: e.builtin.siteSilent, Site: s.Site}
	if s.silent {
		c.Level = Fault
	}
	return c
}

// Spoke says that a device was heard through a source.
func (e *Engine) Spoke(d *devices.Device, source string, now int64, out []Change) []Change {
	x := e.find(d)
	if x == nil {
		return out
	}
	p := &x.presence
	if p.source.name != source || p.source == &e.any {
		p.source = e.source(source)
	}
	p.heard, p.offline = p.source.clock(now), never
	return x.present(e, now, out)
}

// present ends the silence of a device, and that of its site.
func (d *device) present(e *Engine, now int64, out []Change) []Change {
	if d.State != devices.InService {
		return out
	}
	if d.site.silent {
		out = d.site.back(e, now, out)
	}
	if d.presence.silent {
		d.presence.silent, d.presence.folded = false, false
		out = append(out, d.silence(e))
	}
	e.absences.set(&d.timer)
	return out
}

// Offline says that a device is said to be gone: it is silent a minute from now
// unless it comes back before.
func (e *Engine) Offline(d *devices.Device, now int64, out []Change) []Change {
	x := e.find(d)
	if x == nil || x.presence.offline != never {
		return out
	}
	x.presence.offline = x.presence.source.clock(now)
	e.absences.set(&x.timer)
	return out
}

// Online takes Offline back. It is no word of the device itself: one that was
// silent for longer than it may is silent still.
func (e *Engine) Online(d *devices.Device, now int64, out []Change) []Change {
	x := e.find(d)
	if x == nil || x.presence.offline == never {
		return out
	}
	x.presence.offline = never
	if x.presence.silent && x.presence.source.clock(now) < x.limit() {
		return x.present(e, now, out)
	}
	return out
}

// SourceUp says that a source delivers from now on.
func (e *Engine) SourceUp(name string, now int64, out []Change) []Change {
	s := e.source(name)
	s.start(now)
	e.any.start(now)
	for _, d := range e.devices {
		if p := &d.presence; p.source == s || p.source == &e.any {
			e.absences.set(&d.timer)
		}
	}
	if !s.lost {
		return out
	}
	s.lost, s.reason = false, ""
	return append(out, s.change(e))
}

// SourceDown says that a source no longer delivers. The absence clocks of its
// devices stand still.
func (e *Engine) SourceDown(name, reason string, now int64, out []Change) []Change {
	s := e.source(name)
	s.stop(now)
	e.stopAny(now)
	if s.lost {
		return out
	}
	s.lost, s.reason = true, reason
	return append(out, s.change(e))
}

// SourcePaused says that the gateway itself takes nothing from a source for a
// while: its devices' absence clocks stand still, and nobody lost anything.
func (e *Engine) SourcePaused(name string, now int64) {
	e.source(name).stop(now)
	e.stopAny(now)
}

// Started says that the gateway starts: all sources are down until they say
// otherwise, and nothing was heard since the step of the clock before.
func (e *Engine) Started(now int64, out []Change) []Change {
	heard := e.now
	if heard >= now {
		heard = e.before
	}
	for _, s := range e.sources {
		s.stop(heard)
	}
	e.stopAny(heard)
	return out
}

func (e *Engine) stopAny(now int64) {
	for _, s := range e.sources {
		if s.up {
			return
		}
	}
	e.any.stop(now)
}

func (e *Engine) source(name string) *source {
	s := e.sources[name]
	if s == nil {
		s = &source{name: name}
		e.sources[name] = s
	}
	return s
}

// sourcesByName keeps the order of what is told the same in every run.
func (e *Engine) sourcesByName() []*source {
	return slices.SortedFunc(maps.Values(e.sources), func(a, b *source) int { return cmp.Compare(a.name, b.name) })
}

func (s *source) change(e *Engine) Change {
	c := Change{Rule: e.builtin.sourceDown, Source: s.name, Reason: s.reason}
	if s.lost {
		c.Level = Fault
	}
	return c
}
