package history

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 6, 27, 6, 0, 0, 0, time.UTC)

func after(d time.Duration) int64 { return start.Add(d).UnixMilli() }

// gas is a device, numbered.
func gas(n int) *devices.Device {
	return &devices.Device{
		Site: &devices.Site{ID: "plant"}, ID: fmt.Sprintf("gas-%02d", n),
		Kind: &devices.Kind{ID: "combustible_gas"},
	}
}

var lel = &devices.Field{Name: "gas_lel_pct"}

func reading(d *devices.Device, at int64, number float64, q devices.Quality) devices.Reading {
	return devices.Reading{Device: d, Time: at, Received: at, Values: []devices.Value{{Field: lel, Number: number, Quality: q}}}
}

// all is the whole past of a device.
func all(h *History, n int, gap time.Duration) []Point {
	points, _ := h.Query("plant", fmt.Sprintf("gas-%02d", n), "gas_lel_pct", start.Add(-48*time.Hour), start.Add(48*time.Hour), 1_000_000, gap)
	return points
}

// extremes of points, and whether any was doubtful.
func extremes(points []Point) (least, greatest float64, doubt bool) {
	least, greatest = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		if !isNaN(p.Min) {
			least, greatest = min(least, float64(p.Min)), max(greatest, float64(p.Max))
		}
		doubt = doubt || p.Doubtful
	}
	return least, greatest, doubt
}

// TestThePastIsWhatWasMeasured: in whatever order samples come, and however
// often, the least and the greatest of them are there, nothing else is, and the
// memory stays what it was promised to be.
func TestThePastIsWhatWasMeasured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.Int64Range(60_000, 200_000).Draw(t, "memory")
		h := New(Options{Memory: memory, Keep: 24 * time.Hour})
		n := rapid.IntRange(1, 400).Draw(t, "samples")
		step := rapid.Int64Range(1, 20_000).Draw(t, "step")
		var sent []devices.Reading
		d := gas(0)
		for i := range n {
			q := devices.Quality(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2}).Draw(t, "quality"))
			sent = append(sent, reading(d, after(0)+int64(i)*step, float64(rapid.IntRange(-50, 50).Draw(t, "number")), q))
		}
		times := rapid.Permutation(sent).Draw(t, "order")
		times = append(times, times[:n/3]...)
		for i := range times {
			h.take(times[i : i+1])
		}
		points := all(h, 0, time.Hour)
		wantLeast, wantGreatest, wantDoubt := math.Inf(1), math.Inf(-1), false
		for _, r := range sent {
			v := r.Values[0]
			wantDoubt = wantDoubt || v.Quality != devices.Good
			if v.Quality != devices.Bad {
				wantLeast, wantGreatest = min(wantLeast, v.Number), max(wantGreatest, v.Number)
			}
		}
		least, greatest, doubt := extremes(points)
		if least != wantLeast || greatest != wantGreatest || doubt != wantDoubt {
			t.Fatalf("got %v to %v, doubt %v; want %v to %v, %v", least, greatest, doubt, wantLeast, wantGreatest, wantDoubt)
		}
		if !slices.IsSortedFunc(points, func(a, b Point) int { return int(a.Time - b.Time) }) {
			t.Fatalf("points are not in order: %v", points)
		}
		if last := sent[n-1]; points[len(points)-1].Time != last.Time {
			t.Fatalf("the newest point is of %d, want %d", points[len(points)-1].Time, last.Time)
		}
		if st := h.Stats(); st.Bytes > memory {
			t.Fatalf("%d bytes are held, %d are allowed", st.Bytes, memory)
		}
	})
}

// TestMemoryIsBounded: fifty thousand points in 64 MB, each with a day behind it
// and its last minutes as they were measured.
func TestMemoryIsBounded(t *testing.T) {
	const devicesN, memory = 2_000, 64_000_000 / 25 // a twenty-fifth of it all
	h := New(Options{Memory: memory})
	list := make([]*devices.Device, devicesN)
	for i := range list {
		list[i] = gas(i)
	}
	batch := make([]devices.Reading, devicesN)
	for at := time.Duration(0); at <= 25*time.Hour; at += time.Minute {
		for i := range batch {
			batch[i] = reading(list[i], after(at), float64(at/time.Minute), devices.Good)
		}
		h.take(batch)
	}
	st := h.Stats()
	t.Logf("%d series of at most %d buckets: %d bytes, %d buckets held", st.Series, st.Limit, st.Bytes, st.Buckets)
	if st.Bytes > memory || st.Series != devicesN {
		t.Fatalf("%+v, %d bytes are allowed", st, memory)
	}
	points := all(h, 7, time.Hour)
	oldest, newest := points[0], points[len(points)-1]
	if reach := time.Duration(newest.Time-oldest.Time) * time.Millisecond; reach < 18*time.Hour {
		t.Errorf("the past reaches back %v", reach)
	}
	for i := 1; i <= 3; i++ {
		if p := points[len(points)-i]; p.Min != p.Max {
			t.Errorf("what was measured %d samples ago is told as %v to %v", i, p.Min, p.Max)
		}
	}
}

func TestTooManyPointsAreSaidToBeUnknown(t *testing.T) {
	h := New(Options{Memory: 64 * 600})
	h.read = true
	for i := range 200 {
		h.take([]devices.Reading{reading(gas(i), after(0), 1, devices.Good)})
	}
	if st := h.Stats(); st.Bytes > 64*600 || st.Series == 200 {
		t.Fatalf("%+v", st)
	}
	if _, known := h.Query("plant", "gas-199", "gas_lel_pct", start, start, 10, time.Hour); known.IsZero() {
		t.Error("a point that is not held is said to be known")
	}
	if points, known := h.Query("plant", "gas-00", "gas_lel_pct", start.Add(-time.Hour), start.Add(time.Hour), 10, time.Hour); len(points) != 1 || !known.IsZero() {
		t.Errorf("the first point: %v, known from %v", points, known)
	}
}

func TestSilenceIsAGap(t *testing.T) {
	h := New(Options{})
	for _, at := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 5 * time.Minute, 5*time.Minute + 10*time.Second} {
		h.take([]devices.Reading{reading(gas(0), after(at), 1, devices.Good)})
	}
	for n, want := range map[int]int{1_000: 6, 2: 3} {
		points, _ := h.Query("plant", "gas-00", "gas_lel_pct", start, start.Add(6*time.Minute), n, 25*time.Second)
		gaps := 0
		for _, p := range points {
			if isNaN(p.Min) {
				gaps++
			}
		}
		if gaps != 1 || len(points) != want {
			t.Errorf("%d points asked: %d given with %d gaps, want %d with one: %v", n, len(points), gaps, want, points)
		}
	}
}

// log is a readings log in memory.
type log struct{ records []journal.Record }

func (l *log) First() journal.Mark { return journal.Mark{Seq: min(1, uint64(len(l.records)))} }
func (l *log) Last() journal.Mark {
	return journal.Mark{Seq: uint64(len(l.records)), Total: uint64(len(l.records))}
}

func (l *log) At(_ context.Context, seq uint64) (journal.Record, error) { return l.records[seq-1], nil }

func (l *log) Read(ctx context.Context, from uint64, fn func(journal.Record) error) error {
	for _, r := range l.records[from-1:] {
		if err := fn(r); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestAStartReadsTheTail: what is too old is not read, and said to be unknown;
// nothing is read before the gateway is ready.
func TestAStartReadsTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		base := time.Now()
		for i := range 100 {
			at := base.Add(time.Duration(i-100) * time.Minute)
			data := devices.AppendReadings(nil, devices.ReadingsEntry{From: uint64(i), To: uint64(i), Readings: []devices.Reading{reading(gas(0), at.UnixMilli(), float64(i), devices.Good)}})
			l.records = append(l.records, journal.Record{Seq: uint64(i) + 1, Total: uint64(i) + 1, Count: 1, Time: at, Data: data})
		}
		ready := make(chan struct{})
		h := New(Options{Log: l, Keep: 30 * time.Minute, Begin: ready})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- sinks.NewRunner(sinks.RunnerOptions{Sink: h, Log: l, Cursor: h}).Run(ctx) }()
		synctest.Wait()
		query := func() ([]Point, time.Time) {
			return h.Query("plant", "gas-00", "gas_lel_pct", base.Add(-2*time.Hour), base, 1_000, time.Hour)
		}
		if points, known := query(); len(points) != 0 || known.IsZero() {
			t.Errorf("before it began it knows %v from %v", points, known)
		}
		close(ready)
		time.Sleep(time.Second) // in the bubble: until everything stands still
		synctest.Wait()
		points, known := query()
		if len(points) != 30 || points[0].Last != 70 || !known.Equal(base.Add(-31*time.Minute)) {
			t.Errorf("%d points from %v, known from %v", len(points), points, known.Sub(base))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	h := New(Options{})
	list := make([]*devices.Device, 10_000)
	for i := range list {
		list[i] = gas(i)
	}
	i := 0
	for b.Loop() {
		r := reading(list[i%len(list)], after(time.Duration(i/len(list))*10*time.Second), float64(i%97), devices.Good)
		h.take([]devices.Reading{r})
		i++
	}
}
