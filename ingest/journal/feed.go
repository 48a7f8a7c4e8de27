package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

const ringBytes = 16 << 20

// segment is a stream that holds a run of a log's entries.
type segment struct {
	stream string
	first  uint64 // where its numbering begins, even while it is empty
	last   uint64 // first-1 while it is empty
	bytes  int64
}

func (s segment) empty() bool { return s.last < s.first }

// feed is the reading side of a log. This process is the only writer, so feed
// knows the end of the log without asking: it moves when an entry is on disk.
type feed struct {
	store *Store
	name  string
	// key recovers an entry's key from its subject.
	key func(subject string) (string, error)

	mu       sync.Mutex
	epoch    uint64
	segments []segment // oldest first, never none once the log is open
	first    Mark      // of the first entry; last+1 of an empty log
	last     Mark
	recent   ring
	moved    chan struct{} // closed when last moves; nil while nobody waits
	stats    LogStats      // the counters of it
}

func (f *feed) base() *feed { return f }

// First returns the mark of the oldest entry; of an empty log, the position the
// next entry will have.
func (f *feed) First() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first
}

// Last returns the mark of the newest entry that is on disk. Its Total is the
// number of units ever appended.
func (f *feed) Last() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Epoch names this life of the log's numbering. It changes when the log is made
// and whenever it may have lost its tail, since numbers may then be given out
// again: whoever remembers a position remembers the epoch with it.
func (f *feed) Epoch() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return epochString(f.epoch)
}

// Bytes returns what the log takes on disk.
func (f *feed) Bytes() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes()
}

func (f *feed) bytes() int64 {
	var n int64
	for _, s := range f.segments {
		n += s.bytes
	}
	return n
}

// Read calls fn with every entry from position from on, in order, and then with
// each new one as soon as it is on disk, for ever. It returns the error of ctx,
// of fn, [ErrClosed], a [GapError] when entries are missing, a [CorruptError]
// when one is damaged, or [ErrCursorAhead] when from lies past the end. It never
// skips: after a gap or a damaged entry it is the caller who goes on behind it.
// Any number may read at once; none holds up an append or another reader, and
// those at the head are given the same bytes, so fn must not change them.
func (f *feed) Read(ctx context.Context, from uint64, fn func(Record) error) error {
	r := reader{feed: f, next: max(from, 1)}
	for {
		if err := f.await(ctx, r.next); err != nil {
			return err
		}
		if err := r.advance(ctx, fn); err != nil {
			return err
		}
	}
}

// At returns the entry at seq. Its Data must not be changed.
func (f *feed) At(ctx context.Context, seq uint64) (Record, error) {
	if rec, ok := f.held(seq); ok {
		return rec, nil
	}
	seg, _, err := f.locate(seq)
	if err != nil {
		return Record{}, err
	}
	e, err := f.store.engine()
	if err != nil {
		return Record{}, err
	}
	s, err := e.fetchOne(ctx, seg.stream, seq)
	if errors.Is(err, errNothing) {
		return Record{}, f.damaged(seq, err)
	}
	if err != nil {
		return Record{}, fmt.Errorf("log %s: read entry %d: %w", f.name, seq, err)
	}
	_, rec, err := f.decode(s, new([]byte))
	return rec, err
}

// Newest returns the newest entry that can be read, or [ErrNotFound] where there
// is none.
func (f *feed) Newest(ctx context.Context) (Record, error) {
	for seq := f.Last().Seq; seq > 0 && seq >= f.First().Seq; seq-- {
		r, err := f.At(ctx, seq)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrGap) {
			continue
		}
		return r, err
	}
	return Record{}, fmt.Errorf("%w: log %s has no entry that can be read", ErrNotFound, f.name)
}

// await returns when there is an entry at next.
func (f *feed) await(ctx context.Context, next uint64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		moved, err := f.waiting(next)
		if err != nil || moved == nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.store.closed:
			return ErrClosed
		}
	}
}

// waiting returns what will be closed when the log moves on; nil if it has
// reached next already.
func (f *feed) waiting(next uint64) (<-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if next <= f.last.Seq {
		return nil, nil
	}
	if next > f.last.Seq+1 {
		return nil, fmt.Errorf("%w: log %s ends at %d, asked for %d", ErrCursorAhead, f.name, f.last.Seq, next)
	}
	if f.moved == nil {
		f.moved = make(chan struct{})
	}
	return f.moved, nil
}

// held returns the record at seq if it is among the newest.
func (f *feed) held(seq uint64) (Record, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.recent.get(seq)
}

// locate returns the segment that holds seq, and up to where it may be read.
func (f *feed) locate(seq uint64) (segment, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq == 0 || seq > f.last.Seq {
		return segment{}, 0, fmt.Errorf("%w: log %s ends at %d, asked for %d", ErrNotFound, f.name, f.last.Seq, seq)
	}
	for _, s := range f.segments {
		if seq < s.first {
			return segment{}, 0, &GapError{Log: f.name, From: seq, To: s.first - 1}
		}
		if seq <= s.last {
			return s, min(s.last, f.last.Seq), nil
		}
	}
	return segment{}, 0, &GapError{Log: f.name, From: seq, To: f.last.Seq}
}

// decode checks a stored message and unpacks it, into *buf where it is packed.
func (f *feed) decode(s stored, buf *[]byte) (header, Record, error) {
	h, codec, body, err := parseEntry(s.data)
	if err != nil {
		return h, Record{}, f.damaged(s.seq, err)
	}
	data, err := unpack(buf, codec, body)
	if err != nil {
		return h, Record{}, f.damaged(s.seq, err)
	}
	rec := h.record(s.seq, data)
	if rec.Subject, err = f.key(s.subject); err != nil {
		return h, Record{}, f.damaged(s.seq, err)
	}
	return h, rec, nil
}

func (f *feed) damaged(seq uint64, why error) error {
	f.store.Damaged(fmt.Sprintf("log %s: entry %d is damaged", f.name, seq))
	return &CorruptError{Log: f.name, Seq: seq, Reason: why.Error()}
}

// extend lets readers see a record that is on disk in the newest segment, where
// it takes size bytes.
func (f *feed) extend(rec Record, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	active := &f.segments[len(f.segments)-1]
	if f.last.Seq == f.first.Seq-1 {
		f.first.Total = rec.Total
	}
	active.last = rec.Seq
	active.bytes += size
	f.last = Mark{Seq: rec.Seq, Total: rec.Total}
	f.recent.push(rec)
	f.wake()
}

func (f *feed) wake() {
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

func (f *feed) snapshot() []segment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.segments)
}

func (f *feed) statsNow() LogStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Name, s.Epoch = f.name, epochString(f.epoch)
	s.First, s.Last = f.first, f.last
	s.Bytes, s.Segments = f.bytes(), len(f.segments)
	return s
}

func epochString(epoch uint64) string { return fmt.Sprintf("%016x", epoch) }

// reader is one run through a feed.
type reader struct {
	feed *feed
	next uint64
	prev header // of the entry before next, where it came from disk
	buf  []byte // what the last entry was unpacked into
}

// advance hands out what can be had at once, from memory or else one batch from
// disk.
func (r *reader) advance(ctx context.Context, fn func(Record) error) error {
	if rec, ok := r.feed.held(r.next); ok {
		r.next, r.prev = rec.Seq+1, header{}
		return fn(rec)
	}
	batch, err := r.batch(ctx)
	if err != nil {
		return err
	}
	for _, s := range batch {
		if s.seq != r.next {
			r.feed.store.Damaged(fmt.Sprintf("log %s: entries %d to %d are missing", r.feed.name, r.next, s.seq-1))
			return &GapError{Log: r.feed.name, From: r.next, To: s.seq - 1}
		}
		h, rec, err := r.feed.decode(s, &r.buf)
		if err != nil {
			return err
		}
		repeated := r.repeats(h)
		r.next, r.prev = s.seq+1, h
		if repeated {
			continue
		}
		if err := fn(rec); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// repeats reports whether the entry is the one before once more: sent again
// after an answer that was lost, and let in twice. The expected sequence forbids
// that, an engine that does not check it would not.
func (r *reader) repeats(h header) bool {
	if h.Epoch != r.prev.Epoch || h.Counter != r.prev.Counter || h.Counter == 0 {
		return false
	}
	r.feed.mu.Lock()
	r.feed.stats.Repeated++
	r.feed.mu.Unlock()
	return true
}

// batch fetches entries from next on, at least one. When the store does not give
// the entry at next it says why: trimmed or lost, or damaged.
func (r *reader) batch(ctx context.Context) ([]stored, error) {
	for {
		seg, until, err := r.feed.locate(r.next)
		if err != nil {
			return nil, err
		}
		e, err := r.feed.store.engine()
		if err != nil {
			return nil, err
		}
		batch, err := e.fetch(ctx, seg.stream, r.next, int(min(fetchCount, until-r.next+1)))
		if err == nil {
			return r.upTo(batch, until)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if r.moved(seg, e) {
			continue
		}
		return r.single(ctx, e, seg, err)
	}
}

// upTo drops what lies behind until: it is on disk, but its append has not
// returned yet.
func (r *reader) upTo(batch []stored, until uint64) ([]stored, error) {
	n := 0
	for n < len(batch) && batch[n].seq <= until {
		n++
	}
	if n == 0 {
		return nil, &GapError{Log: r.feed.name, From: r.next, To: until}
	}
	return batch[:n], nil
}

// moved reports whether the segment was trimmed or the server restarted under
// the reader, so that a failed fetch says nothing about the entries.
func (r *reader) moved(seg segment, e *engine) bool {
	now, err := r.feed.store.engine()
	if err != nil || now != e {
		return err == nil
	}
	return !slices.ContainsFunc(r.feed.snapshot(), func(s segment) bool { return s.stream == seg.stream })
}

// single reads the entry at next alone, after a batch that began there failed.
func (r *reader) single(ctx context.Context, e *engine, seg segment, why error) ([]stored, error) {
	if !errors.Is(why, errNothing) && !errors.Is(why, errNoAnswer) {
		return nil, fmt.Errorf("log %s: read from entry %d: %w", r.feed.name, r.next, why)
	}
	s, err := e.fetchOne(ctx, seg.stream, r.next)
	if errors.Is(err, errNothing) {
		return nil, r.feed.damaged(r.next, err)
	}
	if err != nil {
		return nil, fmt.Errorf("log %s: read entry %d: %w", r.feed.name, r.next, err)
	}
	return []stored{s}, nil
}
