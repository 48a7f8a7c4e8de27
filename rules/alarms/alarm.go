// Package alarms is the life of an alarm: what the difference between the level
// a rule reports and the alarm on record means, and what people do with it.
//
// In: levels (rules.Change) and people's commands. Out: events, each with the
// alarm's full state after it; the judge appends them to the alarm log before
// anybody hears of them. What survives a crash: nothing here; the [Book] is
// folded from the alarm log. What it will not do: read a clock, do I/O, know
// what a limit is.
package alarms

import (
	"encoding/json"
	"fmt"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// State of an alarm. A condition that ended (cleared) waits for a person to
// close it, whether or not it had been acknowledged while it lasted: cleared
// never implies closed.
type State string

const (
	ActiveUnacked  State = "active_unacked"
	ActiveAcked    State = "active_acked"
	ClearedUnacked State = "cleared_unacked" // 恢复未确认: over, not yet closed
	Closed         State = "closed"
)

// Alarm is the whole state of one alarm, as stored in every event and as shown
// to the outside. Times are RFC 3339 in JSON, to the millisecond.
type Alarm struct {
	ID          string       `json:"id"`
	Seq         uint64       `json:"seq"` // of the last event in the alarm log
	Site        string       `json:"site"`
	SiteName    devices.Text `json:"site_name"`
	Area        string       `json:"area"`
	Device      string       `json:"device"`
	DeviceName  devices.Text `json:"device_name"`
	Kind        string       `json:"kind"`
	Field       string       `json:"field"`
	Rule        string       `json:"rule"`
	RuleVersion string       `json:"rule_version"`

	Level      rules.Level `json:"level"`
	WorstLevel rules.Level `json:"worst_level"`
	State      State       `json:"state"`
	Flags      []string    `json:"flags"` // sorted: shelved, suppressed, latched, first_out, unverified, backfill, drill

	Value   *float64 `json:"value"` // null for silence
	Limit   *float64 `json:"limit"`
	Unit    string   `json:"unit"`
	Quality string   `json:"quality"` // good, suspect, bad

	SampleTime   Time `json:"sample_time"`
	ReceivedTime Time `json:"received_time"`
	RaisedTime   Time `json:"raised_time"`
	ClearedTime  Time `json:"cleared_time"`
	ClosedTime   Time `json:"closed_time"`

	AckedBy      string `json:"acked_by"`
	AckedTime    Time   `json:"acked_time"`
	ShelvedUntil Time   `json:"shelved_until"`
	ShelvedBy    string `json:"shelved_by"`
	ClosedBy     string `json:"closed_by"`
	Disposition  string `json:"disposition"` // real, false_alarm, test, maintenance, device_fault

	Title    devices.Text      `json:"title"`
	Advice   devices.Text      `json:"advice"`
	Basis    rules.Basis       `json:"basis"`
	Contacts []devices.Contact `json:"contacts"`
}

// EventType says what happened to an alarm.
type EventType string

const (
	Raised    EventType = "raised"
	Escalated EventType = "level_up"   // worse, or news where it was history or folded away: unacknowledged again
	Eased     EventType = "level_down" // better, not over
	Rearmed   EventType = "rearmed"    // over, and back before it was closed
	Cleared   EventType = "cleared"
	Updated   EventType = "updated" // only flags changed: suppressed, latched, unverified confirmed, first_out
	Acked     EventType = "acked"
	Unacked   EventType = "unacked"
	Noted     EventType = "noted"
	Shelved   EventType = "shelved"
	Unshelved EventType = "unshelved"
	Reset     EventType = "reset"
	ClosedEv  EventType = "closed"
)

// Event is one step in the life of an alarm.
type Event struct {
	Seq   uint64    `json:"seq"` // position in the alarm log; set by the log
	ID    string    `json:"id"`  // deterministic: the same step gives the same id in every replay
	Type  EventType `json:"type"`
	Time  Time      `json:"time"` // the judge's clock
	By    string    `json:"by,omitempty"`
	Note  string    `json:"note,omitempty"`
	Input uint64    `json:"input"` // the judge's input position
	Alarm Alarm     `json:"alarm"` // its state after this event

	// What the book needs to go on from the last event of an alarm alone.
	N     int    `json:"n,omitempty"`     // the how-manieth event of its alarm
	Step  int    `json:"step,omitempty"`  // levels of the alarm's rule at its point that were taken at Input so far
	Latch bool   `json:"latch,omitempty"` // the rule keeps the alarm until a person resets it
	Order Order  `json:"order,omitempty"` // as which of its site the alarm was raised
	Key   string `json:"key,omitempty"`   // of the command, so that a repetition is recognised
}

// Order says whether an alarm was raised in the wake of another one of its site.
// The first one that others followed is first_out.
type Order string

const (
	First Order = "first"
	Later Order = "later"
)

// DecodeEvent reads an event as the alarm log holds it at seq. An event that is
// about no alarm has none.
func DecodeEvent(data []byte, seq uint64) (Event, error) {
	var e Event
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("read event %d of the alarm log: %w", seq, err)
	}
	e.Seq = seq
	if e.Alarm.ID != "" {
		e.Alarm.Seq = seq
	}
	return e, nil
}

// Time is a moment in JSON as RFC 3339 with milliseconds in UTC; the zero
// moment is null.
type Time int64 // Unix ms

func (t Time) String() string { return time.UnixMilli(int64(t)).UTC().Format(timeLayout) }

func (t Time) MarshalJSON() ([]byte, error) {
	if t == 0 {
		return []byte("null"), nil
	}
	return []byte(`"` + t.String() + `"`), nil
}

func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b))
	if err != nil {
		return err
	}
	*t = Time(at.UnixMilli())
	return nil
}

const timeLayout = "2006-01-02T15:04:05.000Z07:00"
