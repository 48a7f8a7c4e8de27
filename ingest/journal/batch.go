package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// batchPays is from how many entries on a batch is cheaper than a sync for
	// each: the server stages it beside the stream first, which costs some ten
	// syncs however many there are.
	batchPays = 16
	// maxBatch and maxBatchBytes bound what is staged at once; the server takes
	// 1,000 messages.
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
)

// commitBatch appends entries as one batch of the server, which is in the log
// whole or not at all: it is staged on disk, checked, written and synced once,
// and after a crash in the midst of that the server writes what is missing. It
// takes as many entries as one batch may hold and returns how many.
func (l *KeyedLog) commitBatch(ctx context.Context, subjects []string, entries []KeyedEntry) (int, error) {
	e, err := l.store.engine()
	if err != nil {
		return 0, err
	}
	last := l.Last()
	now := time.Now().UnixMilli()
	var messages []*nats.Msg
	var headers []header
	for i, size := 0, 0; i < len(entries) && i < maxBatch && size < maxBatchBytes; i++ {
		l.counter++
		h := header{Epoch: l.epoch, Counter: l.counter, Count: 1, Total: last.Total + uint64(i) + 1, Millis: now}
		data := appendEntry(nil, h, entries[i].Data, false)
		size += len(data)
		headers = append(headers, h)
		messages = append(messages, &nats.Msg{Subject: subjects[i], Data: data})
	}
	began := time.Now()
	seq, err := e.publishBatch(ctx, messages, fmt.Sprintf("%016x-%d", l.epoch, l.counter), last.Seq)
	switch {
	case errors.Is(err, errOvertaken):
		if _, adopted := l.adopt(ctx, e, headers[0]); adopted != nil {
			return 0, adopted
		}
		return 0, err
	case err != nil:
		return 0, fmt.Errorf("log %s: append entries %d to %d: %w", l.name, last.Seq+1, last.Seq+uint64(len(messages)), err)
	case seq != last.Seq+uint64(len(messages)):
		return 0, fmt.Errorf("log %s: the store wrote entries up to %d, not %d", l.name, seq, last.Seq+uint64(len(messages)))
	}
	l.store.synced(time.Since(began))
	for i, m := range messages {
		l.extend(l.copyOf(headers[i], last.Seq+uint64(i)+1, m.Subject, entries[i].Data), int64(len(m.Data)+messageOverhead))
	}
	return len(messages), nil
}

// publishBatch appends messages to their stream, whose last sequence must be
// last, all or none, and returns the sequence of the last one when all are on
// disk. Only the last message is answered.
func (e *engine) publishBatch(ctx context.Context, messages []*nats.Msg, id string, last uint64) (uint64, error) {
	return e.insist(ctx, func(ctx context.Context, try int) (*jetstream.PubAck, error) {
		for i, m := range messages {
			m.Header = nats.Header{
				"Nats-Batch-Id":       {fmt.Sprintf("%s-%d", id, try)}, // what became of an earlier try is unknown
				"Nats-Batch-Sequence": {strconv.Itoa(i + 1)},
			}
		}
		messages[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
		end := len(messages) - 1
		messages[end].Header.Set("Nats-Batch-Commit", "1")
		for _, m := range messages[:end] {
			if err := e.write.PublishMsg(m); err != nil {
				return nil, err
			}
		}
		return e.js.PublishMsg(ctx, messages[end])
	})
}
