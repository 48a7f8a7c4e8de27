package ingest

import (
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"
)

// An entry of the input log is one message after the other, each as
//
//	head      1 byte: kind (bits 0-3), QoS (4-5), retained (6), dup (7)
//	received  varint, milliseconds since 1970
//	packet id uvarint
//	source, client, user, topic, payload: each a uvarint length and its bytes
//
// There is no entry header and no count: the log checks every entry as a whole
// and compresses it, which makes the repeated names nearly free.
const (
	headKind     = 0x0f
	headQoS      = 4
	headRetained = 0x40
	headDup      = 0x80

	// messageOverhead is the most an encoded message takes beyond its strings
	// and payload: head, two varints and five lengths.
	messageOverhead = 1 + binary.MaxVarintLen64 + binary.MaxVarintLen16 + 5*binary.MaxVarintLen32
)

// AppendMessage appends m, encoded, to dst. Nothing of m is kept.
func AppendMessage(dst []byte, m *Message) []byte {
	head := byte(m.Kind)&headKind | m.QoS&3<<headQoS
	if m.Retained {
		head |= headRetained
	}
	if m.Dup {
		head |= headDup
	}
	dst = append(dst, head)
	dst = binary.AppendVarint(dst, m.Received.UnixMilli())
	dst = binary.AppendUvarint(dst, uint64(m.PacketID))
	dst = appendString(dst, m.Source)
	dst = appendString(dst, m.Client)
	dst = appendString(dst, m.User)
	dst = appendString(dst, m.Topic)
	dst = binary.AppendUvarint(dst, uint64(len(m.Payload)))
	return append(dst, m.Payload...)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// encodedSize is an upper bound of what AppendMessage appends.
func encodedSize(m *Message) int {
	return messageOverhead + len(m.Source) + len(m.Client) + len(m.User) + len(m.Topic) + len(m.Payload)
}

// DecodeEntry calls fn with each message of an entry, in receive order, i
// counting from 0, and ends with the first error of its own or of fn.
//
// Nothing is copied: the message is reused for the next call, and its strings
// and payload lie in data. They hold as long as data stays as it is; whoever
// keeps one for longer must clone it.
func DecodeEntry(data []byte, fn func(i int, m *Message) error) error {
	var m Message
	d := decoder{data: data}
	for i := 0; d.at < len(data); i++ {
		start := d.at
		d.message(&m)
		if d.err != nil {
			return fmt.Errorf("decode message %d of an entry, which begins at byte %d: %w", i, start, d.err)
		}
		if err := fn(i, &m); err != nil {
			return err
		}
	}
	return nil
}

// decoder reads through an entry; after its first error it only returns zeros.
type decoder struct {
	data []byte
	at   int
	err  error
}

func (d *decoder) message(m *Message) {
	head := d.data[d.at]
	d.at++
	m.Kind = MessageKind(head & headKind)
	m.QoS = head >> headQoS & 3
	m.Retained = head&headRetained != 0
	m.Dup = head&headDup != 0
	if m.Kind < Publish || m.Kind > Replayed {
		d.fail("kind %d is unknown; the entry may be of a newer version", m.Kind)
	}
	if m.QoS > 2 {
		d.fail("QoS %d does not exist", m.QoS)
	}
	m.Received = time.UnixMilli(d.varint("received time")).UTC()
	id := d.uvarint("packet id")
	if id > 0xffff {
		d.fail("packet id %d is above 65535", id)
	}
	m.PacketID = uint16(id)
	m.Source = d.text("source")
	m.Client = d.text("client")
	m.User = d.text("user")
	m.Topic = d.text("topic")
	m.Payload = d.bytes("payload")
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) varint(what string) int64 {
	v, n := binary.Varint(d.data[d.at:])
	d.skip(what, n)
	return v
}

func (d *decoder) uvarint(what string) uint64 {
	v, n := binary.Uvarint(d.data[d.at:])
	d.skip(what, n)
	return v
}

func (d *decoder) skip(what string, n int) {
	if n <= 0 {
		d.fail("%s at byte %d is cut off or no number", what, d.at)
		return
	}
	d.at += n
}

func (d *decoder) bytes(what string) []byte {
	n := d.uvarint(what)
	if d.err != nil {
		return nil
	}
	if left := len(d.data) - d.at; n > uint64(left) {
		d.fail("%s is %d bytes long, of which %d are there", what, n, left)
		return nil
	}
	b := d.data[d.at : d.at+int(n) : d.at+int(n)]
	d.at += int(n)
	return b
}

func (d *decoder) text(what string) string {
	b := d.bytes(what)
	return unsafe.String(unsafe.SliceData(b), len(b))
}
