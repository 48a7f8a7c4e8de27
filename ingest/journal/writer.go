package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// messageOverhead is what the store adds to an entry, with the headers we send.
const messageOverhead = 120

// writer is the writing side of a log. One at a time may append, roll or trim:
// whoever holds the turn.
type writer struct {
	feed
	turn chan struct{} // holds the one token

	// Owned by the holder of the turn.
	counter uint64
	buf     []byte
}

func (w *writer) init(s *Store, name string, key func(string) (string, error)) {
	w.store, w.name, w.key = s, name, key
	w.recent.maxBytes = ringBytes
	w.turn = make(chan struct{}, 1)
	w.turn <- struct{}{}
}

// take waits for the turn; the caller gives it back.
func (w *writer) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) give() { w.turn <- struct{}{} }

// commit appends one entry behind the last one and returns when it is on disk.
// If the log turns out to have moved on, by an earlier commit whose answer was
// lost, it takes that in first; then it returns errOvertaken if strict and
// appends behind it otherwise. The caller holds the turn.
func (w *writer) commit(ctx context.Context, subject string, data []byte, count int, pack, strict bool) (Mark, error) {
	e, err := w.store.engine()
	if err != nil {
		return Mark{}, err
	}
	for {
		last := w.Last()
		w.counter++ // also when it fails: an id stands for one entry only
		h := header{Epoch: w.epoch, Counter: w.counter, Count: uint32(count), Total: last.Total + uint64(count), Millis: time.Now().UnixMilli()}
		w.buf = appendEntry(w.buf[:0], h, data, pack)
		if len(w.buf) > maxEntry {
			return Mark{}, fmt.Errorf("%w: log %s: %d bytes on disk, at most %d", ErrTooLarge, w.name, len(w.buf), maxEntry)
		}
		seq, err := w.put(ctx, e, subject, h, last.Seq)
		if err == nil {
			w.extend(w.copyOf(h, seq, subject, data), int64(len(w.buf)+messageOverhead))
			return Mark{Seq: seq, Total: h.Total}, nil
		}
		if !errors.Is(err, errOvertaken) {
			return Mark{}, fmt.Errorf("log %s: append entry %d: %w", w.name, last.Seq+1, err)
		}
		ours, err := w.adopt(ctx, e, h)
		switch {
		case err != nil:
			return Mark{}, err
		case ours:
			return w.Last(), nil
		case strict:
			return Mark{}, errOvertaken
		}
	}
}

// put publishes w.buf and times it.
func (w *writer) put(ctx context.Context, e *engine, subject string, h header, last uint64) (uint64, error) {
	began := time.Now()
	seq, err := e.publish(ctx, &nats.Msg{Subject: subject, Header: nats.Header{}, Data: w.buf},
		jetstream.WithMsgID(fmt.Sprintf("%016x-%d", h.Epoch, h.Counter)),
		jetstream.WithExpectLastSequence(last))
	if err != nil {
		return 0, err
	}
	w.store.synced(time.Since(began))
	if seq != last+1 {
		return 0, fmt.Errorf("the store wrote it as %d, not %d", seq, last+1)
	}
	return seq, nil
}

// copyOf makes the record that readers at the head are given.
func (w *writer) copyOf(h header, seq uint64, subject string, data []byte) Record {
	rec := h.record(seq, append(make([]byte, 0, len(data)), data...))
	rec.Subject, _ = w.key(subject) // we made it ourselves a moment ago
	return rec
}

// adopt takes in the entries that are on disk behind the last one known, and
// reports whether the newest of them is that of h.
func (w *writer) adopt(ctx context.Context, e *engine, h header) (ours bool, err error) {
	active := w.active()
	for {
		last := w.Last().Seq
		batch, err := e.fetch(ctx, active.stream, last+1, fetchCount)
		if errors.Is(err, errNothing) {
			if w.Last().Seq == active.last {
				return false, fmt.Errorf("log %s: its end is not at %d, where it was; the store must be opened anew", w.name, last)
			}
			return ours, nil
		}
		if err != nil {
			return false, fmt.Errorf("log %s: read back entry %d: %w", w.name, last+1, err)
		}
		for _, s := range batch {
			if s.seq != w.Last().Seq+1 {
				return false, &GapError{Log: w.name, From: w.Last().Seq + 1, To: s.seq - 1}
			}
			found, rec, err := w.decode(s, new([]byte))
			if err != nil {
				return false, err
			}
			w.extend(rec, int64(len(s.data)+messageOverhead))
			ours = found.Epoch == h.Epoch && found.Counter == h.Counter
		}
	}
}

func (w *writer) active() segment {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.segments[len(w.segments)-1]
}
