package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// rejected keeps what a sink will never take, and why, in a file for people to
// look at: data/rejected/SINK.jsonl and the one before it. After a long outage
// that may be millions of points for one reason, so it is bounded, and the log
// says so once in a while. What was received stays in the logs all the same.
type rejected struct {
	file   string
	logger *slog.Logger

	mu      sync.Mutex
	count   int
	said    time.Time
	failure string
}

const (
	rejectionsEvery = 10 * time.Second
	maxRejected     = 16 << 20 // bytes of a file
)

func newRejected(data, sink string, logger *slog.Logger) *rejected {
	return &rejected{file: filepath.Join(data, "rejected", sink+".jsonl"), logger: logger.With("sink", sink)}
}

// add notes one thing that a sink refused for good.
func (r *rejected) add(what, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.write(what, reason); err != nil && err.Error() != r.failure {
		r.failure = err.Error()
		r.logger.Error("cannot keep what a sink refused", "error", err)
	}
	r.count++
	if time.Since(r.said) < rejectionsEvery {
		return
	}
	r.logger.Warn("a sink will never take these", "count", r.count, "last_reason", reason, "kept_in", r.file)
	r.count, r.said = 0, time.Now()
}

func (r *rejected) write(what, reason string) error {
	line, err := json.Marshal(struct {
		Time   time.Time `json:"time"`
		Reason string    `json:"reason"`
		What   string    `json:"what"`
	}{time.Now().UTC().Truncate(time.Millisecond), reason, what})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(r.file), 0o700); err != nil {
		return err
	}
	if info, err := os.Stat(r.file); err == nil && info.Size()+int64(len(line)) > maxRejected {
		if err := os.Rename(r.file, r.file+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
