package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"fengsui/ingest/journal"
)

const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
	// stoppedRetry is how often a sink that waits for a person is tried.
	stoppedRetry = 10 * time.Second
	// maxBusy bounds what a sink may ask for with Busy.
	maxBusy = 10 * time.Minute

	// A cursor is saved this often, and at the latest after this many bytes: all
	// that is written again after a crash.
	saveEvery = time.Second
	saveBytes = 64 << 20

	// fillTime is how long the writer, behind the head, waits for a batch to fill.
	fillTime = 100 * time.Millisecond
)

// RunnerOptions of a runner. Sink, Log and Cursor are required.
type RunnerOptions struct {
	Sink   Sink
	Log    Log
	Cursor Cursor
	Logger *slog.Logger // nil: discard

	// A batch holds at most so many units and bytes, or one record. Memory is
	// bounded by two batches. Zero: 20,000 units, 8 MiB.
	MaxUnits int
	MaxBytes int
	// Interval is the least time between the starts of two writes at the head of
	// the log, for sinks whose cost is by request. The first record after a pause
	// is written at once all the same. Zero: no limit.
	Interval time.Duration
}

// Runner moves records from a log to a sink. While one batch is being written
// the next is read.
type Runner struct {
	o      RunnerOptions
	logger *slog.Logger

	filled chan struct{} // to the writer: the gathering batch has changed
	room   chan struct{} // to the reader: the gathering batch was taken

	// Of the writer alone.
	spare      *batch
	lastStart  time.Time
	lastSave   time.Time
	unsaved    int // bytes written since the cursor was saved
	retryDelay time.Duration
	catchUp    catchUp

	mu        sync.Mutex
	gathering *batch
	state     state
}

// NewRunner makes a runner that does nothing before Run.
func NewRunner(o RunnerOptions) *Runner {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxUnits <= 0 {
		o.MaxUnits = 20_000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 8 << 20
	}
	return &Runner{
		o:         o,
		logger:    o.Logger.With("sink", o.Sink.Name()),
		filled:    make(chan struct{}, 1),
		room:      make(chan struct{}, 1),
		spare:     new(batch),
		gathering: new(batch),
		state:     state{sink: o.Sink.Name()},
	}
}

// Run delivers until ctx ends, then saves the cursor and returns nil. Faults of
// the sink never end it. It returns an error when it cannot know its place any
// more: the cursor cannot be loaded or was moved by somebody else, the log lost
// its tail, or the store was closed.
func (r *Runner) Run(ctx context.Context) error {
	from, err := r.begin(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() {
		defer stop()
		readErr = r.read(ctx, from+1)
	})
	writeErr := r.write(ctx)
	stop()
	reading.Wait()
	if writeErr != nil {
		return errors.Join(readErr, writeErr)
	}
	return errors.Join(readErr, r.saveAtStop(ctx))
}

// begin finds the runner's place in the log.
func (r *Runner) begin(ctx context.Context) (uint64, error) {
	at, err := r.o.Cursor.Load(ctx)
	if err != nil && !errors.Is(err, journal.ErrCursorAhead) {
		return 0, fmt.Errorf("load the cursor of sink %s: %w", r.o.Sink.Name(), err)
	}
	head := r.o.Log.Last()
	ahead := uint64(0)
	if at > head.Seq {
		// The log lost its tail or was replaced. Waiting for the old position would
		// skip whatever gets those numbers next.
		r.logger.Error("cursor was past the end of the log; going on at its end", "cursor", at, "end", head.Seq)
		at, ahead = head.Seq, at-head.Seq
		if err := r.o.Cursor.Save(ctx, at); err != nil {
			return 0, fmt.Errorf("put the cursor of sink %s back to %d: %w", r.o.Sink.Name(), at, err)
		}
	}
	r.mu.Lock()
	r.state.begin(time.Now(), at, head)
	r.state.ahead = ahead
	r.mu.Unlock()
	return at, nil
}

// read keeps the gathering batch filled from position next on.
func (r *Runner) read(ctx context.Context, next uint64) error {
	delay := minBackoff
	for ctx.Err() == nil {
		err := r.o.Log.Read(ctx, next, func(rec journal.Record) error {
			if err := r.put(ctx, rec); err != nil {
				return err
			}
			next = rec.Seq + 1
			delay = minBackoff
			return nil
		})
		var gap *journal.GapError
		var damaged *journal.CorruptError
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &gap):
			r.lost(gap.From, gap.To, err)
			next = gap.To + 1
		case errors.As(err, &damaged):
			r.lost(damaged.Seq, damaged.Seq, err)
			next = damaged.Seq + 1
		case errors.Is(err, journal.ErrClosed), errors.Is(err, journal.ErrCursorAhead):
			return fmt.Errorf("read for sink %s: %w", r.o.Sink.Name(), err)
		default:
			r.note(fmt.Errorf("read the log: %w", err))
			sleep(ctx, jitter(delay))
			delay = min(2*delay, maxBackoff)
		}
	}
	return nil
}

// put copies a record into the gathering batch and waits for room if need be.
func (r *Runner) put(ctx context.Context, rec journal.Record) error {
	for !r.tryPut(rec) {
		select {
		case <-r.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	signal(r.filled)
	return nil
}

func (r *Runner) tryPut(rec journal.Record) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.gathering
	if !b.fits(rec, r.o.MaxUnits, r.o.MaxBytes) {
		b.full = true
		signal(r.filled)
		return false
	}
	if b.empty() {
		b.begun = time.Now()
	}
	b.add(rec, r.o.MaxBytes)
	r.state.read(rec)
	return true
}

// write takes batches and delivers them until ctx ends.
func (r *Runner) write(ctx context.Context) error {
	for {
		b, err := r.take(ctx)
		if err != nil {
			return err
		}
		if b == nil {
			return nil
		}
		if err := r.deliver(ctx, b); err != nil {
			return err
		}
		r.spare = b
	}
}

// take waits for a batch that should be written now: a full one, what there is
// at the head of the log, or what has gathered behind it for a while. It
// returns nil when ctx ends. While it waits, the cursor is saved when due.
func (r *Runner) take(ctx context.Context) (*batch, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if ctx.Err() != nil {
			return nil, nil
		}
		if err := r.saveWhenDue(ctx); err != nil {
			return nil, err
		}
		b, wait := r.ready()
		if b != nil {
			return b, nil
		}
		if r.unsaved > 0 {
			wait = min(wait, time.Until(r.lastSave.Add(saveEvery)))
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-r.filled:
		case <-timer.C:
		}
	}
}

// ready swaps the gathering batch for an empty one if it should be written now,
// or says how long to wait at most before looking again.
func (r *Runner) ready() (*batch, time.Duration) {
	head := r.o.Log.Last().Seq
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.gathering
	if b.empty() {
		return nil, time.Hour
	}
	due := b.begun.Add(fillTime)
	if b.last().Seq >= head {
		due = r.lastStart.Add(r.o.Interval)
	}
	if wait := time.Until(due); wait > 0 && !b.full {
		return nil, wait
	}
	r.spare.reset(r.o.MaxBytes)
	r.gathering, r.spare = r.spare, nil
	signal(r.room)
	b.seal()
	r.state.taken(b)
	return b, 0
}

// deliver writes a batch until the sink accepts it, or ctx ends.
func (r *Runner) deliver(ctx context.Context, b *batch) error {
	r.retryDelay = minBackoff
	for {
		r.lastStart = time.Now()
		err := r.o.Sink.Write(ctx, b.records)
		if err == nil {
			r.accepted(b)
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		wait := r.failed(err)
		if err := r.save(ctx); err != nil {
			return err
		}
		sleep(ctx, wait)
	}
}

func (r *Runner) accepted(b *batch) {
	if r.unsaved == 0 {
		r.lastSave = time.Now() // what follows is unsaved from now on
	}
	r.unsaved += len(b.arena) + len(b.records)
	r.mu.Lock()
	recovered := r.state.accepted(time.Now(), b, r.o.Log.Last())
	r.mu.Unlock()
	if recovered {
		r.logger.Info("sink accepts again", "position", b.last().Seq)
	}
	now, age := time.Now(), time.Duration(0)
	if b.last().Seq < r.o.Log.Last().Seq {
		age = time.Since(b.last().Time)
	}
	r.catchUp.follow(r.logger, now, age, r.Status)
}

// failed notes an error of the sink and says how long to wait.
func (r *Runner) failed(err error) time.Duration {
	r.note(err)
	var stopped *Stopped
	if errors.As(err, &stopped) {
		return stoppedRetry
	}
	wait := jitter(r.retryDelay)
	r.retryDelay = min(2*r.retryDelay, maxBackoff)
	var busy *Busy
	if errors.As(err, &busy) {
		wait = max(wait, min(busy.After, maxBusy))
	}
	return wait
}

// note counts an error and logs it unless it only repeats the one before.
func (r *Runner) note(err error) {
	r.mu.Lock()
	repeated := r.state.failed(time.Now(), err)
	r.mu.Unlock()
	if !repeated {
		r.logger.Warn("sink does not get on; trying again", "err", err)
	}
}

func (r *Runner) lost(from, to uint64, err error) {
	r.mu.Lock()
	r.state.lost(time.Now(), from, to, r.gathering.empty())
	r.mu.Unlock()
	r.logger.Error("entries never reached the sink", "entries", to-from+1, "err", err)
}

func (r *Runner) saveWhenDue(ctx context.Context) error {
	if r.unsaved == 0 || r.unsaved < saveBytes && time.Since(r.lastSave) < saveEvery {
		return nil
	}
	return r.save(ctx)
}

// save puts the cursor on disk. Only a conflict is an error; anything else is
// noted and tried again when the next save is due.
func (r *Runner) save(ctx context.Context) error {
	if r.unsaved == 0 {
		return nil
	}
	r.mu.Lock()
	at := r.state.position
	r.mu.Unlock()
	r.lastSave = time.Now()
	err := r.o.Cursor.Save(ctx, at)
	if errors.Is(err, journal.ErrConflict) || errors.Is(err, journal.ErrClosed) {
		return fmt.Errorf("save the cursor of sink %s: %w", r.o.Sink.Name(), err)
	}
	if err != nil {
		if ctx.Err() == nil {
			r.note(fmt.Errorf("save the cursor: %w", err))
		}
		return nil
	}
	r.unsaved = 0
	r.mu.Lock()
	r.state.saved = at
	r.mu.Unlock()
	return nil
}

func (r *Runner) saveAtStop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.save(ctx)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// jitter spreads retries of many sinks over time: between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
