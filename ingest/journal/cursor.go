package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Cursor is how far a reader of a log has come: the position of the last entry
// it is done with. It is a key of its own, moved by compare-and-swap, so that of
// two who hold the same cursor one is told. A reader goes on at Load()+1.
type Cursor struct {
	bucket *Bucket
	log    *feed
	name   string // "log/reader"

	mu       sync.Mutex
	loaded   bool
	rev      uint64 // of the value this cursor knows of; 0 when there is none
	doubtful string // the value of a save without an answer
}

// Load returns the position, 0 if none was ever saved. If the log has lost its
// tail the position may lie past its end: Load then returns it with
// [ErrCursorAhead], and it is for the caller to say so and to Save where it goes
// on.
func (c *Cursor) Load(ctx context.Context) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, rev, err := c.bucket.Get(ctx, c.name)
	if errors.Is(err, ErrNotFound) {
		c.loaded, c.rev, c.doubtful = true, 0, ""
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("load cursor %s: %w", c.name, err)
	}
	seq, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("load cursor %s: %w", c.name, err)
	}
	c.loaded, c.rev, c.doubtful = true, rev, ""
	if last := c.log.Last().Seq; seq > last {
		return seq, fmt.Errorf("cursor %s: %w: it is at %d, log %s ends at %d", c.name, ErrCursorAhead, seq, c.log.name, last)
	}
	return seq, nil
}

// Save moves the cursor to seq and returns when that is on disk. If somebody
// else has moved it since this one loaded or saved it, Save returns
// [ErrConflict] and moves nothing. It takes no position past the log's end.
func (c *Cursor) Save(ctx context.Context, seq uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.log.Last().Seq; seq > last {
		return fmt.Errorf("save cursor %s: %w: %d, log %s ends at %d", c.name, ErrCursorAhead, seq, c.log.name, last)
	}
	if !c.loaded {
		return fmt.Errorf("save cursor %s: it was never loaded", c.name)
	}
	if err := c.resolve(ctx); err != nil {
		return fmt.Errorf("save cursor %s: %w", c.name, err)
	}
	value := strconv.FormatUint(seq, 10)
	rev, err := c.swap(ctx, []byte(value))
	if err != nil {
		if !errors.Is(err, ErrConflict) {
			c.doubtful = value
		}
		return fmt.Errorf("save cursor %s: %w", c.name, err)
	}
	c.rev = rev
	return nil
}

func (c *Cursor) swap(ctx context.Context, value []byte) (uint64, error) {
	if c.rev == 0 {
		return c.bucket.Create(ctx, c.name, value)
	}
	return c.bucket.Update(ctx, c.name, value, c.rev)
}

// resolve finds out what became of a save that had no answer.
func (c *Cursor) resolve(ctx context.Context) error {
	if c.doubtful == "" {
		return nil
	}
	value, rev, err := c.bucket.Get(ctx, c.name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && string(value) == c.doubtful {
		c.rev = rev
	}
	c.doubtful = ""
	return nil
}

// cursorsOf reads where the cursors of a log are, by reader.
func (e *engine) cursorsOf(ctx context.Context, log string) (map[string]uint64, error) {
	all, err := e.readBucket(ctx, cursorBucket)
	if err != nil {
		return nil, err
	}
	at := make(map[string]uint64)
	for name, value := range all {
		reader, ok := strings.CutPrefix(name, log+"/")
		if !ok {
			continue
		}
		if at[reader], err = strconv.ParseUint(string(value), 10, 64); err != nil {
			return nil, fmt.Errorf("cursor %s: %w", name, err)
		}
	}
	return at, nil
}

// cursorsAhead names the cursors of a log that lie past end.
func (e *engine) cursorsAhead(ctx context.Context, log string, end uint64) ([]string, error) {
	at, err := e.cursorsOf(ctx, log)
	if err != nil {
		return nil, err
	}
	var ahead []string
	for reader, seq := range at {
		if seq > end {
			ahead = append(ahead, fmt.Sprintf("%s/%s at %d", log, reader, seq))
		}
	}
	slices.Sort(ahead)
	return ahead, nil
}
