package console

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sync"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

// Value is the newest value of a point.
type Value struct {
	Site     string      `json:"site,omitempty"`
	Device   string      `json:"device,omitempty"`
	Field    string      `json:"field"`
	Value    *float64    `json:"value"` // null: not a measurement
	Quality  string      `json:"quality"`
	Time     alarms.Time `json:"time"`
	Received alarms.Time `json:"received"`
}

// values holds the newest value of every point; the latest wins. A tick closes
// every quarter of a second: what changed in it goes to all consoles in one
// frame, if its device has an open alarm. Who misses a tick catches up by the
// number of the tick in which a point changed last.
type values struct {
	// Owned by who reads the log: the decoder, and what it calls the devices.
	decoder devices.ReadingsDecoder
	known   map[*devices.Device]*deviceValues

	mu      sync.RWMutex             // guards what follows
	devices map[string]*deviceValues // by "site/device"
	max     int
	grown   bool // a device is new since the last tick
	tick    uint64
	alarmed []*deviceValues // devices of open alarms, worst first
	frame   *frame          // what changed in tick-1; nil: nothing did
}

// deviceValues are the points of one device.
type deviceValues struct {
	site, device string
	received     int64 // newest receive time, Unix ms
	alarmed      bool
	points       []pointValue
}

type pointValue struct {
	field    string
	number   float64
	quality  devices.Quality
	time     int64
	received int64
	tick     uint64 // in which it changed last
}

const (
	// maxAlarmed is how many devices of open alarms every console gets values of.
	maxAlarmed = 200
	// readingsBack is how many entries of the readings log are read at the start,
	// so that devices have values before they speak again.
	readingsBack = 500
)

func newValues(maxDevices int) *values {
	return &values{
		known: map[*devices.Device]*deviceValues{}, devices: map[string]*deviceValues{}, max: maxDevices,
		tick: 1,
	}
}

// followReadings reads the newest entries and then follows the head. What it
// misses while the log cannot be read is not made good: only the newest counts.
func (h *Hub) followReadings(ctx context.Context) error {
	from := uint64(1)
	end := h.o.Readings.Last().Seq
	if end > readingsBack {
		from = end - readingsBack
	}
	for {
		h.rejections.follow(from, end)
		err := h.o.Readings.Read(ctx, from, func(r journal.Record) error {
			from = r.Seq + 1
			rejected, err := h.values.take(r)
			if err != nil {
				h.o.Logger.Error("readings cannot be read, the console shows older values", "error", err)
			}
			h.rejections.take(r, rejected)
			return nil
		})
		last, lost := lostUpTo(err)
		if !lost || last < from {
			return err
		}
		from = last + 1
	}
}

// take reads one entry of the readings log, and gives what it rejects; one that
// cannot be read is left out.
func (v *values) take(r journal.Record) ([]devices.Rejection, error) {
	entry, err := v.decoder.Decode(r.Data)
	if err != nil {
		return nil, fmt.Errorf("entry %d of the readings log: %w", r.Seq, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range entry.Readings {
		v.reading(&entry.Readings[i])
	}
	return entry.Rejections, nil
}

// reading takes the values of a reading that are newer than those held.
func (v *values) reading(r *devices.Reading) {
	d := v.device(r.Device)
	if d == nil {
		return
	}
	d.received = max(d.received, r.Received)
	d.points = slices.Grow(d.points, max(0, len(r.Values)-len(d.points))) // of its first reading, mostly all there will be
	for i := range r.Values {
		value := &r.Values[i]
		p := d.point(value.Field.Name)
		if p.tick > 0 && r.Time < p.time {
			continue
		}
		p.number, p.quality, p.time, p.received, p.tick = value.Number, value.Quality, r.Time, r.Received, v.tick
	}
}

// device finds the values of a device; nil when there are too many already. The
// decoder gives the same device the same pointer in every entry.
func (v *values) device(of *devices.Device) *deviceValues {
	d, ok := v.known[of]
	if ok {
		return d
	}
	key := of.Key()
	if d = v.devices[key]; d == nil && len(v.devices) < v.max {
		d = &deviceValues{site: of.Site.ID, device: of.ID}
		v.devices[key] = d
		v.grown = true
	}
	if len(v.known) > 2*v.max { // the decoder has begun anew
		clear(v.known)
	}
	v.known[of] = d
	return d
}

func (d *deviceValues) point(field string) *pointValue {
	for i := range d.points {
		if d.points[i].field == field {
			return &d.points[i]
		}
	}
	d.points = append(d.points, pointValue{field: field})
	return &d.points[len(d.points)-1]
}

// changed appends the points of the device that changed last after tick since
// and not after tick until.
func (d *deviceValues) changed(since, until uint64, out []Value) []Value {
	for i := range d.points {
		if p := &d.points[i]; p.tick > since && p.tick <= until {
			v := p.value()
			v.Site, v.Device = d.site, d.device
			out = append(out, v)
		}
	}
	return out
}

func (p *pointValue) value() Value {
	v := Value{Field: p.field, Quality: p.quality.String(), Time: alarms.Time(p.time), Received: alarms.Time(p.received)}
	if !math.IsNaN(p.number) && !math.IsInf(p.number, 0) {
		n := p.number
		v.Value = &n
	}
	return v
}

// publishValues closes a tick.
func (h *Hub) publishValues() {
	grown := h.values.takeGrown()
	h.mu.Lock()
	changed := h.present.changed || grown
	h.present.changed = false
	var worst []*standing
	if changed {
		worst = h.present.worstFirst()
	}
	h.mu.Unlock()
	h.values.closeTick(changed, worst)
	h.mu.RLock()
	h.nudgeAll()
	h.mu.RUnlock()
}

func (v *values) takeGrown() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	grown := v.grown
	v.grown = false
	return grown
}

// closeTick makes the frame of what changed.
func (v *values) closeTick(changed bool, worst []*standing) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if changed {
		v.setAlarmed(worst)
	}
	var out []Value
	for _, d := range v.alarmed {
		out = d.changed(v.tick-1, v.tick, out)
	}
	v.frame = valuesFrame(out)
	v.tick++
}

// setAlarmed chooses the devices of the worst alarms. One that was not among
// them before is shown with all its points, though they did not change now.
func (v *values) setAlarmed(worst []*standing) {
	before := v.alarmed
	for _, d := range before {
		d.alarmed = false
	}
	was := make(map[*deviceValues]bool, len(before))
	for _, d := range before {
		was[d] = true
	}
	v.alarmed = nil
	for _, s := range worst {
		d := v.devices[s.Site+"/"+s.Device]
		if d == nil || d.alarmed {
			continue
		}
		d.alarmed = true
		v.alarmed = append(v.alarmed, d)
		if !was[d] {
			for i := range d.points {
				d.points[i].tick = v.tick
			}
		}
		if len(v.alarmed) == maxAlarmed {
			return
		}
	}
}

func valuesFrame(out []Value) *frame {
	if len(out) == 0 {
		return nil
	}
	text, err := json.Marshal(map[string][]Value{"v": out})
	if err != nil {
		return nil // not reached: a Value holds nothing JSON cannot say
	}
	return &frame{text: text}
}

// news is what changed after a tick among the devices of open alarms and those
// watched: frames to send, and the tick they reach.
func (v *values) news(since uint64, watch []string) (frames []*frame, now uint64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	now = v.tick - 1
	if since == now {
		return nil, now
	}
	var own []Value
	if since+1 == now {
		if v.frame != nil {
			frames = append(frames, v.frame)
		}
	} else {
		for _, d := range v.alarmed {
			own = d.changed(since, now, own)
		}
	}
	for _, key := range watch {
		if d := v.devices[key]; d != nil && !d.alarmed {
			own = d.changed(since, now, own)
		}
	}
	if f := valuesFrame(own); f != nil {
		frames = append(frames, f)
	}
	return frames, now
}

// all is every point of the devices named, for who begins to watch them.
func (v *values) all(watch []string) *frame {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []Value
	for _, key := range watch {
		if d := v.devices[key]; d != nil {
			out = d.changed(0, v.tick, out)
		}
	}
	return valuesFrame(out)
}

// latest is the newest values of a device.
func (v *values) latest(key string) (list []Value, received int64) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	list = []Value{}
	d := v.devices[key]
	if d == nil {
		return list, 0
	}
	for i := range d.points {
		list = append(list, d.points[i].value())
	}
	return list, d.received
}
