package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"fengsui/ingest"
	"fengsui/ingest/journal"
)

// memoryLog is an input log in memory whose syncs the test can hold up or fail.
type memoryLog struct {
	gate chan error // if set, each Append waits for a value and returns it

	mu      sync.Mutex
	entries [][]byte
	counts  []int
}

func (l *memoryLog) Append(_ context.Context, data []byte, count int) (journal.Mark, error) {
	if l.gate != nil {
		if err := <-l.gate; err != nil {
			return journal.Mark{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, bytes.Clone(data))
	l.counts = append(l.counts, count)
	return journal.Mark{Seq: uint64(len(l.entries))}, nil
}

// payloads returns the payloads on disk, in order.
func (l *memoryLog) payloads(t interface{ Fatal(...any) }) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.entries {
		messages, err := decode(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			out = append(out, string(m.Payload))
		}
	}
	return out
}

// told records what an Acker was told.
type told struct {
	mu   sync.Mutex
	what []string
}

func (a *told) Kept(id uint16)              { a.note(fmt.Sprint("kept ", id)) }
func (a *told) Failed(id uint16, err error) { a.note(fmt.Sprint("failed ", id, ": ", err)) }

func (a *told) note(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.what = append(a.what, s)
}

func (a *told) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.what)
}

func publish(id uint16, payload string) *ingest.Message {
	return &ingest.Message{Kind: ingest.Publish, Source: "embedded", Topic: "v1/s/d/telemetry", Payload: []byte(payload), QoS: 1, PacketID: id}
}

func mustSubmit(t interface{ Fatal(...any) }, r *ingest.Receiver, m *ingest.Message, a ingest.Acker) {
	if err := r.Submit(context.Background(), m, a); err != nil {
		t.Fatal("submit:", err)
	}
}

func TestAcknowledgedOnlyAfterTheSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{gate: make(chan error)}
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()

		var sender told
		mustSubmit(t, r, publish(1, "a"), &sender)
		synctest.Wait() // the first is being synced
		mustSubmit(t, r, publish(2, "b"), &sender)
		mustSubmit(t, r, publish(3, "c"), &sender)
		synctest.Wait()
		if got := sender.all(); len(got) != 0 {
			t.Errorf("told %q while nothing is on disk", got)
		}

		log.gate <- nil
		synctest.Wait()
		if got, want := sender.all(), []string{"kept 1"}; !slices.Equal(got, want) {
			t.Errorf("after the first sync told %q, want %q", got, want)
		}
		log.gate <- nil
		synctest.Wait()
		if got, want := sender.all(), []string{"kept 1", "kept 2", "kept 3"}; !slices.Equal(got, want) {
			t.Errorf("after the second sync told %q, want %q", got, want)
		}
		if got, want := log.counts, []int{1, 2}; !slices.Equal(got, want) {
			t.Errorf("entries of %v messages, want %v: what came during a sync shares the next", got, want)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
	})
}

func TestCancelledRunCommitsWhatItHasTaken(t *testing.T) {
	log := &memoryLog{}
	r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log, MaxBatch: 100})
	var sender told
	var want []string
	for id := range uint16(50) {
		mustSubmit(t, r, publish(id, "p"), &sender)
		want = append(want, fmt.Sprint("kept ", id))
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.Run(ctx); err != nil {
		t.Fatal("Run:", err)
	}
	if got := sender.all(); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
	if err := r.Submit(t.Context(), publish(51, "late"), &sender); !errors.Is(err, ingest.ErrClosed) {
		t.Errorf("after the end Submit says %v, want ErrClosed", err)
	}
}

func TestFailedAppendFailsAllThatIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no space left on device")
		log := &memoryLog{gate: make(chan error)}
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log})
		ended := make(chan error, 1)
		go func() { ended <- r.Run(t.Context()) }()

		var sender told
		mustSubmit(t, r, publish(1, "a"), &sender)
		synctest.Wait()
		mustSubmit(t, r, publish(2, "b"), &sender)
		log.gate <- broken
		if err := <-ended; err != broken {
			t.Errorf("Run returned %v, want the log's own error", err)
		}
		want := []string{"failed 1: no space left on device", "failed 2: no space left on device"}
		if got := sender.all(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		s := r.Stats()["embedded"]
		if s.Received != 2 || s.Kept != 0 || s.InFlight != 0 || s.Refused[ingest.RefusedLogFailed] != 2 {
			t.Errorf("books: %+v", s)
		}
		if err := r.Submit(t.Context(), publish(3, "c"), &sender); !errors.Is(err, ingest.ErrClosed) {
			t.Errorf("after the failure Submit says %v, want ErrClosed", err)
		}

		// The disk is back: the same intake goes on.
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		mustSubmit(t, r, publish(4, "d"), &sender)
		log.gate <- nil
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error("second Run:", err)
		}
		if got := log.payloads(t); !slices.Equal(got, []string{"d"}) {
			t.Errorf("on disk: %q, want only what came after the disk was back", got)
		}
	})
}

func TestSubmitBlocksWhileTooMuchIsPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{gate: make(chan error)}
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log, MaxPending: 1000})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		mustSubmit(t, r, publish(1, string(make([]byte, 2000))), nil)

		timed, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Submit(timed, publish(2, "b"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Submit with the disk stuck says %v, want the caller's deadline", err)
		}

		entered := make(chan error, 1)
		go func() { entered <- r.Submit(t.Context(), publish(3, "c"), nil) }()
		synctest.Wait()
		if len(entered) != 0 {
			t.Error("Submit returned although the disk is stuck")
		}
		log.gate <- nil
		if err := <-entered; err != nil {
			t.Error("Submit after the sync:", err)
		}
		log.gate <- nil
		stop()
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
		if s := r.Stats()["embedded"]; s.Received != 2 || s.Kept != 2 {
			t.Errorf("books: %+v; what Submit did not take must not be in them", s)
		}
	})
}

// However hard one sender floods, another waits for what was taken before it and
// no longer.
func TestOneWhoFloodsDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{gate: make(chan error)}
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log, MaxPending: 10_000, MaxBatch: 1000})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		for range 3 {
			go func() {
				for r.Submit(ctx, publish(0, string(make([]byte, 100))), nil) == nil {
				}
			}()
		}
		synctest.Wait() // the flood waits for room
		const others = 5
		for i := range others {
			go r.Submit(ctx, publish(0, fmt.Sprint("other ", i)), nil)
			synctest.Wait()
		}
		before := r.Pending()
		var order []string
		for sums := 0; len(order) < others && sums < 20_000; {
			log.gate <- nil
			synctest.Wait()
			sums, order = 0, order[:0]
			for _, p := range log.payloads(t) {
				sums += len(p)
				if len(p) < 100 {
					order = append(order, p)
				}
			}
			if sums > before+10_000 {
				break
			}
		}
		slices.Sort(order) // those let in together come in any order
		if want := []string{"other 0", "other 1", "other 2", "other 3", "other 4"}; !slices.Equal(order, want) {
			t.Errorf("after twice what was pending, there are %q", order)
		}
		stop()
		close(log.gate)
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
	})
}

// A full log is no failed one: nothing is acknowledged or refused, and when there
// is room again it goes on.
func TestFullLogIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{gate: make(chan error)}
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		a := &told{}
		mustSubmit(t, r, publish(1, "a"), a)
		for range 3 {
			log.gate <- fmt.Errorf("%w: 5 bytes of 5", journal.ErrFull)
		}
		if got := a.all(); len(got) != 0 {
			t.Errorf("the sender was told %q", got)
		}
		log.gate <- nil
		synctest.Wait()
		if got := a.all(); !slices.Equal(got, []string{"kept 1"}) {
			t.Errorf("the sender was told %q", got)
		}
		mustSubmit(t, r, publish(2, "b"), a)
		log.gate <- journal.ErrFull
		synctest.Wait()
		stop() // does not wait for room
		if err := <-ended; !errors.Is(err, journal.ErrFull) {
			t.Errorf("Run: %v", err)
		}
		if got := a.all(); len(got) != 2 || !strings.HasPrefix(got[1], "failed 2") {
			t.Errorf("the sender was told %q", got)
		}
	})
}

func TestShutdownReleasesBlockedSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{gate: make(chan error)}
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log, MaxPending: 10})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		mustSubmit(t, r, publish(1, "fills it"), nil)
		entered := make(chan error, 1)
		go func() { entered <- r.Submit(t.Context(), publish(2, "b"), nil) }()
		synctest.Wait()
		stop()
		log.gate <- nil
		if err := <-entered; err != nil && !errors.Is(err, ingest.ErrClosed) {
			t.Error("blocked Submit:", err)
		}
		close(log.gate) // should it have got in, it is committed
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
	})
}

func TestBatchesAreSplitAtMaxBatch(t *testing.T) {
	log := &memoryLog{}
	r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log, MaxBatch: 4 << 10})
	var want []string
	for i := range 100 {
		payload := fmt.Sprintf("%03d%s", i, make([]byte, 200))
		if i == 50 {
			payload = string(make([]byte, 20<<10)) // larger than a batch: an entry of its own
		}
		want = append(want, payload)
		mustSubmit(t, r, publish(1, payload), nil)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := log.payloads(t); !slices.Equal(got, want) {
		t.Error("the payloads on disk are not those submitted, in order")
	}
	for i, e := range log.entries {
		if len(e) > 4<<10 && log.counts[i] != 1 {
			t.Errorf("entry %d has %d bytes in %d messages", i, len(e), log.counts[i])
		}
	}
	if len(log.entries) > 12 {
		t.Errorf("%d entries, want them filled", len(log.entries))
	}
}

func TestReceivedTimeNeverStepsBack(t *testing.T) {
	clock := []int64{1000, 2000, 500, 2500}
	r := ingest.NewReceiver(ingest.ReceiverOptions{Log: &memoryLog{}, Now: func() time.Time {
		now := time.UnixMilli(clock[0])
		clock = clock[1:]
		return now
	}})
	for _, want := range []int64{1000, 2000, 2000, 2500} {
		m := publish(1, "")
		mustSubmit(t, r, m, nil)
		if got := m.Received.UnixMilli(); got != want {
			t.Errorf("received at %d, want %d", got, want)
		}
	}
}

func TestOnlyWhatClientsPublishIsInTheBooks(t *testing.T) {
	log := &memoryLog{}
	r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log})
	for k := ingest.Publish; k <= ingest.Replayed; k++ {
		mustSubmit(t, r, &ingest.Message{Kind: k, Source: "embedded"}, nil)
	}
	r.Refuse("embedded", "too_big")
	s := r.Stats()["embedded"]
	if s.Received != 3 || s.InFlight != 2 || s.Refused["too_big"] != 1 {
		t.Errorf("books: %+v, want a publish and a will in flight and one refused", s)
	}
}

func TestOnKeptTellsHowLongTheFirstWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &memoryLog{gate: make(chan error)}
		var n int
		var waited time.Duration
		r := ingest.NewReceiver(ingest.ReceiverOptions{Log: log, OnKept: func(k int, w time.Duration) { n, waited = k, w }})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		mustSubmit(t, r, publish(1, "a"), nil)
		time.Sleep(30 * time.Millisecond) // of the bubble's clock
		log.gate <- nil
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if n != 1 || waited != 30*time.Millisecond {
			t.Errorf("kept %d after %v, want 1 after 30ms", n, waited)
		}
	})
}

// The books balance at every moment, each sender is told exactly once and in
// order, and only of what is on disk, whatever the log does.
func TestBooksBalanceProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		h.run(rapid.IntRange(1, 4).Draw(t, "senders"), rapid.IntRange(0, 200).Draw(t, "messages each"))
		h.check()
	})
}

// history drives a Receiver with a log that fails at a chosen append.
type history struct {
	t       *rapid.T
	r       *ingest.Receiver
	log     *failingLog
	senders []*told
	took    []int // messages taken from each sender
}

type failingLog struct {
	memoryLog
	failAt int // which append fails, from 0; -1 for none
	n      int
}

func (l *failingLog) Append(ctx context.Context, data []byte, count int) (journal.Mark, error) {
	l.n++
	if l.n-1 == l.failAt {
		return journal.Mark{}, errors.New("disk")
	}
	return l.memoryLog.Append(ctx, data, count)
}

func newHistory(t *rapid.T) *history {
	h := &history{t: t, log: &failingLog{failAt: rapid.IntRange(-1, 6).Draw(t, "failing append")}}
	h.r = ingest.NewReceiver(ingest.ReceiverOptions{
		Log:        h.log,
		MaxBatch:   rapid.IntRange(1, 2000).Draw(t, "max batch"),
		MaxPending: rapid.IntRange(1, 5000).Draw(t, "max pending"),
	})
	return h
}

func (h *history) run(senders, each int) {
	ctx, stop := context.WithCancel(context.Background())
	committer := make(chan error, 1)
	go func() { committer <- h.r.Run(ctx) }()

	watched := make(chan struct{})
	watching := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-watching:
				return
			default:
				h.balance()
			}
		}
	}()

	h.senders = make([]*told, senders)
	h.took = make([]int, senders)
	var wg sync.WaitGroup
	for i := range senders {
		h.senders[i] = new(told)
		wg.Go(func() {
			for id := range each {
				m := publish(uint16(id), fmt.Sprintf("%d/%d", i, id))
				m.Source = fmt.Sprint("source ", i%2)
				if h.r.Submit(ctx, m, h.senders[i]) != nil {
					return
				}
				h.took[i]++
				if id%5 == 0 {
					h.r.Refuse(m.Source, "not_authorized")
				}
			}
		})
	}
	wg.Wait()
	stop()
	<-committer
	close(watching)
	<-watched
}

func (h *history) balance() {
	for name, s := range h.r.Stats() {
		refused := uint64(0)
		for _, n := range s.Refused {
			refused += n
		}
		if s.Received != s.Kept+refused+s.InFlight {
			h.t.Errorf("%s: received %d, kept %d, refused %d, in flight %d", name, s.Received, s.Kept, refused, s.InFlight)
		}
	}
}

func (h *history) check() {
	h.balance()
	onDisk := make(map[string]int)
	for _, p := range h.log.payloads(h.t) {
		onDisk[p]++
	}
	for i, sender := range h.senders {
		what := sender.all()
		if len(what) != h.took[i] {
			h.t.Fatalf("sender %d: %d messages taken, told of %d", i, h.took[i], len(what))
		}
		for id, what := range what {
			payload := fmt.Sprintf("%d/%d", i, id)
			kept := what == fmt.Sprint("kept ", id)
			if !kept && what != fmt.Sprint("failed ", id, ": disk") {
				h.t.Fatalf("sender %d was told %q where message %d is due", i, what, id)
			}
			if kept != (onDisk[payload] == 1) || onDisk[payload] > 1 {
				h.t.Fatalf("message %s is %d times on disk, its sender was told %q", payload, onDisk[payload], what)
			}
		}
	}
	for name, s := range h.r.Stats() {
		if s.InFlight != 0 {
			h.t.Errorf("%s: %d still in flight after the end", name, s.InFlight)
		}
	}
	if h.r.Pending() != 0 {
		h.t.Errorf("%d bytes still pending after the end", h.r.Pending())
	}
}

// devNull is a log that costs nothing, so that only the Receiver is measured.
type devNull struct{}

func (devNull) Append(context.Context, []byte, int) (journal.Mark, error) { return journal.Mark{}, nil }

type silent struct{}

func (silent) Kept(uint16)          {}
func (silent) Failed(uint16, error) {}

func BenchmarkSubmit(b *testing.B) {
	r := ingest.NewReceiver(ingest.ReceiverOptions{Log: devNull{}})
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	m := &ingest.Message{Kind: ingest.Publish, Source: "embedded", Client: "meter-0007", User: "site-3", QoS: 1, PacketID: 7,
		Topic: "v1/site-3/meter-0007/telemetry", Payload: bytes.Repeat([]byte("x"), 120)}
	var a silent
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Submit(ctx, m, a); err != nil {
			b.Fatal(err)
		}
	}
	stop()
	<-ended
}
