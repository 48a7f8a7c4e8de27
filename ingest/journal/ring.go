package journal

// ring holds the newest entries of a log, unpacked, so that readers at its head
// cost neither a fetch nor an unpacking. Entries are in it only once they are on
// disk. The owner's lock guards it.
type ring struct {
	records  [64]Record
	start    int // index of the oldest
	count    int
	bytes    int
	maxBytes int
}

// push adds the next record and drops the oldest ones that no longer fit. A
// record that does not follow the newest one starts the ring anew.
func (r *ring) push(rec Record) {
	if r.count > 0 && rec.Seq != r.newest().Seq+1 {
		r.clear()
	}
	if r.count == len(r.records) {
		r.drop()
	}
	r.records[(r.start+r.count)%len(r.records)] = rec
	r.count++
	r.bytes += len(rec.Data)
	for r.bytes > r.maxBytes {
		r.drop()
	}
}

// get returns the record at seq, if it is still held.
func (r *ring) get(seq uint64) (Record, bool) {
	if r.count == 0 {
		return Record{}, false
	}
	oldest := r.records[r.start].Seq
	if seq < oldest || seq >= oldest+uint64(r.count) {
		return Record{}, false
	}
	return r.records[(r.start+int(seq-oldest))%len(r.records)], true
}

func (r *ring) newest() Record {
	return r.records[(r.start+r.count-1)%len(r.records)]
}

func (r *ring) drop() {
	r.bytes -= len(r.records[r.start].Data)
	r.records[r.start] = Record{}
	r.start = (r.start + 1) % len(r.records)
	r.count--
}

func (r *ring) clear() {
	*r = ring{maxBytes: r.maxBytes}
}
