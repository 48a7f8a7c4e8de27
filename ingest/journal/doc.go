// Package journal keeps the durable logs on which every promise of the gateway
// rests: the input log, the readings log, the alarm log, the positions of their
// readers and the small tables beside them. It embeds NATS JetStream, without a
// port, in this process.
//
// In: entries, each a run of bytes with a count of the units inside. Out: the
// same bytes, in order, each with its position and the number of units up to
// it. What survives a crash or a power cut: everything whose Append, Put, Create,
// Update or Save returned nil; what was under way may be there or not, whole in
// either case. What journal will not do: look into an entry, give a damaged one
// to a reader, jump over a missing one in silence, or drop an old one by itself.
package journal
