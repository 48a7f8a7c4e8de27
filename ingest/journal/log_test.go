package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// checkFilled compares records with what fill appended.
func checkFilled(t testing.TB, got []Record, first, last, size int) {
	t.Helper()
	if len(got) != last-first+1 {
		t.Fatalf("read %d entries, want %d", len(got), last-first+1)
	}
	for i, rec := range got {
		n := first + i
		if rec.Seq != uint64(n) || rec.Count != n%7 || rec.Total != unitsTo(n) {
			t.Fatalf("entry %d came as %d with count %d and total %d", n, rec.Seq, rec.Count, rec.Total)
		}
		if !bytes.Equal(rec.Data, body(n, size)) {
			t.Fatalf("entry %d is not what was appended", n)
		}
		if age := time.Since(rec.Time); age < -time.Second || age > time.Hour {
			t.Fatalf("entry %d was appended at %v", n, rec.Time)
		}
	}
}

func TestLogSurvivesReopenAndCrash(t *testing.T) {
	reopen := map[string]func(t *testing.T, s *Store, dir string) string{
		"clean": func(t *testing.T, s *Store, dir string) string { closeStore(t, s); return dir },
		"crash": func(t *testing.T, s *Store, dir string) string { return crashCopy(t, dir) },
	}
	for name, next := range reopen {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			epoch := ""
			for run := range 4 {
				s := openStore(t, dir)
				l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 4 << 10})
				if run > 0 && l.Epoch() != epoch {
					t.Errorf("the epoch changed without a step back")
				}
				epoch = l.Epoch()
				if got, want := l.Last(), (Mark{Seq: uint64(run * 25), Total: unitsTo(run * 25)}); got != want {
					t.Fatalf("run %d goes on at %v, want %v", run, got, want)
				}
				fill(t, l, run*25+1, run*25+25, 500)
				forget(&l.feed)
				got, err := readAll(t.Context(), l, 1)
				if err != nil {
					t.Fatal(err)
				}
				checkFilled(t, got, 1, run*25+25, 500)
				if n := s.Stats().Logs[0].Segments; n < 2*(run+1) {
					t.Errorf("only %d segments", n)
				}
				dir = next(t, s, dir)
			}
		})
	}
}

func TestEmptyLog(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	if l.First() != (Mark{Seq: 1}) || l.Last() != (Mark{}) {
		t.Errorf("goes from %v to %v", l.First(), l.Last())
	}
	if _, err := l.At(t.Context(), 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("At(1): %v", err)
	}
	if err := l.Read(t.Context(), 2, nil); !errors.Is(err, ErrCursorAhead) {
		t.Errorf("Read(2): %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Read(ctx, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Read(1): %v", err)
	}
	if _, err := l.Append(ctx, nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	if mark, err := l.Append(t.Context(), nil, 0); err != nil || mark != (Mark{Seq: 1}) {
		t.Errorf("an entry without anything: %v, %v", mark, err)
	}
	if rec, err := l.At(t.Context(), 1); err != nil || len(rec.Data) != 0 {
		t.Errorf("At(1): %v, %v", rec, err)
	}
}

func TestAppendIsFreeToReuseItsData(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	data := []byte("first")
	if _, err := l.Append(t.Context(), data, 1); err != nil {
		t.Fatal(err)
	}
	copy(data, "other")
	if rec, err := l.At(t.Context(), 1); err != nil || string(rec.Data) != "first" {
		t.Errorf("got %s, %v", rec.Data, err)
	}
}

func TestEntryOfTheLargestSize(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	largest := body(1, maxEntry-headerSize-len("entry 1 "))
	mark, err := l.Append(t.Context(), largest, 1)
	if err != nil || mark.Seq != 1 {
		t.Fatalf("the largest: %v, %v", mark, err)
	}
	for _, data := range [][]byte{append(largest, 0), make([]byte, maxBody+1)} {
		if _, err := l.Append(t.Context(), data, 1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	if mark, err := l.Append(t.Context(), make([]byte, maxBody), 1); err != nil || mark.Seq != 2 {
		t.Errorf("one that compresses: %v, %v", mark, err)
	}
	forget(&l.feed)
	got, err := readAll(t.Context(), l, 1)
	if err != nil || len(got) != 2 || !bytes.Equal(got[0].Data, largest) || len(got[1].Data) != maxBody {
		t.Errorf("read %d, %v", len(got), err)
	}
}

func TestAppendsFromManyGoroutines(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 10 << 10})
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := l.Append(t.Context(), fmt.Appendf(nil, "%d %0100d", w, i), 2); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := readAll(t.Context(), l, 1)
	if err != nil || len(got) != writers*each {
		t.Fatalf("read %d, %v", len(got), err)
	}
	var next [writers]int
	for i, rec := range got {
		var w, n int
		if _, err := fmt.Sscanf(string(rec.Data), "%d %d", &w, &n); err != nil {
			t.Fatal(err)
		}
		if n != next[w] || rec.Total != uint64(2*(i+1)) {
			t.Fatalf("entry %d is number %d of writer %d, total %d", rec.Seq, n, w, rec.Total)
		}
		next[w]++
	}
}

// A reader that is there all the time sees every entry once and in order while
// the log goes on through many segments, whether it keeps up or not.
func TestLiveReadersAcrossSegments(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 20 << 10})
	l.recent.maxBytes = 5 << 10 // so that the slow one must go to the disk
	const n, size = 300, 800
	var wg sync.WaitGroup
	for name, slow := range map[string]bool{"quick": false, "slow": true} {
		wg.Go(func() {
			var got []Record
			err := l.Read(t.Context(), 1, func(r Record) error {
				if slow && r.Seq%50 == 1 {
					for l.Last().Seq < min(n, r.Seq+40) {
						time.Sleep(time.Millisecond)
					}
				}
				r.Data = bytes.Clone(r.Data)
				if got = append(got, r); r.Seq == n {
					return errStop
				}
				return nil
			})
			if !errors.Is(err, errStop) {
				t.Errorf("%s: %v", name, err)
				return
			}
			checkFilled(t, got, 1, n, size)
		})
	}
	fill(t, l, 1, n, size)
	wg.Wait()
	if got := s.Stats().Logs[0].Segments; got < 10 {
		t.Errorf("only %d segments", got)
	}
}

func TestCrashRightAfterRoll(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 10, 100)
	if err := l.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.roll(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.give()
	crashed := crashCopy(t, dir)

	check := func(t *testing.T, dir string) *Log {
		l := openLog(t, openStore(t, dir), LogOptions{Name: "input"})
		if l.Last() != (Mark{Seq: 10, Total: unitsTo(10)}) {
			t.Fatalf("goes on at %v", l.Last())
		}
		if err := l.Trim(t.Context(), 11); err != nil || l.First().Seq != 1 {
			t.Fatalf("the segment with the last entry was dropped: %v, %v", l.First(), err)
		}
		fill(t, l, 11, 20, 100)
		got, err := readAll(t.Context(), l, 1)
		if err != nil {
			t.Fatal(err)
		}
		checkFilled(t, got, 1, 20, 100)
		return l
	}
	t.Run("the new segment is there", func(t *testing.T) {
		l := check(t, crashed)
		if err := l.Trim(t.Context(), 11); err != nil || l.First().Seq != 11 {
			t.Errorf("trimmed to %v, %v", l.First(), err)
		}
	})
	t.Run("its description is not", func(t *testing.T) {
		half := crashCopy(t, dir)
		remove(t, streamFile(half, "input-11", "meta.inf"))
		remove(t, streamFile(half, "input-11", "meta.sum"))
		check(t, half)
	})
}

func TestTrim(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 5 << 10})
	const n, size = 50, 900
	fill(t, l, 1, n, size)
	segments := l.snapshot()
	if len(segments) < 5 {
		t.Fatalf("only %d segments", len(segments))
	}
	third := segments[2]
	before := l.Bytes()

	for _, below := range []uint64{0, 1, segments[0].last} {
		if err := l.Trim(t.Context(), below); err != nil || l.First().Seq != 1 {
			t.Fatalf("Trim(%d) dropped entries it should keep: %v, %v", below, l.First(), err)
		}
	}
	if err := l.Trim(t.Context(), third.last); err != nil {
		t.Fatal(err)
	}
	if want := (Mark{Seq: third.first, Total: unitsTo(int(third.first))}); l.First() != want {
		t.Fatalf("begins at %v, want %v", l.First(), want)
	}
	if l.Bytes() >= before {
		t.Errorf("takes %d bytes, %d before", l.Bytes(), before)
	}

	forget(&l.feed)
	_, err := readAll(t.Context(), l, 1)
	var gap *GapError
	if !errors.As(err, &gap) || !errors.Is(err, ErrGap) || *gap != (GapError{Log: "input", From: 1, To: third.first - 1}) {
		t.Fatalf("reading from 1: %v", err)
	}
	if _, err := l.At(t.Context(), 2); !errors.Is(err, ErrGap) {
		t.Errorf("At(2): %v", err)
	}
	got, err := readAll(t.Context(), l, gap.To+1)
	if err != nil {
		t.Fatal(err)
	}
	checkFilled(t, got, int(third.first), n, size)

	if err := l.Trim(t.Context(), n+1000); err != nil {
		t.Fatal(err)
	}
	active := l.active()
	if l.First().Seq != active.first || active.empty() {
		t.Errorf("kept from %v on, the newest segment begins at %d", l.First(), active.first)
	}
	closeStore(t, s)
	l = openLog(t, openStore(t, dir), LogOptions{Name: "input"})
	if l.First().Seq != active.first || l.Last() != (Mark{Seq: n, Total: unitsTo(n)}) {
		t.Errorf("after reopening it goes from %v to %v", l.First(), l.Last())
	}
}

// A crash while segments are being dropped leaves remains: whole ones, or ones
// without a description, which must not come back as old entries.
func TestCrashInTrim(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 5 << 10})
	fill(t, l, 1, 40, 900)
	segments := l.snapshot()
	if len(segments) < 4 {
		t.Fatalf("only %d segments", len(segments))
	}
	e, err := s.engine()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.saveLandmark(t.Context(), e, segments[2:]); err != nil {
		t.Fatal(err)
	}
	crashed := crashCopy(t, dir)
	remove(t, streamFile(crashed, segments[1].stream, "meta.inf"))
	again := openStore(t, crashed)
	after := openLog(t, again, LogOptions{Name: "input"})
	if after.First().Seq != segments[2].first || after.Last() != l.Last() || after.Epoch() != l.Epoch() {
		t.Errorf("goes from %v to %v, epoch kept: %v", after.First(), after.Last(), after.Epoch() == l.Epoch())
	}
	for _, s := range segments[:2] {
		if _, err := os.Stat(streamFile(crashed, s.stream)); !os.IsNotExist(err) {
			t.Errorf("remains of %s: %v", s.stream, err)
		}
	}
	if lost := again.Stats().Logs[0].LostEntries; lost != 0 {
		t.Errorf("%d entries count as lost that were trimmed", lost)
	}
}

func TestReaderUnderTrim(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 5 << 10})
	fill(t, l, 1, 40, 900)
	forget(&l.feed)
	err := l.Read(t.Context(), 1, func(r Record) error {
		if r.Seq == 1 {
			return l.Trim(t.Context(), 40)
		}
		return nil
	})
	var gap *GapError
	if !errors.As(err, &gap) || gap.To != l.First().Seq-1 {
		t.Errorf("got %v, the log begins at %d", err, l.First().Seq)
	}
}

// What a reader is given does not depend on whether it came from memory.
func TestReadFromMemoryEqualsReadFromDisk(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 30 << 10})
	l.recent.maxBytes = 20 << 10
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 8).Draw(rt, "appends") {
			data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "data"), rapid.IntRange(1, 30).Draw(rt, "times"))
			if _, err := l.Append(t.Context(), data, rapid.IntRange(0, 9).Draw(rt, "count")); err != nil {
				rt.Fatal(err)
			}
		}
		last := l.Last().Seq
		from := last - min(last-1, rapid.Uint64Range(0, 80).Draw(rt, "back"))
		memory, err := readAll(t.Context(), l, from)
		if err != nil {
			rt.Fatal(err)
		}
		at, err := l.At(t.Context(), from)
		if err != nil {
			rt.Fatal(err)
		}
		forget(&l.feed)
		disk, err := readAll(t.Context(), l, from)
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(memory, disk) || !sameRecord(at, disk[0]) {
			rt.Fatalf("from %d to %d: memory and disk differ", from, last)
		}
	})
}

func sameRecord(a, b Record) bool {
	return a.Seq == b.Seq && a.Time.Equal(b.Time) && a.Count == b.Count && a.Total == b.Total &&
		a.Subject == b.Subject && bytes.Equal(a.Data, b.Data)
}

// What is on disk behind the acknowledged end is nobody's yet, even where entries
// before it are missing.
func TestReaderStopsAtTheAcknowledgedEnd(t *testing.T) {
	r := reader{feed: &feed{name: "input"}, next: 5}
	batch := []stored{{seq: 5}, {seq: 6}, {seq: 9}}
	if got, err := r.upTo(batch, 8); err != nil || len(got) != 2 {
		t.Errorf("up to 8: %v, %v", got, err)
	}
	var gap *GapError
	if _, err := r.upTo(batch[2:], 8); !errors.As(err, &gap) || gap.From != 5 || gap.To != 8 {
		t.Errorf("nothing up to 8: %v", err)
	}
}

func TestReadEndsWithItsCallback(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 10, 10)
	mine := errors.New("mine")
	for _, from := range []string{"memory", "disk"} {
		n := 0
		err := l.Read(t.Context(), 3, func(r Record) error {
			if n++; r.Seq == 5 {
				return mine
			}
			return nil
		})
		if err != mine || n != 3 {
			t.Errorf("%s: %v after %d entries", from, err, n)
		}
		forget(&l.feed)
	}
}

func TestCloseEndsReadsAndRefusesTheRest(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	k := openKeyed(t, s, "alarms")
	b, err := s.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Cursor(t.Context(), "input/judge")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1, 3, 10)
	reading, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- l.Read(t.Context(), 1, func(r Record) error {
			if r.Seq == 3 {
				close(reading)
			}
			return nil
		})
	}()
	<-reading
	closeStore(t, s)
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	forget(&l.feed)
	calls := map[string]func() error{
		"Append":       func() error { _, err := l.Append(t.Context(), nil, 1); return err },
		"Read":         func() error { return l.Read(t.Context(), 1, nil) },
		"At":           func() error { _, err := l.At(t.Context(), 1); return err },
		"Trim":         func() error { return l.Trim(t.Context(), 1) },
		"keyed Append": func() error { _, err := k.Append(t.Context(), "a", nil, 0); return err },
		"Latest":       func() error { return k.Latest(t.Context(), nil) },
		"Get":          func() error { _, _, err := b.Get(t.Context(), "a"); return err },
		"Put":          func() error { _, err := b.Put(t.Context(), "a", nil); return err },
		"All":          func() error { _, err := b.All(t.Context()); return err },
		"Load":         func() error { _, err := c.Load(t.Context()); return err },
		"Log":          func() error { _, err := s.Log(t.Context(), LogOptions{Name: "other"}); return err },
		"Bucket":       func() error { _, err := s.Bucket(t.Context(), "other"); return err },
		"Reopen":       func() error { return s.Reopen(t.Context()) },
		"CheckCursors": func() error { return s.CheckCursors(t.Context()) },
		"Health":       s.Health,
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Stats().Logs[0].Last.Seq != 3 {
		t.Error("the figures are gone")
	}
}

func TestOpenRefusals(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	openLog(t, s, LogOptions{Name: "input"})
	ctx := t.Context()
	tests := []struct {
		name string
		open func() error
		want string
	}{
		{"no folder", func() error { _, err := Open(ctx, Options{}); return err }, "open logs: data folder is not set"},
		{"a negative limit", func() error { _, err := Open(ctx, Options{Dir: dir, MaxStore: -1}); return err }, "open logs: size limit -1 is negative"},
		{"a log twice", func() error { _, err := s.Log(ctx, LogOptions{Name: "input"}); return err }, "log input is open already"},
		{"a log's bad name", func() error { _, err := s.Log(ctx, LogOptions{Name: "In-put"}); return err }, `log name "In-put": want 1 to 32 of a-z, 0-9 and _`},
		{"a keyed log's bad name", func() error { _, err := s.KeyedLog(ctx, ""); return err }, `log name "": want 1 to 32 of a-z, 0-9 and _`},
		{"a negative segment", func() error { _, err := s.Log(ctx, LogOptions{Name: "x", SegmentBytes: -1}); return err }, "open log x: a negative size"},
		{"a bucket's bad name", func() error { _, err := s.Bucket(ctx, "a b"); return err }, `bucket name "a b": want 1 to 32 of a-z, 0-9 and _`},
		{"the store's bucket", func() error { _, err := s.Bucket(ctx, "cursors"); return err }, "bucket cursors is the store's own"},
		{"a cursor of no log", func() error { _, err := s.Cursor(ctx, "judge"); return err }, `cursor name "judge": want log/reader, as in readings/influx`},
		{"a cursor of a closed log", func() error { _, err := s.Cursor(ctx, "other/judge"); return err }, "cursor other/judge: log other is not open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.open(); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestSecondProcessIsLockedOut(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{dir, fmt.Sprintf("process %d", os.Getpid()), "stop it first"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	closeStore(t, s)
	openStore(t, dir)
}

func TestOpenStopsWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Open(ctx, Options{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	openStore(t, dir) // the folder is free again
}

func TestLimits(t *testing.T) {
	t.Run("of the log", func(t *testing.T) {
		s := openStore(t, t.TempDir())
		l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 20 << 10, MaxBytes: 100 << 10})
		k := openKeyed(t, s, "alarms")
		last := fillUp(t, l)
		if _, err := k.Append(t.Context(), "a", []byte("an alarm"), 0); err != nil {
			t.Errorf("the other log is full too: %v", err)
		}
		if err := l.Trim(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		fill(t, l, int(last)+1, int(last)+5, 1000)
	})
	t.Run("of the store", func(t *testing.T) {
		s := openWith(t, Options{Dir: t.TempDir(), MaxStore: 200 << 10, Logger: testLogger(t)})
		l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 20 << 10})
		last := fillUp(t, l)
		if st := s.Stats(); st.Bytes < 190<<10 || st.Bytes > 210<<10 || st.MaxBytes != 200<<10 {
			t.Errorf("full at %d of %d bytes", st.Bytes, st.MaxBytes)
		}
		if err := s.Health(); err != nil {
			t.Errorf("a full store is not ill: %v", err)
		}
		if err := l.Trim(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		fill(t, l, int(last)+1, int(last)+5, 1000)
	})
}

// fillUp appends until the log is full, and makes sure that what was refused is
// not in it.
func fillUp(t *testing.T, l *Log) (last uint64) {
	t.Helper()
	for i := 1; ; i++ {
		if i > 1000 {
			t.Fatal("never full")
		}
		_, err := l.Append(t.Context(), body(i, 1000), i%7)
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last = uint64(i)
	}
	if l.Last().Seq != last {
		t.Fatalf("ends at %v, refused was %d", l.Last(), last+1)
	}
	return last
}

func TestOnSyncHearsOfEachAppend(t *testing.T) {
	var heard []time.Duration
	s := openWith(t, Options{Dir: t.TempDir(), OnSync: func(d time.Duration) { heard = append(heard, d) }})
	l := openLog(t, s, LogOptions{Name: "input"})
	k := openKeyed(t, s, "alarms")
	fill(t, l, 1, 3, 100)
	if _, err := k.Append(t.Context(), "a", nil, 0); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 4 || s.Stats().LastSync != heard[3] || heard[3] <= 0 {
		t.Errorf("heard %v, last is %v", heard, s.Stats().LastSync)
	}
}

// A read takes what it reads and little more: the client library would make a queue
// of 4 MB for each.
func TestReadTakesLittleMemory(t *testing.T) {
	l := openLog(t, openStore(t, t.TempDir()), LogOptions{Name: "input"})
	fill(t, l, 1, 1, 100)
	const reads = 50
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range reads {
		forget(&l.feed)
		if _, err := l.At(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / reads; each > 256<<10 {
		t.Errorf("a read of 100 bytes takes %d KB", each>>10)
	}
}
