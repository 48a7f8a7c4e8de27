package journal

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What the server does about a damaged disk differs from case to case, and it
// says little. Whatever it does: what is missing is named to the reader, what is
// not is read, numbering goes on, and where numbers might be given out twice the
// epoch is a new one.
func TestDamage(t *testing.T) {
	const n, size = 40, 512 << 10 // 15 entries to a block of the server's
	intact := t.TempDir()
	s := openStore(t, intact)
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, n, size)
	save(t, openedCursor(t, s, "input/judge"), n)
	epoch := l.Epoch()
	crashed := crashCopy(t, intact)
	closeStore(t, s)

	block := func(t *testing.T, dir string, i int) string {
		blocks, err := filepath.Glob(streamFile(dir, "input-1", "msgs", "*.blk"))
		if err != nil || len(blocks) != 3 {
			t.Fatalf("blocks %v, %v", blocks, err)
		}
		slices.SortFunc(blocks, func(a, b string) int { return number(a) - number(b) })
		return blocks[i]
	}
	flipAt := func(i int, at int64) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { flip(t, block(t, dir, i), at) }
	}
	tests := []struct {
		name     string
		crash    bool
		damage   func(t *testing.T, dir string)
		missing  []string
		last     uint64
		lost     uint64 // counted at the start, before anything was read
		newEpoch bool
	}{
		{name: "bit flip in an older block", damage: flipAt(1, 4<<20),
			missing: []string{"gap 23-23"}, last: n},
		{name: "bit flip in an older block, crash", crash: true, damage: flipAt(1, 4<<20),
			missing: []string{"gap 23-23"}, last: n, lost: 1},
		{name: "bit flip in the newest block", damage: flipAt(2, 1<<20),
			missing: []string{"gap 32-32"}, last: n, lost: 1},
		{name: "bit flip in the newest block, crash", crash: true, damage: flipAt(2, 1<<20),
			missing: []string{"gap 32-32"}, last: n, lost: 1},
		{name: "newest entry torn", damage: func(t *testing.T, dir string) { cutBy(t, block(t, dir, 2), 1000) },
			missing: []string{"gap 40-40"}, last: n, lost: 1, newEpoch: true},
		{name: "newest entry torn, crash", crash: true, damage: func(t *testing.T, dir string) { cutBy(t, block(t, dir, 2), 1000) },
			last: n - 1, newEpoch: true},
		{name: "garbage behind the newest entry, crash", crash: true, damage: func(t *testing.T, dir string) { extendBy(t, block(t, dir, 2), body(0, 5000)) },
			last: n, newEpoch: true},
		{name: "newest block empty, crash", crash: true, damage: func(t *testing.T, dir string) { cutTo(t, block(t, dir, 2), 0) },
			last: 30, newEpoch: true},
		{name: "block gone", damage: func(t *testing.T, dir string) { remove(t, block(t, dir, 1)) },
			missing: []string{"gap 16-30"}, last: n, lost: 15, newEpoch: true},
		{name: "block gone, crash", crash: true, damage: func(t *testing.T, dir string) { remove(t, block(t, dir, 1)) },
			missing: []string{"gap 16-30"}, last: n, lost: 15},
		{name: "length of an entry", crash: true, damage: flipAt(1, 2),
			last: n}, // put right
		{name: "length of an entry in an older block", damage: flipAt(1, 2),
			last: n},
		{name: "number of an entry in an older block", damage: flipAt(1, 4+5),
			last: n},
		{name: "head of an entry in an older block", damage: func(t *testing.T, dir string) { zeros(t, block(t, dir, 1), 0, 30) },
			missing: []string{"gap 16-16"}, last: n},
		{name: "index", damage: func(t *testing.T, dir string) { flip(t, streamFile(dir, "input-1", "msgs", "index.db"), 100) },
			last: n},
		{name: "description of the stream", damage: func(t *testing.T, dir string) { flip(t, streamFile(dir, "input-1", "meta.inf"), 20) },
			last: n},
		{name: "checksum of the description", damage: func(t *testing.T, dir string) { cutTo(t, streamFile(dir, "input-1", "meta.sum"), 0) },
			last: n},
		{name: "stream gone", damage: func(t *testing.T, dir string) { remove(t, streamFile(dir, "input-1")) },
			missing: []string{"gap 1-40"}, last: n, lost: n, newEpoch: true},
		{name: "landmarks gone", damage: func(t *testing.T, dir string) { remove(t, streamFile(dir, "KV_landmarks")) },
			last: n, newEpoch: true},
		{name: "cursors gone", damage: func(t *testing.T, dir string) { remove(t, streamFile(dir, "KV_cursors")) },
			last: n},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := intact
			if tt.crash {
				from = crashed
			}
			dir := crashCopy(t, from)
			if tt.crash {
				_ = os.Remove(streamFile(dir, "input-1", "msgs", "index.db")) // a young stream has none yet
			}
			tt.damage(t, dir)
			s := openStore(t, dir)
			l := openLog(t, s, LogOptions{Name: "input"})
			if l.Last().Seq != tt.last {
				t.Errorf("it ends at %d, want %d", l.Last().Seq, tt.last)
			}
			if changed := l.Epoch() != epoch; changed != tt.newEpoch {
				t.Errorf("epoch changed: %v, want %v", changed, tt.newEpoch)
			}
			if err := s.CheckCursors(t.Context()); errors.Is(err, ErrCursorAhead) != (tt.last < n) {
				t.Errorf("cursors: %v", err)
			}
			if lost := s.Stats().Logs[0].LostEntries; lost != tt.lost {
				t.Errorf("%d entries counted as lost, want %d", lost, tt.lost)
			}
			fill(t, l, int(tt.last)+1, int(tt.last)+3, 100)
			got, missing := readOn(t, l, 1)
			if !slices.Equal(missing, tt.missing) {
				t.Errorf("missing %v, want %v", missing, tt.missing)
			}
			checkDamaged(t, got, int(tt.last), size)
		})
	}
}

// checkDamaged compares what could be read with what was appended.
func checkDamaged(t *testing.T, got []Record, last, size int) {
	t.Helper()
	for _, rec := range got {
		n := int(rec.Seq)
		want := body(n, size)
		if n > last {
			want = body(n, 100)
		}
		if string(rec.Data) != string(want) {
			t.Fatalf("entry %d is not what was appended", n)
		}
	}
	if end := got[len(got)-1]; int(end.Seq) != last+3 {
		t.Errorf("read to %d", end.Seq)
	}
}

func TestMissingSegments(t *testing.T) {
	const n = 40
	dir := t.TempDir()
	s := openStore(t, dir)
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 5 << 10})
	fill(t, l, 1, n, 900)
	epoch, segments := l.Epoch(), l.snapshot()
	if len(segments) < 4 {
		t.Fatalf("only %d segments", len(segments))
	}
	crashed := crashCopy(t, dir)
	newest := segments[len(segments)-1]
	tests := []struct {
		name     string
		gone     segment
		last     uint64
		lost     uint64
		newEpoch bool
	}{
		{"the oldest", segments[0], n, segments[0].last, false},
		{"one between", segments[1], n, segments[1].last + 1 - segments[1].first, false},
		{"the newest", newest, newest.first - 1, 0, true}, // how far it went nobody knows
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := crashCopy(t, crashed)
			remove(t, streamFile(dir, tt.gone.stream))
			s := openStore(t, dir)
			l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 5 << 10})
			if l.Last().Seq != tt.last || l.Last().Total != unitsTo(int(tt.last)) {
				t.Errorf("it ends at %v, want %d", l.Last(), tt.last)
			}
			if changed := l.Epoch() != epoch; changed != tt.newEpoch {
				t.Errorf("epoch changed: %v, want %v", changed, tt.newEpoch)
			}
			if lost := s.Stats().Logs[0].LostEntries; lost != tt.lost {
				t.Errorf("%d entries counted as lost, want %d", lost, tt.lost)
			}
			fill(t, l, int(tt.last)+1, int(tt.last)+3, 900)
			got, missing := readOn(t, l, 1)
			if tt.gone != newest && (len(missing) != 1 || len(got) != int(tt.last+3-tt.lost)) {
				t.Errorf("read %d, missing %v", len(got), missing)
			}
		})
	}
}

// number is that of a block file.
func number(path string) int {
	n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".blk")) // 0 sorts first
	return n
}

func cutTo(t testing.TB, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

func extendBy(t testing.TB, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
}
