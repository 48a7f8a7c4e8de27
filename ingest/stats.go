package ingest

import (
	"maps"
	"strings"
)

// Stats are the books of the door since start, by source. Whenever they are
// looked at, received = kept + refused + in flight holds for each source.
type Stats map[string]SourceStats

// SourceStats counts the messages of one source that MQTT clients published,
// themselves or through their wills.
type SourceStats struct {
	Received uint64
	Kept     uint64            // on disk
	Refused  map[string]uint64 // by reason
	InFlight uint64            // taken, not yet on disk
}

// Stats returns the books as they stand.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := make(Stats, len(r.books.accounts))
	for name, a := range r.books.accounts {
		s[name] = SourceStats{
			Received: a.received,
			Kept:     a.kept,
			Refused:  maps.Clone(a.refused),
			InFlight: a.inFlight,
		}
	}
	return s
}

// Pending returns how many bytes of messages wait for the disk.
func (r *Receiver) Pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pending
}

// books keep an account for each source. They are guarded by the Receiver's lock.
type books struct {
	accounts map[string]*account
	last     *account // most messages come from the source of the one before
}

type account struct {
	source   string
	received uint64
	kept     uint64
	inFlight uint64
	refused  map[string]uint64
}

func (b *books) account(source string) *account {
	if b.last != nil && b.last.source == source {
		return b.last
	}
	a := b.accounts[source]
	if a == nil {
		if b.accounts == nil {
			b.accounts = make(map[string]*account)
		}
		source = strings.Clone(source)
		a = &account{source: source, refused: make(map[string]uint64)}
		b.accounts[source] = a
	}
	b.last = a
	return a
}

// sum is how many messages of one source a batch holds.
type sum struct {
	account *account
	n       uint64
}

func (b *batch) add(a *account) {
	for i := range b.sums {
		if b.sums[i].account == a {
			b.sums[i].n++
			return
		}
	}
	b.sums = append(b.sums, sum{a, 1})
}
