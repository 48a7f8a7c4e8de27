package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// judge is the spine of the gateway: every entry of the input log walks through
// it once, in receive order.
//
//	decode → who spoke, is it credible (devices) → what does it mean (rules) → what changed (alarms)
//
// One goroutine judges, so rules over a device, a site or the county see one
// order and one clock. What it decides leaves through two logs: alarm events,
// synced before anybody hears of them, and readings, appended behind it.
//
// Its clock is the receive time of the entry at hand, and wall time at the head
// of the input log; it never runs backwards.
type judge struct {
	judgeOptions
	Intake *devices.Intake
	Engine *rules.Engine

	position uint64 // of the last entry judged
	clock    int64  // Unix ms
	total    uint64 // messages in the input log up to position
	missing  uint64 // of those, lost, or no longer in the log when a replay had to begin behind them
	partial  bool   // the replay began behind messages no longer in the log
	replayTo uint64 // the head of the input log at the start
	quiet    quiet  // outputs recorded before the last stop are not repeated

	requests chan request
	spare    chan *entry
	sources  map[string]string // names of sources, of our own
	caught   chan struct{}     // closed once the judge has caught up
	timer    *time.Timer
	changes  []rules.Change
	pending  pending
	outcome  devices.Outcome
	registry *devices.Registry // in force at position
	version  uint64            // of it
	reached  bool              // the entry at hand changed over to it
	armed    int               // rules at points
	unarmed  int
	counts   counts
	replays  replays
	status   judgeStatus

	savedAt    time.Time
	savedTotal uint64 // total then
}

type judgeOptions struct {
	Input    *journal.Log
	InputEnd uint64 // where it ended before this run wrote to it
	Alarms   *journal.KeyedLog
	History  registryHistory
	Fresh    func(*devices.Registry) (*devices.Intake, *rules.Engine) // that have seen nothing yet
	Rules    []*rules.Rule
	Book     *alarms.Book
	Readings *readingsWriter
	Presence *presence
	Feedback *feedback
	Snapshot snapshotFile
	Damaged  func(what string)              // told what the logs have lost, as they tell of each other
	Now      func() time.Time               // receive clock, shared with the receiver
	OnJudged func(n int, age time.Duration) // messages judged, age of the oldest
	Pacer    *pacer
	Logger   *slog.Logger
}

func newJudge(o judgeOptions) *judge {
	return &judge{judgeOptions: o, requests: make(chan request), caught: make(chan struct{}), spare: make(chan *entry, 8), sources: map[string]string{}, timer: time.NewTimer(time.Hour)}
}

// Run restores what the gateway knew, replays what it had not yet judged, and
// then judges what arrives until ctx ends.
func (j *judge) Run(ctx context.Context) error {
	if err := j.restore(ctx); err != nil {
		return fmt.Errorf("restore the judge: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	entries := j.decodeAhead(ctx)
	for {
		err := j.next(ctx, entries)
		if errors.Is(err, errBetweenEntries) {
			return j.save(context.WithoutCancel(ctx))
		}
		if err != nil {
			return err // what was being judged is judged again, from the last snapshot
		}
	}
}

// errBetweenEntries ends Run where everything judged has left the judge.
var errBetweenEntries = errors.New("stopped between two entries")

// next does one thing: a request if there is one, else an entry, else a timer.
func (j *judge) next(ctx context.Context, entries <-chan chan *entry) error {
	var requests chan request
	if j.status.live.Load() {
		requests = j.requests
	}
	select {
	case r := <-requests:
		return j.serve(ctx, r)
	default:
	}
	j.setTimer()
	select {
	case r := <-requests:
		return j.serve(ctx, r)
	case e, ok := <-entries:
		if !ok {
			return errBetweenEntries
		}
		if err := j.judge(ctx, <-e); err != nil {
			return err
		}
		if len(entries) > 0 && !j.pending.full() {
			return nil // what comes of those shares the sync
		}
		return j.flush(ctx)
	case <-j.timer.C:
		return j.tick(ctx)
	case <-ctx.Done():
		return errBetweenEntries
	}
}

// judge walks one entry of the input log all the way.
func (j *judge) judge(ctx context.Context, e *entry) error {
	if e.err != nil {
		return e.err
	}
	j.advance(e.received()) // timers that were due before it
	if before := e.total - e.count; before > j.total {
		j.missing += before - j.total // in entries that were lost
	}
	j.position, j.total = e.seq, e.total
	j.changes = j.changes[:0]
	j.outcome.Reset()
	if err := j.walk(e); err != nil {
		return err
	}
	j.counts.add(&j.outcome)
	if err := j.Readings.keep(ctx, e.seq, &j.outcome); err != nil {
		return err
	}
	j.alarm(j.changes)
	j.told(e)
	if err := j.passed(ctx); err != nil {
		return err
	}
	j.recycle(e)
	return j.caughtUp(ctx)
}

// walk judges the messages of an entry.
func (j *judge) walk(e *entry) error {
	at := 0
	defer j.nameFault(e, &at)
	for ; at < len(e.messages); at++ {
		m := &e.messages[at]
		j.clock = max(j.clock, m.Received.UnixMilli())
		if err := j.message(m); err != nil {
			return err
		}
	}
	return nil
}

// nameFault names the message over which the judge trips, and lets it fall. A
// decoder that trips costs its message (see devices.Intake); rules that trip may
// have left any level half changed, and an alarm missed in silence is worse than
// a stop that every screen shows: what is on disk is whole and is judged again.
func (j *judge) nameFault(e *entry, at *int) {
	fault := recover()
	if fault == nil {
		return
	}
	m := &e.messages[*at]
	j.Logger.Error("the judge tripped over a message and stops; the message is kept, and is judged again at the next start",
		"input", e.seq, "index", *at, "source", m.Source, "topic", m.Topic, "fault", fault)
	panic(fault)
}

// message judges one message of an entry.
func (j *judge) message(m *message) error {
	m.Source = j.source(m.Source)
	switch m.Kind {
	case ingest.Publish, ingest.Will:
		j.telegram(m)
	case ingest.Connect:
		if d := j.Presence.owner(m.User); d != nil {
			j.Presence.connected(d, j.clock)
			j.changes = j.Engine.Online(d, j.clock, j.changes)
		}
	case ingest.Disconnect:
		if d := j.Presence.owner(m.User); d != nil {
			j.Presence.disconnected(d)
		}
	case ingest.SourceUp:
		j.Presence.source(m.Source, true, "", j.clock)
		j.changes = j.Engine.SourceUp(m.Source, j.clock, j.changes)
	case ingest.SourceDown:
		j.Presence.source(m.Source, false, m.Topic, j.clock)
		switch m.Topic {
		case ingest.Stopping:
			return nil
		case ingest.Paused:
			j.Engine.SourcePaused(m.Source, j.clock)
			return nil
		}
		j.changes = j.Engine.SourceDown(m.Source, strings.Clone(m.Topic), j.clock, j.changes)
	case ingest.Started:
		j.Presence.started()
		j.changes = j.Engine.Started(j.clock, j.changes)
	case ingest.Trouble:
		j.changes = j.Engine.Trouble(m.Source, levelOf(m.Payload), strings.Clone(m.Topic), j.changes)
	case ingest.Config:
		return j.config(m)
	case ingest.Replayed:
		j.replay(m)
	case ingest.Canary:
		j.status.canary.Store(m.Received.UnixMilli())
	}
	return nil
}

// levelOf reads the level of a trouble: one that is unknown, or not said, is a fault.
func levelOf(word []byte) rules.Level {
	level, err := rules.ParseLevel(string(word))
	if err != nil || level == rules.Normal {
		return rules.Fault
	}
	return level
}

// source gives the name of a source as a string of our own.
func (j *judge) source(name string) string {
	known, ok := j.sources[name]
	if !ok {
		known = strings.Clone(name)
		j.sources[known] = known
	}
	return known
}

// telegram judges what a device published: readings, or its status.
func (j *judge) telegram(m *message) {
	v := j.Intake.Accept(&m.decoded, &j.outcome)
	j.Presence.heard(&v, m.Source, j.clock)
	for _, d := range v.Devices {
		if v.Spoke {
			j.changes = j.Engine.Spoke(d, m.Source, j.clock, j.changes)
		}
		switch v.Presence {
		case devices.Online:
			j.changes = j.Engine.Online(d, j.clock, j.changes)
		case devices.Offline:
			j.changes = j.Engine.Offline(d, j.clock, j.changes)
		}
	}
	for i := range v.Readings {
		j.changes = j.Engine.Judge(&v.Readings[i], j.clock, j.changes)
	}
}

// told lets others see what was judged: the installer, the metrics, the console.
func (j *judge) told(e *entry) {
	j.status.publish(j)
	j.Pacer.judged(j.position)
	if !j.quiet.live() {
		return
	}
	j.Feedback.tell(j.outcome.Rejections)
	if n := j.outcome.Accepted + j.outcome.Duplicates + j.outcome.Quarantined; n > 0 {
		j.OnJudged(n, j.Now().Sub(e.messages[0].Received))
	}
}

// advance moves the clock and fires what became due on the way, in order.
func (j *judge) advance(now int64) {
	j.clock = max(j.clock, now)
	j.changes = j.Engine.Advance(j.clock, j.changes[:0])
	j.alarm(j.changes)
	if j.quiet.live() {
		j.pending.add(j.Book.Tick(j.cause()))
	}
}

// alarm turns levels into events, which flush puts on disk.
func (j *judge) alarm(changes []rules.Change) {
	if len(changes) == 0 || j.position < j.quiet.until.Position {
		return // what came of it is on record
	}
	j.pending.add(j.Book.Apply(changes, j.cause()))
}

func (j *judge) cause() alarms.Cause { return alarms.Cause{Position: j.position, Clock: j.clock} }

// flush puts what was decided on disk.
func (j *judge) flush(ctx context.Context) error {
	defer j.pending.clear()
	return j.record(context.WithoutCancel(ctx), j.pending.events) // one that has begun is not cut off
}

// record appends events to the alarm log, guarded by its last sequence: if
// another gateway ever wrote there, this one must stop judging.
func (j *judge) record(ctx context.Context, events []alarms.Event) error {
	if len(events) == 0 {
		return nil
	}
	if err := appendEvents(ctx, j.Alarms, events); err != nil {
		return err
	}
	for i := range events {
		j.Book.Recorded(&events[i], events[i].Seq)
		j.counts.event(events[i].Type)
	}
	j.status.publish(j)
	j.status.publishAlarms(j.Book)
	return nil
}

// tick is the head of the input log: wall time drives what waits for time.
func (j *judge) tick(ctx context.Context) error {
	if j.Input.Last().Seq != j.position || !j.status.live.Load() {
		return nil // the entry that arrived meanwhile brings its own time
	}
	j.advance(j.Now().UnixMilli())
	if err := j.flush(ctx); err != nil {
		return err
	}
	if !j.saveIsDue() {
		return nil
	}
	return j.save(ctx)
}

// setTimer wakes the judge at the next deadline, at least once a second.
func (j *judge) setTimer() {
	wait := time.Second
	if at, ok := j.Engine.NextDeadline(); ok {
		wait = min(wait, time.UnixMilli(at).Sub(j.Now()))
	}
	j.timer.Reset(max(wait, time.Millisecond))
}
