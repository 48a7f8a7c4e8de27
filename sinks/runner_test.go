package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"fengsui/ingest/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryLog is a log in memory: entry i holds i units and says so in its data.
type memoryLog struct {
	mu      sync.Mutex
	grew    chan struct{}
	entries []journal.Record
	trimmed uint64 // entries up to here are gone
	broken  uint64 // this entry is damaged
	faults  int    // so many reads fail before they begin
}

func newMemoryLog() *memoryLog { return &memoryLog{grew: make(chan struct{})} }

func (l *memoryLog) append(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		seq := uint64(len(l.entries) + 1)
		l.entries = append(l.entries, journal.Record{
			Seq: seq, Time: time.Now(), Count: int(seq), Total: seq * (seq + 1) / 2,
			Data: fmt.Appendf(nil, "entry %d", seq),
		})
	}
	close(l.grew)
	l.grew = make(chan struct{})
}

func (l *memoryLog) Last() journal.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) == 0 {
		return journal.Mark{}
	}
	last := l.entries[len(l.entries)-1]
	return journal.Mark{Seq: last.Seq, Total: last.Total}
}

func (l *memoryLog) Read(ctx context.Context, from uint64, fn func(journal.Record) error) error {
	l.mu.Lock()
	fails := l.faults > 0
	l.faults--
	l.mu.Unlock()
	if fails {
		return errors.New("the disk hiccuped")
	}
	scratch := make([]byte, 0, 64)
	for seq := from; ; seq++ {
		rec, err := l.at(ctx, seq)
		if err != nil {
			return err
		}
		// What was handed out before is overwritten, as the real log may do.
		clear(scratch[:cap(scratch)])
		scratch = append(scratch[:0], rec.Data...)
		rec.Data = scratch
		if err := fn(rec); err != nil {
			return err
		}
	}
}

func (l *memoryLog) at(ctx context.Context, seq uint64) (journal.Record, error) {
	for {
		l.mu.Lock()
		grew, trimmed, broken := l.grew, l.trimmed, l.broken
		var rec journal.Record
		end := uint64(len(l.entries))
		there := seq <= end
		if there {
			rec = l.entries[seq-1]
		}
		l.mu.Unlock()
		switch {
		case seq <= trimmed:
			return rec, &journal.GapError{Log: "test", From: seq, To: trimmed}
		case seq == broken:
			return rec, &journal.CorruptError{Log: "test", Seq: seq, Reason: "a bit flipped"}
		case there:
			return rec, nil
		case seq > end+1:
			return rec, journal.ErrCursorAhead
		}
		select {
		case <-grew:
		case <-ctx.Done():
			return rec, ctx.Err()
		}
	}
}

type memoryCursor struct {
	mu    sync.Mutex
	at    uint64
	saves []time.Time
	err   error // of Save
	ahead bool  // Load says that the position lies past the end
}

func (c *memoryCursor) Load(context.Context) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead {
		return c.at, fmt.Errorf("cursor: %w", journal.ErrCursorAhead)
	}
	return c.at, nil
}

func (c *memoryCursor) Save(ctx context.Context, seq uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.err != nil {
		return c.err
	}
	c.at = seq
	c.saves = append(c.saves, time.Now())
	return nil
}

// saved is where the cursor is and how often it was saved.
func (c *memoryCursor) saved() (at uint64, saves int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, len(c.saves)
}

// memorySink keeps what it accepts and asks fault before each write.
type memorySink struct {
	mu      sync.Mutex
	got     []string
	batches [][]uint64
	at      []time.Time // of every attempt
	fault   func(attempt int) error
	takes   time.Duration
}

func (s *memorySink) Name() string { return "memory" }

func (s *memorySink) Write(ctx context.Context, batch []journal.Record) error {
	s.mu.Lock()
	attempt := len(s.at)
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	if s.takes > 0 {
		sleep(ctx, s.takes)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		if err := s.fault(attempt); err != nil {
			return err
		}
	}
	var seqs []uint64
	for _, rec := range batch {
		s.got = append(s.got, string(rec.Data))
		seqs = append(seqs, rec.Seq)
	}
	s.batches = append(s.batches, seqs)
	return nil
}

func (s *memorySink) attempts() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

// check holds that exactly the entries from first to last arrived, in order.
func (s *memorySink) check(t interface {
	Helper()
	Errorf(string, ...any)
}, first, last int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var want []string
	for i := first; i <= last; i++ {
		want = append(want, fmt.Sprintf("entry %d", i))
	}
	if !slices.Equal(s.got, want) {
		t.Errorf("sink got %v, want entries %d to %d", s.got, first, last)
	}
}

// start runs a runner until the returned function is called, which gives what
// Run returned.
func start(r *Runner) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestEverythingArrivesOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor, sink := newMemoryLog(), &memoryCursor{}, &memorySink{}
		log.append(50)
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor})
		stop := start(r)
		time.Sleep(time.Second)
		for range 50 {
			log.append(1)
			time.Sleep(7 * time.Millisecond)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		sink.check(t, 1, 100)
		if cursor.at != 100 {
			t.Errorf("cursor was saved at %d, want 100", cursor.at)
		}

		again := &memorySink{}
		log.append(1)
		stop = start(NewRunner(RunnerOptions{Sink: again, Log: log, Cursor: cursor}))
		synctest.Wait()
		stop()
		again.check(t, 101, 101)
	})
}

func TestAtTheHeadEveryRecordIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{}
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}}))
		defer stop()
		for range 5 {
			time.Sleep(time.Minute)
			log.append(1)
			appended := time.Now()
			synctest.Wait()
			if at := sink.attempts(); !at[len(at)-1].Equal(appended) {
				t.Errorf("written %v after it was appended", at[len(at)-1].Sub(appended))
			}
		}
		sink.check(t, 1, 5)
	})
}

// TestIntervalGathersAtTheHead: with an interval a busy head costs few writes,
// and the first record after a pause still goes at once.
func TestIntervalGathersAtTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{}
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}, MaxUnits: 1 << 30, Interval: 100 * time.Millisecond}))
		defer stop()
		time.Sleep(time.Minute)
		begun := time.Now()
		for range 1000 {
			log.append(1)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		sink.check(t, 1, 1000)
		at := sink.attempts()
		if len(at) < 10 || len(at) > 12 {
			t.Errorf("%d writes in a second, want one each 100 ms", len(at))
		}
		if !at[0].Equal(begun) {
			t.Errorf("the first record waited %v", at[0].Sub(begun))
		}
	})
}

// TestBehindTheHeadBatchesAreBigAndBounded: records are gathered while the
// batch before is being written, and never beyond the bounds.
func TestBehindTheHeadBatchesAreBigAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{takes: 20 * time.Millisecond}
		log.append(200)
		const maxUnits = 1000
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}, MaxUnits: maxUnits})
		stop := start(r)
		time.Sleep(time.Minute)
		stop()
		sink.check(t, 1, 200)
		for _, seqs := range sink.batches {
			units := 0
			for _, seq := range seqs {
				units += int(seq)
			}
			if units > maxUnits {
				t.Errorf("batch %v holds %d units", seqs, units)
			}
			if last := seqs[len(seqs)-1]; last < 200 && units+int(last)+1 <= maxUnits {
				t.Errorf("batch %v holds %d units; the next record fitted", seqs, units)
			}
		}
	})
}

// TestAFullBatchWaitsForNothing: a sink that is quick, far behind the head, is
// held up by no timer.
func TestAFullBatchWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{}
		log.append(200)
		begun := time.Now()
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}, MaxBytes: 100}))
		synctest.Wait()
		if !time.Now().Equal(begun) {
			t.Errorf("it took %v", time.Since(begun))
		}
		stop()
		sink.check(t, 1, 200)
		for _, seqs := range sink.batches {
			if len(seqs) > 14 { // of 7 bytes or more
				t.Errorf("batch of %d records holds more than 100 bytes", len(seqs))
			}
		}
	})
}

func TestABatchReturnsToItsSize(t *testing.T) {
	var b batch
	b.add(journal.Record{Data: make([]byte, 1000), Count: 1}, 100)
	b.reset(100)
	if cap(b.arena) > 200 {
		t.Errorf("a batch of 100 bytes keeps %d", cap(b.arena))
	}
}

func TestSamplesAreForgotten(t *testing.T) {
	var s state
	begun := time.Now()
	for age := time.Duration(0); age < 10*time.Minute; age += 300 * time.Millisecond {
		s.sample(begun.Add(age), journal.Mark{})
		if len(s.samples) > 32 {
			t.Fatalf("%d samples are kept", len(s.samples))
		}
	}
}

func TestARecordLargerThanABatchGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{}
		log.append(10)
		log.entries[4].Data = bytes.Repeat([]byte("x"), 1000)
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}, MaxBytes: 100}))
		time.Sleep(time.Second)
		stop()
		if len(sink.got) != 10 || len(sink.got[4]) != 1000 {
			t.Errorf("got %d entries", len(sink.got))
		}
	})
}

func TestFaultsAreRetriedUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor := newMemoryLog(), &memoryCursor{}
		sink := &memorySink{fault: func(attempt int) error {
			if attempt < 20 {
				return fmt.Errorf("down")
			}
			return nil
		}}
		var logged bytes.Buffer
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		stop := start(r)
		log.append(3)
		time.Sleep(time.Minute)
		during := r.Status()
		log.append(4)
		time.Sleep(10 * time.Minute)
		after := r.Status()
		stop()
		sink.check(t, 1, 7)

		at := sink.attempts()
		for i, want := 0, minBackoff; i < 20; i, want = i+1, min(2*want, maxBackoff) {
			if waited := at[i+1].Sub(at[i]); waited < want/2 || waited > want {
				t.Errorf("waited %v after attempt %d, want %v to %v", waited, i, want/2, want)
			}
		}
		if during.Error != "down" || during.Errors == 0 || during.LagEntries != 3 || during.LagUnits != 6 || during.Lag != time.Minute || during.ETA >= 0 {
			t.Errorf("while the sink was down: %+v", during)
		}
		if after.Error != "" || after.Errors != 20 || after.LagEntries != 0 || after.LagUnits != 0 || after.Lag != 0 || after.Written != 28 || after.ETA != 0 || after.Saved != 7 {
			t.Errorf("after it came back: %+v", after)
		}
		if n := strings.Count(logged.String(), "level=WARN"); n != 1 {
			t.Errorf("the same error was logged %d times:\n%s", n, &logged)
		}
	})
}

func TestAStoppedSinkKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor := newMemoryLog(), &memoryCursor{}
		fixed := false
		sink := &memorySink{fault: func(int) error {
			if fixed {
				return nil
			}
			return fmt.Errorf("write: %w", &Stopped{Reason: "put a valid token into the file"})
		}}
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor})
		stop := start(r)
		log.append(3)
		time.Sleep(time.Hour - time.Second)
		s := r.Status()
		if s.Stopped != "put a valid token into the file" || s.Position != 0 {
			t.Errorf("status %+v", s)
		}
		if n := len(sink.attempts()); n != 360 {
			t.Errorf("%d attempts in an hour, want one each 10 s", n)
		}
		sink.mu.Lock()
		fixed = true
		sink.mu.Unlock()
		time.Sleep(stoppedRetry)
		if s := r.Status(); s.Stopped != "" || s.Position != 3 {
			t.Errorf("after the token was corrected: %+v", s)
		}
		stop()
		sink.check(t, 1, 3)
	})
}

func TestABusySinkIsLeftAloneAsLongAsItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		sink := &memorySink{fault: func(attempt int) error {
			return []error{&Busy{After: 90 * time.Second, Err: errors.New("429")}, &Busy{After: 24 * time.Hour, Err: errors.New("429")}, nil}[attempt]
		}}
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}}))
		log.append(1)
		time.Sleep(time.Hour)
		stop()
		sink.check(t, 1, 1)
		at := sink.attempts()
		if at[1].Sub(at[0]) != 90*time.Second || at[2].Sub(at[1]) != maxBusy {
			t.Errorf("attempts at %v", at)
		}
	})
}

func TestGapsAndDamageAreCountedNeverSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{}
		log.append(30)
		log.trimmed, log.broken = 10, 20
		var logged bytes.Buffer
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{at: 4}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		stop := start(r)
		time.Sleep(time.Second)
		s := r.Status()
		stop()
		if s.Lost != 7 || s.Errors != 2 || s.Position != 30 || s.LagEntries != 0 {
			t.Errorf("status %+v, want 6 + 1 lost entries", s)
		}
		if len(sink.got) != 19 || sink.got[0] != "entry 11" || sink.got[9] != "entry 21" {
			t.Errorf("got %v", sink.got)
		}
		for _, want := range []string{"entries=6", "entries 5 to 10 are missing", "entry 20 is damaged"} {
			if !strings.Contains(logged.String(), want) {
				t.Errorf("log does not say %q:\n%s", want, &logged)
			}
		}
	})
}

func TestAGapUpToTheHeadLeavesNoLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		log.append(10)
		log.trimmed = 10
		r := NewRunner(RunnerOptions{Sink: &memorySink{}, Log: log, Cursor: &memoryCursor{at: 4}})
		stop := start(r)
		time.Sleep(time.Second)
		if s := r.Status(); s.Lost != 6 || s.LagEntries != 0 {
			t.Errorf("status %+v", s)
		}
		stop()
	})
}

// TestACursorPastTheEnd: the log lost its tail; what gets those numbers next
// must not be skipped.
func TestACursorPastTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor, sink := newMemoryLog(), &memoryCursor{at: 25, ahead: true}, &memorySink{}
		log.append(10)
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor})
		stop := start(r)
		time.Sleep(time.Second)
		if at, _ := cursor.saved(); at != 10 {
			t.Errorf("cursor at %d; a crash now would skip what gets numbers up to there", at)
		}
		log.append(5)
		time.Sleep(time.Second)
		s := r.Status()
		stop()
		sink.check(t, 11, 15)
		if s.Rewound != 15 || cursor.at != 15 {
			t.Errorf("status %+v, cursor %d", s, cursor.at)
		}
	})
}

func TestReadFaultsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, sink := newMemoryLog(), &memorySink{}
		log.append(3)
		log.faults = 5
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}})
		stop := start(r)
		time.Sleep(100 * time.Millisecond)
		if s := r.Status(); !strings.Contains(s.Error, "the disk hiccuped") {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Minute)
		stop()
		sink.check(t, 1, 3)
	})
}

func TestTheCursorIsSavedOnceASecondAndAtStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor, sink := newMemoryLog(), &memoryCursor{}, &memorySink{}
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor}))
		for range 1000 { // ten seconds
			log.append(1)
			time.Sleep(10 * time.Millisecond)
		}
		if _, n := cursor.saved(); n < 9 || n > 11 {
			t.Errorf("%d saves in 10 s", n)
		}
		log.append(1)
		time.Sleep(2 * time.Second)
		if at, _ := cursor.saved(); at != 1001 {
			t.Errorf("cursor at %d, want it saved without further records", at)
		}
		log.append(1)
		synctest.Wait()
		stop()
		if cursor.at != 1002 {
			t.Errorf("cursor at %d after stop, want 1002", cursor.at)
		}
	})
}

func TestTheCursorIsSavedAfterManyBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor := newMemoryLog(), &memoryCursor{}
		log.append(3 * saveBytes >> 20)
		for i := range log.entries {
			log.entries[i].Data = make([]byte, 1<<20)
		}
		stop := start(NewRunner(RunnerOptions{Sink: &memorySink{}, Log: log, Cursor: cursor}))
		synctest.Wait()
		if _, n := cursor.saved(); n < 2 {
			t.Errorf("%d saves in %d bytes written at once", n, 3*saveBytes)
		}
		stop()
	})
}

// TestProgressIsSavedBeforeALongWait: what was accepted before the sink failed
// is not written again after a crash in the outage.
func TestProgressIsSavedBeforeALongWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, cursor := newMemoryLog(), &memoryCursor{}
		sink := &memorySink{fault: func(attempt int) error {
			if attempt == 0 {
				return nil
			}
			return errors.New("down")
		}}
		stop := start(NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor}))
		log.append(1)
		synctest.Wait()
		log.append(1)
		synctest.Wait()
		if at, _ := cursor.saved(); at != 1 {
			t.Errorf("cursor at %d", at)
		}
		stop()
	})
}

func TestRunEndsWhenItsPlaceIsUnknown(t *testing.T) {
	t.Run("somebody else moved the cursor", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log, cursor := newMemoryLog(), &memoryCursor{err: journal.ErrConflict}
			log.append(1)
			err := NewRunner(RunnerOptions{Sink: &memorySink{}, Log: log, Cursor: cursor}).Run(t.Context())
			if !errors.Is(err, journal.ErrConflict) || !strings.Contains(err.Error(), "sink memory") {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("the log lost its tail", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log := newMemoryLog()
			log.append(10)
			sink := &memorySink{fault: func(int) error {
				log.mu.Lock()
				defer log.mu.Unlock()
				log.entries = log.entries[:5]
				close(log.grew)
				log.grew = make(chan struct{})
				return nil
			}}
			err := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}}).Run(t.Context())
			if !errors.Is(err, journal.ErrCursorAhead) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("another fault of the cursor passes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log, cursor := newMemoryLog(), &memoryCursor{err: errors.New("timeout")}
			log.append(1)
			r := NewRunner(RunnerOptions{Sink: &memorySink{}, Log: log, Cursor: cursor})
			stop := start(r)
			time.Sleep(10 * time.Second)
			if s := r.Status(); !strings.Contains(s.Error, "timeout") || s.Saved != 0 {
				t.Errorf("status %+v", s)
			}
			cursor.mu.Lock()
			cursor.err = nil
			cursor.mu.Unlock()
			time.Sleep(2 * time.Second)
			if s := r.Status(); s.Saved != 1 {
				t.Errorf("status %+v", s)
			}
			stop()
		})
	})
}

func TestRateAndETA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		for i := range 10_000 {
			log.entries = append(log.entries, journal.Record{Seq: uint64(i + 1), Time: time.Now(), Count: 100, Total: uint64(i+1) * 100})
		}
		// 10 entries, 1,000 units, each 100 ms.
		sink := &memorySink{takes: 100 * time.Millisecond}
		r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: &memoryCursor{}, MaxUnits: 1000})
		stop := start(r)
		time.Sleep(50*time.Second + 50*time.Millisecond)
		s := r.Status()
		stop()
		if s.Rate < 9_500 || s.Rate > 10_500 {
			t.Errorf("rate %v, want about 10,000 units a second", s.Rate)
		}
		if s.Entries < 95 || s.Entries > 105 {
			t.Errorf("%v entries a second, want about 100", s.Entries)
		}
		if want := 50 * time.Second; s.ETA < want*9/10 || s.ETA > want*11/10 {
			t.Errorf("ETA %v, want about %v; status %+v", s.ETA, want, s)
		}
	})
}

// TestCatchingUpIsTold: a sink that was away for long says when it begins to
// catch up, how far it is now and then, and when it is done; a live one is quiet.
func TestCatchingUpIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newMemoryLog()
		old := time.Now().Add(-time.Hour)
		for i := range 900 { // each 100 ms, with 10 units: 90 s of work
			log.entries = append(log.entries, journal.Record{Seq: uint64(i + 1), Time: old, Count: 10, Total: uint64(i+1) * 10})
		}
		var said bytes.Buffer
		r := NewRunner(RunnerOptions{Sink: &memorySink{takes: 100 * time.Millisecond}, Log: log, Cursor: &memoryCursor{}, MaxUnits: 10,
			Logger: slog.New(slog.NewTextHandler(&said, nil))})
		stop := start(r)
		time.Sleep(2 * time.Minute)
		for range 3 {
			log.append(1)
			time.Sleep(time.Second)
		}
		stop()
		for text, want := range map[string]int{
			"sink begins to catch up": 1, "behind=1h0m0s": 1, "entries=899 units=8990": 1,
			"sink is catching up": 2, "units_per_second=100 left=1m0s": 1, "units_per_second=100 left=30s": 1,
			"sink has caught up": 1, "took=1m30s": 1,
		} {
			if n := strings.Count(said.String(), text); n != want {
				t.Errorf("%q was said %d times, want %d", text, n, want)
			}
		}
		if t.Failed() {
			t.Log(said.String())
		}
	})
}

// TestCrashesLoseNothing: whatever fails and whenever the process dies, every
// entry reaches the sink, and only what was written after the last save twice.
func TestCrashesLoseNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			log, cursor := newMemoryLog(), &memoryCursor{}
			seen := map[uint64]int{}
			for run := range rapid.IntRange(1, 5).Draw(rt, "runs") {
				failing := rapid.IntRange(0, 3).Draw(rt, "failing attempts")
				sink := &memorySink{
					takes: time.Duration(rapid.IntRange(0, 300).Draw(rt, "ms")) * time.Millisecond,
					fault: func(attempt int) error {
						if attempt < failing {
							return errors.New("down")
						}
						return nil
					},
				}
				saved := cursor.at
				r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: cursor, MaxUnits: rapid.IntRange(1, 300).Draw(rt, "units")})
				stop := start(r)
				for range rapid.IntRange(0, 5).Draw(rt, "appends") {
					log.append(rapid.IntRange(1, 9).Draw(rt, "n"))
					time.Sleep(time.Duration(rapid.IntRange(0, 700).Draw(rt, "pause")) * time.Millisecond)
				}
				if rapid.Bool().Draw(rt, "crash") {
					cursor.mu.Lock()
					cursor.err = errors.New("the process died")
					cursor.mu.Unlock()
				}
				stop()
				cursor.err = nil
				next := saved + 1
				for _, seqs := range sink.batches {
					for _, seq := range seqs {
						if seq != next {
							rt.Fatalf("run %d: entry %d after %d", run, seq, next-1)
						}
						seen[seq]++
						next++
					}
				}
			}
			rest := &memorySink{}
			stop := start(NewRunner(RunnerOptions{Sink: rest, Log: log, Cursor: cursor}))
			time.Sleep(time.Minute)
			stop()
			for _, seqs := range rest.batches {
				for _, seq := range seqs {
					seen[seq]++
				}
			}
			for seq := uint64(1); seq <= log.Last().Seq; seq++ {
				if seen[seq] == 0 {
					rt.Fatalf("entry %d never arrived", seq)
				}
			}
		})
	})
}

// endlessLog has a hundred thousand entries of a megabyte and no memory.
type endlessLog struct{}

func (endlessLog) Last() journal.Mark { return journal.Mark{Seq: 100_000, Total: 100_000} }

func (endlessLog) Read(ctx context.Context, from uint64, fn func(journal.Record) error) error {
	data := make([]byte, 1<<20)
	for seq := from; seq <= 100_000; seq++ {
		if err := fn(journal.Record{Seq: seq, Count: 1, Total: seq, Data: data}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestMemoryIsFlat: a backlog of any size costs two batches, and while they grow
// to their size once the half of another.
func TestMemoryIsFlat(t *testing.T) {
	const maxBytes = 8 << 20
	ctx, stop := context.WithCancel(t.Context())
	written, peak := 0, uint64(0)
	sink := sinkFunc(func(batch []journal.Record) {
		for _, rec := range batch {
			written += len(rec.Data)
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
		if written > 500<<20 {
			stop()
		}
	})
	if err := NewRunner(RunnerOptions{Sink: sink, Log: endlessLog{}, Cursor: &memoryCursor{}, MaxBytes: maxBytes}).Run(ctx); err != nil {
		t.Fatal(err)
	}
	if peak > 4*maxBytes {
		t.Errorf("%d MB were held for batches of %d MB", peak>>20, maxBytes>>20)
	}
}

type sinkFunc func(batch []journal.Record)

func (sinkFunc) Name() string { return "func" }

func (f sinkFunc) Write(_ context.Context, batch []journal.Record) error {
	f(batch)
	return nil
}
