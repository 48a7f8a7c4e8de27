package console

import (
	"encoding/json"
	"fmt"
)

// snapshot is all alarms that are not closed, encoded in frames.
type snapshot struct {
	place
	frames []*frame
}

const (
	// partAlarms is how many alarms one frame of a snapshot carries: enough that
	// what they share is said seldom, few enough that nobody waits for a frame.
	partAlarms = 2000
	// snapshotReuse is how many events old a snapshot may be and still be given to
	// the next who needs one: those events follow it like any others.
	snapshotReuse = 256
)

// encodeSnapshot gives the snapshot that was encoded last, if events from there
// on are at hand, else a new one.
func (h *Hub) encodeSnapshot() (*snapshot, error) {
	h.snapshotMu.Lock()
	defer h.snapshotMu.Unlock()
	h.mu.RLock()
	if h.life == 0 {
		h.mu.RUnlock()
		return nil, errNotLoaded
	}
	if s := h.snapshot; s != nil && s.life == h.life && (s.seq == h.seq || h.seq-s.seq <= snapshotReuse && h.ring.find(s.seq+1) != nil) {
		h.mu.RUnlock()
		return s, nil
	}
	at := place{life: h.life, epoch: h.epoch, seq: h.seq}
	list := h.present.worstFirst()
	h.mu.RUnlock()
	frames, err := encodeParts(at, list)
	if err != nil {
		return nil, err
	}
	h.snapshot = &snapshot{place: at, frames: frames}
	return h.snapshot, nil
}

// encodeParts says in each part once what its alarms have in common.
func encodeParts(at place, list []*standing) ([]*frame, error) {
	epoch, err := json.Marshal(at.epoch)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	parts := max(1, (len(list)+partAlarms-1)/partAlarms)
	frames := make([]*frame, 0, parts)
	for part := 1; part <= parts; part++ {
		n := min(partAlarms, len(list))
		c := newCompactor()
		for _, s := range list[:n] {
			c.add(&s.Alarm)
		}
		if c.err != nil {
			return nil, c.err
		}
		frames = append(frames, c.frame(epoch, at.seq, part, parts))
		list = list[n:]
	}
	return frames, nil
}
