package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"fengsui/ingest"
	"fengsui/ingest/journal"
)

// canary sends a message through the whole way each second. While the judge sees
// them, what the screens show is alive.
type canary struct {
	receiver *ingest.Receiver
}

const canaryEvery = time.Second

func (c canary) Run(ctx context.Context) error {
	tick := time.NewTicker(canaryEvery)
	defer tick.Stop()
	for {
		if err := c.receiver.Submit(ctx, &ingest.Message{Kind: ingest.Canary}, nil); err != nil {
			return fmt.Errorf("submit the canary: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pacer holds the intake back while the judge is behind the head of the input
// log: a flood then waits in the devices, and not between an alarm and the
// screen. It is only ever for a moment, so that a judge that stands still, or
// one that catches up after a restart, keeps no message from the disk.
type pacer struct {
	input    *journal.Log
	position atomic.Uint64 // of the last entry judged
	moved    chan struct{}
}

func newPacer(input *journal.Log) *pacer {
	return &pacer{input: input, moved: make(chan struct{}, 1)}
}

// judged says how far the judge is.
func (p *pacer) judged(position uint64) {
	p.position.Store(position)
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

const (
	paceEntries  = 4 // of 256 KB in a flood
	pacePatience = 200 * time.Millisecond
)

func (p *pacer) wait(ctx context.Context) {
	if p.behind() <= paceEntries {
		return
	}
	patience := time.NewTimer(pacePatience)
	defer patience.Stop()
	for p.behind() > paceEntries {
		select {
		case <-p.moved:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// behind is how many entries the judge has before it.
func (p *pacer) behind() uint64 { return p.input.Last().Seq - p.position.Load() }

// trimmer drops the oldest segments of the input and readings logs: those older
// than keep, and those beyond the share of its limit that a log may fill, but
// never what the judge or a sink still needs, unless the operator chose that.
type trimmer struct {
	input, readings sized
	judge           *judge
	outlets         *outlets
	disk            *diskWatch
	keep            time.Duration
	now             func() time.Time
	logger          *slog.Logger
}

const (
	trimEvery = 10 * time.Second
	// tidy is the share of its limit that a log is trimmed to, below what is an
	// alarm: that many segments remain for a sink that is away.
	tidy = 0.6
)

func (t *trimmer) Run(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := t.trim(ctx); err != nil && ctx.Err() == nil {
			t.logger.Error("cannot trim the logs", "error", err)
		}
	}
}

func (t *trimmer) trim(ctx context.Context) error {
	judged := t.judge.status.saved.Load() + 1
	written := t.outlets.needed(t.readings.log.Last().Seq)
	if v := t.disk.now.Load(); v.level >= diskAlarm && t.disk.config.Overflow == overflowDropOldest {
		return t.overflow(ctx, judged, written, v.level >= diskFloor)
	}
	return errors.Join(t.one(ctx, t.input, judged), t.one(ctx, t.readings, written))
}

// overflow drops the oldest of what there is room for no more. What a sink did
// not have yet it counts as lost, which is an alarm.
func (t *trimmer) overflow(ctx context.Context, judged, written uint64, floor bool) error {
	head := t.readings.log.Last().Seq
	target := tidy
	if floor { // the disk is full of other things: half of ours goes
		target = min(t.input.share(), t.readings.share()) / 2
	}
	before := t.readings.beyond(target)
	if before > written {
		t.logger.Error("overflow: drop_oldest: dropping readings that a sink does not have yet", "log", "readings", "from", written, "to", before-1)
	}
	return errors.Join(
		t.input.log.Trim(ctx, min(judged, t.input.beyond(target))),
		t.readings.log.Trim(ctx, min(head, before)))
}

// one trims a log whose entries from needed on must stay.
func (t *trimmer) one(ctx context.Context, s sized, needed uint64) error {
	oldest := s.log.First().Seq
	if oldest == 0 || oldest >= needed {
		return nil
	}
	young, err := t.firstYounger(ctx, s.log, oldest, needed)
	if err != nil {
		return err
	}
	return s.log.Trim(ctx, min(needed, max(young, s.beyond(tidy))))
}

// logOptions are those of a log that may have that many bytes, in enough
// segments that some can be dropped before it is full.
func logOptions(name string, limit int64) journal.LogOptions {
	return journal.LogOptions{Name: name, MaxBytes: limit, SegmentBytes: min(512<<20, limit/16)}
}

// The input log may have six tenths of the room and the readings log three; the
// rest is for alarms, cursors and what is registered.
func (j JournalConfig) inputBytes() int64    { return j.MaxBytes / 10 * 6 }
func (j JournalConfig) readingsBytes() int64 { return j.MaxBytes / 10 * 3 }

// sized is a log and how many bytes it may have.
type sized struct {
	log   *journal.Log
	limit int64
}

func (s sized) share() float64 { return float64(s.log.Bytes()) / float64(s.limit) }

// beyond is about where the log must begin to fill that share of its limit.
// Whole segments are dropped, so a place among their entries is enough.
func (s sized) beyond(share float64) uint64 {
	first, last, now := s.log.First().Seq, s.log.Last().Seq, s.share()
	if now <= share {
		return first
	}
	return first + uint64(float64(last-first)*(1-share/now))
}

// firstYounger finds the first entry that is younger than keep, by bisection.
func (t *trimmer) firstYounger(ctx context.Context, log *journal.Log, low, high uint64) (uint64, error) {
	limit := t.now().Add(-t.keep)
	for low < high {
		middle := low + (high-low)/2
		r, err := log.At(ctx, middle)
		if passDamage(err) != nil {
			return 0, err
		}
		if err == nil && r.Time.Before(limit) { // of a damaged one nobody knows: it stays
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
