package journal

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func openCursor(t testing.TB, s *Store, name string) *Cursor {
	t.Helper()
	c, err := s.Cursor(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t testing.TB, c *Cursor, want uint64) {
	t.Helper()
	if got, err := c.Load(t.Context()); err != nil || got != want {
		t.Fatalf("loaded %d, %v, want %d", got, err, want)
	}
}

func save(t testing.TB, c *Cursor, seq uint64) {
	t.Helper()
	if err := c.Save(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
}

func TestCursor(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 10, 10)
	c := openCursor(t, s, "input/judge")
	if err := c.Save(t.Context(), 1); err == nil {
		t.Error("saved without having been loaded")
	}
	load(t, c, 0)
	for _, seq := range []uint64{3, 7, 5} {
		save(t, c, seq)
		load(t, c, seq)
	}
	if err := c.Save(t.Context(), 11); !errors.Is(err, ErrCursorAhead) {
		t.Errorf("saved past the end: %v", err)
	}
	save(t, openedCursor(t, s, "input/metrics"), 2)
	crashed := openStore(t, crashCopy(t, dir))
	openLog(t, crashed, LogOptions{Name: "input"})
	load(t, openCursor(t, crashed, "input/judge"), 5)
	at, err := crashed.Cursors(t.Context(), "input")
	if err != nil || !maps.Equal(at, map[string]uint64{"judge": 5, "metrics": 2}) {
		t.Errorf("cursors at %v, %v", at, err)
	}
}

func openedCursor(t testing.TB, s *Store, name string) *Cursor {
	t.Helper()
	c := openCursor(t, s, name)
	if _, err := c.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCursorOfTwoIsMovedByOne(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 10, 10)
	a, b := openedCursor(t, s, "input/judge"), openedCursor(t, s, "input/judge")
	save(t, a, 3)
	if err := b.Save(t.Context(), 5); !errors.Is(err, ErrConflict) {
		t.Fatalf("the second: %v", err)
	}
	load(t, b, 3)
	save(t, b, 5)
	if err := a.Save(t.Context(), 6); !errors.Is(err, ErrConflict) {
		t.Fatalf("the first, now late: %v", err)
	}
	load(t, a, 5)
}

// faultyTable lets one update fail in some way.
type faultyTable struct {
	jetstream.KeyValue
	next fault
}

func (f *faultyTable) Update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	now := f.next
	f.next = well
	if now == lost {
		return 0, context.DeadlineExceeded
	}
	rev, err := f.KeyValue.Update(ctx, key, value, rev)
	if err == nil && now == ackLost {
		return 0, context.DeadlineExceeded
	}
	return rev, err
}

func TestCursorAfterALostAnswer(t *testing.T) {
	for name, f := range map[string]fault{"saved": ackLost, "not saved": lost} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			l := openLog(t, s, LogOptions{Name: "input"})
			fill(t, l, 1, 10, 10)
			c := openedCursor(t, s, "input/judge")
			save(t, c, 2)
			c.bucket.kv = &faultyTable{KeyValue: c.bucket.kv, next: f}
			if err := c.Save(t.Context(), 4); !errors.Is(err, ErrDisk) {
				t.Fatalf("got %v", err)
			}
			save(t, c, 6)
			load(t, c, 6)
		})
	}
}

// After a clean stop the store remembers where each log ended, with or without
// cursors.
func TestStepBackWithoutCursors(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input"})
	k := openKeyed(t, s, "alarms")
	fill(t, l, 1, 10, 100)
	appendEvent(t, k, "a", "raised")
	old := crashCopy(t, dir)
	fill(t, l, 11, 20, 100)
	appendEvent(t, k, "a", "cleared")
	epochs := []string{l.Epoch(), k.Epoch()}
	closeStore(t, s)
	for _, stream := range []string{"input-1", "alarms"} {
		remove(t, streamFile(dir, stream))
		copyTree(t, streamFile(old, stream), streamFile(dir, stream))
	}
	s = openStore(t, dir)
	l, k = openLog(t, s, LogOptions{Name: "input"}), openKeyed(t, s, "alarms")
	if l.Last() != (Mark{Seq: 10, Total: unitsTo(10)}) || k.Last().Seq != 1 {
		t.Errorf("they end at %v and %v", l.Last(), k.Last())
	}
	if l.Epoch() == epochs[0] || k.Epoch() == epochs[1] {
		t.Error("an epoch is still the old one")
	}
	if logs := s.Stats().Logs; logs[0].LostEntries != 10 || logs[1].LostEntries != 1 {
		t.Errorf("%d and %d counted as lost", logs[0].LostEntries, logs[1].LostEntries)
	}
}

// A log that lost its tail tells: by a new epoch, by CheckCursors, by Load, and
// to a reader that goes on where it was.
func TestCursorAheadOfItsLog(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 10, 100)
	old := crashCopy(t, dir)
	fill(t, l, 11, 20, 100)
	save(t, openedCursor(t, s, "input/judge"), 20)
	save(t, openedCursor(t, s, "input/slow"), 5)
	epoch := l.Epoch()
	crashed := crashCopy(t, dir)
	remove(t, streamFile(crashed, "input-1"))
	copyTree(t, streamFile(old, "input-1"), streamFile(crashed, "input-1"))

	s = openStore(t, crashed)
	l = openLog(t, s, LogOptions{Name: "input"})
	if l.Last().Seq != 10 || l.Epoch() == epoch {
		t.Fatalf("ends at %v, epoch changed: %v", l.Last(), l.Epoch() != epoch)
	}
	err := s.CheckCursors(t.Context())
	if !errors.Is(err, ErrCursorAhead) || !strings.Contains(err.Error(), "input/judge at 20") || strings.Contains(err.Error(), "slow") {
		t.Errorf("CheckCursors: %v", err)
	}
	if err := l.Read(t.Context(), 21, nil); !errors.Is(err, ErrCursorAhead) {
		t.Errorf("Read: %v", err)
	}
	c := openCursor(t, s, "input/judge")
	if seq, err := c.Load(t.Context()); !errors.Is(err, ErrCursorAhead) || seq != 20 {
		t.Errorf("loaded %d, %v", seq, err)
	}
	save(t, c, l.Last().Seq)
	load(t, c, 10)
	if err := s.CheckCursors(t.Context()); err != nil {
		t.Errorf("once set back: %v", err)
	}

	// The new epoch stays, though now nothing tells of the step back.
	after := l.Epoch()
	again := openLog(t, openStore(t, crashCopy(t, crashed)), LogOptions{Name: "input"})
	if again.Epoch() != after {
		t.Error("the epoch did not survive a crash")
	}
}
