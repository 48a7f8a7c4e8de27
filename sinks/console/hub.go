package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

// AlarmLog is the part of [journal.KeyedLog] that the hub follows.
type AlarmLog interface {
	// Read calls fn with every record from position from on and follows the head.
	Read(ctx context.Context, from uint64, fn func(journal.Record) error) error
	// Latest calls fn with the last record of every key as of one moment.
	Latest(ctx context.Context, fn func(journal.Record) error) error
	At(ctx context.Context, seq uint64) (journal.Record, error)
	Last() journal.Mark
	Epoch() string
}

// ReadingsLog is the part of [journal.Log] that live values come from.
type ReadingsLog interface {
	Read(ctx context.Context, from uint64, fn func(journal.Record) error) error
	First() journal.Mark
	Last() journal.Mark
}

// HubOptions are the parts and bounds of a [Hub].
type HubOptions struct {
	Alarms   AlarmLog
	Readings ReadingsLog   // nil: no live values
	Health   func() Health // what the gateway knows of itself; asked each second
	Build    string        // of the page that is served

	Events      int           // recent events held for who resumes; default 10,000
	EventBytes  int           // bytes of them; default 32 MiB
	MaxBehind   int           // events a live socket may be behind before it is dropped; default 4,096
	MaxConsoles int           // default 1,000
	ClosedKept  int           // closed alarms that can be listed; default 10,000
	MaxDevices  int           // devices whose newest values are held; default 100,000
	WriteWait   time.Duration // the longest one write to a socket may take; default 10 s

	// OnPublished and OnSeen are told how old an event was when it was handed to
	// the sockets, and when a page said that it is on screen.
	OnPublished func(age time.Duration)
	OnSeen      func(age time.Duration, visible bool)

	Now    func() time.Time // default time.Now
	Logger *slog.Logger
}

func (o *HubOptions) setDefaults() {
	if o.Events <= 0 {
		o.Events = 10_000
	}
	if o.EventBytes <= 0 {
		o.EventBytes = 32 << 20
	}
	if o.MaxBehind <= 0 {
		o.MaxBehind = 4096
	}
	o.MaxBehind = min(o.MaxBehind, o.Events)
	if o.MaxConsoles <= 0 {
		o.MaxConsoles = 1000
	}
	if o.ClosedKept <= 0 {
		o.ClosedKept = 10_000
	}
	if o.MaxDevices <= 0 {
		o.MaxDevices = 100_000
	}
	if o.WriteWait <= 0 {
		o.WriteWait = 10 * time.Second
	}
	if o.Health == nil {
		o.Health = func() Health { return Health{} }
	}
	if o.OnPublished == nil {
		o.OnPublished = func(time.Duration) {}
	}
	if o.OnSeen == nil {
		o.OnSeen = func(time.Duration, bool) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Hub follows the alarm log and hands what happens to everybody who listens.
// It holds the present (the alarms as they stand) and the recent past (a ring of
// events). Nobody is waited for: listeners are woken and read on from where they
// are, at their own pace.
type Hub struct {
	o          HubOptions
	values     *values
	rejections *rejections
	loaded     chan struct{} // closed when the present is known
	ended      chan struct{} // closed when Run is ending

	mu        sync.RWMutex // guards what follows
	life      int          // grows whenever the present was built anew; sockets then start over
	epoch     string
	seq       uint64 // of the newest event in present and ring
	present   *present
	ring      *ring
	listeners map[*listener]struct{}
	sockets   map[*socket]struct{}
	joined    uint64 // sockets ever
	closing   bool
	// stopReading ends the read of the alarm log, so that it is begun anew.
	stopReading context.CancelCauseFunc
	health      Health
	healthNow   *frame
	beat        uint64 // grows with every health frame
	lag         logLag
	stats       Stats

	snapshotMu sync.Mutex // one snapshot is encoded at a time
	snapshot   *snapshot

	running sync.WaitGroup // sockets
}

// Stats counts what the hub did since it was made.
type Stats struct {
	Consoles  int // sockets now
	Events    uint64
	Resumes   uint64
	Snapshots uint64
	Slow      uint64 // sockets dropped because they did not keep up
	MaxBehind uint64 // of the live sockets now
}

// listener is somebody who wants to be woken when there is something new.
type listener struct{ wake chan struct{} }

func (l *listener) nudge() {
	select {
	case l.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// NewHub makes a hub that knows nothing before Run.
func NewHub(o HubOptions) *Hub {
	o.setDefaults()
	return &Hub{
		o:          o,
		values:     newValues(o.MaxDevices),
		rejections: newRejections(o.Readings),
		loaded:     make(chan struct{}),
		ended:      make(chan struct{}),
		present:    newPresent(o.ClosedKept),
		ring:       newRing(o.Events, o.EventBytes),
		listeners:  map[*listener]struct{}{},
		sockets:    map[*socket]struct{}{},
	}
}

// Run follows the logs and serves sockets until ctx ends; it returns when every
// socket has been told and closed.
func (h *Hub) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { h.keepOn(ctx, "alarm log", h.followAlarms) })
	if h.o.Readings != nil {
		parts.Go(func() { h.keepOn(ctx, "readings log", h.followReadings) })
	}
	parts.Go(func() { h.tick(ctx) })
	<-ctx.Done()
	close(h.ended)
	h.closeSockets()
	parts.Wait()
	h.running.Wait()
	return nil
}

// keepOn repeats follow until ctx ends: a log that cannot be read now is tried
// again, and meanwhile the health frame says that the console is behind.
func (h *Hub) keepOn(ctx context.Context, what string, follow func(context.Context) error) {
	var said string
	for {
		err := follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if text := fmt.Sprint(err); text != said { // not the same each second
			h.o.Logger.Error("console lost a log, reading it again until it can", "log", what, "error", err)
			said = text
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// followAlarms builds the present, unless it is known already, and reads on.
// Entries that are lost or damaged are passed on as numbers without an alarm.
func (h *Hub) followAlarms(ctx context.Context) error {
	if err := h.load(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	h.mu.Lock()
	h.stopReading = stop
	h.mu.Unlock()
	for {
		err := h.o.Alarms.Read(ctx, h.Seq()+1, h.take)
		last, lost := lostUpTo(err)
		if !lost {
			return errors.Join(context.Cause(ctx), err)
		}
		h.o.Logger.Error("events of the alarm log are lost", "from", h.Seq()+1, "to", last, "error", err)
		if err := h.skip(last); err != nil {
			return err
		}
	}
}

// lostUpTo says which entry is the last that a reader has to do without.
func lostUpTo(err error) (last uint64, lost bool) {
	var gap *journal.GapError
	var corrupt *journal.CorruptError
	switch {
	case errors.As(err, &gap):
		return gap.To, true
	case errors.As(err, &corrupt):
		return corrupt.Seq, true
	}
	return 0, false
}

// skip passes lost events on as numbers, so that nobody mistakes them for a gap
// of the connection; of very many it makes a new beginning.
func (h *Hub) skip(last uint64) error {
	from := h.Seq() + 1
	if last < from || last-from >= uint64(h.o.Events) {
		h.mu.Lock()
		h.epoch = ""
		h.mu.Unlock()
		return fmt.Errorf("events %d to %d of the alarm log are lost", from, last)
	}
	for seq := from; seq <= last; seq++ {
		lost, err := encodeEvent(alarms.Event{Seq: seq, Type: unreadable, Time: alarms.Time(h.o.Now().UnixMilli())})
		if err != nil {
			return err
		}
		if err := h.publish(lost); err != nil {
			return err
		}
	}
	return nil
}

// load builds the present from the last event of every alarm. It stands at the
// newest of them, or, should that be unreadable, at the end of the log before.
func (h *Hub) load(ctx context.Context) error {
	epoch, last := h.o.Alarms.Epoch(), h.o.Alarms.Last().Seq
	h.mu.RLock()
	known := h.life > 0 && h.epoch == epoch && h.seq <= last
	h.mu.RUnlock()
	if known {
		return nil
	}
	p := newPresent(h.o.ClosedKept)
	err := h.o.Alarms.Latest(ctx, func(r journal.Record) error {
		last = max(last, r.Seq)
		e, err := alarms.DecodeEvent(r.Data, r.Seq)
		if err != nil {
			h.o.Logger.Error("an alarm on record cannot be read", "seq", r.Seq, "key", r.Subject, "error", err)
			return nil
		}
		p.apply(&e.Alarm, encodeAlarm(&e.Alarm))
		return nil
	})
	if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrGap) {
		h.o.Logger.Error("the last events of some alarms are damaged, they are not shown", "error", err)
	} else if err != nil {
		return fmt.Errorf("read the alarms as they stand: %w", err)
	}
	p.changed = true
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life++
	h.epoch, h.seq, h.present = epoch, last, p
	h.ring.clear()
	if h.life == 1 {
		close(h.loaded)
	}
	h.nudgeAll()
	h.o.Logger.Info("console knows the alarms", "epoch", epoch, "seq", last, "open", len(p.open))
	return nil
}

// another reports whether the log is no longer the one the present was built
// from: it has another epoch, or ends before what was published.
func (h *Hub) another() bool {
	h.mu.RLock()
	epoch, seq := h.epoch, h.seq
	h.mu.RUnlock()
	return h.o.Alarms.Epoch() != epoch || h.o.Alarms.Last().Seq < seq
}

var errAnother = errors.New("the alarm log is another one than before")

// checkLog begins to read anew when the log is another one, although no entry
// has come that would tell.
func (h *Hub) checkLog() {
	if !h.Loaded() || !h.another() {
		return
	}
	h.mu.RLock()
	stop := h.stopReading
	h.mu.RUnlock()
	if stop != nil {
		stop(errAnother)
	}
}

// take publishes one event of the alarm log.
func (h *Hub) take(r journal.Record) error {
	if h.another() {
		return errAnother
	}
	e, err := readEvent(r)
	if err != nil {
		if e.frame == nil {
			return err
		}
		h.o.Logger.Error("an event cannot be read, only its number is passed on", "seq", r.Seq, "error", err)
	}
	if err := h.publish(e); err != nil {
		return err
	}
	h.o.OnPublished(h.o.Now().Sub(r.Time))
	return nil
}

func (h *Hub) publish(e happening) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.seq != h.seq+1 {
		return fmt.Errorf("alarm log: entry %d came after %d", e.seq, h.seq)
	}
	h.present.apply(&e.event.Alarm, e.alarmJSON)
	h.ring.push(e.frame)
	h.seq = e.seq
	h.stats.Events++
	h.nudgeAll()
	return nil
}

// nudgeAll wakes everybody; the lock is held.
func (h *Hub) nudgeAll() {
	for l := range h.listeners {
		l.nudge()
	}
}

// listen registers somebody to be woken; call stop when done.
func (h *Hub) listen() (l *listener, stop func()) {
	l = &listener{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	h.listeners[l] = struct{}{}
	h.mu.Unlock()
	return l, func() {
		h.mu.Lock()
		delete(h.listeners, l)
		h.mu.Unlock()
	}
}

// Loaded reports whether the alarms as they stand are known.
func (h *Hub) Loaded() bool {
	select {
	case <-h.loaded:
		return true
	default:
		return false
	}
}

// Seq is the newest event the hub has published.
func (h *Hub) Seq() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.seq
}

// Stats of the hub now.
func (h *Hub) Stats() Stats {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.stats
	s.Consoles = len(h.sockets)
	for c := range h.sockets {
		if at := c.at.Load(); c.live.Load() && h.seq > at {
			s.MaxBehind = max(s.MaxBehind, h.seq-at)
		}
	}
	return s
}

// place is where a reader of the stream stands.
type place struct {
	life  int
	epoch string
	seq   uint64
}

// start is how a stream begins: nothing missed, events missed, or everything
// anew.
type start struct {
	place         // where the reader stands once it has applied frames
	head   uint64 // newest event now
	resume bool   // frames is empty, the events after place follow
	frames []*frame
}

// begin decides how a reader that holds (epoch, seq) goes on. It resumes when
// that is a place in this log and not too far back; the log itself says later
// whether it still has the events, see [Hub.replay].
func (h *Hub) begin(epoch string, seq uint64, limit uint64) (start, error) {
	h.mu.RLock()
	at := start{place: place{life: h.life, epoch: h.epoch, seq: seq}, head: h.seq}
	h.mu.RUnlock()
	if at.life == 0 {
		return at, errNotLoaded
	}
	if epoch == at.epoch && epoch != "" && seq <= at.head && at.head-seq <= limit {
		at.resume = true
		h.count(func(s *Stats) { s.Resumes++ })
		return at, nil
	}
	return h.anew()
}

var errNotLoaded = errors.New("the alarms are still being read, try again in a moment")

// anew starts with a snapshot.
func (h *Hub) anew() (start, error) {
	s, err := h.encodeSnapshot()
	if err != nil {
		return start{}, err
	}
	h.count(func(st *Stats) { st.Snapshots++ })
	return start{place: s.place, head: h.Seq(), frames: s.frames}, nil
}

func (h *Hub) count(f func(*Stats)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.stats)
}

// after gives the events that follow a place: from the ring, and nothing when
// the place is the head. errOlder means they are older than the ring, errAnew
// that the place is of a life the hub has left.
func (h *Hub) after(at place, limit int, out []*frame) ([]*frame, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if at.life != h.life {
		return out, errAnew
	}
	if at.seq == h.seq {
		return out, nil
	}
	out, held := h.ring.after(at.seq, limit, out)
	if !held {
		return out, errOlder
	}
	return out, nil
}

var (
	errOlder = errors.New("events are older than the ring")
	errAnew  = errors.New("the stream must start over")
)

// replayWait bounds how long the log may take to give older events.
const replayWait = 10 * time.Second

// replay reads events after a place from the log. errAnew means that the log no
// longer has them.
func (h *Hub) replay(ctx context.Context, at place, limit int) ([]*frame, error) {
	h.mu.RLock()
	head, life := h.seq, h.life
	h.mu.RUnlock()
	if life != at.life || at.seq > head {
		return nil, errAnew
	}
	limit = min(limit, int(head-at.seq))
	if limit == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, replayWait)
	defer cancel()
	var frames []*frame
	enough := errors.New("enough")
	err := h.o.Alarms.Read(ctx, at.seq+1, func(r journal.Record) error {
		if r.Seq != at.seq+1+uint64(len(frames)) {
			return errAnew
		}
		e, err := readEvent(r)
		if e.frame == nil {
			return err
		}
		if frames = append(frames, e.frame); len(frames) == limit {
			return enough
		}
		return nil
	})
	switch {
	case errors.Is(err, enough):
		return frames, nil
	case errors.Is(err, errAnew), errors.Is(err, journal.ErrGap), errors.Is(err, journal.ErrCorrupt), errors.Is(err, journal.ErrNotFound):
		return nil, errAnew
	default:
		return nil, fmt.Errorf("read older events: %w", err)
	}
}
