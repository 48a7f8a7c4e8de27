package journal

import (
	"errors"
	"fmt"
)

// Errors to be recognised with [errors.Is]; what is returned says more.
var (
	// ErrLocked: another process has the data folder open.
	ErrLocked = errors.New("data folder is in use")
	// ErrConflict: somebody else wrote first; read again and decide again.
	ErrConflict = errors.New("somebody else wrote first")
	// ErrNotFound: there is no such key, or no such entry any more.
	ErrNotFound = errors.New("not found")
	// ErrGap: entries are missing from a log; see [GapError].
	ErrGap = errors.New("entries are missing")
	// ErrCorrupt: an entry is there but damaged; see [CorruptError].
	ErrCorrupt = errors.New("entry is damaged")
	// ErrCursorAhead: a cursor lies past the end of its log, which has lost its tail.
	ErrCursorAhead = errors.New("cursor is past the end of its log")
	// ErrFull: the log or the store has reached its size; nothing was written.
	ErrFull = errors.New("log is full")
	// ErrDisk: the disk does not take writes; the store must be opened anew.
	ErrDisk = errors.New("disk does not take writes")
	// ErrTooLarge: an entry exceeds what one append may hold.
	ErrTooLarge = errors.New("entry is too large")
	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("store is closed")
)

// GapError says which entries are missing, trimmed or lost. The reader may go
// on at To+1, having told somebody.
type GapError struct {
	Log      string // its name
	From, To uint64
}

func (e *GapError) Error() string {
	return fmt.Sprintf("log %s: entries %d to %d are missing", e.Log, e.From, e.To)
}

// Is makes a GapError an [ErrGap].
func (e *GapError) Is(target error) bool { return target == ErrGap }

// CorruptError says which entry is damaged. The reader may go on at Seq+1,
// having told somebody.
type CorruptError struct {
	Log    string // its name, or that of a bucket
	Seq    uint64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("log %s: entry %d is damaged: %s", e.Log, e.Seq, e.Reason)
}

// Is makes a CorruptError an [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
