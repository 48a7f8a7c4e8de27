package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

// registryHistory is the registry at each of its versions.
type registryHistory interface {
	// At is the registry at a version; before the first there is nothing.
	At(version uint64) (*devices.Registry, error)
	Newest() (version uint64, r *devices.Registry)
	// Passed says that the judge has changed over to a version.
	Passed(version uint64, r *devices.Registry)
}

// request is something a person or the operator wants of the judge; it goes
// ahead of readings and is answered when its events are on disk.
type request struct {
	do     func(ctx context.Context) error
	answer chan error
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

// Do runs f in the judge's goroutine, ahead of readings.
func (j *judge) Do(ctx context.Context, f func(ctx context.Context) error) error {
	r := request{do: f, answer: make(chan error, 1)}
	select {
	case j.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errFatal marks an error of a request after which the judge must not go on:
// what it holds in memory and what is on disk may differ.
var errFatal = errors.New("the alarm log did not take an event")

func (j *judge) serve(ctx context.Context, r request) error {
	err := j.flush(ctx)
	if err != nil {
		err = errors.Join(errFatal, err)
	} else {
		err = r.do(ctx)
	}
	r.answer <- err
	if errors.Is(err, errFatal) {
		return err
	}
	return nil
}

// Command carries out what a person wants of an alarm; the answer comes when
// the event is on disk.
func (j *judge) Command(ctx context.Context, c alarms.Command) ([]alarms.Event, error) {
	var events []alarms.Event
	err := j.Do(ctx, func(ctx context.Context) (err error) {
		j.clock = max(j.clock, j.Now().UnixMilli())
		if events, err = j.Book.Command(c, j.cause()); err != nil {
			return err
		}
		if len(events) > 0 && events[0].Seq != 0 {
			return nil // the first answer to a command that came again
		}
		if err := j.record(ctx, events); err != nil {
			return errors.Join(errFatal, err)
		}
		return nil
	})
	return events, err
}

// begin starts with the registry of a version, and nothing else.
func (j *judge) begin(version uint64, r *devices.Registry) {
	j.registry, j.version = r, version
	j.Intake, j.Engine = j.Fresh(r)
	j.Presence.use(r)
	j.Presence.forget()
	j.counts = counts{}
}

// config changes over to another registry, at this place of the log and, in a
// replay, at no other. Levels of what is no longer there end; the rest goes on.
func (j *judge) config(m *message) error {
	var version uint64
	var hash string
	if _, err := fmt.Sscanf(m.Topic, "%d %s", &version, &hash); err != nil {
		return fmt.Errorf("read the version %q of the registry at input %d: %w", m.Topic, j.position, err)
	}
	if version <= j.version {
		j.History.Passed(j.version, j.registry)
		return nil
	}
	r, err := j.History.At(version)
	if err != nil {
		// A kind it needs may be gone; the newest version was checked at the start.
		j.Logger.Error("judging on by the registry before", "wanted", version, "in_force", j.version, "error", err)
		return nil
	}
	if r.Hash() != hash {
		j.Logger.Warn("the registry is not what it was when this was written: kinds were changed since", "version", version)
	}
	j.version, j.registry = version, r
	j.Intake.SetRegistry(r)
	j.Presence.use(r)
	j.changes = j.Engine.Reconfigure(rules.EngineOptions{Registry: r, Rules: j.Rules}, j.clock, j.changes)
	j.countRules()
	j.savedAt = time.Time{} // a snapshot behind the barrier
	j.reached = true
	return nil
}

// passed tells, once what came of it is on disk, that another registry is judged
// by.
func (j *judge) passed(ctx context.Context) error {
	if !j.reached {
		return nil
	}
	if err := j.flush(ctx); err != nil {
		return err
	}
	j.reached = false
	j.History.Passed(j.version, j.registry)
	return nil
}

// countRules is done when they change: there is a rule for each of many points.
func (j *judge) countRules() {
	unarmed := j.Engine.Unarmed()
	j.armed, j.unarmed = j.Engine.Armed(), len(unarmed)
	j.status.unarmed.Store(&unarmed)
}

// message is one message of an entry, decoded as far as that needs no state.
type message struct {
	ingest.Message
	decoded devices.Decoded
}

// entry is one entry of the input log, ready to be judged. Its messages' strings
// and payloads lie in data, which is used again: who keeps one clones it.
type entry struct {
	seq      uint64
	total    uint64 // messages in the input log up to it
	count    uint64 // of those, in it
	data     []byte
	messages []message
	err      error
}

// decodeAhead reads the input log behind the position and decodes entries in
// parallel; they come out in order.
func (j *judge) decodeAhead(ctx context.Context) <-chan chan *entry {
	entries := make(chan chan *entry, runtime.GOMAXPROCS(0))
	go func() {
		defer close(entries)
		err := j.readInput(ctx, func(r journal.Record) error {
			e := j.blank()
			e.data = append(e.data[:0], r.Data...) // decoding goes on after this returns
			e.seq, e.total, e.count = r.Seq, r.Total, uint64(r.Count)
			out := make(chan *entry, 1)
			select {
			case entries <- out:
				go func() { j.decode(e); out <- e }()
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if ctx.Err() == nil {
			failed := make(chan *entry, 1)
			failed <- &entry{err: fmt.Errorf("read the input log: %w", err)}
			entries <- failed
		}
	}()
	return entries
}

// readInput reads the input log behind the position, for ever. It goes on behind
// what is missing or damaged: the store names it, and the books count the messages
// that were in it.
func (j *judge) readInput(ctx context.Context, fn func(journal.Record) error) error {
	next := j.position + 1
	for {
		err := j.Input.Read(ctx, next, func(r journal.Record) error {
			next = r.Seq + 1
			return fn(r)
		})
		var gap *journal.GapError
		var damaged *journal.CorruptError
		switch {
		case errors.As(err, &gap):
			next = gap.To + 1
		case errors.As(err, &damaged):
			next = damaged.Seq + 1
		default:
			return err
		}
		j.Logger.Error("judging on behind what the input log has lost", "error", err)
	}
}

// received is when the first message of the entry arrived, Unix ms.
func (e *entry) received() int64 {
	if len(e.messages) == 0 {
		return 0
	}
	return e.messages[0].Received.UnixMilli()
}

// decode reads an entry's messages as far as that needs no state.
func (j *judge) decode(e *entry) {
	e.messages = e.messages[:0]
	e.err = ingest.DecodeEntry(e.data, func(i int, m *ingest.Message) error {
		if len(e.messages) == cap(e.messages) {
			e.messages = append(e.messages, message{})
		} else {
			e.messages = e.messages[:len(e.messages)+1] // with the memory of an earlier one
		}
		last := &e.messages[len(e.messages)-1]
		last.Message = *m
		switch {
		case m.Kind.Counted():
			j.Intake.Decode(incoming(e.seq, i, m), &last.decoded)
		case m.Kind == ingest.Replayed:
			j.Intake.Decode(again(m), &last.decoded)
		}
		return nil
	})
}

// blank gives an entry to fill, with the memory of one that was judged.
func (j *judge) blank() *entry {
	select {
	case e := <-j.spare:
		return e
	default:
		return &entry{}
	}
}

// recycle takes back an entry nobody refers to any more.
func (j *judge) recycle(e *entry) {
	const most = 4096 // messages; a flood's memory is not kept for ever
	if cap(e.messages) > most {
		return
	}
	select {
	case j.spare <- e:
	default:
	}
}

func incoming(position uint64, index int, m *ingest.Message) devices.Incoming {
	return devices.Incoming{
		Position: position, Index: index, Received: m.Received.UnixMilli(),
		Source: m.Source, Client: m.Client, User: m.User, Topic: m.Topic, Payload: m.Payload,
		Retained: m.Retained && m.Source != embeddedSource, // there it only asks to be retained
		Dup:      m.Dup, PacketID: m.PacketID,
	}
}
