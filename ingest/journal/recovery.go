package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// landmark is what is remembered of a log outside of it. It is written when a
// log is made, begins a segment, is trimmed, has stepped back and is closed.
type landmark struct {
	Epoch  string `json:"epoch"`
	Oldest uint64 `json:"oldest"` // where the oldest segment begins; older ones are remains of a trim
	Newest uint64 `json:"newest"` // where the newest one does
	Seq    uint64 `json:"seq"`    // the log has reached it
	Total  uint64 `json:"total"`
}

// loss is what is gone of a log.
type loss struct {
	entries uint64
	bytes   uint64
	segment bool // the newest segment, with nobody knows how many entries
	cut     bool // bytes of the newest segment
}

func (l *loss) add(o loss) {
	l.entries += o.entries
	l.bytes += o.bytes
	l.cut = o.cut // of the last one added
}

// recover opens the segments there are and finds the end of the log.
func (l *Log) recover(ctx context.Context, e *engine) error {
	mark, known, err := l.loadLandmark(ctx, e)
	if err != nil {
		return err
	}
	begins, err := e.segmentsOf(l.name)
	if err != nil {
		return fmt.Errorf("log %s: list its segments: %w", l.name, err)
	}
	for len(begins) > 0 && begins[0] < mark.Oldest {
		if err := e.drop(ctx, segmentConfig(l.name, begins[0]).Name); err != nil {
			return fmt.Errorf("log %s: finish a trim: %w", l.name, err)
		}
		begins = begins[1:]
	}
	begins, lost := missingSegments(begins, mark)
	var segments []segment
	for _, first := range begins {
		seg, gone, err := e.openStream(ctx, segmentConfig(l.name, first))
		if err != nil {
			return fmt.Errorf("log %s: open segment at %d: %w", l.name, first, err)
		}
		if n := len(segments); n > 0 && first > segments[n-1].last {
			gone.entries += first - segments[n-1].last - 1
		}
		lost.add(gone)
		segments = append(segments, seg)
	}
	return l.resume(ctx, e, segments, lost, mark, known)
}

// missingSegments compares the segments there are with what is remembered. Where
// the newest is gone, or none was ever there, the log goes on in a new one.
func missingSegments(begins []uint64, mark landmark) ([]uint64, loss) {
	var lost loss
	if len(begins) == 0 || begins[len(begins)-1] < mark.Newest {
		lost.segment = mark.Newest > 0
		begins = append(begins, mark.Seq+1)
	}
	if mark.Oldest > 0 {
		lost.entries = begins[0] - mark.Oldest
	}
	return begins, lost
}

// resume takes up the log at its end on disk, and opens a new epoch if that may
// lie before where it has been.
func (w *writer) resume(ctx context.Context, e *engine, segments []segment, lost loss, mark landmark, known bool) error {
	end := segments[len(segments)-1].last
	h, seq, err := w.lastReadable(ctx, e, segments)
	if err != nil {
		return err
	}
	if mark.Seq > seq && mark.Seq <= end {
		h.Total = mark.Total // counts what cannot be read
	}
	reached := max(mark.Seq, w.Last().Seq)
	ahead, err := e.cursorsAhead(ctx, w.name, end)
	if err != nil {
		return err
	}
	reason := ""
	switch {
	case end < reached:
		lost.entries += reached - end
		reason = fmt.Sprintf("it had reached %d", reached)
	case lost.segment:
		reason = "its newest segment is gone"
	case len(ahead) > 0:
		reason = "cursors lie past its end: " + strings.Join(ahead, ", ")
	case !known && end > 0:
		reason = "where it had been is not known any more"
	case lost.cut:
		reason = "bytes at its end were no whole entry"
	}
	w.mu.Lock()
	w.segments = segments
	w.last = Mark{Seq: end, Total: h.Total}
	w.recent.clear()
	w.stats.LostEntries = max(w.stats.LostEntries, lost.entries) // not the same ones again after Reopen
	w.stats.LostBytes = max(w.stats.LostBytes, lost.bytes)
	w.wake() // who waits at the end may be past it now
	w.mu.Unlock()
	w.report(ctx, lost, reason)
	first, err := w.firstReadable(ctx, e, segments)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.first = first
	w.mu.Unlock()
	w.counter = max(w.counter, h.Counter)
	return w.settleEpoch(ctx, e, mark, reason)
}

// report tells the operator. Bytes that were no whole entry are most likely one
// that was being written at a crash and was never acknowledged.
func (w *writer) report(ctx context.Context, lost loss, reason string) {
	if lost.entries > 0 {
		w.store.Damaged(fmt.Sprintf("log %s: %d entries are missing", w.name, lost.entries))
	}
	if reason == "" {
		return
	}
	level := slog.LevelError
	if lost.cut && lost.entries == 0 {
		level = slog.LevelWarn
	}
	if level == slog.LevelError {
		w.store.Damaged(fmt.Sprintf("log %s: it ends at %d: %s", w.name, w.Last().Seq, reason))
	}
	w.store.log.Log(ctx, level, "a log may have lost its tail and goes on in a new epoch", "log", w.name, "last", w.Last().Seq, "reason", reason)
}

// settleEpoch goes on in the epoch on record, or opens one and records it before
// anything is appended.
func (w *writer) settleEpoch(ctx context.Context, e *engine, mark landmark, reason string) error {
	epoch, err := strconv.ParseUint(mark.Epoch, 16, 64)
	if err == nil && reason == "" {
		w.setEpoch(epoch)
		return nil
	}
	w.setEpoch(rand.Uint64())
	return w.saveLandmark(ctx, e, w.snapshot())
}

func (w *writer) setEpoch(epoch uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch = epoch
}

// lastReadable returns the header and position of the newest entry that can be
// read; position 0 if there is none.
func (w *writer) lastReadable(ctx context.Context, e *engine, segments []segment) (header, uint64, error) {
	for _, s := range slices.Backward(segments) {
		for seq := s.last; seq >= s.first; seq-- {
			got, err := e.fetchOne(ctx, s.stream, seq)
			if err != nil && !errors.Is(err, errNothing) {
				return header{}, 0, fmt.Errorf("log %s: read entry %d: %w", w.name, seq, err)
			}
			if err == nil {
				if h, _, _, err := parseEntry(got.data); err == nil {
					w.nameDamaged(seq+1, segments[len(segments)-1].last)
					return h, seq, nil
				}
			}
		}
	}
	w.nameDamaged(segments[0].first, segments[len(segments)-1].last)
	return header{}, 0, nil
}

// nameDamaged names the entries of a log's beginning or end that cannot be read.
func (w *writer) nameDamaged(from, to uint64) {
	if from <= to {
		w.store.Damaged(fmt.Sprintf("log %s: entries %d to %d cannot be read", w.name, from, to))
	}
}

// firstReadable returns the mark of the oldest entry that can be read, or of
// where the first will be.
func (w *writer) firstReadable(ctx context.Context, e *engine, segments []segment) (Mark, error) {
	for _, s := range segments {
		for seq := s.first; seq <= s.last; seq++ {
			batch, err := e.fetch(ctx, s.stream, seq, 1)
			if errors.Is(err, errNothing) {
				continue
			}
			if err != nil {
				return Mark{}, fmt.Errorf("log %s: read entry %d: %w", w.name, seq, err)
			}
			seq = batch[0].seq
			if h, _, _, err := parseEntry(batch[0].data); err == nil {
				w.nameDamaged(segments[0].first, seq-1)
				return Mark{Seq: seq, Total: h.Total}, nil
			}
		}
	}
	last := w.Last()
	return Mark{Seq: last.Seq + 1, Total: last.Total}, nil
}

func (w *writer) loadLandmark(ctx context.Context, e *engine) (mark landmark, known bool, err error) {
	kv, err := e.bucket(ctx, landmarkBucket)
	if err != nil {
		return mark, false, err
	}
	entry, err := kv.Get(ctx, w.name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return mark, false, nil
	}
	if err != nil {
		return mark, false, fmt.Errorf("log %s: read its landmark: %w", w.name, err)
	}
	if err := json.Unmarshal(entry.Value(), &mark); err != nil {
		return mark, false, fmt.Errorf("log %s: its landmark %q: %w", w.name, entry.Value(), err)
	}
	return mark, true, nil
}

// saveLandmark remembers which segments the log has and how far it has come.
func (w *writer) saveLandmark(ctx context.Context, e *engine, segments []segment) error {
	last := w.Last()
	b, err := json.Marshal(landmark{
		Epoch:  w.Epoch(),
		Oldest: segments[0].first,
		Newest: segments[len(segments)-1].first,
		Seq:    last.Seq,
		Total:  last.Total,
	})
	if err != nil {
		return fmt.Errorf("log %s: write its landmark: %w", w.name, err)
	}
	if _, err := e.bucket(ctx, landmarkBucket); err != nil {
		return err
	}
	err = e.limited(ctx, func(ctx context.Context) error {
		_, err := e.put(ctx, landmarkBucket, w.name, b)
		return err
	})
	if err != nil {
		return fmt.Errorf("log %s: write its landmark: %w", w.name, e.explain(ctx, err))
	}
	return nil
}

// segmentsOf lists where the segments of a log begin, oldest first. It looks at
// the folder: a stream whose description is damaged is unknown to the server
// until it is made again, and then has all its messages back.
func (e *engine) segmentsOf(log string) ([]uint64, error) {
	folders, err := os.ReadDir(e.folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var begins []uint64
	for _, f := range folders {
		if rest, ok := strings.CutPrefix(f.Name(), log+"-"); ok {
			if first, err := strconv.ParseUint(rest, 10, 64); err == nil && first > 0 {
				begins = append(begins, first)
			}
		}
	}
	slices.Sort(begins)
	return begins, nil
}

// openStream makes a stream, or takes up the one there is, and says what the
// store has lost of it.
func (e *engine) openStream(ctx context.Context, c jetstream.StreamConfig) (segment, loss, error) {
	// Taking up one whose description was damaged re-reads it all.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	stream, err := e.js.CreateOrUpdateStream(ctx, c)
	if err != nil {
		return segment{}, loss{}, err
	}
	info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true)) // else it says nothing of Lost
	if err != nil {
		return segment{}, loss{}, err
	}
	s := segment{stream: c.Name, first: max(c.FirstSeq, 1), bytes: int64(info.State.Bytes)}
	s.last = max(info.State.LastSeq, s.first-1)
	lost := loss{entries: s.last + 1 - s.first - info.State.Msgs}
	if gone := info.State.Lost; gone != nil {
		lost.bytes, lost.cut = gone.Bytes, true
	}
	return s, lost, nil
}

// drop deletes a stream, or what a crash has left of one being deleted.
func (e *engine) drop(ctx context.Context, stream string) error {
	err := e.js.DeleteStream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return os.RemoveAll(filepath.Join(e.folder, stream))
	}
	return err
}
