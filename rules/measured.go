package rules

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"fengsui/devices"
)

// measured is a ladder over what a measure makes of the samples.
//
// A value of good or suspect quality enters the measure, and what comes out is
// judged like a value. One beyond the range on the dangerous side enters nothing:
// it is the worst level at once, as everywhere. A sum falls by time alone; that
// is judged when it happens, but it is no second sample and ends no doubt.
type measured struct {
	ladder  *ladder
	measure Measure
	device  *devices.Device // whose baselines a delta is told from
	field   string
}

func newMeasured(r *Rule, l *ladder, d *devices.Device) *measured {
	m := &measured{ladder: l, measure: *r.Measure, field: r.Field}
	if m.measure.Quantity == Delta {
		m.device = d
	}
	return m
}

func (m *measured) step(s *state, x *sample) {
	s.keep()
	m.pass(s, x.time)
	s.at = x.time
	if !x.judged() {
		return
	}
	y := *x
	if !x.is(sampleOver) {
		var ok bool
		if y.number, ok = m.take(s, x); !ok {
			return
		}
	}
	m.judge(s, &y)
}

// take lets a sample into the measure and tells what it is now, if that can be
// told.
func (m *measured) take(s *state, x *sample) (value float64, ok bool) {
	switch m.measure.Quantity {
	case Delta:
		zero, ok := m.device.Baseline(m.field, x.time)
		return rounded(x.number - zero), ok
	case Rate:
		w := m.window(s)
		w.add(x.time, x.number, rateSlots)
		w.drop(x.time - m.over())
		return rounded(w.slope(m.measure.Per)), len(w.slots) >= m.measure.Samples && x.time-w.slots[0].time >= m.measure.Span.Milliseconds()
	case Growth:
		m.count(m.window(s), x.time, m.window(s).counted(x.number))
	default:
		m.count(m.window(s), x.time, x.number)
	}
	return rounded(s.window.sum()), true
}

// count adds an amount to a sum. What falls of it by time alone is nothing where
// nothing was added: a dry day costs nothing.
func (m *measured) count(w *window, t int64, amount float64) {
	if amount != 0 {
		w.add(t, amount, sumSlots)
	}
	w.drop(t - m.over())
}

// judge hands what was measured to the ladder.
func (m *measured) judge(s *state, y *sample) {
	s.due = m.ladder.due(s)
	m.ladder.step(s, y)
	if m.ladder.judges(y) {
		s.last = *y
	}
	s.due = min(m.ladder.due(s), m.expiry(s))
}

func (m *measured) pass(s *state, t int64) {
	for s.due <= t {
		s.keep()
		now := s.due
		s.due = m.ladder.due(s)
		m.ladder.pass(s, now)
		if m.expiry(s) <= now {
			m.expire(s, now)
		}
		s.at, s.due = now, min(m.ladder.due(s), m.expiry(s))
	}
}

// expiry is when the sum falls by time alone.
func (m *measured) expiry(s *state) int64 {
	if s.window == nil || len(s.window.slots) == 0 || m.measure.Quantity == Rate {
		return never
	}
	return s.window.slots[0].time + m.over()
}

// expire lets go of what has left the window and judges what is left of the sum.
func (m *measured) expire(s *state, now int64) {
	s.window.drop(now - m.over())
	if s.last.is(sampleDoubtful | sampleOver) {
		return
	}
	y := s.last
	y.time, y.received = now, y.received+now-y.time
	y.number = rounded(s.window.sum())
	m.ladder.step(s, &y)
	s.last = y
}

// again keeps the window of a rule whose limits changed: a day of rain has
// fallen, whatever is now called heavy.
func (m *measured) again(old *state) state {
	s := fresh()
	if old.unrest != nil && old.window != nil && old.window.quantity == m.measure.Quantity && old.window.over == m.over() {
		s.keep()
		s.window = old.window
	}
	return s
}

func (m *measured) over() int64 { return m.measure.Over.Milliseconds() }

// window is that of the state, made when the first sample comes.
func (m *measured) window(s *state) *window {
	if s.window == nil {
		s.window = &window{quantity: m.measure.Quantity, over: m.over()}
	}
	return s.window
}

// check says what the device lacks.
func (m *measured) check() error {
	if m.device == nil || slices.ContainsFunc(m.device.Baselines, func(b devices.Baseline) bool { return b.Field == m.field }) {
		return nil
	}
	return unfit("设置 %s 在设备 %s 的零点（baselines）：变化量由那时的读数算起", "set a baseline of %s at device %s: its reading at the time from which changes count", m.field, m.device.ID)
}

// print tells measures apart as ladder.print does ladders.
func (m *measured) print(r *Rule) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %+v", m.ladder.print(r), m.measure)
	if m.device != nil {
		for _, b := range m.device.Baselines {
			if b.Field == m.field {
				fmt.Fprintf(h, " %v %d", b.Value, b.From.UnixMilli())
			}
		}
	}
	return h.Sum64()
}

// Into how many places the samples of a window are gathered at most: so much and
// no more a point remembers, however fast its device sends. A day's sum has
// places of five minutes, a day's slope of half an hour.
const (
	sumSlots  = 288
	rateSlots = 48
)

// window is what a measure remembers of the samples it looks back at.
//
// Time is divided into places of a fixed length, counted from the epoch, so that
// what is gathered in one does not depend on when it is gathered. The amounts of
// a place leave a sum together, when the newest of them does; a slope is drawn
// through the mean of each place. Samples further apart than a place is long are
// never gathered.
type window struct {
	quantity Quantity
	over     int64  // ms
	slots    []slot // oldest first

	counter float64 // of a growth: the last reading of the counter
	counts  bool    // it was read
}

// slot holds the samples of one place.
type slot struct {
	time   int64   // of the newest
	number float64 // their sum
	behind int64   // how long they lie before the newest, in all
	n      int64
}

// add takes the next sample; the window has so many places.
func (w *window) add(t int64, number float64, places int64) {
	length := (w.over + places - 1) / places
	if last := len(w.slots) - 1; last >= 0 && w.slots[last].time/length == t/length {
		x := &w.slots[last]
		x.behind += x.n * (t - x.time)
		x.time, x.number, x.n = t, x.number+number, x.n+1
		return
	}
	w.slots = append(w.slots, slot{time: t, number: number, n: 1})
}

// drop lets go of what is not newer than t.
func (w *window) drop(t int64) {
	n := 0
	for n < len(w.slots) && w.slots[n].time <= t {
		n++
	}
	if n > 0 {
		w.slots = slices.Delete(w.slots, 0, n)
	}
}

func (w *window) sum() (sum float64) {
	for i := range w.slots {
		sum += w.slots[i].number
	}
	return sum
}

// counted is how much a counter counted since its reading before. One that reads
// less than before began again at zero.
func (w *window) counted(reading float64) float64 {
	grown := reading - w.counter
	if grown < 0 {
		grown = reading
	}
	if !w.counts {
		grown = 0
	}
	w.counter, w.counts = reading, true
	return grown
}

// slope is the median of the slopes between any two places (Theil and Sen): up
// to three samples in ten may lie anywhere without moving it far.
func (w *window) slope(per time.Duration) float64 {
	const most = rateSlots + 1 // those at both ends lie in the window with a part
	var at, mean [most]float64
	var slopes [most * (most - 1) / 2]float64
	n, slots := 0, w.slots[max(len(w.slots)-most, 0):]
	for i, s := range slots {
		at[i] = float64(s.time) - float64(s.behind)/float64(s.n)
		mean[i] = s.number / float64(s.n)
		for j := range i {
			slopes[n] = (mean[i] - mean[j]) / (at[i] - at[j])
			n++
		}
	}
	return median(slopes[:n]) * float64(per.Milliseconds())
}

// median puts the numbers in another order.
func median(numbers []float64) float64 {
	half := len(numbers) / 2
	if len(numbers) == 0 {
		return math.NaN()
	}
	upper := nth(numbers, half)
	if len(numbers)%2 == 1 {
		return upper
	}
	return (slices.Max(numbers[:half]) + upper) / 2
}

// nth is the number that would stand at place n if all were sorted; none greater
// is left before it.
func nth(numbers []float64, n int) float64 {
	low, high := 0, len(numbers)-1
	for low < high {
		pivot, i, j := numbers[(low+high)/2], low, high
		for i <= j {
			for numbers[i] < pivot {
				i++
			}
			for numbers[j] > pivot {
				j--
			}
			if i <= j {
				numbers[i], numbers[j] = numbers[j], numbers[i]
				i, j = i+1, j-1
			}
		}
		if n <= j {
			high = j
		} else if n >= i {
			low = i
		} else {
			break
		}
	}
	return numbers[n]
}

// measuredField is the field as a rule sees it: with the range of what it
// measures of it.
func measuredField(r *Rule, f *devices.Field) *devices.Field {
	if r.Measure == nil {
		return f
	}
	m := *f
	low, high := f.Range[0], f.Range[1]
	switch {
	case r.Measure.Quantity == Delta:
		m.Range = [2]float64{low - high, high - low}
	case r.Measure.Quantity == Growth, r.Measure.Quantity == Sum && low >= 0:
		m.Range = [2]float64{0, math.Inf(1)}
	default:
		m.Range = [2]float64{math.Inf(-1), math.Inf(1)}
	}
	return &m
}
