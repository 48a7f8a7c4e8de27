package sinks

import (
	"time"

	"fengsui/ingest/journal"
)

// batch is a run of records copied out of a log. It is filled by the reader and
// belongs to the writer once it is sealed.
type batch struct {
	records []journal.Record
	arena   []byte // the records' data, end to end
	units   int
	begun   time.Time // when the first record was put
	full    bool      // a record was there that did not fit
}

func (b *batch) empty() bool { return len(b.records) == 0 }

func (b *batch) last() journal.Record { return b.records[len(b.records)-1] }

// fits says whether a record may be added. The first one always may, however
// large it is.
func (b *batch) fits(rec journal.Record, maxUnits, maxBytes int) bool {
	return b.empty() || b.units+rec.Count <= maxUnits && len(b.arena)+len(rec.Data) <= maxBytes
}

// add copies a record. The arena doubles up to the size of a batch and no
// further, so that two batches are all the memory there is.
func (b *batch) add(rec journal.Record, maxBytes int) {
	if need := len(b.arena) + len(rec.Data); need > cap(b.arena) {
		grown := make([]byte, len(b.arena), max(need, min(2*cap(b.arena), maxBytes)))
		copy(grown, b.arena)
		b.arena = grown
	}
	b.arena = append(b.arena, rec.Data...)
	b.units += rec.Count
	b.records = append(b.records, rec)
}

// seal points the records at their copies, which stay where they are from now on.
func (b *batch) seal() {
	start := 0
	for i := range b.records {
		end := start + len(b.records[i].Data)
		b.records[i].Data = b.arena[start:end:end]
		start = end
	}
}

// reset empties the batch and keeps its memory, unless one huge record made it
// larger than a batch should be.
func (b *batch) reset(maxBytes int) {
	clear(b.records)
	b.records, b.units, b.full = b.records[:0], 0, false
	if cap(b.arena) > 2*maxBytes {
		b.arena = nil
	}
	b.arena = b.arena[:0]
}
