package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const defaultSegmentBytes = 512 << 20

// LogOptions says which log to open.
type LogOptions struct {
	// Name is the log's name, of a-z, 0-9 and _.
	Name string
	// SegmentBytes is where a new segment begins; 0 means 512 MB. After a crash
	// the newest segment is re-read, about 1 s for 512 MB; [Log.Trim] drops
	// whole segments.
	SegmentBytes int64
	// MaxBytes is how large the log may grow before Append answers [ErrFull];
	// 0 means no limit but the store's. It is what keeps room for other logs.
	MaxBytes int64
}

// Log is an append-only run of entries, compressed, in segments that can be
// dropped from the old end. Its methods may be called from any goroutine.
type Log struct {
	writer
	segmentBytes int64
	maxBytes     int64
}

// Append adds data, which holds count units, as one entry and returns its mark
// when it is on disk: it then survives a crash and a power cut, and readers see
// it. Appends happen one after another; each costs one sync of the disk, so
// batching is the caller's. data is free again on return.
//
// After [ErrFull], [ErrTooLarge] and [ErrClosed] nothing was written. After an
// end of ctx or [ErrDisk] the entry may be in the log or not; a later Append
// goes behind it if it is.
func (l *Log) Append(ctx context.Context, data []byte, count int) (Mark, error) {
	if err := checkUnits(data, count); err != nil {
		return Mark{}, fmt.Errorf("log %s: %w", l.name, err)
	}
	if err := l.take(ctx); err != nil {
		return Mark{}, err
	}
	defer l.give()
	if size := l.Bytes(); l.maxBytes > 0 && size >= l.maxBytes {
		return Mark{}, fmt.Errorf("%w: log %s has %d bytes of %d", ErrFull, l.name, size, l.maxBytes)
	}
	// An entry whose outcome is unknown does not count towards the size, so that
	// it is never left behind in a segment that is full.
	if s := l.active(); !s.empty() && s.bytes >= l.segmentBytes {
		if err := l.roll(ctx); err != nil {
			return Mark{}, err
		}
	}
	return l.commit(ctx, subjectOf(l.active()), data, count, true, false)
}

// Trim drops the segments whose entries all lie before the given position,
// except the newest one and the one that holds the last entry. Readers that are
// still there get a [GapError]. A crash in the midst of it is completed at the
// next start.
func (l *Log) Trim(ctx context.Context, before uint64) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	e, err := l.store.engine()
	if err != nil {
		return err
	}
	segments := l.snapshot()
	n := 0
	for n < len(segments)-1 && segments[n].last < before && segments[n].last < l.Last().Seq {
		n++
	}
	if n == 0 {
		return nil
	}
	// The landmark first, so that a crash leaves remains of a trim, not a loss.
	// Only where the store is so full that it cannot take it, room comes first.
	err = l.saveLandmark(ctx, e, segments[n:])
	full := errors.Is(err, ErrFull)
	if err != nil && !full {
		return err
	}
	if err := l.beginAt(ctx, e, segments[n:]); err != nil {
		return err
	}
	for _, s := range segments[:n] {
		if err := e.drop(ctx, s.stream); err != nil {
			return fmt.Errorf("log %s: drop segment %s: %w", l.name, s.stream, err)
		}
	}
	if full {
		return l.saveLandmark(ctx, e, segments[n:])
	}
	return nil
}

// beginAt lets readers see that the log now begins with the first of kept.
func (l *Log) beginAt(ctx context.Context, e *engine, kept []segment) error {
	first, err := l.firstReadable(ctx, e, kept)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = kept
	l.first = first
	return nil
}

// roll begins a new segment, which goes on with the numbering, so that a crash
// re-reads that one only.
func (l *Log) roll(ctx context.Context) error {
	e, err := l.store.engine()
	if err != nil {
		return err
	}
	began := time.Now()
	seg, _, err := e.openStream(ctx, segmentConfig(l.name, l.Last().Seq+1))
	if err != nil {
		return fmt.Errorf("log %s: begin a segment at %d: %w", l.name, l.Last().Seq+1, err)
	}
	l.mu.Lock()
	l.segments = append(l.segments, seg)
	l.mu.Unlock()
	l.store.log.Info("log continues in a new segment", "log", l.name, "segment", seg.stream, "took", time.Since(began))
	return l.saveLandmark(ctx, e, l.snapshot())
}

// segmentConfig describes the segment that begins at first; the stream's name
// says where, so that it can be made again should its description be damaged.
func segmentConfig(log string, first uint64) jetstream.StreamConfig {
	name := log + "-" + strconv.FormatUint(first, 10)
	c := streamConfig(name, name)
	c.FirstSeq = first
	return c
}

// streamConfig is what all streams of the journal have in common: nothing is
// ever dropped by the server, neither by age nor for room. The expected sequence
// guards against duplicates at any distance; the window the server keeps for
// message ids would be re-read at every start, so it is as short as it may be.
func streamConfig(name string, subject string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        name,
		Subjects:    []string{subject},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Duplicates:  100 * time.Millisecond,
		AllowDirect: true,
		DenyDelete:  true,
	}
}

// subjectOf is the subject of a segment: its stream's name.
func subjectOf(s segment) string { return s.stream }

// noKey is for logs without keys.
func noKey(string) (string, error) { return "", nil }
