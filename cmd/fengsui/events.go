package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

const (
	// groupEvents and groupTime bound how much the judge decides before it is put
	// on disk, while there is more to judge: in a storm the events of many entries
	// share one sync.
	groupEvents = 1000
	groupTime   = 25 * time.Millisecond
)

// pending are events that were decided and are not on disk yet; nobody has heard
// of them. They go into the alarm log in the order they were decided, so that a
// crash leaves the first few of them, and the replay adds the others.
type pending struct {
	events []alarms.Event
	since  time.Time // when the first was decided
}

func (p *pending) add(events []alarms.Event) {
	if len(p.events) == 0 && len(events) > 0 {
		p.since = time.Now()
	}
	p.events = append(p.events, events...)
}

// full says that they have waited long enough.
func (p *pending) full() bool {
	return len(p.events) >= groupEvents || len(p.events) > 0 && time.Since(p.since) >= groupTime
}

func (p *pending) clear() {
	clear(p.events)
	p.events = p.events[:0]
}

// appendEvents puts events into the alarm log, each under its alarm's key, right
// behind what this gateway believes to be the last: if another one ever wrote
// there, the log refuses. It tells each event where it stands.
func appendEvents(ctx context.Context, log *journal.KeyedLog, events []alarms.Event) error {
	last := log.Last().Seq
	entries := make([]journal.KeyedEntry, len(events))
	for i := range events {
		e := &events[i]
		e.Seq = last + uint64(i) + 1
		e.Alarm.Seq = e.Seq
		data, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode %s of alarm %s: %w", e.Type, e.Alarm.ID, err)
		}
		entries[i] = journal.KeyedEntry{Key: e.Alarm.ID, Data: data}
	}
	if _, err := log.AppendAll(ctx, entries, last); err != nil {
		return fmt.Errorf("append %d events from %s of alarm %s on: %w", len(events), events[0].Type, events[0].Alarm.ID, err)
	}
	return nil
}
