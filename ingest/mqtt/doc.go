// Package mqtt receives from external MQTT brokers: those that devices, or the
// platforms of their makers, publish to already.
//
// In: one connection to a broker for each [Source], by MQTT 3.1.1 over TCP, TLS
// or websocket. Out: every message the subscriptions deliver, submitted to the
// [ingest.Receiver] under the source's name, and SourceUp and SourceDown for
// what becomes of the connection; to the broker, an acknowledgement of each
// message that is on disk. What survives a crash: everything that was
// acknowledged is on disk, and everything else is still the broker's, which
// keeps it in the persistent session and delivers it again.
//
// What it will not do: publish, route, or drop duplicates. A message delivered
// again is kept again and acknowledged again, as the broker wants it; that it
// is a duplicate is recognised by its content.
//
// The client library below connects, subscribes and pings. Messages and their
// acknowledgements never reach it (see ingest/wire): it would hand each one
// through four channels, lose the acknowledgements that come after a reconnect,
// and stop answering pings while one waits for the disk.
package mqtt
