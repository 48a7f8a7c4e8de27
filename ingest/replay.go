package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	again.User = fmt.Sprintf("%d %d %d %s", from.Position, from.Index, from.Received.UnixMilli(), m.User)
	return again
}

// Origin tells where a replayed message comes from, and whose it was.
func (m *Message) Origin() (o Origin, user string, err error) {
	parts := strings.SplitN(m.User, " ", 4)
	if len(parts) != 4 {
		return o, "", fmt.Errorf("the origin %q of a replayed message is cut off", m.User)
	}
	position, err1 := strconv.ParseUint(parts[0], 10, 64)
	index, err2 := strconv.Atoi(parts[1])
	ms, err3 := strconv.ParseInt(parts[2], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return o, "", fmt.Errorf("read the origin of a replayed message: %w", err)
	}
	return Origin{Position: position, Index: index, Received: time.UnixMilli(ms).UTC()}, parts[3], nil
}
