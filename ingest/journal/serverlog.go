package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog passes the embedded server's words on to slog, counts its warnings
// and recognises the one that means that the disk has refused a write: the
// server does not answer that publish, nor any later one to the same stream.
type serverLog struct {
	log *slog.Logger

	bad     context.Context // done once the disk has refused a write, with the cause
	markBad context.CancelCauseFunc

	mu       sync.Mutex
	warnings uint64
	warning  string // the last one
	fatal    error  // why the server did not start
}

func newServerLog(log *slog.Logger) *serverLog {
	bad, markBad := context.WithCancelCause(context.Background())
	return &serverLog{log: log.With("component", "nats"), bad: bad, markBad: markBad}
}

// afterCrash are the server's warnings of every start after an unclean stop;
// it re-reads the stream and nothing is wrong.
var afterCrash = []string{
	"Stream state outdated",
	"Recovering stream state from index errored",
}

// refusedWrite are the words that come with a write the disk did not take.
var refusedWrite = []string{
	"critical write error",
	"permission denied while writing msg",
	"permission denied when flushing stream state",
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

func (l *serverLog) Warnf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if containsAny(text, afterCrash) {
		l.log.Info("re-reading a stream after an unclean stop", "detail", text)
		return
	}
	l.count(text)
	l.log.Warn(text)
}

func (l *serverLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.count(text)
	l.log.Error(text)
}

func (l *serverLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.count(text)
	l.log.Error(text)
	l.mu.Lock()
	l.fatal = errors.New(text)
	l.mu.Unlock()
}

func (l *serverLog) count(text string) {
	if containsAny(text, refusedWrite) {
		l.markBad(errors.New(text))
	}
	l.mu.Lock()
	l.warnings++
	l.warning = text
	l.mu.Unlock()
}

// failure says why the server did not start, if it did not.
func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func (l *serverLog) counted() (uint64, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warnings, l.warning
}

func containsAny(text string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}
