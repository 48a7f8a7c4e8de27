package console

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

const (
	// rejectionsKept is how many rejections can be listed.
	rejectionsKept = 10_000
	// searchAtOnce is how many entries of the readings log are searched at a time.
	searchAtOnce = 500
	// searchStep is the longest that may take before it is given up.
	searchStep = time.Minute
)

// rejections are the newest messages and fields that were not accepted, as the
// readings log tells of them. At the start only the end of the log is read; it is
// searched further back, once, when somebody asks for what lies there.
type rejections struct {
	log ReadingsLog

	turn    chan struct{}           // of who searches
	decoder devices.ReadingsDecoder // of who searches

	mu     sync.Mutex
	recent []devices.Rejection // a ring of those in the entries from begin on
	at, n  int
	older  []devices.Rejection // of the entries before, newest first
	begin  uint64              // the oldest entry that is known; 0: none yet
	since  alarms.Time         // of that entry
	end    uint64              // the newest entry that is known
	tail   uint64              // the newest entry when the log was opened
	ready  chan struct{}       // closed when end has reached tail
	told   bool                // ready is closed
}

func newRejections(log ReadingsLog) *rejections {
	return &rejections{log: log, turn: make(chan struct{}, 1), recent: make([]devices.Rejection, rejectionsKept), ready: make(chan struct{})}
}

// follow says from where on, and up to where, the log is about to be read.
func (q *rejections) follow(from, last uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.begin == 0 {
		q.begin, q.end, q.tail = from, from-1, last
	}
	q.reached(from - 1)
}

// take notes what an entry at the end of the log rejects; an entry that was read
// before says nothing new.
func (q *rejections) take(r journal.Record, list []devices.Rejection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Seq <= q.end {
		return
	}
	if q.since == 0 {
		q.since = alarms.Time(r.Time.UnixMilli())
	}
	for _, rejection := range list {
		q.recent[q.at] = rejection
		q.at = (q.at + 1) % len(q.recent)
		q.n = min(q.n+1, len(q.recent))
	}
	q.reached(r.Seq)
}

// reached notes up to where the end of the log is known.
func (q *rejections) reached(seq uint64) {
	q.end = max(q.end, seq)
	if q.end >= q.tail && !q.told {
		q.told = true
		close(q.ready)
	}
}

// Rejections are those that are known, newest first.
func (q *rejections) Rejections(limit int, wanted func(*devices.Rejection) bool) []devices.Rejection {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []devices.Rejection
	for back := 1; back <= q.n && len(list) < limit; back++ {
		if r := &q.recent[(q.at-back+len(q.recent))%len(q.recent)]; wanted(r) {
			list = append(list, *r)
		}
	}
	for i := 0; i < min(len(q.older), rejectionsKept-q.n) && len(list) < limit; i++ {
		if r := &q.older[i]; wanted(r) {
			list = append(list, *r)
		}
	}
	return list
}

// Reach says how far back that goes.
func (q *rejections) Reach() Reach {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := q.n+len(q.older) >= rejectionsKept
	r := Reach{Since: q.since, Searching: !full && (!q.told || q.begin > q.log.First().Seq)}
	if !full && !r.Searching {
		r.Since = 0
	}
	return r
}

// Search reads the log further back, until all is known that can be listed or ctx
// ends; the next call goes on from there.
func (q *rejections) Search(ctx context.Context) error {
	select {
	case <-q.ready:
	case <-ctx.Done():
		return nil
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-q.turn }()
	for ctx.Err() == nil && q.Reach().Searching {
		if err := q.back(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("search the readings log for older rejections: %w", err)
		}
	}
	return nil
}

// back searches the entries next before those that are known. What is lost or
// damaged there is passed over; the store has named it.
func (q *rejections) back(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, searchStep)
	defer stop()
	to := q.begin // only who searches changes it
	begin := max(q.log.First().Seq, to-min(to, searchAtOnce), 1)
	var found []devices.Rejection
	var since alarms.Time
	for from := begin; from < to; {
		err := q.log.Read(ctx, from, func(r journal.Record) error {
			from = r.Seq + 1
			if since == 0 {
				since = alarms.Time(r.Time.UnixMilli())
			}
			if entry, err := q.decoder.Decode(r.Data); err == nil && r.Seq < to {
				found = append(found, entry.Rejections...)
			}
			if from >= to {
				return errFar
			}
			return nil
		})
		last, lost := lostUpTo(err)
		if !lost && !errors.Is(err, errFar) {
			return err
		}
		from = max(from, last+1)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := len(found) - 1; i >= 0; i-- {
		q.older = append(q.older, found[i])
	}
	q.begin = begin
	if since != 0 {
		q.since = since
	}
	return nil
}

var errFar = errors.New("what follows is known")
