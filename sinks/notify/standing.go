package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// Log is the alarm log ([journal.KeyedLog]).
type Log interface {
	sinks.Log
	// Latest calls fn with the last entry of each key.
	Latest(ctx context.Context, fn func(journal.Record) error) error
}

// Standing knows how every alarm that is not closed stands at the head of the
// alarm log, however far behind a sink may be. It is shared by all endpoints.
type Standing struct {
	log    Log
	logger *slog.Logger
	ready  chan struct{}

	mu   sync.Mutex
	open map[string]*alarms.Event // the last event of each; never changed
}

// NewStanding knows nothing before Run.
func NewStanding(log Log, logger *slog.Logger) *Standing {
	return &Standing{log: log, logger: logger, ready: make(chan struct{}), open: map[string]*alarms.Event{}}
}

// rereadAfter is how long Run waits after the log could not be read.
const rereadAfter = time.Second

// Run follows the alarm log until ctx ends. Damaged entries are passed over.
func (s *Standing) Run(ctx context.Context) error {
	from := s.log.Last().Seq + 1
	if err := s.log.Latest(ctx, s.take); err != nil && ctx.Err() == nil {
		s.logger.Error("some open alarms cannot be read from the alarm log", "error", err)
	}
	close(s.ready)
	for ctx.Err() == nil {
		err := s.log.Read(ctx, from, func(rec journal.Record) error {
			from = rec.Seq + 1
			return s.take(rec)
		})
		var gap *journal.GapError
		var damaged *journal.CorruptError
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &gap):
			from = gap.To + 1
		case errors.As(err, &damaged):
			from = damaged.Seq + 1
		case errors.Is(err, journal.ErrClosed), errors.Is(err, journal.ErrCursorAhead):
			return err
		default:
			s.logger.Error("cannot read the alarm log; trying again", "error", err)
			wait(ctx, rereadAfter)
		}
	}
	return nil
}

func (s *Standing) take(rec journal.Record) error {
	e, err := alarms.DecodeEvent(rec.Data, rec.Seq)
	if err != nil {
		s.logger.Error("an event of the alarm log cannot be understood", "error", err)
		return nil
	}
	if e.Alarm.ID == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.open[e.Alarm.ID]; was != nil && was.Seq >= e.Seq {
		return nil
	}
	if e.Alarm.State == alarms.Closed {
		delete(s.open, e.Alarm.ID)
	} else {
		s.open[e.Alarm.ID] = &e
	}
	return nil
}

// find is the last event of an alarm, nil when the alarm is closed. It waits
// until Run has read the log.
func (s *Standing) find(ctx context.Context, alarm string) (*alarms.Event, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[alarm], nil
}

// all is the last event of every open alarm.
func (s *Standing) all(ctx context.Context) ([]*alarms.Event, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*alarms.Event, 0, len(s.open))
	for _, e := range s.open {
		list = append(list, e)
	}
	return list, nil
}

func (s *Standing) wait(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
