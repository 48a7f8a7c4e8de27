package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
)

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
