package main

import (
	"context"
	"fmt"
	"log/slog"
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

// trimmer drops the oldest segments of the input and readings logs: those older
// than keep, or beyond max bytes, but never what the judge or a sink still needs.
type trimmer struct {
	input, readings *journal.Log
	judge           *judge
	outlets         *outlets
	keep            time.Duration
	max             int64
	now             func() time.Time
	logger          *slog.Logger
}

const trimEvery = time.Minute

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
	if err := t.one(ctx, t.input, t.judge.status.saved.Load()+1); err != nil {
		return err
	}
	return t.one(ctx, t.readings, t.outlets.needed(t.readings.Last().Seq))
}

// one trims a log whose entries from needed on must stay.
func (t *trimmer) one(ctx context.Context, log *journal.Log, needed uint64) error {
	oldest := log.First().Seq
	if oldest == 0 || oldest >= needed {
		return nil
	}
	// Whole segments are dropped, so it is enough to ask for a place between.
	before := needed
	if log.Bytes() < t.max/2 {
		young, err := t.firstYounger(ctx, log, oldest, needed)
		if err != nil {
			return err
		}
		before = young
	}
	return log.Trim(ctx, before)
}

// firstYounger finds the first entry that is younger than keep, by bisection.
func (t *trimmer) firstYounger(ctx context.Context, log *journal.Log, low, high uint64) (uint64, error) {
	limit := t.now().Add(-t.keep)
	for low < high {
		middle := low + (high-low)/2
		r, err := log.At(ctx, middle)
		if err != nil {
			return 0, err
		}
		if r.Time.Before(limit) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}
