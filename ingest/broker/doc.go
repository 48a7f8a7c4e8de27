// Package broker is the gateway's own MQTT broker: an intake for devices that
// connect to the gateway directly.
//
// In: MQTT 3.1, 3.1.1 and 5 connections over TCP or TLS. Out: every message
// published, last will, connect and disconnect, submitted to the
// [ingest.Receiver] under the source name "embedded"; acknowledgements, each
// after its message is on disk; and, to subscribers, what the gateway delivers
// (feedback, commands, alarms). What survives a crash: everything that was
// acknowledged. Sessions do not: a client that comes back subscribes again and
// sends again what was not acknowledged, as MQTT clients do.
//
// What it will not do: carry messages from one client to another. A published
// message goes to the log and to nobody else, so any subscription but those to
// the gateway's own topics is refused, with the reason.
//
// The MQTT server library below keeps sessions, subscriptions and deliveries;
// publishes never reach it (see ingest/wire).
package broker
