// Package history keeps the recent past of every point in memory, for the trend
// beside an alarm: it works where there is no InfluxDB, and while it is down.
//
// In: the readings log, as any sink reads it, from its tail at every start. Out:
// least, greatest and last value of about so many stretches of time. Memory is
// bounded: the more points there are, the coarser the past is told; what just
// happened stays as it was measured. Numbers are held with seven digits. What
// survives a crash: nothing, the log has it. What it will not do: say that there
// was nothing where it does not know, or draw a line across a silence.
package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
)

// Log is the readings log ([journal.Log]).
type Log interface {
	At(ctx context.Context, seq uint64) (journal.Record, error)
	First() journal.Mark
	Last() journal.Mark
}

// Options of a [History]. Log is required.
type Options struct {
	Log    Log
	Memory int64         // bytes for all series together; default 64 MB
	Keep   time.Duration // how far back; default 24 h
	// Begin holds the reading back until it is closed, so that a start is not made
	// slower by it; nil: at once.
	Begin  <-chan struct{}
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // nil: discard
}

// History is a sink over the readings log, and the cursor that reads it: it
// begins at the tail in every run.
type History struct {
	o       Options
	decoder devices.ReadingsDecoder // of the one who writes

	mu     sync.RWMutex
	byKey  map[string]*device // "site/device"
	known  map[*devices.Device]*device
	count  int   // series
	plan   int   // series that limit provides for
	limit  int   // buckets of one series
	full   bool  // there is no memory for another series
	newest int64 // receive time of the newest reading, Unix ms
	since  int64 // nothing before this was read, Unix ms; 0: everything was
	read   bool  // since is known
}

// device holds the series of a device; there are few.
type device struct{ series []*series }

// seriesOverhead is what a series costs besides its buckets.
const seriesOverhead = 160

// mostRead is how many readings are read at the start: a few seconds of work.
const mostRead = 20_000_000

// New makes a history that knows nothing before it is written to.
func New(o Options) *History {
	if o.Memory <= 0 {
		o.Memory = 64_000_000
	}
	if o.Keep <= 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &History{o: o, byKey: map[string]*device{}, known: map[*devices.Device]*device{}}
	h.provide(64)
	return h
}

// Name is the word for the sink in metrics, logs and the console.
func (h *History) Name() string { return "history" }

// Load says where to begin: at the first entry that may hold what is asked for.
func (h *History) Load(ctx context.Context) (uint64, error) {
	if h.o.Begin != nil {
		select {
		case <-h.o.Begin:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	from, since, err := h.tail(ctx)
	if err != nil {
		return 0, fmt.Errorf("find where the history begins in the readings log: %w", err)
	}
	h.mu.Lock()
	h.since, h.read = since, true
	h.mu.Unlock()
	return from - 1, nil
}

// Save does nothing: what is in memory is as old as the process.
func (h *History) Save(context.Context, uint64) error { return nil }

// tail finds the first entry that is young enough, and near enough to the end.
func (h *History) tail(ctx context.Context) (from uint64, since int64, err error) {
	oldest := h.o.Now().Add(-h.o.Keep)
	first, last := h.o.Log.First().Seq, h.o.Log.Last()
	low, high := max(1, first), last.Seq+1
	for low < high {
		middle := low + (high-low)/2
		r, err := h.o.Log.At(ctx, middle)
		switch {
		case errors.Is(err, journal.ErrNotFound), errors.Is(err, journal.ErrGap), errors.Is(err, journal.ErrCorrupt):
			low = middle + 1 // begin behind what is lost
		case err != nil:
			return 0, 0, err
		case r.Time.Before(oldest) || r.Total+mostRead < last.Total:
			low = middle + 1
		default:
			high = middle
		}
	}
	if low <= 1 {
		return 1, 0, nil
	}
	if r, err := h.o.Log.At(ctx, low-1); err == nil {
		return low, r.Time.UnixMilli(), nil
	}
	return low, h.o.Now().UnixMilli(), nil
}

// Write takes readings. One entry that cannot be read is left out and named.
func (h *History) Write(_ context.Context, batch []journal.Record) error {
	for i := range batch {
		entry, err := h.decoder.Decode(batch[i].Data)
		if err != nil {
			h.o.Logger.Error("an entry of the readings log cannot be read, the trend has a gap", "seq", batch[i].Seq, "error", err)
			continue
		}
		h.take(entry.Readings)
	}
	return nil
}

func (h *History) take(readings []devices.Reading) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range readings {
		r := &readings[i]
		h.newest = max(h.newest, r.Received)
		if r.Time < h.newest-h.o.Keep.Milliseconds() {
			continue
		}
		d := h.device(r.Device)
		for j := range r.Values {
			h.put(d, r.Time, &r.Values[j])
		}
	}
}

func (h *History) device(of *devices.Device) *device {
	d := h.known[of]
	if d != nil {
		return d
	}
	key := of.Key()
	if d = h.byKey[key]; d == nil {
		d = &device{}
		h.byKey[key] = d
	}
	if len(h.known) > 2*len(h.byKey)+64 { // the decoder has begun anew
		clear(h.known)
	}
	h.known[of] = d
	return d
}

// put adds a value; a number that is none, or not to be believed, leaves a mark
// without a number.
func (h *History) put(d *device, at int64, v *devices.Value) {
	s := d.find(v.Field.Name)
	if s == nil {
		if s = h.newSeries(v.Field.Name); s == nil {
			return
		}
		d.series = append(d.series, s)
	}
	number := float32(v.Number)
	b := bucket{from: at, min: number, max: number, last: number}
	if v.Quality != devices.Good {
		b.extent = doubtful
	}
	if v.Quality == devices.Bad && !v.Over || number-number != 0 { // infinite, or no number
		b.min, b.max, b.last = nan, nan, nan
		b.extent = doubtful
	}
	s.grow(h.limit, h.newest, h.o.Keep.Milliseconds())
	s.put(b)
}

func (d *device) find(field string) *series {
	for _, s := range d.series {
		if s.field == field {
			return s
		}
	}
	return nil
}

// newSeries divides the memory anew when there are more series than provided for.
func (h *History) newSeries(field string) *series {
	if h.full {
		return nil
	}
	if h.count == h.plan && !h.provide(h.plan+h.plan/4+16) {
		h.full = true
		h.o.Logger.Warn("the memory of the history is used up: the trends of further points are not kept; raise history.memory", "points", h.count)
		return nil
	}
	h.count++
	return &series{field: field}
}

// provide gives each of so many series its part of the memory.
func (h *History) provide(count int) bool {
	limit := int((h.o.Memory/int64(count) - seriesOverhead) / bucketBytes)
	if limit < smallestSeries {
		return false
	}
	h.plan, h.limit = count, min(limit, largestSeries)
	for _, d := range h.byKey {
		for _, s := range d.series {
			if cap(s.buckets) > h.limit {
				s.grow(h.limit, h.newest, h.o.Keep.Milliseconds())
			}
		}
	}
	return true
}

// Query gives about n points of a point's past, and from when on it is known: 0
// when all that ever was there is. Nothing heard for longer than gap is a gap.
func (h *History) Query(site, id, field string, from, to time.Time, n int, gap time.Duration) (points []Point, known time.Time) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	since := h.since
	if !h.read {
		since = h.o.Now().UnixMilli()
	}
	var s *series
	if d := h.byKey[site+"/"+id]; d != nil {
		s = d.find(field)
	}
	switch {
	case s != nil:
		since = max(since, s.lost)
		points = s.pick(from.UnixMilli(), to.UnixMilli(), n, gap.Milliseconds())
	case h.full:
		since = h.o.Now().UnixMilli()
	}
	if since == 0 {
		return points, time.Time{}
	}
	return points, time.UnixMilli(since)
}

// Stats are how much is held.
type Stats struct {
	Series, Buckets int
	Bytes           int64 // allocated for them
	Limit           int   // buckets of one series
}

// Stats of the history now.
func (h *History) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	st := Stats{Series: h.count, Limit: h.limit}
	for _, d := range h.byKey {
		for _, s := range d.series {
			st.Buckets += len(s.buckets)
			st.Bytes += int64(cap(s.buckets))*bucketBytes + seriesOverhead
		}
	}
	return st
}
