// Package wire cuts the publishes out of an MQTT byte stream, so that the two
// MQTT libraries under the intake see everything but them.
//
// In: a network connection to an MQTT client (ingest/broker) or to an MQTT
// broker (ingest/mqtt). Out: each PUBLISH to a [Handler], in place, without
// allocation; every other packet to whoever reads the [Conn], untouched. What
// is acknowledged is written by the Conn itself, when [Conn.Kept] says so, in
// the order in which the messages came, thousands to a write. What survives a
// crash: nothing; a message is the sender's until it was acknowledged. What it
// will not do: decide anything, or read a topic or a payload.
//
// Why not leave publishes to the libraries: an acknowledgement that must wait
// for the disk has no place in either. The server library acknowledges, drops
// or ignores a publish before a sync could have happened, and copies each one
// four times; the client library loses late acknowledgements, and hands each
// one through four channels. Cutting the publishes out takes one parser and
// answers for both, and costs a tenth.
//
// QoS 2 is received as "at least once, then content": PUBREC is sent when the
// message is on disk, PUBREL is always answered with PUBCOMP, and a message
// sent again after a lost PUBREC is there twice, marked as duplicate by its
// sender and recognised by its content like any other redelivery.
package wire
