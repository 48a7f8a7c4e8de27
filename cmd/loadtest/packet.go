package main

import (
	"encoding/binary"
	"fmt"
	"io"
)

// The few MQTT 3.1.1 packets a load generator needs, written by hand so that the
// generator costs as little as possible beside what it measures.

// appendConnect asks for a clean session with a keepalive of a minute.
func appendConnect(dst []byte, clientID, user, password string) []byte {
	flags := byte(0x02)
	length := 10 + 2 + len(clientID)
	if user != "" {
		flags |= 0xC0
		length += 2 + len(user) + 2 + len(password)
	}
	dst = append(dst, 0x10)
	dst = appendLength(dst, length)
	dst = append(dst, 0, 4, 'M', 'Q', 'T', 'T', 4, flags, 0, 60)
	dst = appendText(dst, clientID)
	if user != "" {
		dst = appendText(dst, user)
		dst = appendText(dst, password)
	}
	return dst
}

// appendPublish writes a PUBLISH; id is used at QoS 1 only.
func appendPublish(dst []byte, topic string, payload []byte, qos byte, id uint16) []byte {
	length := 2 + len(topic) + len(payload)
	if qos > 0 {
		length += 2
	}
	dst = append(dst, 0x30|qos<<1)
	dst = appendLength(dst, length)
	dst = appendText(dst, topic)
	if qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, id)
	}
	return append(dst, payload...)
}

func appendDisconnect(dst []byte) []byte { return append(dst, 0xE0, 0) }

// appendLength writes MQTT's variable byte integer.
func appendLength(dst []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// byteReader is what readPacket reads from: a bufio.Reader.
type byteReader interface {
	io.Reader
	io.ByteReader
}

// Kinds of packets that come back.
const (
	connack = 2
	puback  = 4
)

// reply is a packet of the broker that is short and answers something.
type reply struct {
	kind byte
	body [2]byte // CONNACK: flags and code; PUBACK: the packet id
}

func (r reply) id() uint16 { return binary.BigEndian.Uint16(r.body[:]) }

// readReply reads the next packet; only answers are expected.
func readReply(r byteReader) (reply, error) {
	header, err := r.ReadByte()
	if err != nil {
		return reply{}, err
	}
	length, err := r.ReadByte()
	if err != nil {
		return reply{}, err
	}
	answer := reply{kind: header >> 4}
	if int(length) > len(answer.body) {
		return reply{}, fmt.Errorf("packet 0x%02x of %d bytes from the broker, want an answer of at most 2", header, length)
	}
	_, err = io.ReadFull(r, answer.body[:length])
	return answer, err
}
