package sinks

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"fengsui/ingest/journal"
)

// These tests run over the real logs.

func openStore(t *testing.T, dir string) *journal.Store {
	t.Helper()
	store, err := journal.Open(t.Context(), journal.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func openLog(t *testing.T, store *journal.Store) *journal.Log {
	t.Helper()
	log, err := store.Log(t.Context(), journal.LogOptions{Name: "readings", SegmentBytes: 4 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func openCursor(t *testing.T, store *journal.Store, name string) *journal.Cursor {
	t.Helper()
	cursor, err := store.Cursor(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return cursor
}

// appendTo appends entries numbered from first to last, one unit each.
func appendTo(t *testing.T, log *journal.Log, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		if _, err := log.Append(t.Context(), fmt.Appendf(nil, "entry %d", i), 1); err != nil {
			t.Fatal(err)
		}
	}
}

// runTo runs until the sink has the entry at seq.
func runTo(t *testing.T, r *Runner, seq uint64) Status {
	t.Helper()
	stop := start(r)
	for deadline := time.Now().Add(time.Minute); r.Status().Position < seq; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not reach %d: %+v", seq, r.Status())
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return r.Status()
}

func TestARealLogAcrossRestarts(t *testing.T) {
	dir := t.TempDir()
	for run := range 3 {
		store := openStore(t, dir)
		log := openLog(t, store)
		appendTo(t, log, 100*run+1, 100*run+100)
		sink := &memorySink{}
		status := runTo(t, NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: openCursor(t, store, "readings/memory")}), uint64(100*run+100))
		sink.check(t, 100*run+1, 100*run+100)
		if status.LagEntries != 0 || status.LagUnits != 0 || status.Saved != uint64(100*run+100) || status.Lost != 0 {
			t.Errorf("status %+v", status)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARealLogThatWasTrimmed(t *testing.T) {
	store := openStore(t, t.TempDir())
	log := openLog(t, store)
	appendTo(t, log, 1, 200)
	if err := log.Trim(t.Context(), 150); err != nil {
		t.Fatal(err)
	}
	first := log.First().Seq
	if first < 2 {
		t.Fatal("nothing was trimmed")
	}
	sink := &memorySink{}
	status := runTo(t, NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: openCursor(t, store, "readings/memory")}), 200)
	sink.check(t, int(first), 200)
	if status.Lost != first-1 {
		t.Errorf("%d entries counted as lost, want %d", status.Lost, first-1)
	}
}

func TestARealKeyedLog(t *testing.T) {
	store := openStore(t, t.TempDir())
	log, err := store.KeyedLog(t.Context(), "alarms")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := log.Append(t.Context(), fmt.Sprintf("alarm-%d", i%3), fmt.Appendf(nil, "entry %d", i+1), uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	sink := &memorySink{}
	runTo(t, NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: openCursor(t, store, "alarms/memory")}), 20)
	sink.check(t, 1, 20)
}

// TestTwoRunnersOnOneCursor: the second one is told, not served.
func TestTwoRunnersOnOneCursor(t *testing.T) {
	store := openStore(t, t.TempDir())
	log := openLog(t, store)
	appendTo(t, log, 1, 1)
	first := NewRunner(RunnerOptions{Sink: &memorySink{}, Log: log, Cursor: openCursor(t, store, "readings/memory")})
	second := openCursor(t, store, "readings/memory")
	if _, err := second.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	runTo(t, first, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := NewRunner(RunnerOptions{Sink: &memorySink{}, Log: log, Cursor: loaded{second}}).Run(ctx)
	if !errors.Is(err, journal.ErrConflict) {
		t.Errorf("got %v, want a conflict", err)
	}
}

// loaded is a cursor whose position was loaded before.
type loaded struct{ *journal.Cursor }

func (loaded) Load(context.Context) (uint64, error) { return 0, nil }

// TestAClosedStoreEndsTheRun: there is nothing left to read or to save.
func TestAClosedStoreEndsTheRun(t *testing.T) {
	store := openStore(t, t.TempDir())
	log := openLog(t, store)
	appendTo(t, log, 1, 3)
	sink := &memorySink{}
	r := NewRunner(RunnerOptions{Sink: sink, Log: log, Cursor: openCursor(t, store, "readings/memory")})
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	for r.Status().Saved < 3 {
		time.Sleep(time.Millisecond)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, journal.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
