package main

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"
	"sync"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/sinks/console"
)

// replays knows which messages of the quarantine were taken after all, so that
// none is taken twice, and who waits to hear what became of one. The judge adds;
// the console looks.
type replays struct {
	mu      sync.Mutex
	taken   map[place]bool
	order   []place // of taken, oldest first
	waiting map[place]*awaited
}

// place is where a message stood in the input log first.
type place struct {
	Position uint64
	Index    int
}

// replaysKept bounds the places remembered; the oldest are forgotten first, with
// the messages themselves long gone from the list of the quarantine.
const replaysKept = 100_000

// awaited is a chunk of messages that somebody waits for.
type awaited struct {
	result console.Replay
	left   int
	done   chan struct{}
}

func (r *replays) has(p place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken[p]
}

// judged notes what became of a replayed message: the word of its class, or
// "repeated", and the code under which it is still quarantined.
func (r *replays) judged(p place, class, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if class == devices.Accepted.String() || class == devices.Duplicate.String() {
		r.take(p)
	}
	w := r.waiting[p]
	if w == nil {
		return
	}
	delete(r.waiting, p)
	w.result.Count(class, code)
	if w.left--; w.left == 0 {
		close(w.done)
	}
}

func (r *replays) take(p place) {
	if r.taken == nil {
		r.taken = map[place]bool{}
	}
	if r.taken[p] {
		return
	}
	if len(r.order) >= replaysKept {
		delete(r.taken, r.order[0])
		r.order = slices.Delete(r.order, 0, 1)
	}
	r.taken[p] = true
	r.order = append(r.order, p)
}

// await waits for messages that are about to be submitted.
func (r *replays) await(places []place) *awaited {
	w := &awaited{done: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[place]*awaited{}
	}
	for _, p := range places {
		if r.waiting[p] == nil { // else somebody else hears of it
			r.waiting[p] = w
			w.left++
		}
	}
	if w.left == 0 {
		close(w.done)
	}
	return w
}

func (r *replays) forget(places []place, w *awaited) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range places {
		if r.waiting[p] == w {
			delete(r.waiting, p)
		}
	}
}

func (r *replays) snapshot() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(r.order); err != nil {
		return nil, fmt.Errorf("snapshot what was replayed: %w", err)
	}
	return b.Bytes(), nil
}

func (r *replays) restore(data []byte) error {
	var order []place
	if len(data) > 0 {
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&order); err != nil {
			return fmt.Errorf("restore what was replayed: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken, r.order = map[place]bool{}, nil
	for _, p := range order {
		r.take(p)
	}
	return nil
}

// again is a replayed message as the intake needs it: when it came first, and
// that it is history now.
func again(m *ingest.Message) devices.Incoming {
	in := incoming(0, 0, m)
	o, user, err := m.Origin()
	if err != nil {
		return in // the judge says so
	}
	in.Position, in.Index, in.Received, in.User = o.Position, o.Index, o.Received.UnixMilli(), user
	in.Again = m.Received.UnixMilli()
	return in
}

// replay judges a message of the quarantine once more. The books counted it when
// it came; that it came again says nothing of who is alive.
func (j *judge) replay(m *message) {
	o, _, err := m.Origin()
	if err != nil {
		j.Logger.Error("a replayed message is passed over", "input", j.position, "error", err)
		return
	}
	p := place{o.Position, o.Index}
	if j.replays.has(p) {
		j.noteReplay(p, "repeated", "")
		return
	}
	out := &j.outcome
	accepted, duplicates, quarantined := out.Accepted, out.Duplicates, out.Quarantined
	rejections := len(out.Rejections)
	v := j.Intake.Accept(&m.decoded, out)
	out.Accepted, out.Duplicates, out.Quarantined = accepted, duplicates, quarantined
	code := ""
	if v.Class == devices.Quarantined {
		if len(v.Rejections) > 0 {
			code = v.Rejections[0].Code
		}
		out.Rejections = out.Rejections[:rejections] // it is on the list already
	}
	for i := range v.Readings {
		j.changes = j.Engine.Judge(&v.Readings[i], j.clock, j.changes)
	}
	j.noteReplay(p, v.Class.String(), code)
}

func (j *judge) noteReplay(p place, class, code string) {
	j.counts.replayed(class)
	j.replays.judged(p, class, code)
}

// replayer puts messages of the quarantine into the input log again.
type replayer struct {
	input    *journal.Log
	receiver *ingest.Receiver
	judge    *judge
}

// Replayed says whether a message was taken after all.
func (r *replayer) Replayed(position uint64, index int) bool {
	return r.judge.replays.has(place{position, index})
}

// Replay submits the messages that stand at these places, and returns when they
// were judged.
func (r *replayer) Replay(ctx context.Context, rejections []devices.Rejection) (console.Replay, error) {
	var result console.Replay
	var messages []ingest.Message
	var places []place
	for _, x := range rejections {
		p := place{x.Position, x.Index}
		m, err := r.read(ctx, p)
		switch {
		case errors.Is(err, journal.ErrNotFound):
			result.Gone++
		case err != nil:
			return result, err
		default:
			messages, places = append(messages, m), append(places, p)
		}
	}
	w := r.judge.replays.await(places)
	defer r.judge.replays.forget(places, w)
	for i := range messages {
		if err := r.receiver.Submit(ctx, &messages[i], nil); err != nil {
			return result, fmt.Errorf("submit a message of the quarantine again: %w", err)
		}
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return result, fmt.Errorf("wait until the judge has come to the replayed messages: %w", ctx.Err())
	}
	w.result.Gone = result.Gone
	return w.result, nil
}

// read finds a message in the input log; what was trimmed is not found.
func (r *replayer) read(ctx context.Context, p place) (again ingest.Message, err error) {
	record, err := r.input.At(ctx, p.Position)
	if err != nil {
		return again, err
	}
	found := false
	err = ingest.DecodeEntry(record.Data, func(i int, m *ingest.Message) error {
		if i == p.Index && m.Kind.Counted() {
			again, found = ingest.Replay(m, ingest.Origin{Position: p.Position, Index: p.Index, Received: m.Received}), true
		}
		return nil
	})
	if err == nil && !found {
		err = journal.ErrNotFound
	}
	return again, err
}
