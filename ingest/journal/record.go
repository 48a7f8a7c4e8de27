package journal

import "time"

// Record is one entry of a log, as read back: checked, decompressed.
type Record struct {
	Seq     uint64    // position, from 1, without holes
	Time    time.Time // when it was appended, to the millisecond
	Count   int       // units in it (messages, readings)
	Total   uint64    // units in the log up to and including this entry
	Subject string    // of keyed logs: the key the entry belongs to
	Data    []byte    // valid until the callback returns unless copied
}

// Mark is a place in a log: a position, and how many units lie up to it.
type Mark struct {
	Seq   uint64
	Total uint64
}
