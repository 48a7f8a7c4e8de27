package ingest

import (
	"fmt"
	"time"
)

// Origin is where, and when, a replayed message stood in the log first.
type Origin struct {
	Position uint64 // of its entry
	Index    int    // of the message in the entry
	Received time.Time
}

// Replay makes the message that has one of the log judged once more, by the
// registry and the decoders of the time at which it is submitted. Nothing of m
// is copied.
func Replay(m *Message, from Origin) Message {
	again := *m
	again.Kind = Replayed
	again.QoS, again.Dup, again.PacketID = 0, false, 0 // it is no delivery that could be repeated
	again.User = fmt.Sprintf("%d %d %d", from.Position, from.Index, from.Received.UnixMilli())
	return again
}

// Origin tells where a replayed message comes from.
func (m *Message) Origin() (o Origin, err error) {
	var ms int64
	if _, err := fmt.Sscanf(m.User, "%d %d %d", &o.Position, &o.Index, &ms); err != nil {
		return o, fmt.Errorf("read the origin %q of a replayed message: %w", m.User, err)
	}
	o.Received = time.UnixMilli(ms).UTC()
	return o, nil
}
