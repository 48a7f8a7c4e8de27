// Package ingest takes MQTT messages from every source, puts them on disk in
// batches and only then lets their senders be acknowledged.
//
// In: messages of the embedded broker (ingest/broker) and of clients of
// external brokers (ingest/mqtt), together with what happened to the
// connections they came over: connects, disconnects, last wills, sources that
// came up or went down. Out: entries of the input log, each a batch of messages
// in receive order. What survives a crash: every message whose sender was
// acknowledged. What ingest will not do: look into a payload, or know a device.
package ingest

import "time"

// MessageKind says what a [Message] reports.
type MessageKind uint8

const (
	// Publish is an MQTT PUBLISH.
	Publish MessageKind = iota + 1
	// Will is the last will of a client, published on its behalf.
	Will
	// Connect and Disconnect say that a client's connection began or ended.
	Connect
	Disconnect
	// SourceUp and SourceDown say that a source can, or can no longer, deliver.
	SourceUp
	SourceDown
	// Started is the first message of every run of the gateway: all sources are
	// down until they say otherwise, and nothing was heard since the entry before.
	Started
	// Canary is submitted by the gateway each second and proves, when the judge
	// sees it, that the whole way was open.
	Canary
	// Trouble says that something of the gateway itself, named by Source, is
	// wrong, in the words of Topic; without words, that it is over. Payload is the
	// word of its level; without one it is a fault.
	Trouble
	// Config says that from here on another registry holds: Topic is its version
	// and its hash. It stands in the log so that every replay changes over at the
	// same place.
	Config
	// Replayed is a message of this log that was quarantined, once more: see
	// [Replay]. The books counted it when it came.
	Replayed
)

// Stopping is the reason of a [SourceDown] when the gateway itself stops: nobody
// lost anything, and Started will say the rest.
const Stopping = "the gateway is stopping"

// Paused is the reason of a [SourceDown] when the gateway takes nothing for a
// while: the source is well, and its messages wait where they are.
const Paused = "the intake is paused"

// Counted reports whether the message is one of those the books are about:
// what an MQTT client published, itself or through its will.
func (k MessageKind) Counted() bool { return k == Publish || k == Will }

// Message is one thing that arrived, before anybody looked inside.
type Message struct {
	Kind     MessageKind
	Received time.Time // by the gateway's clock, to the millisecond
	Source   string    // "embedded", or the name of an external broker
	Client   string    // client id, where the source knows it
	User     string    // user name, where the source knows it
	Topic    string    // for SourceDown and Disconnect: the reason, in words
	Payload  []byte
	QoS      byte
	Retained bool
	Dup      bool   // the sender marked it as a redelivery
	PacketID uint16 // of the sender's PUBLISH; 0 at QoS 0
}

// Acker is told what became of the messages it submitted. Its methods are
// called by the committer in receive order and must not block.
type Acker interface {
	// Kept says that the message with this packet id is on disk: acknowledge it.
	Kept(packetID uint16)
	// Failed says that the message is not known to be on disk and never will be:
	// it must not be acknowledged, and the connection must be dropped so that
	// the sender sends it again.
	Failed(packetID uint16, err error)
}
