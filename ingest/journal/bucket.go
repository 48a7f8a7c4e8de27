package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// The store's own buckets.
const (
	cursorBucket   = "cursors"
	landmarkBucket = "landmarks"
)

// Bucket is a small durable table of values under keys, any strings of up to 256
// bytes. Every change is on disk when the call returns nil. Its methods may be
// called from any goroutine.
type Bucket struct {
	store *Store
	name  string

	mu sync.Mutex
	of *engine // the run of the server that kv belongs to
	kv jetstream.KeyValue
}

// Get returns the value of key and its revision, which changes with every
// write, or [ErrNotFound].
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, rev uint64, err error) {
	err = b.with(ctx, key, func(e *engine, kv jetstream.KeyValue, token string) error {
		entry, err := kv.Get(ctx, token)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return ErrNotFound
		}
		if err != nil {
			return closedOr(err)
		}
		value, rev = entry.Value(), entry.Revision()
		return nil
	})
	return value, rev, err
}

// Put sets key to value, whatever it was, and returns the new revision.
func (b *Bucket) Put(ctx context.Context, key string, value []byte) (rev uint64, err error) {
	return b.change(ctx, key, func(ctx context.Context, e *engine, _ jetstream.KeyValue, token string) (uint64, error) {
		return e.put(ctx, b.name, token, value)
	})
}

// Create sets key to value if there is no such key yet, else it returns
// [ErrConflict].
func (b *Bucket) Create(ctx context.Context, key string, value []byte) (rev uint64, err error) {
	return b.change(ctx, key, func(ctx context.Context, _ *engine, kv jetstream.KeyValue, token string) (uint64, error) {
		return kv.Create(ctx, token, value)
	})
}

// Update sets key to value if its revision is rev, else it returns
// [ErrConflict]. After an end of ctx or [ErrDisk] the change may have been made
// or not: Get tells.
func (b *Bucket) Update(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	return b.change(ctx, key, func(ctx context.Context, _ *engine, kv jetstream.KeyValue, token string) (uint64, error) {
		return kv.Update(ctx, token, value, rev)
	})
}

// Delete removes key. Removing what is not there is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.change(ctx, key, func(ctx context.Context, _ *engine, kv jetstream.KeyValue, token string) (uint64, error) {
		return 0, kv.Delete(ctx, token)
	})
	return err
}

// All returns every key with its value, but those whose value is damaged: these
// stand in [Stats].Damage.
func (b *Bucket) All(ctx context.Context) (map[string][]byte, error) {
	e, err := b.store.engine()
	if err != nil {
		return nil, err
	}
	return e.readBucket(ctx, b.name)
}

// with calls fn with what it takes to reach key.
func (b *Bucket) with(ctx context.Context, key string, fn func(*engine, jetstream.KeyValue, string) error) error {
	token, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, err)
	}
	e, err := b.store.engine()
	if err != nil {
		return err
	}
	kv, err := b.on(ctx, e)
	if err != nil {
		return err
	}
	if err := fn(e, kv, token); err != nil {
		return fmt.Errorf("bucket %s: key %q: %w", b.name, key, err)
	}
	return nil
}

func (b *Bucket) change(ctx context.Context, key string, fn func(context.Context, *engine, jetstream.KeyValue, string) (uint64, error)) (rev uint64, err error) {
	err = b.with(ctx, key, func(e *engine, kv jetstream.KeyValue, token string) error {
		err := e.limited(ctx, func(ctx context.Context) (err error) {
			rev, err = fn(ctx, e, kv, token)
			return err
		})
		if err = e.explain(ctx, err); errors.Is(err, errOvertaken) {
			return fmt.Errorf("%w: %w", ErrConflict, err)
		}
		return err
	})
	return rev, err
}

// on returns the bucket as this run of the server has it.
func (b *Bucket) on(ctx context.Context, e *engine) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == e {
		return b.kv, nil
	}
	kv, err := e.bucket(ctx, b.name)
	if err != nil {
		return nil, err
	}
	b.of, b.kv = e, kv
	return kv, nil
}

// bucket opens a bucket, or makes it.
func (e *engine) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	kv, err := e.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 1, Storage: jetstream.FileStorage})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, e.explain(ctx, err))
	}
	if _, known := e.looked.LoadOrStore(name, true); !known {
		return kv, e.look(ctx, name)
	}
	return kv, nil
}

// put sets a key to value and returns its revision. The header it carries is there
// for the record on disk: see blocks.go.
func (e *engine) put(ctx context.Context, bucket, token string, value []byte) (uint64, error) {
	ack, err := e.js.Publish(ctx, "$KV."+bucket+"."+token, value, jetstream.WithExpectStream("KV_"+bucket))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// look asks what was cut off a bucket when the server read it after a crash: a
// value that was being written, or what lay behind a damaged one. Nobody can tell
// which, so it is named.
func (e *engine) look(ctx context.Context, name string) error {
	s, err := e.readJS.Stream(ctx, "KV_"+name)
	if err != nil {
		return fmt.Errorf("look at bucket %s: %w", name, closedOr(err))
	}
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true)) // else it says nothing of Lost
	if err != nil {
		return fmt.Errorf("look at bucket %s: %w", name, closedOr(err))
	}
	if lost := info.State.Lost; lost != nil && (lost.Bytes > 0 || len(lost.Msgs) > 0) {
		e.damaged(fmt.Sprintf("bucket %s: %d bytes at its end were no whole value and are cut off; what was changed last may be missing", name, lost.Bytes))
	}
	return nil
}

// readBucket reads a bucket's stream from end to end, since the client library
// waits for ever for a value that is damaged.
func (e *engine) readBucket(ctx context.Context, name string) (map[string][]byte, error) {
	s, err := e.readJS.Stream(ctx, "KV_"+name)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, closedOr(err))
	}
	state := s.CachedInfo().State
	values := make(map[string][]byte)
	seen := make(map[uint64]bool)
	for next := uint64(1); next <= state.LastSeq; {
		batch, err := e.fetch(ctx, "KV_"+name, next, fetchCount)
		if errors.Is(err, errNothing) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name, err)
		}
		for _, m := range batch {
			next, seen[m.seq] = m.seq+1, true
			if m.header.Get("KV-Operation") != "" {
				continue // says that the key was removed
			}
			key, err := decodeKey(strings.TrimPrefix(m.subject, "$KV."+name+"."))
			if err != nil {
				return nil, fmt.Errorf("bucket %s: %w", name, err)
			}
			values[key] = m.data
		}
	}
	if uint64(len(seen)) >= state.Msgs {
		return values, nil
	}
	return values, e.nameDamagedValues(ctx, name, s, state.LastSeq, seen)
}

// nameDamagedValues names the messages up to last that are in the bucket's stream
// and were not seen: the server passes over those it cannot read.
func (e *engine) nameDamagedValues(ctx context.Context, name string, s jetstream.Stream, last uint64, seen map[uint64]bool) error {
	info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return fmt.Errorf("bucket %s: %w", name, closedOr(err))
	}
	for _, seq := range info.State.Deleted {
		seen[seq] = true
	}
	for seq := info.State.FirstSeq; seq <= last; seq++ {
		if !seen[seq] {
			e.damaged(fmt.Sprintf("bucket %s: the value at %d is damaged", name, seq))
		}
	}
	return nil
}
