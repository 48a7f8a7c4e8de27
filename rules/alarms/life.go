package alarms

import (
	"math"
	"slices"

	"fengsui/devices"
	"fengsui/rules"
)

// Flags of an alarm.
const (
	flagShelved    = "shelved"
	flagSuppressed = "suppressed"
	flagLatched    = "latched"
	flagFirstOut   = "first_out"
	flagUnverified = "unverified"
	flagBackfill   = "backfill"
)

// compare turns next, the alarm on record, into what it is with the level that c
// reports, and names what that is; "" where nothing differs.
func (r *record) compare(next *Alarm, c *rules.Change, at Cause) EventType {
	switch {
	case c.Level == rules.Normal && !r.lasts():
		return ""
	case c.Level == rules.Normal:
		r.latch = c.Rule.Latch
		what := r.end(next, at)
		if what == Cleared {
			next.measure(c)
		}
		return what
	case !r.lasts():
		next.begin(c)
		return Rearmed
	case c.Level.Rank() > next.Level.Rank():
		next.begin(c)
		next.shelve(false, 0, "") // it was shelved for something milder
		return Escalated
	case c.Level != next.Level:
		next.take(c)
		next.mark(flagBackfill, c.Backfill && next.has(flagBackfill))
		return Eased
	}
	return next.reflag(c)
}

// lasts says that the condition of the alarm still holds, as far as is known.
func (r *record) lasts() bool { return r.alarm.active() && !r.alarm.has(flagLatched) }

// end is the end of the condition: the alarm is over, or latched.
func (r *record) end(next *Alarm, at Cause) EventType {
	next.mark(flagUnverified, false)
	next.mark(flagSuppressed, false)
	if r.latch {
		next.mark(flagLatched, true)
		return Updated
	}
	next.clear(at)
	return Cleared
}

// active says that the alarm is not over.
func (a *Alarm) active() bool { return a.State == ActiveUnacked || a.State == ActiveAcked }

// begin is a condition that begins, begins again or got worse: nobody has
// acknowledged that yet.
func (a *Alarm) begin(c *rules.Change) {
	a.take(c)
	a.mark(flagBackfill, c.Backfill)
	a.mark(flagLatched, false)
	a.State, a.ClearedTime = ActiveUnacked, 0
	a.AckedBy, a.AckedTime = "", 0
}

// clear is the end of the alarm; a person has yet to close it.
func (a *Alarm) clear(at Cause) {
	a.State, a.Level, a.ClearedTime = ClearedUnacked, rules.Normal, Time(at.Clock)
	a.mark(flagLatched, false)
}

// reflag takes over what c says beside the level.
func (a *Alarm) reflag(c *rules.Change) EventType {
	if a.has(flagBackfill) && !c.Backfill || a.has(flagSuppressed) && !c.Suppressed {
		a.begin(c)
		return Escalated
	}
	if a.has(flagUnverified) == c.Unverified && a.has(flagSuppressed) == c.Suppressed {
		return ""
	}
	a.take(c)
	return Updated
}

// take writes down a level that is not Normal and what led to it.
func (a *Alarm) take(c *rules.Change) {
	a.Level = c.Level
	if c.Level.Rank() > a.WorstLevel.Rank() {
		a.WorstLevel = c.Level
	}
	a.RuleVersion, a.Title, a.Basis = c.Rule.Version, c.Rule.Title, c.Rule.Basis
	a.Advice = c.Rule.Advice
	if s := siteOf(c); s != nil && s.Advice != nil && c.Level != rules.Fault {
		a.Advice = *s.Advice
	}
	a.mark(flagUnverified, c.Unverified)
	a.mark(flagSuppressed, c.Suppressed)
	a.measure(c)
}

// measure writes down the reading that led to the level.
func (a *Alarm) measure(c *rules.Change) {
	a.SampleTime, a.ReceivedTime = Time(c.Sample), Time(c.Received)
	if c.Field == nil {
		return
	}
	a.Value, a.Limit, a.Unit, a.Quality = number(c.Value), nil, c.Unit(), c.Quality.String()
	if len(c.Rule.Steps) > 0 {
		a.Limit = number(c.Limit)
	}
}

// number is null where JSON has no word for it.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// place writes down where the alarm is and whom to call.
func (a *Alarm) place(c *rules.Change) {
	switch {
	case c.Device != nil:
		a.DeviceName, a.Kind = c.Device.Name, c.Device.Kind.ID
	case c.Site != nil:
		a.Kind = siteKind
	default:
		a.Kind = gatewayKind
		a.SiteName = devices.Text{ZH: "网关", EN: "Gateway"}
		a.DeviceName = devices.Text{ZH: c.Source, EN: c.Source}
	}
	if s := siteOf(c); s != nil {
		a.SiteName, a.Area = s.Name, s.Area
		a.Contacts = append(a.Contacts, s.Contacts...)
	}
}

func siteOf(c *rules.Change) *devices.Site {
	if c.Device != nil {
		return c.Device.Site
	}
	return c.Site
}

func (a *Alarm) has(flag string) bool { return slices.Contains(a.Flags, flag) }

// mark sets or takes away a flag. The list is never changed in place, because
// events hold it.
func (a *Alarm) mark(flag string, on bool) {
	i, has := slices.BinarySearch(a.Flags, flag)
	switch {
	case on && !has:
		a.Flags = slices.Insert(slices.Clone(a.Flags), i, flag)
	case !on && has:
		a.Flags = slices.Delete(slices.Clone(a.Flags), i, i+1)
	}
}

func (a *Alarm) shelve(on bool, until Time, by string) {
	a.mark(flagShelved, on)
	a.ShelvedUntil, a.ShelvedBy = until, by
}
