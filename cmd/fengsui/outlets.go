package main

import (
	"context"
	"log/slog"
	"time"

	"fengsui/ingest/journal"
	"fengsui/sinks"
	"fengsui/sinks/influx"
)

// writeInterval is the least time between two requests to InfluxDB at the head
// of a log: at a hundred commits a second a request for each costs it three
// times the CPU.
const writeInterval = 100 * time.Millisecond

// outlets are the sinks that are configured: each a cursor over a log.
type outlets struct {
	readings []*sinks.Runner // over the readings log
	alarms   []*sinks.Runner // over the alarm log
	server   *influx.Server
}

func newOutlets(ctx context.Context, cfg Config, store *journal.Store, readings *journal.Log, alarms *journal.KeyedLog, logger *slog.Logger) (*outlets, error) {
	o := &outlets{}
	if cfg.Influx == nil {
		return o, nil
	}
	server, err := influx.New(influx.Options{
		URL: cfg.Influx.URL, Org: cfg.Influx.Org, Bucket: cfg.Influx.Bucket,
		TokenFile: cfg.Influx.TokenFile, Token: cfg.Influx.token,
		OnRejected: func(line, reason string) {
			logger.Warn("InfluxDB will never take a point", "reason", reason, "line", line)
		},
		Logger: logger.With("part", "influx"),
	})
	if err != nil {
		return nil, err
	}
	o.server = server
	run := func(sink sinks.Sink, log sinks.Log, cursor string) (*sinks.Runner, error) {
		c, err := store.Cursor(ctx, cursor)
		if err != nil {
			return nil, err
		}
		return sinks.NewRunner(sinks.RunnerOptions{Sink: sink, Log: log, Cursor: c, Interval: writeInterval, Logger: logger.With("part", "sink")}), nil
	}
	r, err := run(server.Readings(), readings, "readings/influx")
	if err != nil {
		return nil, err
	}
	a, err := run(server.Alarms(), alarms, "alarms/influx")
	if err != nil {
		return nil, err
	}
	o.readings, o.alarms = append(o.readings, r), append(o.alarms, a)
	return o, nil
}

func (o *outlets) parts() []part {
	var parts []part
	for _, r := range append(o.readings, o.alarms...) {
		parts = append(parts, part{"sink " + r.Status().Sink, r.Run})
	}
	return parts
}

func (o *outlets) close() {
	if o.server != nil {
		o.server.Close()
	}
}

// status is how each sink stands.
func (o *outlets) status() []sinks.Status {
	var all []sinks.Status
	for _, r := range append(o.readings, o.alarms...) {
		all = append(all, r.Status())
	}
	return all
}

// needed is the oldest entry of the readings log that a sink still needs.
func (o *outlets) needed(head uint64) uint64 {
	oldest := head + 1
	for _, r := range o.readings {
		oldest = min(oldest, r.Status().Saved+1)
	}
	return oldest
}
