package devices

import (
	"cmp"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fengsui/devices/codec"
)

// Incoming is one MQTT message as the intake needs it. Its strings and payload
// need to live only until the message was accepted.
type Incoming struct {
	Position uint64 // of its entry in the input log
	Index    int    // of the message in its entry
	Received int64  // Unix ms
	Source   string
	Client   string
	User     string // of the credential it was sent under; empty through an external broker
	Topic    string
	Payload  []byte
	// Retained says that a broker handed the message out of its memory, so that
	// nobody knows when it was sent. A publisher's own retain flag is not this:
	// what the embedded broker receives is live.
	Retained bool
	Dup      bool   // marked by the sender as a redelivery
	PacketID uint16 // 0 at QoS 0
	// Again is when a message of the quarantine is judged once more, Unix ms; 0:
	// it is the first time. What it brings is history.
	Again int64
}

// Class is what became of a message. Each message is of exactly one class, so
// that the books balance.
type Class uint8

const (
	Accepted Class = iota + 1
	Duplicate
	Quarantined
)

func (c Class) String() string {
	switch c {
	case Accepted:
		return "accepted"
	case Duplicate:
		return "duplicate"
	case Quarantined:
		return "quarantined"
	}
	return "unknown"
}

// Presence is what a status message says of a device's connection.
type Presence uint8

const (
	NoPresence Presence = iota
	Online
	Offline
)

// Verdict is what became of one message.
type Verdict struct {
	Class Class
	// Devices it speaks of; none where it names none that is known. One message of
	// an edge gateway may speak of many. Valid until the next Decode.
	Devices  []*Device
	Presence Presence // of a status message
	// Spoke says that the devices are alive: they sent telemetry, and not out of
	// a broker's memory.
	Spoke bool
	// Readings are the message's own, the newest last; they are also in the
	// outcome and valid as long as it is.
	Readings []Reading
	// Rejections likewise: of the whole message or of single fields.
	Rejections []Rejection
}

// Outcome collects what became of the messages of one entry. It is reused:
// Reset it before the next one.
type Outcome struct {
	Readings   []Reading
	Rejections []Rejection

	Accepted    int
	Duplicates  int
	Quarantined int
	// Repeats counts samples left out because they had been seen before in
	// messages that also brought something new.
	Repeats int

	values []Value
}

// Reset empties the outcome and keeps its memory.
func (o *Outcome) Reset() {
	clear(o.Rejections)
	*o = Outcome{Readings: o.Readings[:0], Rejections: o.Rejections[:0], values: o.values[:0]}
}

// IntakeOptions sets an intake up.
type IntakeOptions struct {
	Registry     *Registry
	Routes       *Routes       // foreign formats; nil: none
	HistoryAfter time.Duration // history older than this is back-fill; default 30 min
	Logger       *slog.Logger  // hears of faults of our own that messages bring to light; nil: nobody
}

// Intake stands between the log and the rules: it says which device a message
// is from, what its values are worth, when they were measured, and whether all
// this was seen before. Decode may run anywhere; everything else belongs to the
// judge's goroutine, in receive order.
type Intake struct {
	registry     atomic.Pointer[Registry]
	historyAfter int64
	houses       sync.Pool
	mappers      sync.Pool
	routes       *Routes
	faults       faults

	devices []deviceMemory // by Device.index
	clients clients
	written int // bytes of the last snapshot: the next one is about as long
}

// NewIntake returns an intake that has seen nothing yet.
func NewIntake(o IntakeOptions) *Intake {
	if o.HistoryAfter == 0 {
		o.HistoryAfter = 30 * time.Minute
	}
	i := &Intake{routes: o.Routes, historyAfter: o.HistoryAfter.Milliseconds(), clients: clients{}, faults: faults{logger: o.Logger}}
	i.houses.New = func() any { return new(codec.House) }
	i.mappers.New = func() any { return new(codec.Mapper) }
	i.devices = make([]deviceMemory, o.Registry.Len())
	i.registry.Store(o.Registry)
	return i
}

// SetRegistry changes to another registry and keeps what is held of devices
// that are in both. A message decoded before and accepted after it is decoded
// again.
func (i *Intake) SetRegistry(r *Registry) {
	old := i.registry.Load()
	memories := make([]deviceMemory, r.Len())
	for _, d := range r.devices {
		if was, ok := old.DeviceByKey(d.Key()); ok {
			memories[d.index] = i.devices[was.index]
		}
	}
	i.devices = memories
	i.registry.Store(r)
}

// Accept decides what becomes of a decoded message and adds it to the outcome.
func (i *Intake) Accept(d *Decoded, out *Outcome) (v Verdict) {
	if r := i.registry.Load(); d.registry != r {
		i.decode(r, d.in, d)
	}
	before := *out
	defer i.acceptFault(d, out, &before, &v)
	return i.accept(d, out)
}

func (i *Intake) accept(d *Decoded, out *Outcome) Verdict {
	v := Verdict{Devices: d.speakers, Presence: d.presence}
	readings, rejections := len(out.Readings), len(out.Rejections)
	switch {
	case !d.usable:
		v.Class = Quarantined
		out.Quarantined++
	case i.redelivered(d) || !i.samples(d, out):
		v.Class, v.Presence = Duplicate, NoPresence
		out.Duplicates++
	default:
		v.Class = Accepted
		out.Accepted++
		i.remember(d)
	}
	if v.Class != Duplicate {
		out.reject(d)
	}
	v.Spoke = d.usable && d.presence == NoPresence && !d.in.Retained
	v.Readings, v.Rejections = out.Readings[readings:], out.Rejections[rejections:]
	return v
}

// redelivered reports whether the sender marked the message as a redelivery and
// it had been accepted before: then the acknowledgement was lost, nothing else.
// What was quarantined is not remembered, so that it can be replayed.
func (i *Intake) redelivered(d *Decoded) bool {
	if !d.in.Dup || d.delivery == 0 {
		return false
	}
	c := i.clients[clientPrint(&d.in)]
	return c != nil && c.seen.has(d.delivery)
}

func (i *Intake) remember(d *Decoded) {
	if d.delivery != 0 {
		i.clients.of(clientPrint(&d.in)).add(d.delivery, d.in.Received)
	}
}

// samples turns a message's samples into readings. It reports false when it
// had samples and every one of them had been seen before.
func (i *Intake) samples(d *Decoded, out *Outcome) bool {
	d.sortByTime()
	repeats := 0
	for n := range d.samples {
		if !i.sample(d, &d.samples[n], out) {
			repeats++
		}
	}
	if len(d.samples) > 0 && repeats == len(d.samples) {
		return false
	}
	out.Repeats += repeats
	return true
}

// sample turns one sample into a reading. It reports false when the sample had
// been seen before.
func (i *Intake) sample(d *Decoded, x *sample, out *Outcome) bool {
	m := &i.devices[x.device.index]
	at, flags := m.clock.place(x, &d.in, x.device.Kind.Lateness.Milliseconds(), i.historyAfter)
	switch {
	case !x.timed:
	case flags&ClockSuspect == 0:
		if m.complaint.told != 0 {
			m.complaint = clockComplaint{}
		}
	case m.complaint.wrong(x.own, d.in.Received):
		out.complain(d, x, &m.complaint)
	}
	// Only a time of its own makes two samples the same one; a clock that stands
	// still must not make a second alarm the first.
	if x.timed && flags&ClockSuspect == 0 {
		print := mix(x.content, uint64(x.own))
		if m.seen.has(print) {
			return false
		}
		m.seen.add(print, seenMost)
	}
	d.count(m, x, at)
	if x.from == x.to {
		return true // alive, without values
	}
	if !x.device.State.Judged() {
		flags |= Unjudged
	}
	from := len(out.values)
	out.values = append(out.values, d.values[x.from:x.to]...)
	values := out.values[from:len(out.values):len(out.values)]
	out.Readings = append(out.Readings, Reading{
		Device: x.device, Time: at, Received: d.in.Received, Seq: x.seq, Flags: flags, Values: values,
	})
	return true
}

// sortByTime puts the samples of an array in the order they were measured in.
// Those whose own time is no time come last: they get the time of arrival.
func (d *Decoded) sortByTime() {
	if len(d.samples) < 2 {
		return
	}
	key := func(x *sample) int64 {
		if x.credible(d.in.Received) {
			return x.own
		}
		return math.MaxInt64
	}
	slices.SortStableFunc(d.samples, func(a, b sample) int { return cmp.Compare(key(&a), key(&b)) })
}

// reject adds what was refused of a message.
func (o *Outcome) reject(d *Decoded) {
	from := len(o.Rejections)
	o.Rejections = append(o.Rejections, d.rejections...)
	if d.more > 0 {
		last := o.Rejections[len(o.Rejections)-1]
		last.Code, last.Field, last.Hint = CodeMore, "", ""
		last.Detail = fmt.Sprintf("%d more fields of the message were refused", d.more)
		o.Rejections = append(o.Rejections, last)
	}
	for i := from; i < len(o.Rejections); i++ {
		o.Rejections[i].Whole = !d.usable
	}
}
