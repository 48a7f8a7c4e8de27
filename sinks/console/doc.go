// Package console puts alarms in front of people: the HTTP API, the stream of
// events, and the page that shows them.
//
// In: the alarm log and the readings log, read like any sink reads them; what
// people ask for and command over HTTP. Out: frames (PROTOCOL.md) on websockets
// and by long poll, JSON, the page; commands to the judge through [Commander].
// What survives a crash: people, their tokens and sessions, which live in a
// bucket; the present of the alarms is folded from the alarm log at every start.
// A socket is a cursor over the recent events, so a browser that slept an hour
// reads on from where it was, and one that cannot keep up is dropped without
// anybody waiting for it. What it will not do: judge, change an alarm by itself,
// or jump over an event without saying so.
package console
