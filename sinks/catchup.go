package sinks

import (
	"log/slog"
	"math"
	"time"
)

const (
	// catchUpAge is how old what is written must be before it is worth a word.
	catchUpAge = 30 * time.Second
	// catchUpEvery is how often a runner says how far it has come.
	catchUpEvery = 30 * time.Second
)

// catchUp says in the log how a sink that was far behind gets on.
type catchUp struct {
	begun, said time.Time // zero: the sink is not behind
	written     uint64    // units, when it began
}

// follow is told of every batch that was accepted: how old its last entry is, or
// zero at the head of the log.
func (c *catchUp) follow(logger *slog.Logger, now time.Time, age time.Duration, status func() Status) {
	behind := age >= catchUpAge
	switch {
	case !behind && c.begun.IsZero():
	case !behind:
		logger.Info("sink has caught up", "units", status().Written-c.written, "took", now.Sub(c.begun).Round(time.Second))
		*c = catchUp{}
	case c.begun.IsZero():
		s := status()
		*c = catchUp{begun: now, said: now, written: s.Written}
		logger.Info("sink begins to catch up", "behind", age.Round(time.Second), "entries", s.LagEntries, "units", s.LagUnits)
	case now.Sub(c.said) >= catchUpEvery:
		c.said = now
		logger.Info("sink is catching up", progress(status(), age)...)
	}
}

func progress(s Status, age time.Duration) []any {
	attrs := []any{"behind", age.Round(time.Second), "entries", s.LagEntries, "units", s.LagUnits, "units_per_second", math.Round(s.Rate)}
	if s.ETA < 0 {
		return append(attrs, "left", "it does not come nearer")
	}
	return append(attrs, "left", s.ETA.Round(time.Second))
}
