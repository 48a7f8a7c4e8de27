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
	logger   *slog.Logger
}

func newOutlets(ctx context.Context, cfg Config, store *journal.Store, readings *journal.Log, alarms *journal.KeyedLog, logger *slog.Logger) (*outlets, error) {
	o := &outlets{logger: logger.With("part", "influx")}
	if cfg.Influx == nil {
		return o, nil
	}
	server, err := influx.New(influx.Options{
		URL: cfg.Influx.URL, Org: cfg.Influx.Org, Bucket: cfg.Influx.Bucket,
		TokenFile: cfg.Influx.TokenFile, Token: cfg.Influx.token,
		OnRejected: (&rejectionLog{logger: logger}).add,
		Logger:     o.logger,
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
	if o.server != nil {
		parts = append(parts, part{"InfluxDB check", o.check})
	}
	return parts
}

// check says at once what is wrong with the configuration, even while there is
// nothing to write. The runners go on trying by themselves.
func (o *outlets) check(ctx context.Context) error {
	if err := o.server.Ping(ctx); err != nil && ctx.Err() == nil {
		o.logger.Error("InfluxDB does not take points; they wait in the log", "error", err)
	}
	return nil
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

// rejectionLog says what InfluxDB will never take: after a long outage that may
// be millions of points for one reason, so it says so once in a while.
type rejectionLog struct {
	logger *slog.Logger
	count  int
	said   time.Time
}

const rejectionsEvery = 10 * time.Second

func (l *rejectionLog) add(line, reason string) {
	l.count++
	if time.Since(l.said) < rejectionsEvery {
		return
	}
	l.logger.Warn("InfluxDB will never take these points", "points", l.count, "last_reason", reason, "last_line", line)
	l.count, l.said = 0, time.Now()
}
