package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"fengsui/ingest/journal"
)

const (
	// timelineMost is how many events of an alarm are told, the newest of them.
	timelineMost = 500
	// timelineRead is how many entries of the log are looked at for one alarm.
	timelineRead = 50_000
	timelineWait = 3 * time.Second
	// timelineBefore is how much earlier than the judge's clock an event can have
	// been written.
	timelineBefore = time.Minute
)

// timeline tells what happened to an alarm since it was raised, oldest first:
// from the ring where that reaches back far enough, else from the log.
func (h *Hub) timeline(ctx context.Context, a *standing) ([]json.RawMessage, error) {
	if events, whole := h.recent(a); whole {
		return events, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timelineWait)
	defer cancel()
	from, err := h.seqAt(ctx, time.UnixMilli(int64(a.RaisedTime)).Add(-timelineBefore), a.Seq)
	if err != nil {
		return nil, err
	}
	if a.Seq-from > timelineRead {
		from = a.Seq - timelineRead
	}
	return h.search(ctx, a, from)
}

// recent is what the ring has of an alarm; whole, if it goes back to when the
// alarm was raised.
func (h *Hub) recent(a *standing) (events []json.RawMessage, whole bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	raised := time.UnixMilli(int64(a.RaisedTime)).Add(-timelineBefore)
	whole = h.ring.n > 0 && (*h.ring.at(0)).at.Before(raised)
	events = []json.RawMessage{}
	for i := range h.ring.n {
		if f := *h.ring.at(i); f.alarm == a.ID {
			events = append(events, f.event())
		}
	}
	return events[max(0, len(events)-timelineMost):], whole
}

// event is the event in an event's frame, without its key.
func (f *frame) event() json.RawMessage {
	return f.text[len(`{"e":`) : len(f.text)-1]
}

// seqAt finds the first entry that was written at or after a time, and not
// after the entry last.
func (h *Hub) seqAt(ctx context.Context, at time.Time, last uint64) (uint64, error) {
	var failed error
	n := sort.Search(int(last), func(i int) bool {
		if failed != nil {
			return true
		}
		r, err := h.o.Alarms.At(ctx, uint64(i)+1)
		if errors.Is(err, journal.ErrNotFound) || errors.Is(err, journal.ErrCorrupt) || errors.Is(err, journal.ErrGap) {
			return false
		}
		failed = err
		return !r.Time.Before(at)
	})
	if failed != nil {
		return 0, fmt.Errorf("find when alarm was raised: %w", failed)
	}
	return min(uint64(n)+1, last), nil
}

// search reads the log from an entry to the newest of the alarm.
func (h *Hub) search(ctx context.Context, a *standing, from uint64) ([]json.RawMessage, error) {
	events := []json.RawMessage{}
	enough := errors.New("enough")
	id := []byte(a.ID)
	look := func(r journal.Record) error {
		from = r.Seq + 1
		if bytes.Contains(r.Data, id) {
			if e, err := readEvent(r); err == nil && e.frame.alarm == a.ID {
				events = append(events, e.frame.event())
			}
		}
		if r.Seq >= a.Seq {
			return enough
		}
		return nil
	}
	for {
		err := h.o.Alarms.Read(ctx, from, look)
		if last, lost := lostUpTo(err); lost && last >= from {
			from = last + 1
			continue
		}
		if !errors.Is(err, enough) && !errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("read what happened to an alarm: %w", err)
		}
		return slices.Clip(events[max(0, len(events)-timelineMost):]), nil
	}
}
