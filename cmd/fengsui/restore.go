package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

// The judge saves what it knows when this much time has passed, or this many
// messages: the most that is judged again after a crash, which takes about a
// second. A snapshot costs it 10 ms for a thousand devices, 30 for ten thousand.
const (
	snapshotEvery    = 30 * time.Second
	snapshotMessages = 100_000
)

// quiet says how far the alarm log of earlier runs reaches. What was decided at
// positions before that is on record; at the position itself perhaps only a part,
// which the book recognises and completes.
type quiet struct {
	until alarms.Cause // of the last event in the alarm log
	over  bool
}

func (q *quiet) live() bool { return q.over }

// restore brings the judge to where the last run left it:
//
//  1. the alarm log says what stands, and up to which input position it was decided;
//  2. the snapshot gives the state of rules and intake at some position before;
//  3. the entries since then are judged again, quietly before the position of 1;
//     at that position the book passes over what is on record and adds what a
//     crash between two events cut off;
//  4. behind it, levels are compared with what stands: a changed rule may have
//     left a difference. Then it is live.
func (j *judge) restore(ctx context.Context) error {
	j.replayTo = j.Input.Last().Seq
	last, err := foldAlarms(ctx, j.Alarms, j.Book)
	if err != nil {
		return err
	}
	j.checkEnd("the alarm log tells of", last.Position)
	j.checkEnd("the readings log tells of", j.Readings.upTo)
	// What is known of positions past the end is about messages that are gone;
	// others will stand there.
	last.Position = min(last.Position, j.InputEnd)
	j.Readings.upTo = min(j.Readings.upTo, j.InputEnd)
	j.quiet.until = last
	s, err := j.loadSnapshot(ctx)
	if err != nil {
		return err
	}
	if s != nil {
		j.position, j.total, j.missing, j.clock = s.Position, s.Total, s.Missing, int64(s.Clock)
		j.status.saved.Store(s.Position)
	} else if err := j.fromOldest(ctx); err != nil {
		return err
	}
	j.History.Passed(j.version, j.registry)
	j.savedAt, j.savedTotal = time.Now(), j.total
	j.countRules()
	j.Logger.Info("restored", "position", j.position, "head", j.replayTo, "alarms", j.Book.Len(), "quiet_until", last.Position)
	return j.caughtUp(ctx)
}

// checkEnd names what is missing at the end of the input log, according to what
// was written further on.
func (j *judge) checkEnd(who string, position uint64) {
	if position > j.InputEnd {
		j.Damaged(fmt.Sprintf("log input: it ends at %d, %s %d", j.InputEnd, who, position))
	}
}

// fromOldest begins at the oldest message in the log. If that is not the first
// there ever was, what stands may rest on messages that are gone.
func (j *judge) fromOldest(ctx context.Context) error {
	first := j.Input.First().Seq
	if first <= 1 {
		registry, err := j.History.At(0)
		if err != nil {
			return err
		}
		j.begin(0, registry)
		return nil
	}
	j.begin(j.History.Newest()) // what held there is not known
	r, err := j.Input.At(ctx, first)
	if err != nil {
		return fmt.Errorf("read the oldest message kept: %w", err)
	}
	j.position, j.total, j.partial = first-1, r.Total-uint64(r.Count), true
	j.missing = j.total
	j.Logger.Warn("no snapshot: judging again from the oldest message kept", "position", first)
	return nil
}

// foldAlarms brings the book to the end of the alarm log and returns what its
// last event was caused by.
func foldAlarms(ctx context.Context, log *journal.KeyedLog, book *alarms.Book) (alarms.Cause, error) {
	var last alarms.Cause
	err := passDamage(log.Latest(ctx, func(r journal.Record) error {
		e, err := alarms.DecodeEvent(r.Data, r.Seq)
		if err != nil {
			return err
		}
		book.Fold(e)
		last = alarms.Cause{Position: e.Input, Clock: int64(e.Time)}
		return nil
	}))
	if err != nil {
		return last, fmt.Errorf("fold the alarm log: %w", err)
	}
	return last, nil
}

// passDamage lets pass what the store has named already: what is intact counts.
func passDamage(err error) error {
	if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrGap) {
		return nil
	}
	return err
}

// loadSnapshot restores what the snapshot holds. A damaged one, one of another
// version, or one from a log that no longer reaches that far, is not used: the
// log has it all.
func (j *judge) loadSnapshot(ctx context.Context) (*snapshot, error) {
	s, err := j.Snapshot.load()
	if errors.Is(err, errSnapshotDamaged) {
		j.Logger.Warn("not using the snapshot", "error", err)
		return nil, nil
	}
	if err != nil || s == nil {
		return nil, err
	}
	j.checkEnd("the snapshot is of", s.Position)
	if end := j.Alarms.Last().Seq; s.Alarms > end {
		j.Damaged(fmt.Sprintf("log alarms: it ends at %d, when the snapshot was taken it went to %d", end, s.Alarms))
	}
	if s.Position > j.InputEnd || s.Position+1 < j.Input.First().Seq {
		j.Logger.Warn("not using the snapshot: its position is not in the input log", "position", s.Position)
		return nil, nil
	}
	if r, err := j.Input.At(ctx, s.Position); err == nil && r.Total != s.Total {
		j.Logger.Warn("not using the snapshot: the input log has lost its tail and tells another story there", "position", s.Position)
		return nil, nil
	}
	j.beginAt(s.Registry)
	err = errors.Join(j.Engine.Restore(s.Engine), j.Intake.Restore(s.Intake), j.Presence.restore(s.Presence), j.counts.restore(s.Counts), j.replays.restore(s.Replays))
	if err != nil {
		j.Logger.Warn("not using the snapshot", "error", err)
		return nil, nil
	}
	return s, nil
}

// beginAt starts with the registry of a snapshot.
func (j *judge) beginAt(version uint64) {
	r, err := j.History.At(version)
	if err != nil {
		j.Logger.Warn("the registry of the snapshot no longer stands; going on with that of now", "error", err)
		version, r = j.History.Newest()
	}
	j.begin(version, r)
}

// caughtUp ends the quiet replay once its end is passed, and takes commands once
// everything was judged that was there at the start.
func (j *judge) caughtUp(ctx context.Context) error {
	if !j.quiet.live() {
		if j.position < j.quiet.until.Position {
			return nil
		}
		if err := j.endQuiet(ctx); err != nil {
			return err
		}
	}
	if !j.status.live.Load() && j.position >= j.replayTo {
		j.status.publish(j)
		j.status.live.Store(true)
		close(j.caught)
		j.Logger.Info("live", "position", j.position, "alarms", j.Book.Len())
	}
	if j.saveIsDue() {
		return j.save(ctx)
	}
	return nil
}

// saveIsDue is true at the end of a long replay, so that a gateway that is killed
// again and again does not begin with the same one each time.
func (j *judge) saveIsDue() bool {
	return time.Since(j.savedAt) >= snapshotEvery || j.total-j.savedTotal >= snapshotMessages
}

// endQuiet fires the timers that had fired at the last position on record, and
// compares levels with what stands.
func (j *judge) endQuiet(ctx context.Context) error {
	j.advance(j.quiet.until.Clock)
	j.quiet.over = true
	j.changes = j.Engine.Levels(j.changes[:0])
	if j.partial {
		// What stands may rest on messages that are no longer in the log, and doubt
		// never silences: only what is known to be worse is recorded.
		j.pending.add(j.Book.Complete(j.changes, j.cause()))
	} else {
		j.pending.add(j.Book.Reconcile(j.changes, j.cause()))
	}
	return j.flush(ctx)
}

// save takes a snapshot now and has it written once every reading up to here is
// in the readings log, so that no replay can miss one.
func (j *judge) save(ctx context.Context) error {
	j.savedAt, j.savedTotal = time.Now(), j.total
	if !j.quiet.live() {
		return nil
	}
	if err := j.flush(ctx); err != nil { // the replay begins behind it
		return err
	}
	s := snapshot{Position: j.position, Total: j.total, Missing: j.missing, Alarms: j.Alarms.Last().Seq, Clock: uint64(j.clock), Registry: j.version}
	var errs [5]error
	s.Engine, errs[0] = j.Engine.Snapshot()
	s.Intake, errs[1] = j.Intake.Snapshot()
	s.Presence, errs[2] = j.Presence.snapshot()
	s.Counts, errs[3] = j.counts.snapshot()
	s.Replays, errs[4] = j.replays.snapshot()
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("snapshot at input %d: %w", j.position, err)
	}
	return j.Readings.after(ctx, func() error {
		if err := j.Snapshot.replace(s.encode()); err != nil {
			return err
		}
		j.status.saved.Store(s.Position)
		return nil
	})
}

// lastReadings is the input position up to which the readings log is complete, as
// far as its entries can be read: what was in those behind is appended again.
func lastReadings(ctx context.Context, log *journal.Log) (uint64, error) {
	r, err := log.Newest(ctx)
	if errors.Is(err, journal.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the end of the readings log: %w", err)
	}
	e, err := devices.DecodeReadings(r.Data)
	if err != nil {
		return 0, fmt.Errorf("read the end of the readings log: %w", err)
	}
	return e.To, nil
}
