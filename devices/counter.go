package devices

import (
	"encoding/binary"
	"math"
	"slices"

	"fengsui/devices/codec"
)

// counted marks a value of a message as what a counter showed.
type counted struct {
	value   int // which one
	counter *codec.Counter
}

// counterMemory is what the intake holds of one counter of a device.
type counterMemory struct {
	field uint64 // Field.hash
	at    int64  // event time of the last reading, Unix ms
	last  float64
	sum   float64 // what came before the last reset or rollover
}

// count turns what a counter shows into what its field means: the sum that goes
// on over resets and rollovers, or what came since the last reading. It reports
// false where there is nothing to say: the first reading has no increment, and
// what a late one showed is part of a later one's.
func (m *deviceMemory) count(c *codec.Counter, f *Field, shows float64, at int64) (n float64, ok bool) {
	memory := m.counter(f)
	if memory == nil {
		m.counters = append(m.counters, counterMemory{field: f.hash, at: at, last: shows})
		return shows, !c.Increment
	}
	if at < memory.at {
		return 0, false
	}
	grown := shows - memory.last
	if grown < 0 {
		if grown += c.Rollover; grown >= 0 && grown < c.Rollover/2 {
			memory.sum += c.Rollover
		} else { // it was reset and has counted since
			grown = shows
			memory.sum += memory.last
		}
	}
	memory.at, memory.last = at, shows
	if n = memory.sum + shows; c.Increment {
		n = grown
	}
	if math.IsInf(n, 0) { // no counter comes that far: it begins anew
		memory.sum = 0
		return 0, false
	}
	return n, true
}

func (m *deviceMemory) counter(f *Field) *counterMemory {
	for i := range m.counters {
		if m.counters[i].field == f.hash {
			return &m.counters[i]
		}
	}
	return nil
}

// shows notes whether the n-th value is what a counter shows.
func (d *Decoded) shows(n int, v *codec.Value) {
	d.counted = slices.DeleteFunc(d.counted, func(c counted) bool { return c.value == n })
	if v.Counts() {
		d.counted = append(d.counted, counted{n, v.Item.Counter})
	}
}

// count replaces what counters show in a sample by what that means.
func (d *Decoded) count(m *deviceMemory, x *sample, at int64) {
	if len(d.counted) == 0 {
		return
	}
	to := x.from
	for i := x.from; i < x.to; i++ {
		v := d.values[i]
		for _, c := range d.counted {
			if c.value != i || v.Quality == Bad {
				continue
			}
			n, ok := m.count(c.counter, v.Field, v.Number, at)
			if !ok {
				v.Field = nil
				break
			}
			v.Number = n
			quality, over := v.Field.assess(n)
			v.Quality, v.Over = max(v.Quality, quality), over // a doubt from before stays
		}
		if v.Field != nil {
			d.values[to] = v
			to++
		}
	}
	x.to = to
}

func (m *deviceMemory) appendCounters(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.counters)))
	for _, c := range m.counters {
		b = binary.LittleEndian.AppendUint64(b, c.field)
		b = binary.AppendVarint(b, c.at)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.last))
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.sum))
	}
	return b
}

func readCounters(r *reader) (all []counterMemory) {
	for n := r.count(25); n > 0 && r.err == nil; n-- {
		all = append(all, counterMemory{field: r.uint64(), at: r.varint(), last: math.Float64frombits(r.uint64()), sum: math.Float64frombits(r.uint64())})
	}
	return all
}
