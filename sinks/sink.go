// Package sinks carries what the logs hold to whoever wants it: one [Runner]
// and one cursor a sink.
//
// In: records of the readings log and of the alarm log, in order. Out: batches
// for a [Sink], repeated until it accepts them. What survives a crash: the
// cursor; what was written after it was last saved is written again, so a sink
// must bear repetition. What it will not do: decode, queue, skip a record the
// log still has, or let one sink wait for another.
package sinks

import (
	"context"
	"time"

	"fengsui/ingest/journal"
)

// Sink is a place that records are delivered to.
type Sink interface {
	// Name is the word for the sink in metrics, logs and the console.
	Name() string
	// Write delivers a batch, oldest record first, and returns nil only when all
	// of it has been accepted for good, or the sink itself has put aside and
	// counted what can never be accepted. After any error it is called again with
	// the same records; after a crash perhaps with some of them in other batches.
	// It may block as long as ctx allows; the batch is its own until it returns.
	Write(ctx context.Context, batch []journal.Record) error
}

// Reporter is a sink that knows more of itself than its runner does.
type Reporter interface {
	Report() Report
}

// Report is what a sink knows of itself, counted since start.
type Report struct {
	Sent     uint64 // messages that were taken, by a sink that sends messages
	Outdated uint64 // messages that were not sent, because something newer had overtaken them
	Rejected uint64 // units put aside that can never be accepted
	Failed   uint64 // failed attempts that the runner did not see
	Trouble  string // what a person should know while the sink goes on; empty: nothing
}

// Log is what a runner needs of a log ([journal.Log] and [journal.KeyedLog]).
type Log interface {
	// Read calls fn with every record from position from on, and follows the head
	// until ctx or fn ends it. Entries that are no longer there end it with a
	// [journal.GapError].
	Read(ctx context.Context, from uint64, fn func(journal.Record) error) error
	Last() journal.Mark
}

// Cursor remembers durably up to where a sink has accepted the log.
type Cursor interface {
	Load(ctx context.Context) (uint64, error)
	Save(ctx context.Context, seq uint64) error
}

// Stopped is the error of a sink that will not accept anything before a person
// has changed a configuration: a wrong token, a missing bucket. The runner
// keeps the cursor where it is and looks again only now and then.
type Stopped struct {
	Reason string // for people: what is wrong, and what to change
	Err    error
}

func (e *Stopped) Error() string { return e.Reason }
func (e *Stopped) Unwrap() error { return e.Err }

// Busy is the error of a sink that asked to be left alone for a while.
type Busy struct {
	After time.Duration
	Err   error
}

func (e *Busy) Error() string { return e.Err.Error() }
func (e *Busy) Unwrap() error { return e.Err }
