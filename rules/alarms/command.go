package alarms

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"fengsui/rules"
)

// Verb is what a person does with an alarm.
type Verb string

const (
	Ack        Verb = "ack" // I have seen it and care for it
	Unack      Verb = "unack"
	Note       Verb = "note"
	Shelve     Verb = "shelve" // not now: for a time, with a reason
	Unshelve   Verb = "unshelve"
	ResetLatch Verb = "reset" // seen on site: the latched condition is over
	Close      Verb = "close" // dealt with
)

// Command is what a person wants of an alarm.
type Command struct {
	Alarm       string
	Verb        Verb
	By          string // the person's name
	Note        string // the text of a note, the reason of shelving; else optional
	Until       int64  // of shelving, Unix ms
	Disposition string // of closing: what it turned out to be
	Key         string // Idempotency-Key: the same again gets the first answer
}

// dispositions say what an alarm turned out to be.
var dispositions = [...]string{"real", "false_alarm", "test", "maintenance", "device_fault"}

const (
	maxShelf  = 8 * time.Hour
	shelfSlop = time.Minute // the clocks of a page and of the judge are not the same
	maxNote   = 2000        // letters
)

// RefusalKind groups refusals by what the caller can do about them.
type RefusalKind string

const (
	NotFound RefusalKind = "not_found" // there is no such alarm
	Conflict RefusalKind = "conflict"  // the alarm is not in a state for that; By and At say who was faster
	Invalid  RefusalKind = "invalid"   // the command itself is wrong
)

// Refusal is the error of a command that was not carried out.
type Refusal struct {
	Kind    RefusalKind
	Code    string
	Message string
	By      string // whose command stands in the way, where there is one
	At      Time
}

func (r *Refusal) Error() string { return r.Message }

func refuse(kind RefusalKind, code, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// beaten is the refusal of a command that somebody was faster with.
func beaten(code, did, by string, at Time) *Refusal {
	r := refuse(Conflict, code, "%s %s at %s", by, did, at)
	r.By, r.At = by, at
	return r
}

// Command carries out what a person wants. An event of the answer that has a Seq
// is the answer to an earlier command with the same key: it is in the log already.
func (b *Book) Command(c Command, at Cause) ([]Event, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if e, ok := b.answers.get(c.Key); ok {
		if e.Alarm.ID != c.Alarm || e.Type != doings[c.Verb].event {
			return nil, refuse(Invalid, "key_reused", "idempotency key %q was used for another command", c.Key)
		}
		return []Event{e}, nil
	}
	r := b.open[c.Alarm]
	if r == nil {
		if was, ok := b.closed.get(c.Alarm); ok {
			return nil, beaten("already_closed", "closed this alarm", was.by, was.at)
		}
		return nil, refuse(NotFound, "not_found", "there is no open alarm %q", c.Alarm)
	}
	next := r.alarm
	do := doings[c.Verb]
	if err := do.apply(&next, &c, at); err != nil {
		return nil, err
	}
	e := Event{Type: do.event, By: c.By, Note: c.Note, Key: c.Key}
	return []Event{b.record(r, next, e, at)}, nil
}

// check says what is wrong with the command, whatever the alarm.
func (c *Command) check() error {
	switch {
	case doings[c.Verb].apply == nil:
		return refuse(Invalid, "unknown_command", "unknown command %q", c.Verb)
	case c.By == "":
		return refuse(Invalid, "name_required", "every command carries a name")
	case utf8.RuneCountInString(c.Note) > maxNote:
		return refuse(Invalid, "note_too_long", "a note has at most %d letters", maxNote)
	}
	return nil
}

// doing is what a verb does to an alarm. It changes nothing when it refuses.
type doing struct {
	event EventType
	apply func(a *Alarm, c *Command, at Cause) error
}

var doings = map[Verb]doing{
	Ack:        {Acked, acknowledge},
	Unack:      {Unacked, unacknowledge},
	Note:       {Noted, note},
	Shelve:     {Shelved, shelve},
	Unshelve:   {Unshelved, unshelve},
	ResetLatch: {Reset, reset},
	Close:      {ClosedEv, closeAlarm},
}

func acknowledge(a *Alarm, c *Command, at Cause) error {
	if a.AckedBy != "" {
		return beaten("already_acked", "acknowledged this alarm", a.AckedBy, a.AckedTime)
	}
	if a.active() {
		a.State = ActiveAcked
	}
	a.AckedBy, a.AckedTime = c.By, Time(at.Clock)
	return nil
}

func unacknowledge(a *Alarm, _ *Command, _ Cause) error {
	if a.AckedBy == "" {
		return refuse(Conflict, "not_acked", "nobody has acknowledged this alarm")
	}
	if a.active() {
		a.State = ActiveUnacked
	}
	a.AckedBy, a.AckedTime = "", 0
	return nil
}

func note(_ *Alarm, c *Command, _ Cause) error {
	if c.Note == "" {
		return refuse(Invalid, "note_required", "a note needs a text")
	}
	return nil
}

func shelve(a *Alarm, c *Command, at Cause) error {
	switch {
	case a.has(flagShelved):
		r := refuse(Conflict, "already_shelved", "%s shelved this alarm until %s", a.ShelvedBy, a.ShelvedUntil)
		r.By = a.ShelvedBy
		return r
	case c.Note == "":
		return refuse(Invalid, "reason_required", "shelving needs a reason")
	case c.Until <= at.Clock:
		return refuse(Invalid, "until_required", "say until when: a moment to come")
	case c.Until-at.Clock > (maxShelf + shelfSlop).Milliseconds():
		return refuse(Invalid, "too_long", "an alarm is shelved for at most %s", maxShelf)
	}
	a.shelve(true, Time(c.Until), c.By)
	return nil
}

func unshelve(a *Alarm, _ *Command, _ Cause) error {
	if !a.has(flagShelved) {
		return refuse(Conflict, "not_shelved", "this alarm is not shelved")
	}
	a.shelve(false, 0, "")
	return nil
}

func reset(a *Alarm, _ *Command, at Cause) error {
	switch {
	case !a.active():
		return refuse(Conflict, "not_latched", "this alarm is over")
	case !a.has(flagLatched):
		return refuse(Conflict, "still_active", "the condition of this alarm lasts")
	}
	a.clear(at)
	return nil
}

func closeAlarm(a *Alarm, c *Command, at Cause) error {
	switch {
	case a.active():
		return refuse(Conflict, "still_active", "this alarm is not over: it can be closed when its condition has ended")
	case c.Disposition == "" && (a.WorstLevel == rules.Red || a.WorstLevel == rules.Orange):
		return refuse(Invalid, "disposition_required", "closing an alarm that was %s needs a disposition, one of %v", a.WorstLevel, dispositions)
	case c.Disposition != "" && !slices.Contains(dispositions[:], c.Disposition):
		return refuse(Invalid, "unknown_disposition", "unknown disposition %q, want one of %v", c.Disposition, dispositions)
	}
	a.State, a.ClosedBy, a.ClosedTime = Closed, c.By, Time(at.Clock)
	a.Disposition = c.Disposition
	a.shelve(false, 0, "")
	return nil
}

// Tick ends the shelves whose time is over.
func (b *Book) Tick(at Cause) []Event {
	if at.Clock < b.expiry {
		return nil
	}
	var out []Event
	b.expiry = never
	b.turnTo(at.Position)
	for _, a := range b.Alarms() {
		switch {
		case !a.has(flagShelved):
		case int64(a.ShelvedUntil) > at.Clock:
			b.expiry = min(b.expiry, int64(a.ShelvedUntil))
		default:
			next := a
			next.shelve(false, 0, "")
			out = append(out, b.record(b.open[a.ID], next, Event{Type: Unshelved}, at))
		}
	}
	return out
}

// NextExpiry is when the next shelf ends, and whether there is one. It may be
// earlier where one was taken back.
func (b *Book) NextExpiry() (int64, bool) { return b.expiry, b.expiry != never }
