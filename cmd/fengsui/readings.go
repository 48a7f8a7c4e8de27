package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
)

// readingsWriter appends what the judge accepted to the readings log, behind its
// back: the judge never waits for this append unless many are outstanding.
// Nothing is lost by that: after a crash the entries of the input log that are
// not yet in the readings log are judged again.
type readingsWriter struct {
	log     *journal.Log
	queue   chan readingsJob
	spare   chan *readingsBatch
	encoder devices.ReadingsEncoder
	buffer  []byte
	// upTo is the input position up to which the readings log was complete when
	// the gateway started; the replay does not append those again.
	upTo uint64
}

// readingsJob is a batch to append or, in its place in the order, something to
// do once everything before it is appended.
type readingsJob struct {
	batch *readingsBatch
	then  func() error
}

// readingsBatch is what one entry of the input log became.
type readingsBatch struct {
	position   uint64
	readings   []devices.Reading
	values     []devices.Value // the readings' values lie here
	rejections []devices.Rejection
}

const readingsQueue = 64

func newReadingsWriter(log *journal.Log, upTo uint64) *readingsWriter {
	return &readingsWriter{
		log: log, upTo: upTo,
		queue: make(chan readingsJob, readingsQueue),
		spare: make(chan *readingsBatch, readingsQueue),
	}
}

// keep takes a copy of what an entry of the input log became, and blocks only
// while the queue is full.
func (w *readingsWriter) keep(ctx context.Context, position uint64, o *devices.Outcome) error {
	if position <= w.upTo || len(o.Readings)+len(o.Rejections) == 0 {
		return nil
	}
	b := &readingsBatch{}
	select {
	case b = <-w.spare:
	default:
	}
	b.fill(position, o)
	return w.put(ctx, readingsJob{batch: b})
}

// fill copies the outcome, which is used again for the next entry.
func (b *readingsBatch) fill(position uint64, o *devices.Outcome) {
	b.position = position
	b.readings = append(b.readings[:0], o.Readings...)
	b.rejections = append(b.rejections[:0], o.Rejections...)
	b.values = b.values[:0]
	for i := range b.readings {
		first := len(b.values)
		b.values = append(b.values, b.readings[i].Values...)
		b.readings[i].Values = b.values[first:len(b.values):len(b.values)]
	}
}

// after runs f once everything handed over so far is in the readings log.
func (w *readingsWriter) after(ctx context.Context, f func() error) error {
	return w.put(ctx, readingsJob{then: f})
}

func (w *readingsWriter) put(ctx context.Context, job readingsJob) error {
	select {
	case w.queue <- job: // also when ctx has ended: what was judged is kept
		return nil
	default:
	}
	select {
	case w.queue <- job:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *readingsWriter) recycle(b *readingsBatch) {
	select {
	case w.spare <- b:
	default:
	}
}

// Run appends until ctx ends, and then what was handed over before that.
func (w *readingsWriter) Run(ctx context.Context) error {
	writing := context.WithoutCancel(ctx)
	for {
		select {
		case job := <-w.queue:
			if err := w.write(writing, ctx, job); err != nil {
				return err
			}
			continue
		default:
		}
		select {
		case job := <-w.queue:
			if err := w.write(writing, ctx, job); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// write appends one job and what else is waiting.
func (w *readingsWriter) write(ctx, stop context.Context, job readingsJob) error {
	batches, then := w.gather(job)
	if len(batches) > 0 {
		entry := merge(batches)
		w.buffer = w.encoder.Append(w.buffer[:0], entry)
		if err := w.append(ctx, stop, len(entry.Readings)); err != nil {
			return fmt.Errorf("append readings of input %d–%d: %w", entry.From, entry.To, err)
		}
		for _, b := range batches {
			w.recycle(b)
		}
	}
	if then == nil {
		return nil
	}
	return then()
}

// append waits while the log is full: the judge then waits as well, and the
// intake is paused, until a sink has what it holds and it is trimmed.
func (w *readingsWriter) append(ctx, stop context.Context, count int) error {
	const again = time.Second
	for {
		_, err := w.log.Append(ctx, w.buffer, count)
		if !errors.Is(err, journal.ErrFull) {
			return err
		}
		select {
		case <-time.After(again):
		case <-stop.Done():
			return err
		}
	}
}

// gather takes what else is waiting, up to the next thing to do, so that one
// append carries it all.
func (w *readingsWriter) gather(job readingsJob) (batches []*readingsBatch, then func() error) {
	for {
		if job.then != nil {
			return batches, job.then
		}
		batches = append(batches, job.batch)
		if len(batches) == readingsQueue {
			return batches, nil
		}
		select {
		case job = <-w.queue:
		default:
			return batches, nil
		}
	}
}

func merge(batches []*readingsBatch) devices.ReadingsEntry {
	e := devices.ReadingsEntry{From: batches[0].position, To: batches[len(batches)-1].position}
	if len(batches) == 1 {
		e.Readings, e.Rejections = batches[0].readings, batches[0].rejections
		return e
	}
	for _, b := range batches {
		e.Readings = append(e.Readings, b.readings...)
		e.Rejections = append(e.Rejections, b.rejections...)
	}
	return e
}
