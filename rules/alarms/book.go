package alarms

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"math"
	"slices"

	"fengsui/devices"
	"fengsui/rules"
)

// Cause is what made something happen: the judge's input position, and its clock
// in Unix ms.
type Cause struct {
	Position uint64
	Clock    int64
}

// firstOutWindow is how long after another alarm of its site an alarm follows it.
const firstOutWindow = 10 * 60 * 1000 // ms

// Book holds every alarm that is not closed. One goroutine uses it.
//
// It turns the difference between a level and the alarm on record into an event,
// so the same level twice is one event. After a crash it is folded from the
// alarm log, whose last event of each alarm is enough, and the input entry at
// hand is applied again: the book knows how many levels of each point were
// taken at that position, passes over them, and goes on where the log ends.
type Book struct {
	open   map[string]*record // by alarm id
	points map[point]*record
	tally  map[Tally]int // of the open ones

	head uint64        // the input position at hand
	seen map[point]int // levels taken at head in this run
	done map[point]int // levels taken at head according to the log

	newest  map[string]turn // by site: of the alarms that have an order, the one raised last
	expiry  int64           // when the next shelf ends
	closed  memory[closing]
	answers memory[Event]
}

// point is what an alarm is about: while it is open there is only one.
type point struct{ rule, site, device, field string }

// record is an open alarm.
type record struct {
	alarm Alarm
	point point
	n     int   // events so far
	latch bool  // see Event.Latch
	order Order // see Event.Order
}

// turn is when an alarm was raised at its site, and as which.
type turn struct {
	alarm string
	at    Time
	order Order
}

// never is the end of a shelf nobody is on.
const never = math.MaxInt64

// NewBook is empty: fold the alarm log into it.
func NewBook() *Book {
	return &Book{
		open: map[string]*record{}, points: map[point]*record{}, tally: map[Tally]int{},
		seen: map[point]int{}, done: map[point]int{},
		newest: map[string]turn{}, expiry: never,
		closed: newMemory[closing](), answers: newMemory[Event](),
	}
}

// Apply takes what became of levels and gives the events that follow. Append
// them to the alarm log before anybody hears of them.
func (b *Book) Apply(changes []rules.Change, at Cause) []Event {
	var out []Event
	b.turnTo(at.Position)
	for i := range changes {
		c := &changes[i]
		p := pointOf(c)
		b.seen[p]++
		if b.seen[p] <= b.done[p] {
			continue // on record since before the crash
		}
		out = b.take(c, at, out)
	}
	return out
}

// Complete takes levels as they are now, wherever they were reached, and ends
// nothing that is on record.
func (b *Book) Complete(levels []rules.Change, at Cause) []Event {
	var out []Event
	b.turnTo(at.Position)
	for i := range levels {
		out = b.take(&levels[i], at, out)
	}
	return out
}

// Reconcile takes every level that is not Normal: what else is on record has
// ended.
func (b *Book) Reconcile(levels []rules.Change, at Cause) []Event {
	out := b.Complete(levels, at)
	lasting := make(map[point]bool, len(levels))
	for i := range levels {
		lasting[pointOf(&levels[i])] = true
	}
	for _, a := range b.Alarms() {
		if r := b.open[a.ID]; r.lasts() && !lasting[r.point] {
			next := a
			what := r.end(&next, at)
			out = append(out, b.record(r, next, Event{Type: what}, at))
		}
	}
	return out
}

// turnTo forgets what was taken at other positions.
func (b *Book) turnTo(position uint64) {
	if position != b.head {
		b.head = position
		clear(b.seen)
		clear(b.done)
	}
}

// take compares a level with the alarm on record.
func (b *Book) take(c *rules.Change, at Cause, out []Event) []Event {
	p := pointOf(c)
	r := b.points[p]
	if r == nil {
		if c.Level == rules.Normal {
			return out
		}
		r, raised := b.raise(p, c, at)
		if r.order == Later {
			out = b.lead(p.site, at, out)
		}
		return append(out, b.record(r, raised, Event{Type: Raised, Note: c.Reason}, at))
	}
	next := r.alarm
	what := r.compare(&next, c, at)
	if what == "" {
		return out
	}
	r.latch = c.Rule.Latch
	return append(out, b.record(r, next, Event{Type: what, Note: c.Reason}, at))
}

// raise begins an alarm.
func (b *Book) raise(p point, c *rules.Change, at Cause) (*record, Alarm) {
	a := Alarm{
		ID:   "A" + digest(12, p.rule, p.site, p.device, p.field, at.Position, at.Clock),
		Site: p.site, Device: p.device, Field: p.field, Rule: p.rule,
		State: ActiveUnacked, Flags: []string{}, RaisedTime: Time(at.Clock), Contacts: []devices.Contact{},
	}
	a.place(c)
	a.take(c)
	a.mark(flagBackfill, c.Backfill)
	return &record{point: p, latch: c.Rule.Latch, order: b.order(p.site, c, at)}, a
}

// order says as which of its site an alarm is raised. Faults have none: they do not
// tell how something spread; nor has history.
func (b *Book) order(site string, c *rules.Change, at Cause) Order {
	if c.Level == rules.Fault || c.Backfill {
		return ""
	}
	last, any := b.newest[site]
	if any && Time(at.Clock)-last.at < firstOutWindow {
		return Later
	}
	return First
}

// lead marks the alarm that an alarm raised now is the first to follow: alone,
// being the first says nothing.
func (b *Book) lead(site string, at Cause, out []Event) []Event {
	last := b.newest[site]
	r := b.open[last.alarm]
	if r == nil || last.order != First || r.alarm.has(flagFirstOut) {
		return out
	}
	next := r.alarm
	next.mark(flagFirstOut, true)
	return append(out, b.record(r, next, Event{Type: Updated}, at))
}

// record makes the event that turns r into next, and r that.
func (b *Book) record(r *record, next Alarm, e Event, at Cause) Event {
	r.n++
	e.ID = fmt.Sprintf("%s-%s", next.ID, digest(8, next.ID, r.n, at.Position, at.Clock))
	e.Time, e.Input, e.Alarm = Time(at.Clock), at.Position, next
	e.N, e.Latch, e.Order = r.n, r.latch, r.order
	if at.Position == b.head {
		e.Step = max(b.seen[r.point], b.done[r.point])
	}
	b.keep(r, &e)
	return e
}

// keep puts the state after an event into the book.
func (b *Book) keep(r *record, e *Event) {
	if was := b.open[e.Alarm.ID]; was != nil {
		b.tally[was.alarm.tally()]--
	}
	r.alarm = e.Alarm
	if e.Key != "" {
		b.answers.put(e.Key, *e)
	}
	b.remember(r.point.site, turn{e.Alarm.ID, e.Alarm.RaisedTime, r.order})
	if e.Alarm.State != Closed {
		b.tally[r.alarm.tally()]++
		b.open[e.Alarm.ID], b.points[r.point] = r, r
		if e.Alarm.has(flagShelved) {
			b.expiry = min(b.expiry, int64(e.Alarm.ShelvedUntil))
		}
		return
	}
	b.closed.put(e.Alarm.ID, closing{by: e.Alarm.ClosedBy, at: e.Alarm.ClosedTime})
	delete(b.open, e.Alarm.ID)
	if was := b.points[r.point]; was != nil && was.alarm.ID == e.Alarm.ID {
		delete(b.points, r.point)
	}
}

// remember keeps the alarm of a site that was raised last, in whatever order they
// are told: of two in one millisecond the later one followed.
func (b *Book) remember(site string, t turn) {
	last := b.newest[site]
	if t.order != "" && (t.at > last.at || t.at == last.at && t.order == Later) {
		b.newest[site] = t
	}
}

// Fold takes an event from the alarm log. All of them, or the last of each
// alarm, in the order of the log, lead to the same book.
func (b *Book) Fold(e Event) {
	if e.Alarm.ID == "" {
		return // not about an alarm
	}
	b.turnTo(e.Input)
	a := &e.Alarm
	if a.Flags == nil {
		a.Flags = []string{}
	}
	if a.Contacts == nil {
		a.Contacts = []devices.Contact{}
	}
	r := &record{point: point{a.Rule, a.Site, a.Device, a.Field}, n: e.N, latch: e.Latch, order: e.Order}
	if r.order == "" && a.has(flagFirstOut) {
		r.order = First // written when the first was marked as it was raised
	}
	b.done[r.point] = max(b.done[r.point], e.Step)
	b.keep(r, &e)
}

// Recorded tells the book, and the event, where in the alarm log it came to stand.
func (b *Book) Recorded(e *Event, seq uint64) {
	e.Seq, e.Alarm.Seq = seq, seq
	if r := b.open[e.Alarm.ID]; r != nil {
		r.alarm.Seq = seq
	}
	if e.Key != "" {
		b.answers.put(e.Key, *e)
	}
}

// Get finds an open alarm.
func (b *Book) Get(id string) (Alarm, bool) {
	r := b.open[id]
	if r == nil {
		return Alarm{}, false
	}
	return r.alarm, true
}

// Alarms lists every alarm that is not closed, in the order they were raised.
func (b *Book) Alarms() []Alarm {
	out := make([]Alarm, 0, len(b.open))
	for _, r := range b.open {
		out = append(out, r.alarm)
	}
	slices.SortFunc(out, func(x, y Alarm) int {
		return cmp.Or(cmp.Compare(x.RaisedTime, y.RaisedTime), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// Len counts the alarms that are not closed.
func (b *Book) Len() int { return len(b.open) }

// Tally is what alarms are counted by.
type Tally struct {
	Level rules.Level // the worst the alarm had
	State State
}

func (a *Alarm) tally() Tally { return Tally{a.WorstLevel, a.State} }

// Count counts the alarms that are not closed.
func (b *Book) Count() map[Tally]int {
	n := maps.Clone(b.tally)
	maps.DeleteFunc(n, func(_ Tally, n int) bool { return n == 0 })
	return n
}

// System alarms stand at a site and kind of the gateway's own; the id gateway is
// refused to sites.
const (
	gatewaySite = "gateway"
	gatewayKind = "gateway"
	siteKind    = "site"
)

func pointOf(c *rules.Change) point {
	p := point{rule: c.Rule.ID, site: gatewaySite, device: c.Source}
	switch {
	case c.Device != nil:
		p.site, p.device = c.Device.Site.ID, c.Device.ID
	case c.Site != nil:
		p.site, p.device = c.Site.ID, ""
	}
	if c.Field != nil {
		p.field = c.Field.Name
	}
	return p
}

// digest is a short name for what its parts say, the same in every replay.
func digest(letters int, parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%v\x00", p)
	}
	return base32.StdEncoding.EncodeToString(h.Sum(nil))[:letters]
}
