package journal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// faulty stands before the real engine. For each publish, next says what becomes
// of it; from then on all goes well.
type faulty struct {
	jetstream.JetStream
	mu   sync.Mutex
	next []fault
}

type fault int

const (
	well     fault = iota
	ackLost        // it is on disk, nobody says so
	lost           // it never arrived
	unstaged       // the server could not stage the batch it ends
)

func (f *faulty) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	f.mu.Lock()
	now := well
	if len(f.next) > 0 {
		now, f.next = f.next[0], f.next[1:]
	}
	f.mu.Unlock()
	switch now {
	case lost:
		return nil, context.DeadlineExceeded
	case unstaged:
		return nil, &jetstream.APIError{Code: 400, ErrorCode: codeIncomplete}
	}
	ack, err := f.JetStream.PublishMsg(ctx, m, opts...)
	if err == nil && now == ackLost {
		return nil, context.DeadlineExceeded
	}
	return ack, err
}

// inject puts faults before the store's engine.
func inject(t *testing.T, s *Store, next ...fault) {
	t.Helper()
	e, err := s.engine()
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := e.js.(*faulty); ok {
		f.next = next
		return
	}
	e.js = &faulty{JetStream: e.js, next: next}
}

// diskRefuses makes the server say what it says when a write fails.
func diskRefuses(t *testing.T, s *Store) {
	t.Helper()
	e, err := s.engine()
	if err != nil {
		t.Fatal(err)
	}
	e.said.Errorf("JetStream stream '%s > %s' critical write error: %v", "$G", "input-1", syscall.ENOSPC)
}

func TestAppendRetriesUntilItKnows(t *testing.T) {
	tests := []struct {
		name    string
		faults  []fault
		retries uint64
	}{
		{"the answer is lost", []fault{ackLost}, 1},
		{"the answer is lost twice", []fault{ackLost, ackLost}, 1}, // the second is refused, and that answer arrives
		{"the entry is lost", []fault{lost}, 1},
		{"the entry, then the answer", []fault{lost, ackLost}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t, t.TempDir())
			l := openLog(t, s, LogOptions{Name: "input"})
			fill(t, l, 1, 3, 50)
			inject(t, s, tt.faults...)
			fill(t, l, 4, 6, 50)
			if got := s.Stats().Retries; got != tt.retries {
				t.Errorf("%d retries, want %d", got, tt.retries)
			}
			for range 2 {
				got, err := readAll(t.Context(), l, 1)
				if err != nil {
					t.Fatal(err)
				}
				checkFilled(t, got, 1, 6, 50)
				forget(&l.feed)
			}
		})
	}
}

// After publishTries without an answer an append fails. What became of it comes
// out with the next one, which goes behind it if it is there.
func TestAppendOfUnknownOutcome(t *testing.T) {
	for name, present := range map[string]bool{"present": true, "absent": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			l := openLog(t, s, LogOptions{Name: "input"})
			fill(t, l, 1, 3, 50)
			if present {
				inject(t, s, ackLost)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if !present {
				inject(t, s, lost, lost, lost)
			} else {
				// The answer is lost and so is the caller's patience.
				e, _ := s.engine()
				e.js = &quitting{JetStream: e.js, quit: cancel}
			}
			_, err := l.Append(ctx, body(4, 50), 4)
			cancel()
			switch {
			case present && !errors.Is(err, context.Canceled), !present && !errors.Is(err, ErrDisk):
				t.Fatalf("got %v", err)
			case l.Last().Seq != 3:
				t.Fatalf("readers see %v", l.Last())
			}
			first := 4
			if present {
				first = 5
			}
			fill(t, l, first, 8, 50)
			got, err := readAll(t.Context(), l, 1)
			if err != nil {
				t.Fatal(err)
			}
			checkFilled(t, got, 1, 8, 50)
		})
	}
}

// quitting calls quit after the first publish.
type quitting struct {
	jetstream.JetStream
	quit context.CancelFunc
}

func (q *quitting) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := q.JetStream.PublishMsg(ctx, m, opts...)
	q.quit()
	return ack, err
}

// An engine that let an entry in twice would not make a reader see it twice.
func TestReaderDropsARepeatedEntry(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 3, 50)
	e, err := s.engine()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := e.js.Publish(t.Context(), "input-1", l.buf); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(t.Context(), body(4, 50), 4); err != nil {
		t.Fatal(err)
	}
	forget(&l.feed)
	var seqs []uint64
	got, err := readAll(t.Context(), l, 1)
	for _, r := range got {
		seqs = append(seqs, r.Seq)
	}
	if err != nil || len(seqs) != 4 || seqs[3] != 6 || got[3].Total != unitsTo(4) {
		t.Errorf("read %v, %v", seqs, err)
	}
	if n := s.Stats().Logs[0].Repeated; n != 2 {
		t.Errorf("%d counted as repeated", n)
	}
}

func TestBadDiskFailsAtOnceUntilReopened(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 5 << 10})
	k := openKeyed(t, s, "alarms")
	b, err := s.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Cursor(t.Context(), "input/judge")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 1, 20, 500)
	appendEvent(t, k, "a", "raised")
	epoch := l.Epoch()
	reading, seen := make(chan error, 1), make(chan uint64, 100)
	go func() {
		reading <- l.Read(t.Context(), 1, func(r Record) error {
			if seen <- r.Seq; r.Seq == 25 {
				return errStop
			}
			return nil
		})
	}()

	diskRefuses(t, s)
	inject(t, s, lost, lost, lost, lost)
	within(t, publishTimeout, func(ctx context.Context) {
		if _, err := l.Append(ctx, nil, 1); !errors.Is(err, ErrDisk) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("Append: %v", err)
		}
		if _, err := b.Put(ctx, "a", nil); !errors.Is(err, ErrDisk) {
			t.Errorf("Put: %v", err)
		}
	})
	if err := s.Health(); !errors.Is(err, ErrDisk) || s.Stats().WriteError == "" {
		t.Errorf("Health: %v", err)
	}

	if err := s.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Health(); err != nil || s.Stats().WriteError != "" || s.Stats().Warnings == 0 {
		t.Errorf("Health: %v, %+v", err, s.Stats())
	}
	fill(t, l, 21, 25, 500)
	if err := <-reading; !errors.Is(err, errStop) {
		t.Errorf("the reader that was there all the time: %v", err)
	}
	for i := uint64(1); i <= 25; i++ {
		if got := <-seen; got != i {
			t.Fatalf("the reader saw %d, want %d", got, i)
		}
	}
	if l.Epoch() != epoch {
		t.Error("a new epoch though nothing was lost")
	}
	got, err := readAll(t.Context(), l, 1)
	if err != nil {
		t.Fatal(err)
	}
	checkFilled(t, got, 1, 25, 500)
	appendEvent(t, k, "a", "cleared")
	if _, err := b.Put(t.Context(), "a", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Load(t.Context()); err != nil {
		t.Error(err)
	}
}

// On a disk that is really full the server stops answering. Nothing acknowledged
// is lost, and the store goes on after Reopen once there is room.
func TestDiskFull(t *testing.T) {
	dir, ballast := smallDisk(t)
	s := openStore(t, filepath.Join(dir, "data"))
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 4 << 20})
	n := 0
	for ; n < 1000; n++ {
		_, err := l.Append(t.Context(), body(n+1, 100<<10), (n+1)%7)
		if errors.Is(err, ErrDisk) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 50 || n == 1000 || !errors.Is(s.Health(), ErrDisk) {
		t.Fatalf("%d appends, health %v", n, s.Health())
	}
	remove(t, ballast)
	if _, err := l.Append(t.Context(), nil, 1); !errors.Is(err, ErrDisk) {
		t.Errorf("the server forgets its write error: %v", err)
	}
	if err := s.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := int(l.Last().Seq); got != n && got != n+1 {
		t.Fatalf("%d were acknowledged, %d are there", n, got)
	}
	first := int(l.Last().Seq) + 1
	fill(t, l, first, first+10, 100<<10)
	got, err := readAll(t.Context(), l, 1)
	if err != nil {
		t.Fatal(err)
	}
	checkFilled(t, got, 1, first+10, 100<<10)
}

// Nor of events that are appended many at once.
func TestDiskFullOfEvents(t *testing.T) {
	dir, ballast := smallDisk(t)
	s := openStore(t, filepath.Join(dir, "data"))
	k := openKeyed(t, s, "alarms")
	batch := func() []KeyedEntry {
		out := events(int(k.Last().Seq)+1, 50)
		for i := range out {
			out[i].Data = append(out[i].Data, make([]byte, 4000)...)
		}
		return out
	}
	var err error
	for err == nil {
		_, err = k.AppendAll(t.Context(), batch(), k.Last().Seq)
	}
	acked := k.Last().Seq
	if !errors.Is(err, ErrDisk) || acked < 500 {
		t.Fatalf("after %d events: %v", acked, err)
	}
	remove(t, ballast)
	if err := s.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k.Last().Seq < acked {
		t.Fatalf("%d were acknowledged, %d are there", acked, k.Last().Seq)
	}
	if _, err := k.AppendAll(t.Context(), batch(), k.Last().Seq); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t.Context(), k, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range events(1, len(got)) {
		if got[i].Subject != want.Key || !bytes.HasPrefix(got[i].Data, append(want.Data, 0)) {
			t.Fatalf("event %d came as %.20q of %s", i+1, got[i].Data, got[i].Subject)
		}
	}
}

// smallDisk is a folder on a disk of 24 MB, of which a file takes 8.
func smallDisk(t *testing.T) (dir, ballast string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		if os.Getenv("FENGSUI_REAL") == "1" {
			t.Fatalf("mount a small file system: %v", err)
		}
		t.Skipf("cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ballast = filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, ballast
}

func TestHarmlessWarningsAreNotCounted(t *testing.T) {
	var out bytes.Buffer
	said := newServerLog(textLogger(&out))
	said.Warnf("Filestore [%s] Stream state outdated, last block has additional entries, will rebuild", "input-1")
	if n, _ := said.counted(); n != 0 {
		t.Errorf("%d warnings", n)
	}
	said.Warnf("something %s", "else")
	if n, text := said.counted(); n != 1 || text != "something else" || said.bad.Err() != nil {
		t.Errorf("%d warnings, the last: %s", n, text)
	}
	said.Warnf("Filesystem permission denied while writing msg, disabling JetStream: x")
	if said.bad.Err() == nil {
		t.Error("a write that was refused went unnoticed")
	}
	for _, want := range []string{"level=INFO", "level=WARN msg=\"something else\""} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, out.String())
		}
	}
}

// Reading from a segment that is being written must not hold up its appends.
func TestReadersDoNotBlockAppends(t *testing.T) {
	s := openStore(t, t.TempDir())
	l := openLog(t, s, LogOptions{Name: "input"})
	fill(t, l, 1, 20, 1000)
	forget(&l.feed)
	stuck, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.Read(t.Context(), 1, func(r Record) error {
			if r.Seq == 2 {
				close(stuck)
				<-release
			}
			if r.Seq == 30 {
				return errStop
			}
			return nil
		})
	}()
	<-stuck
	within(t, time.Minute, func(context.Context) { fill(t, l, 21, 30, 1000) })
	close(release)
	if err := <-done; !errors.Is(err, errStop) {
		t.Error(err)
	}
}

// That an append is one sync is seen with strace only; that there is one at all
// hangs on this.
func TestServerSyncsAlways(t *testing.T) {
	s := openStore(t, t.TempDir())
	e, err := s.engine()
	if err != nil {
		t.Fatal(err)
	}
	if c := e.server.JetStreamConfig(); c == nil || !c.SyncAlways {
		t.Errorf("the server runs with %+v", c)
	}
}
