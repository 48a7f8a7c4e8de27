package simulate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"fengsui/devices"
)

// CountyOptions says who lives in the county and what happens there.
type CountyOptions struct {
	// Devices to play: those in service whose kind has a model. The others stay
	// quiet, as a planned device would.
	Devices []*devices.Device
	// Scenarios to play; nil is a county where nothing happens.
	Scenarios []Scenario
	// Seed of everything that is left to chance.
	Seed uint64
	// Pace is how much faster than the clock the slow processes run: weather,
	// water, heat and creep. 0 means 1, as in nature; [DemoPace] makes a storm of
	// half an hour pass in half a minute.
	Pace float64
}

// DemoPace lets a minute of the demo be an hour of the field.
const DemoPace = 60

// County is a simulated county. It knows the time only from Step.
type County struct {
	units   []*unit
	plays   []*play
	pace    float64
	started time.Time
	ticks   int // quarters of a second since then
}

// Message is one payload for a topic.
type Message struct {
	Device  *devices.Device
	Topic   string
	Payload []byte
	At      time.Time // when it was measured
}

const (
	quarter = time.Second / 4 // the county's tick; every device measures in each fourth
	catchUp = time.Minute     // what the county slept through beyond this is not sent
	keep    = 60              // messages a device remembers while its connection is broken
)

// unit is one device with its physics.
type unit struct {
	device  *devices.Device
	model   model
	topic   string
	slot    int           // which quarter of a second is its own
	period  time.Duration // from one report to the next
	wait    time.Duration // until the next report
	seq     uint64
	forces  forces
	samples []sample
	sent    []sample
	kept    [][]byte // reports that could not be sent
}

// NewCounty builds the world. Scenarios that find nobody to play them are left
// out; it is an error if that leaves none of those asked for.
func NewCounty(o CountyOptions) (*County, error) {
	c := &County{pace: max(o.Pace, 0)}
	if c.pace == 0 {
		c.pace = 1
	}
	for _, d := range o.Devices {
		if d.State != devices.InService {
			continue
		}
		rng := seeded(o.Seed, d.Key())
		m := newModel(d, rng)
		if m == nil {
			continue
		}
		u := &unit{device: d, model: m, topic: topic(d), slot: rng.IntN(4), period: d.ExpectedInterval()}
		u.wait = time.Duration(rng.Int64N(int64(min(u.period, 3*time.Second)) + 1)) // everybody shows up soon
		c.units = append(c.units, u)
	}
	if len(c.units) == 0 {
		return nil, fmt.Errorf("none of the %d devices can be simulated: none is in service and of a kind with a model", len(o.Devices))
	}
	var errs []error
	for _, s := range o.Scenarios {
		p, err := newPlay(s, c.units, o.Seed)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.plays = append(c.plays, p)
	}
	if err := errors.Join(errs...); err != nil && len(c.plays) == 0 {
		return nil, err
	}
	return c, nil
}

// Step moves the county on to now and appends what its devices send until then,
// in order. The first call starts the story. It does not matter how often it is
// called: the county lives in ticks of its own.
func (c *County) Step(now time.Time, out []Message) []Message {
	if c.started.IsZero() {
		c.started = now
	}
	for {
		at := c.started.Add(time.Duration(c.ticks) * quarter)
		if at.After(now) {
			return out
		}
		before := len(out)
		out = c.tick(at, out)
		if now.Sub(at) > catchUp {
			out = out[:before]
		}
		c.ticks++
	}
}

func (c *County) tick(at time.Time, out []Message) []Message {
	for _, u := range c.units {
		u.forces = forces{}
	}
	for _, p := range c.plays {
		p.act(at.Sub(c.started))
	}
	t := tick{now: at, seconds: 1, hours: c.pace / 3600}
	for _, u := range c.units {
		if u.slot == c.ticks%4 {
			t.forces = u.forces
			out = u.step(t, out)
		}
	}
	return out
}

// step measures, and reports when the interval has passed or something happened.
func (u *unit) step(t tick, out []Message) []Message {
	u.samples = u.model.step(t, u.samples[:0])
	u.wait -= time.Second
	if u.wait > 0 && !eventful(u.sent, u.samples) {
		return out
	}
	u.wait += u.period
	if u.wait <= 0 || u.wait > u.period {
		u.wait = u.period
	}
	u.sent = append(u.sent[:0], u.samples...)
	u.seq++
	payload := appendPayload(nil, t.now, u.seq, u.samples)
	if u.silent() {
		u.keep(payload)
		return out
	}
	if len(u.kept) > 0 {
		out = append(out, Message{Device: u.device, Topic: u.topic, Payload: u.backlog(), At: t.now})
	}
	return append(out, Message{Device: u.device, Topic: u.topic, Payload: payload, At: t.now})
}

func (u *unit) silent() bool { return u.forces[Silence] > 0 }

// keep remembers a report for later, the newest only.
func (u *unit) keep(payload []byte) {
	if len(u.kept) == keep {
		u.kept = slices.Delete(u.kept, 0, 1)
	}
	u.kept = append(u.kept, payload)
}

// backlog is what was kept, as one array: history.
func (u *unit) backlog() []byte {
	all := []byte{'['}
	for i, p := range u.kept {
		if i > 0 {
			all = append(all, ',')
		}
		all = append(all, p...)
	}
	u.kept = u.kept[:0]
	return append(all, ']')
}

// Devices are the devices that are played, in the order they were given.
func (c *County) Devices() []*devices.Device {
	all := make([]*devices.Device, len(c.units))
	for i, u := range c.units {
		all[i] = u.device
	}
	return all
}

// Breakable are the devices whose connection a scenario may break. Each needs a
// connection, and a last will, of its own.
func (c *County) Breakable() []*devices.Device {
	var all []*devices.Device
	for _, p := range c.plays {
		if !slices.ContainsFunc(p.scenario.Acts, func(a Act) bool { return a.Force == Silence }) {
			continue
		}
		for _, u := range p.cast {
			all = append(all, u.device)
		}
	}
	return all
}

// Silent reports whether the story keeps the device's connection broken now.
func (c *County) Silent(d *devices.Device) bool {
	return slices.ContainsFunc(c.units, func(u *unit) bool { return u.device == d && u.silent() })
}
