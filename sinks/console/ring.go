package console

// ring holds the newest events, one after the other without holes.
type ring struct {
	frames   []*frame // a circle; frames[start] is the oldest
	start, n int
	bytes    int
	maxBytes int
}

// preparedKept is how many of the newest frames stay prepared for sockets: the
// older ones are asked for singly, and would only cost memory.
const preparedKept = 1024

func newRing(events, bytes int) *ring {
	return &ring{frames: make([]*frame, events), maxBytes: bytes}
}

func (r *ring) at(i int) **frame { return &r.frames[(r.start+i)%len(r.frames)] }

// push adds the next event and drops the oldest ones beyond the ring's size.
func (r *ring) push(f *frame) {
	for r.n == len(r.frames) || r.n > 0 && r.bytes+len(f.text) > r.maxBytes {
		oldest := r.at(0)
		r.bytes -= len((*oldest).text)
		*oldest = nil
		r.start = (r.start + 1) % len(r.frames)
		r.n--
	}
	*r.at(r.n) = f
	r.n++
	r.bytes += len(f.text)
	if i := r.n - 1 - preparedKept; i >= 0 {
		old := r.at(i)
		*old = (*old).unprepared()
	}
}

// after appends up to limit events that follow seq; held is false when the
// first of them is no longer, or not yet, in the ring.
func (r *ring) after(seq uint64, limit int, out []*frame) (_ []*frame, held bool) {
	if r.n == 0 {
		return out, false
	}
	first := (*r.at(0)).seq
	if seq+1 < first || seq+1 >= first+uint64(r.n) {
		return out, false
	}
	for i := int(seq + 1 - first); i < r.n && limit > 0; i, limit = i+1, limit-1 {
		out = append(out, *r.at(i))
	}
	return out, true
}

// find is the event with this seq, nil when it is not in the ring.
func (r *ring) find(seq uint64) *frame {
	if r.n == 0 {
		return nil
	}
	first := (*r.at(0)).seq
	if seq < first || seq >= first+uint64(r.n) {
		return nil
	}
	return *r.at(int(seq - first))
}

func (r *ring) clear() {
	clear(r.frames)
	r.start, r.n, r.bytes = 0, 0, 0
}
