package journal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	viewBytes    = 8 << 20 // asked for at once; without a limit the client drops messages
	viewPatience = 5 * time.Second
)

var errEnough = errors.New("read enough")

// KeyedLog is an append-only run of entries, each of which belongs to a key and
// carries the whole state of what the key stands for, so that the present is the
// last entry of each key. It is never trimmed and not compressed. Its methods
// may be called from any goroutine.
type KeyedLog struct {
	writer
}

// KeyedEntry is what [KeyedLog.AppendAll] adds.
type KeyedEntry struct {
	Key  string
	Data []byte
}

// Append adds data as one entry of key: [KeyedLog.AppendAll] of one.
func (l *KeyedLog) Append(ctx context.Context, key string, data []byte, expectLast uint64) (uint64, error) {
	return l.AppendAll(ctx, []KeyedEntry{{key, data}}, expectLast)
}

// AppendAll adds entries, in order, provided that the log's last entry is
// expectLast, and returns the position of the last of them when all are on disk.
// A few cost a sync each, from [batchPays] on they share one. Otherwise nothing
// is written and it returns [ErrConflict]; unless what lies behind expectLast are
// these very entries, from a call whose answer was lost: they count as written,
// and those that are missing are added.
//
// After an end of ctx, [ErrDisk] or a crash the log holds the first few of them,
// none to all; calling again with the same arguments tells, and completes them.
func (l *KeyedLog) AppendAll(ctx context.Context, entries []KeyedEntry, expectLast uint64) (uint64, error) {
	subjects := make([]string, len(entries))
	for i, e := range entries {
		if err := checkUnits(e.Data, 1); err != nil {
			return 0, fmt.Errorf("log %s: %w", l.name, err)
		}
		if size := headerSize + len(e.Data); size > maxEntry { // before anything is written
			return 0, fmt.Errorf("%w: log %s: %d bytes on disk, at most %d", ErrTooLarge, l.name, size, maxEntry)
		}
		token, err := encodeKey(e.Key)
		if err != nil {
			return 0, fmt.Errorf("log %s: %w", l.name, err)
		}
		subjects[i] = l.name + "." + token
	}
	if err := l.take(ctx); err != nil {
		return 0, err
	}
	defer l.give()
	for n := 0; n < len(entries); {
		if l.Last().Seq != expectLast+uint64(n) { // not where the caller thinks, or further than was known here
			var err error
			if n, err = l.written(ctx, entries, expectLast); err != nil {
				return 0, err
			}
			continue
		}
		more, err := l.commitNext(ctx, subjects[n:], entries[n:])
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return 0, err
		}
		n += more
	}
	return expectLast + uint64(len(entries)), nil
}

// written tells a caller who was not first whether it was itself who was: how
// many of its entries lie behind expectLast.
func (l *KeyedLog) written(ctx context.Context, entries []KeyedEntry, expectLast uint64) (int, error) {
	last := l.Last().Seq
	conflict := fmt.Errorf("%w: log %s is at %d, not at %d", ErrConflict, l.name, last, expectLast)
	if last < expectLast {
		return 0, conflict
	}
	n := int(min(last-expectLast, uint64(len(entries))))
	for i, e := range entries[:n] {
		rec, err := l.At(ctx, expectLast+uint64(i)+1)
		switch {
		case errors.Is(err, ErrGap) || errors.Is(err, ErrCorrupt):
			return 0, conflict
		case err != nil:
			return 0, err
		case rec.Subject != e.Key || !bytes.Equal(rec.Data, e.Data):
			return 0, conflict
		}
	}
	return n, nil
}

// commitNext appends the first entry, or as many as one batch takes, and returns
// how many. The caller holds the turn.
func (l *KeyedLog) commitNext(ctx context.Context, subjects []string, entries []KeyedEntry) (int, error) {
	if len(entries) >= batchPays {
		n, err := l.commitBatch(ctx, subjects, entries)
		if !errors.Is(err, errNotStaged) {
			return n, err
		}
		// Of a single one the store says what is the matter: a full disk, say.
	}
	_, err := l.commit(ctx, subjects[0], entries[0].Data, 1, false, true)
	return 1, err
}

// Latest calls fn with the last entry of each key as of now, in the order of the
// log. If the last entry of some key is damaged, the last one before it that is
// not comes instead, after all others, and Latest returns the damaged entries of
// the log, as a [CorruptError] or [GapError] each, joined.
func (l *KeyedLog) Latest(ctx context.Context, fn func(Record) error) error {
	v, err := l.view(ctx)
	if err != nil || v == nil {
		return err
	}
	defer v.close()
	given := make(map[string]bool, v.keys)
	for s, err := range v.all(ctx) {
		if err != nil {
			return fmt.Errorf("log %s: read the last of each key: %w", l.name, err)
		}
		_, rec, err := l.decode(s, new([]byte))
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err != nil {
			return err
		}
		given[rec.Subject] = true
		if err := fn(rec); err != nil {
			return err
		}
	}
	if uint64(len(given)) == v.keys {
		return nil
	}
	return l.latestByFold(ctx, v.last, given, fn)
}

// latestByFold gives the last entry up to last of each key that was not given
// yet, from a run through the whole log: slow, but it passes what is damaged,
// where the store itself stops.
func (l *KeyedLog) latestByFold(ctx context.Context, last uint64, given map[string]bool, fn func(Record) error) error {
	l.store.log.Error("the last entry of some key cannot be read; reading the whole log instead", "log", l.name, "keys", len(given))
	held := make(map[string]Record)
	damaged, err := l.fold(ctx, last, func(rec Record) {
		if !given[rec.Subject] {
			rec.Data = bytes.Clone(rec.Data)
			held[rec.Subject] = rec
		}
	})
	if err != nil {
		return err
	}
	bySeq := func(a, b Record) int { return cmp.Compare(a.Seq, b.Seq) }
	for _, rec := range slices.SortedFunc(maps.Values(held), bySeq) {
		if err := fn(rec); err != nil {
			return err
		}
	}
	return errors.Join(damaged...)
}

// fold calls fn with every entry up to last that can be read, and returns what
// cannot.
func (l *KeyedLog) fold(ctx context.Context, last uint64, fn func(Record)) (damaged []error, err error) {
	for next := l.First().Seq; next <= last; {
		err := l.Read(ctx, next, func(rec Record) error {
			fn(rec)
			if next = rec.Seq + 1; next > last {
				return errEnough
			}
			return nil
		})
		var c *CorruptError
		var g *GapError
		switch {
		case errors.Is(err, errEnough):
		case errors.As(err, &c):
			damaged, next = append(damaged, c), c.Seq+1
		case errors.As(err, &g):
			damaged, next = append(damaged, g), g.To+1
		default:
			return nil, err
		}
	}
	return damaged, nil
}

// view is what the store holds as the last entry of each key at one moment.
type view struct {
	last     uint64 // the log's last entry then
	keys     uint64
	stream   jetstream.Stream
	consumer string
	messages jetstream.MessagesContext
}

// view holds the moment: nothing is appended while the store makes its list. It
// returns nil for an empty log.
func (l *KeyedLog) view(ctx context.Context) (*view, error) {
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.give()
	e, err := l.store.engine()
	if err != nil {
		return nil, err
	}
	v := &view{last: l.Last().Seq}
	if v.last == 0 {
		return nil, nil
	}
	if err := v.open(ctx, e, l.name); err != nil {
		return nil, fmt.Errorf("log %s: read the last of each key: %w", l.name, closedOr(err))
	}
	return v, nil
}

func (v *view) open(ctx context.Context, e *engine, stream string) (err error) {
	if err := e.mender.beforeRead(stream); err != nil {
		return err
	}
	if v.stream, err = e.readJS.Stream(ctx, stream); err != nil {
		return err
	}
	v.keys = v.stream.CachedInfo().State.NumSubjects
	// Not an ordered consumer: after a stall that one would go on with every
	// entry, not only the last of each key.
	c, err := v.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		FilterSubject:     stream + ".*",
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	v.consumer = c.CachedInfo().Name
	v.messages, err = c.Messages(jetstream.PullMaxBytes(viewBytes))
	return err
}

// all gives the entries in order. The entry at last is the last one of its key,
// so it marks the end; where that one is damaged the store goes silent instead,
// and its count of what is pending never reaches zero.
func (v *view) all(ctx context.Context) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		for n := uint64(1); ; n++ {
			s, number, err := v.next(ctx)
			if err == nil && number != n {
				err = fmt.Errorf("message %d of the store came as number %d", n, number)
			}
			if errors.Is(err, errNoAnswer) || err == nil && s.seq > v.last {
				return
			}
			if !yield(s, err) || err != nil || s.seq == v.last {
				return
			}
		}
	}
}

func (v *view) next(ctx context.Context) (stored, uint64, error) {
	limited, cancel := context.WithTimeout(ctx, viewPatience)
	defer cancel()
	m, err := v.messages.Next(jetstream.NextContext(limited))
	switch {
	case ctx.Err() != nil:
		return stored{}, 0, ctx.Err()
	case limited.Err() != nil:
		return stored{}, 0, errNoAnswer
	case err != nil:
		return stored{}, 0, closedOr(err)
	}
	at, err := m.Metadata()
	if err != nil {
		return stored{}, 0, err
	}
	return stored{seq: at.Sequence.Stream, subject: m.Subject(), data: m.Data()}, at.Sequence.Consumer, nil
}

// close frees what the store holds of the view; should that fail, the store
// frees it after a minute.
func (v *view) close() {
	v.messages.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = v.stream.DeleteConsumer(ctx, v.consumer)
}

// keyedConfig describes the stream of a keyed log.
func keyedConfig(name string) jetstream.StreamConfig {
	c := streamConfig(name, name+".*")
	c.AllowAtomicPublish = true
	return c
}

// keyIn returns how the keys of a log are recovered from subjects.
func keyIn(name string) func(string) (string, error) {
	return func(subject string) (string, error) {
		token, ok := strings.CutPrefix(subject, name+".")
		if !ok {
			return "", fmt.Errorf("%w: subject %q", errWrongKey, subject)
		}
		return decodeKey(token)
	}
}

// recover opens the log's stream and finds its end.
func (l *KeyedLog) recover(ctx context.Context, e *engine) error {
	mark, known, err := l.loadLandmark(ctx, e)
	if err != nil {
		return err
	}
	seg, lost, err := e.openStream(ctx, keyedConfig(l.name))
	if err != nil {
		return fmt.Errorf("log %s: open: %w", l.name, err)
	}
	return l.resume(ctx, e, []segment{seg}, lost, mark, known)
}
