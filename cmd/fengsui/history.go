package main

import (
	"context"
	"log/slog"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/sinks"
	"fengsui/sinks/console"
	"fengsui/sinks/history"
)

// HistoryConfig is the recent past that the console draws beside an alarm. It is
// held in memory, and read again from the readings log at every start.
type HistoryConfig struct {
	// Memory is the most it may take, in bytes; 0 switches it off. The more points
	// there are, the coarser the past is told. Default 64,000,000: ten thousand
	// devices with five fields each, or five hundred in every detail.
	Memory int64 `yaml:"memory"`
	// Keep is how far back it reaches, 14 days at most. Default 24h.
	Keep time.Duration `yaml:"keep"`
}

func (c *HistoryConfig) validate(wrong func(path, format string, args ...any)) {
	if c.Memory != 0 && (c.Memory < 1_000_000 || c.Memory > 64_000_000_000) {
		wrong("$.history.memory", "memory is %d; want 0 (no history) or 1000000 to 64000000000 bytes", c.Memory)
	}
	if c.Keep <= 0 || c.Keep > 14*24*time.Hour {
		wrong("$.history.keep", "keep is %v; want a duration up to 336h", c.Keep)
	}
}

// past is the history and what fills it.
type past struct {
	history *history.History
	runner  *sinks.Runner
}

// pastInterval lets a busy log be taken in larger pieces.
const pastInterval = 250 * time.Millisecond

// newPast begins to read when the gateway is ready. Without memory it is nil.
func newPast(cfg HistoryConfig, log *journal.Log, ready <-chan struct{}, now func() time.Time, logger *slog.Logger) *past {
	if cfg.Memory == 0 {
		return nil
	}
	h := history.New(history.Options{Log: log, Memory: cfg.Memory, Keep: cfg.Keep, Begin: ready, Now: now, Logger: logger})
	return &past{h, sinks.NewRunner(sinks.RunnerOptions{Sink: h, Log: log, Cursor: h, Interval: pastInterval, Logger: logger})}
}

func (p *past) Run(ctx context.Context) error {
	if p == nil {
		return nil
	}
	return p.runner.Run(ctx)
}

// status is how it stands as a sink: far behind its log after a start.
func (p *past) status() []sinks.Status {
	if p == nil {
		return nil
	}
	return []sinks.Status{p.runner.Status()}
}

// shown is the history as the console asks it.
func (p *past) shown() console.History {
	if p == nil {
		return nil
	}
	return p
}

// Query implements [console.History].
func (p *past) Query(d *devices.Device, field string, from, to time.Time, n int, gap time.Duration) ([]console.PastPoint, time.Time) {
	found, known := p.history.Query(d.Site.ID, d.ID, field, from, to, n, gap)
	points := make([]console.PastPoint, len(found))
	for i, f := range found {
		points[i] = console.PastPoint(f)
	}
	return points, known
}
