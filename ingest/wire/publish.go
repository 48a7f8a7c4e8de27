package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MQTT control packet types, as the first byte carries them in its upper half.
const (
	typePublish    = 3
	typePuback     = 4
	typePubrec     = 5
	typePubrel     = 6
	typePubcomp    = 7
	typeDisconnect = 14
)

// Publish is one PUBLISH as it lies in the connection's read buffer: valid
// until the handler it was given to returns.
type Publish struct {
	Topic    []byte
	Payload  []byte
	PacketID uint16 // 0 at QoS 0
	QoS      byte
	Retained bool
	Dup      bool
}

// ErrMalformed is wrapped by the errors about packets that are not MQTT.
var ErrMalformed = errors.New("malformed MQTT packet")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// parsePublish reads a PUBLISH of the given protocol version from its first
// byte and its body. A body that ends early is read as far as it goes.
func (p *Publish) parse(first byte, body []byte, version byte) error {
	*p = Publish{
		QoS:      first >> 1 & 3,
		Retained: first&1 != 0,
		Dup:      first&8 != 0,
	}
	if p.QoS == 3 {
		return malformed("PUBLISH with QoS 3")
	}
	topic, rest, ok := cutString(body)
	if !ok {
		return malformed("PUBLISH ends inside its topic")
	}
	p.Topic = topic
	if p.QoS > 0 {
		if len(rest) < 2 {
			return malformed("PUBLISH ends before its packet id")
		}
		p.PacketID = binary.BigEndian.Uint16(rest)
		if p.PacketID == 0 {
			return malformed("PUBLISH with packet id 0")
		}
		rest = rest[2:]
	}
	if version == 5 {
		n, size := varint(rest)
		if size <= 0 || n > len(rest)-size {
			return malformed("PUBLISH ends inside its properties")
		}
		rest = rest[size+n:]
	}
	p.Payload = rest
	return nil
}

// cutString cuts a length-prefixed string off b.
func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, nil, false
	}
	return b[2:n], b[n:], true
}

// varint reads MQTT's variable byte integer. The size is 0 if b ends inside it
// and -1 if it is longer than the four bytes allowed.
func varint(b []byte) (v, size int) {
	for i := range min(len(b), 4) {
		v |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	if len(b) >= 4 {
		return 0, -1
	}
	return 0, 0
}
