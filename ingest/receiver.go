package ingest

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fengsui/ingest/journal"
)

// ErrClosed is returned by [Receiver.Submit] once [Receiver.Run] has ended:
// nobody would put the message on disk.
var ErrClosed = errors.New("the intake is closed")

// RefusedLogFailed is the reason under which messages are counted that were
// received but could not be put on disk.
const RefusedLogFailed = "log_failed"

// LargestPayload bounds what sources may be told to take: an entry of the log,
// which holds at least one message, may not be longer than 8 MB even where
// nothing in it can be compressed.
const LargestPayload = 4 << 20

// Appender is the input log.
type Appender interface {
	// Append returns when data is on disk, as one entry holding count messages.
	// After an error the entry is not known to be there.
	Append(ctx context.Context, data []byte, count int) (journal.Mark, error)
}

// ReceiverOptions say where a [Receiver] puts messages and how many it holds.
type ReceiverOptions struct {
	Log Appender

	// MaxBatch is how many bytes of messages are put into one entry before the
	// next is begun. A single larger message makes an entry of its own.
	// Default 256 KiB: beyond it a sync costs more without carrying more.
	MaxBatch int

	// MaxPending is how many bytes of messages may wait for the disk before
	// Submit blocks. Default 2 MiB: eight batches keep the disk busy, and more
	// would only make every message wait behind those of a flood.
	MaxPending int

	// Pace, if set, is called before each entry and may hold it back for a
	// moment, so that those who read the log keep up with it.
	Pace func(ctx context.Context)

	// Now is the gateway's clock. It may stand still; where it steps back,
	// messages keep the latest time given. Default: wall time at start plus
	// monotonic time.
	Now func() time.Time

	// OnKept, if set, is told of each entry on disk: how many messages it
	// holds and how long the first of them waited.
	OnKept func(n int, waited time.Duration)

	Logger *slog.Logger
}

func (o *ReceiverOptions) fill() {
	if o.MaxBatch <= 0 {
		o.MaxBatch = 256 << 10
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 2 << 20
	}
	if o.Now == nil {
		start := time.Now()
		o.Now = func() time.Time { return start.Add(time.Since(start)) }
	}
	if o.Pace == nil {
		o.Pace = func(context.Context) {}
	}
	if o.OnKept == nil {
		o.OnKept = func(int, time.Duration) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Receiver takes messages from all sources, puts them on disk in batches and
// tells their senders when they are there.
//
// Batches form by themselves: while one is being synced, the next fills. A lone
// message is on disk after one sync, a flood shares one sync among thousands.
type Receiver struct {
	o    ReceiverOptions
	wake chan struct{} // tells Run, when it is idle, that there is something to do

	mu       sync.Mutex // guards everything below; held for well under a microsecond
	closed   error      // why Submit refuses; nil while it does not
	idle     bool       // Run waits on wake
	building *batch     // takes what is submitted; never nil
	full     []*batch   // waiting for the disk, oldest first
	spare    []*batch   // empty, for reuse
	pending  int        // bytes submitted or let in, and not yet settled
	waiting  []*turn    // who waits in Submit, in the order in which they came
	latest   int64      // newest received time given, in milliseconds
	books    books
}

// batch is what becomes one entry.
type batch struct {
	data  []byte
	acks  []ack
	count int       // messages the books count
	first time.Time // when its first message was submitted
	sums  []sum
}

// ack is one sender waiting to be told.
type ack struct {
	to       Acker
	packetID uint16
}

// NewReceiver makes a Receiver. It takes messages at once and puts them on disk
// as soon as Run is running.
func NewReceiver(o ReceiverOptions) *Receiver {
	o.fill()
	return &Receiver{o: o, wake: make(chan struct{}, 1), building: new(batch)}
}

// Submit takes a message and sets its received time. When it returns nil the
// message is encoded, m and all it points to may be reused, and a, unless nil,
// will be told exactly once what became of it. With an error the message is
// not taken, and a is not told.
//
// Submit blocks while MaxPending bytes wait for the disk, until there is room
// or ctx is done: that is the back-pressure on all sources. With a ctx that is
// done already it only tries. Nobody overtakes those who wait, so that one who
// sends a little waits no longer than one who floods.
func (r *Receiver) Submit(ctx context.Context, m *Message, a Acker) error {
	r.mu.Lock()
	if r.closed == nil && (r.pending >= r.o.MaxPending || len(r.waiting) > 0) {
		if err := r.wait(ctx, encodedSize(m)); err != nil {
			r.mu.Unlock()
			return err
		}
	}
	if err := r.closed; err != nil {
		r.mu.Unlock()
		return err
	}
	r.take(m, a)
	wake := r.idle
	r.idle = false
	r.mu.Unlock()
	if wake {
		select {
		case r.wake <- struct{}{}:
		default: // Run is being woken already
		}
	}
	return nil
}

// turn is one who waits in Submit.
type turn struct {
	size  int           // of the message, about
	come  chan struct{} // closed when it may go on
	in    bool          // size is part of pending
	leave bool          // it does not wait any more
}

// wait gives up the lock until it is the caller's turn.
func (r *Receiver) wait(ctx context.Context, size int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &turn{size: size, come: make(chan struct{})}
	r.waiting = append(r.waiting, t)
	r.mu.Unlock()
	var err error
	select {
	case <-t.come:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	t.leave = true
	if t.in {
		r.pending -= t.size // what it lets in counts from now on
	}
	if err != nil {
		r.admit()
	}
	return err
}

func (r *Receiver) take(m *Message, a Acker) {
	now := r.o.Now()
	r.latest = max(r.latest, now.UnixMilli())
	m.Received = time.UnixMilli(r.latest).UTC()

	b := r.building
	if len(b.data) > 0 && len(b.data)+encodedSize(m) > r.o.MaxBatch {
		r.full = append(r.full, b)
		b = r.empty()
		r.building = b
	}
	before := len(b.data)
	if before == 0 {
		b.first = now
	}
	b.data = AppendMessage(b.data, m)
	r.pending += len(b.data) - before
	if a != nil {
		b.acks = append(b.acks, ack{a, m.PacketID})
	}
	if m.Kind.Counted() {
		acct := r.books.account(m.Source)
		acct.received++
		acct.inFlight++
		b.count++
		b.add(acct)
	}
}

// Refuse counts a message that was received at the door and turned away there.
func (r *Receiver) Refuse(source, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	acct := r.books.account(source)
	acct.received++
	acct.refused[reason]++
}

// Run puts what is submitted on disk until ctx is done; then it commits what
// was taken until that moment and returns nil.
//
// While the log is full, nothing is acknowledged and all senders wait: whoever
// trims the log makes room. When the log fails, Run fails every message not yet on disk and returns the
// log's error: what follows is the caller's decision. Once Run has ended Submit
// refuses with ErrClosed; calling Run again opens the intake again.
func (r *Receiver) Run(ctx context.Context) error {
	r.reopen()
	whole := context.WithoutCancel(ctx) // an Append that has begun is not cut off
	for {
		b := r.next(ctx)
		if b == nil {
			return nil
		}
		r.o.Pace(ctx)
		if err := r.commit(ctx, whole, b); err != nil {
			r.fail(b, err)
			return err
		}
	}
}

func (r *Receiver) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = nil
}

// next returns the oldest batch, waiting for one to begin; nil when ctx is done
// and nothing is left.
func (r *Receiver) next(ctx context.Context) *batch {
	for {
		if ctx.Err() != nil {
			r.close()
		}
		if b, closed := r.oldest(); b != nil || closed {
			return b
		}
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

func (r *Receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = ErrClosed
	r.admit()
}

func (r *Receiver) oldest() (b *batch, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.full) > 0:
		b = r.full[0]
		r.full[0] = nil
		r.full = r.full[1:]
	case len(r.building.data) > 0:
		b = r.building
		r.building = r.empty()
	default:
		r.idle = true
	}
	return b, r.closed != nil
}

// commit puts a batch on disk and tells its senders.
func (r *Receiver) commit(ctx, whole context.Context, b *batch) error {
	if err := r.append(ctx, whole, b); err != nil {
		return err
	}
	waited := r.o.Now().Sub(b.first)
	r.settle(b, func(s sum) { s.account.kept += s.n })
	for _, a := range b.acks {
		a.to.Kept(a.packetID)
	}
	r.o.OnKept(b.count, waited)
	r.recycle(b)
	return nil
}

// append puts a batch into the log, waiting for room in it until ctx is done.
func (r *Receiver) append(ctx, whole context.Context, b *batch) error {
	const again = time.Second
	for tries := 0; ; tries++ {
		_, err := r.o.Log.Append(whole, b.data, b.count)
		if !errors.Is(err, journal.ErrFull) {
			return err
		}
		if tries == 0 {
			r.o.Logger.Error("the input log is full; all senders wait for room", "error", err)
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return err
		}
	}
}

// fail refuses the batch that could not be appended and all that wait behind it.
func (r *Receiver) fail(b *batch, err error) {
	r.close()
	r.o.Logger.Error("the input log failed; messages not yet on disk are refused and their senders dropped", "error", err)
	for ; b != nil; b, _ = r.oldest() {
		r.settle(b, func(s sum) { s.account.refused[RefusedLogFailed] += s.n })
		for _, a := range b.acks {
			a.to.Failed(a.packetID, err)
		}
		r.recycle(b)
	}
}

// settle takes a batch out of flight and lets blocked senders go on.
func (r *Receiver) settle(b *batch, enter func(sum)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range b.sums {
		s.account.inFlight -= s.n
		enter(s)
	}
	r.pending -= len(b.data)
	r.admit()
}

// admit lets those in who wait, first come first in, once half of what may be
// pending is free: a turn for each message would cost more than the message. When
// nobody waits any more the door is open to all. The lock is held.
func (r *Receiver) admit() {
	if r.closed == nil && r.pending > r.o.MaxPending/2 {
		return
	}
	n := 0
	for n < len(r.waiting) && (r.closed != nil || r.pending < r.o.MaxPending) {
		t := r.waiting[n]
		n++
		if !t.leave {
			t.in = true
			r.pending += t.size
			close(t.come)
		}
	}
	r.waiting = slices.Delete(r.waiting, 0, n)
}

// empty returns a batch to fill. The lock is held.
func (r *Receiver) empty() *batch {
	if n := len(r.spare); n > 0 {
		b := r.spare[n-1]
		r.spare = r.spare[:n-1]
		return b
	}
	return new(batch)
}

// recycle keeps a few emptied batches of ordinary size for reuse.
func (r *Receiver) recycle(b *batch) {
	const keep = 4
	clear(b.acks) // let go of connections that have ended
	*b = batch{data: b.data[:0], acks: b.acks[:0], sums: b.sums[:0]}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spare) < keep && cap(b.data) <= 2*r.o.MaxBatch {
		r.spare = append(r.spare, b)
	}
}
