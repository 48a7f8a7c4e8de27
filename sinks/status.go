package sinks

import (
	"errors"
	"time"

	"fengsui/ingest/journal"
)

// rateWindow is the time over which rates are measured.
const rateWindow = 30 * time.Second

// Status is how a sink stands.
type Status struct {
	Sink     string
	Position uint64 // the last entry the sink accepted
	Saved    uint64 // the cursor on disk: a log may be trimmed up to here

	LagEntries uint64        // entries in the log that the sink has not accepted
	LagUnits   uint64        // units in them
	Lag        time.Duration // age of the oldest of them that has been read

	Written uint64        // units accepted since start
	Rate    float64       // units a second accepted, over the last half minute
	Entries float64       // entries a second accepted, likewise
	ETA     time.Duration // until the head is reached at this rate; negative: not at this rate

	Sent      uint64    // see [Report]
	Outdated  uint64    // see [Report]
	Rejected  uint64    // see [Report]
	Trouble   string    // see [Report]
	Lost      uint64    // entries missing or damaged in the log since start: they never reach the sink
	Rewound   uint64    // entries the cursor was past the end of the log at start
	Errors    uint64    // failed attempts since start
	Error     string    // of the last attempt; empty once the sink accepts again
	ErrorTime time.Time // of the last error, also after the sink accepts again
	Stopped   string    // what a person has to change before the sink goes on; empty: nothing
}

// Status of the runner now.
func (r *Runner) Status() Status {
	head := r.o.Log.Last()
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.state.status(now, head)
	if oldest, ok := r.oldest(); ok {
		s.Lag = max(0, now.Sub(oldest))
	}
	if reporter, ok := r.o.Sink.(Reporter); ok {
		s.add(reporter.Report())
	}
	return s
}

func (s *Status) add(r Report) {
	s.Sent, s.Outdated, s.Rejected, s.Trouble = r.Sent, r.Outdated, r.Rejected, r.Trouble
	s.Errors += r.Failed
}

// oldest is when the oldest record that was read and not accepted was appended.
func (r *Runner) oldest() (time.Time, bool) {
	if !r.state.writing.IsZero() {
		return r.state.writing, true
	}
	if !r.gathering.empty() {
		return r.gathering.records[0].Time, true
	}
	return time.Time{}, false
}

// state is what a runner knows of its progress; the runner's lock guards it.
type state struct {
	sink     string
	position uint64
	saved    uint64
	total    uint64 // units in the log up to position
	known    bool   // total is known: a record was read
	writing  time.Time

	written   uint64
	entries   uint64 // lost
	ahead     uint64 // rewound
	errors    uint64
	lastError string
	errorTime time.Time
	stopped   string

	samples []sample // of the last rateWindow, oldest first, at most one a second
}

// sample is how far the sink and the log were at one moment.
type sample struct {
	at       time.Time
	position uint64
	written  uint64
	head     uint64 // units in the log
}

func (s *state) begin(now time.Time, at uint64, head journal.Mark) {
	s.position, s.saved = at, at
	s.samples = append(s.samples[:0], sample{now, at, 0, head.Total})
}

// read learns from the first record how many units lie before it.
func (s *state) read(rec journal.Record) {
	if !s.known {
		s.total, s.known = rec.Total-uint64(rec.Count), true
	}
}

func (s *state) taken(b *batch) { s.writing = b.records[0].Time }

// accepted reports whether the sink had failed before.
func (s *state) accepted(now time.Time, b *batch, head journal.Mark) (recovered bool) {
	recovered = s.lastError != ""
	if recovered {
		s.samples = s.samples[:0] // the pace of an outage says nothing of the pace after it
	}
	s.sample(now, head)
	s.position, s.total = b.last().Seq, b.last().Total
	s.written += uint64(b.units)
	s.writing = time.Time{}
	s.lastError, s.stopped = "", ""
	return recovered
}

func (s *state) sample(now time.Time, head journal.Mark) {
	if n := len(s.samples); n > 0 && now.Sub(s.samples[n-1].at) < time.Second {
		return
	}
	old := 0
	for old < len(s.samples) && now.Sub(s.samples[old].at) > rateWindow {
		old++
	}
	s.samples = append(s.samples[:copy(s.samples, s.samples[old:])], sample{now, s.position, s.written, head.Total})
}

// failed reports whether the error only repeats the one before.
func (s *state) failed(now time.Time, err error) (repeated bool) {
	repeated = err.Error() == s.lastError
	s.errors++
	s.lastError, s.errorTime = err.Error(), now
	var stopped *Stopped
	s.stopped = ""
	if errors.As(err, &stopped) {
		s.stopped = stopped.Reason
	}
	return repeated
}

// lost counts entries that cannot be read. Where nothing before them waits for
// the sink, its position lies behind them from now on.
func (s *state) lost(now time.Time, from, to uint64, nothingGathered bool) {
	s.entries += to - from + 1
	s.errors++
	s.errorTime = now
	if nothingGathered && s.writing.IsZero() {
		s.position = max(s.position, to)
	}
}

func (s *state) status(now time.Time, head journal.Mark) Status {
	st := Status{
		Sink: s.sink, Position: s.position, Saved: s.saved,
		Written: s.written, Lost: s.entries, Rewound: s.ahead,
		Errors: s.errors, Error: s.lastError, ErrorTime: s.errorTime, Stopped: s.stopped,
	}
	if head.Seq > s.position {
		st.LagEntries = head.Seq - s.position
		if s.known && head.Total > s.total {
			st.LagUnits = head.Total - s.total
		}
	}
	s.pace(&st, now, head)
	return st
}

// pace is how fast the sink accepts, and the time to the head if the log goes on
// growing as it did.
func (s *state) pace(st *Status, now time.Time, head journal.Mark) {
	if st.LagEntries > 0 {
		st.ETA = -1
	}
	for _, from := range s.samples {
		seconds := now.Sub(from.at).Seconds()
		if seconds > rateWindow.Seconds() || seconds <= 0 {
			continue
		}
		st.Rate = float64(s.written-from.written) / seconds
		st.Entries = float64(s.position-from.position) / seconds
		closing := st.Rate - float64(head.Total-from.head)/seconds
		if st.LagEntries > 0 && closing > 0 {
			st.ETA = time.Duration(float64(st.LagUnits) / closing * float64(time.Second))
		}
		return
	}
}
