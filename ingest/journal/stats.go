package journal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// maxDamage bounds what is remembered of damage; the log has it all.
const maxDamage = 20

// Stats is how the store is doing. Counters run from its opening.
type Stats struct {
	Bytes       int64         // of all logs and buckets on disk
	MaxBytes    int64         // their limit; 0 when there is none
	Warnings    uint64        // of the log server, without those of every unclean stop
	LastWarning string        //
	WriteError  string        // what the disk refused; empty while it takes writes
	Retries     uint64        // of writes that had no answer in time
	LastSync    time.Duration // of the last append
	Damage      []string      // what was found missing or damaged since the store was opened, by name
	Logs        []LogStats    // in the order they were opened
}

// LogStats is how one log is doing.
type LogStats struct {
	Name        string
	Epoch       string
	First, Last Mark
	Bytes       int64
	Segments    int
	LostEntries uint64 // found missing when the log was opened
	LostBytes   uint64 // that the server cut off then, entries or part of one
	Repeated    uint64 // entries found twice and given out once
}

// Stats returns the figures of now.
func (s *Store) Stats() Stats {
	out := Stats{MaxBytes: s.opts.MaxStore, Retries: s.retries.Load(), LastSync: time.Duration(s.lastSync.Load())}
	e, logs := s.now()
	for _, l := range logs {
		out.Logs = append(out.Logs, l.base().statsNow())
	}
	s.mu.Lock()
	out.Warnings = s.past
	out.Damage = slices.Clone(s.damage)
	s.mu.Unlock()
	if e == nil {
		return out
	}
	warnings, last := e.said.counted()
	out.Warnings += warnings
	out.LastWarning = last
	if e.said.bad.Err() != nil {
		out.WriteError = context.Cause(e.said.bad).Error()
	}
	if js, err := e.server.Jsz(&server.JSzOptions{}); err == nil {
		out.Bytes = int64(js.Store)
	}
	return out
}

// Health returns nil while the store takes writes, or what is wrong.
func (s *Store) Health() error {
	e, err := s.engine()
	if err != nil {
		return err
	}
	if e.said.bad.Err() != nil {
		return fmt.Errorf("%w: %w", ErrDisk, context.Cause(e.said.bad))
	}
	return nil
}
