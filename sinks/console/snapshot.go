package console

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// snapshot is all alarms that are not closed, encoded in frames.
type snapshot struct {
	place
	frames []*frame
}

const (
	// partAlarms is how many alarms one frame of a snapshot carries, so that the
	// worst can be shown before the last have arrived.
	partAlarms = 500
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

// encodeParts joins what is encoded already: with ten thousand alarms, encoding
// them anew would keep everybody waiting.
func encodeParts(at place, list []*standing) ([]*frame, error) {
	epoch, err := json.Marshal(at.epoch)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	parts := max(1, (len(list)+partAlarms-1)/partAlarms)
	frames := make([]*frame, 0, parts)
	for part := 1; part <= parts; part++ {
		n := min(partAlarms, len(list))
		var text bytes.Buffer
		size := 100
		for _, s := range list[:n] {
			size += len(s.json) + 1
		}
		text.Grow(size)
		fmt.Fprintf(&text, `{"snapshot":{"epoch":%s,"seq":%d,"part":%d,"parts":%d,"alarms":[`, epoch, at.seq, part, parts)
		for i, s := range list[:n] {
			if i > 0 {
				text.WriteByte(',')
			}
			text.Write(s.json)
		}
		text.WriteString("]}}")
		frames = append(frames, &frame{text: text.Bytes()})
		list = list[n:]
	}
	return frames, nil
}
