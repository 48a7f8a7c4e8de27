package devices

// Incoming is one MQTT message as the intake needs it. Its strings and payload
// need to live only until the message was accepted.
type Incoming struct {
	Position uint64 // of its entry in the input log
	Index    int    // of the message in its entry
	Received int64  // Unix ms
	Source   string
	Client   string
	Topic    string
	Payload  []byte
	// Retained says that a broker handed the message out of its memory, so that
	// nobody knows when it was sent. A publisher's own retain flag is not this:
	// what the embedded broker receives is live.
	Retained bool
	Dup      bool   // marked by the sender as a redelivery
	PacketID uint16 // 0 at QoS 0
}

// Class is what became of a message. Each message is of exactly one class, so
// that the books balance.
type Class uint8

const (
	Accepted Class = iota + 1
	Duplicate
	Quarantined
)

func (c Class) String() string {
	switch c {
	case Accepted:
		return "accepted"
	case Duplicate:
		return "duplicate"
	case Quarantined:
		return "quarantined"
	}
	return "unknown"
}

// Presence is what a status message says of a device's connection.
type Presence uint8

const (
	NoPresence Presence = iota
	Online
	Offline
)

// Verdict is what became of one message.
type Verdict struct {
	Class    Class
	Device   *Device  // nil where the topic names none that is known
	Presence Presence // of a status message
	// Spoke says that the device is alive: it sent telemetry, and not out of a
	// broker's memory.
	Spoke bool
	// Readings are the message's own, the newest last; they are also in the
	// outcome and valid as long as it is.
	Readings []Reading
	// Rejections likewise: of the whole message or of single fields.
	Rejections []Rejection
}

// Outcome collects what became of the messages of one entry. It is reused:
// Reset it before the next one.
type Outcome struct {
	Readings   []Reading
	Rejections []Rejection

	Accepted    int
	Duplicates  int
	Quarantined int
	// Repeats counts samples left out because they had been seen before in
	// messages that also brought something new.
	Repeats int

	values []Value
}

// Reset empties the outcome and keeps its memory.
func (o *Outcome) Reset() {
	clear(o.Rejections)
	*o = Outcome{Readings: o.Readings[:0], Rejections: o.Rejections[:0], values: o.values[:0]}
}
