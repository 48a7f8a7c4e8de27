package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"fengsui/ingest/journal"
	"fengsui/sinks"
	"fengsui/sinks/influx"
	"fengsui/sinks/notify"
)

// writeInterval is the least time between two requests to InfluxDB at the head
// of a log: at a hundred commits a second a request for each costs it three
// times the CPU.
const writeInterval = 100 * time.Millisecond

// notifyBatch is how many events an endpoint gets at a time: each may be a call,
// and the cursor moves behind the last of them.
const notifyBatch = 100

// outlets are the sinks that are configured: each a cursor over a log.
type outlets struct {
	readings  []*sinks.Runner // over the readings log
	alarms    []*sinks.Runner // over the alarm log
	server    *influx.Server
	standing  *notify.Standing
	endpoints []endpoint
	logger    *slog.Logger
}

func newOutlets(ctx context.Context, cfg Config, store *journal.Store, readings *journal.Log, alarms *journal.KeyedLog, logger *slog.Logger) (*outlets, error) {
	o := &outlets{logger: logger.With("part", "sink")}
	run := func(sink sinks.Sink, log sinks.Log, cursor string, pace sinks.RunnerOptions) (*sinks.Runner, error) {
		c, err := store.Cursor(ctx, cursor)
		if err != nil {
			return nil, err
		}
		pace.Sink, pace.Log, pace.Cursor, pace.Logger = sink, log, c, o.logger
		return sinks.NewRunner(pace), nil
	}
	if cfg.Influx != nil {
		server, err := influx.New(influx.Options{
			URL: cfg.Influx.URL, Org: cfg.Influx.Org, Bucket: cfg.Influx.Bucket,
			TokenFile: cfg.Influx.TokenFile, Token: cfg.Influx.token,
			OnRejected: newRejected(cfg.Data, "influx", logger).add,
			Logger:     logger.With("part", "influx"),
		})
		if err != nil {
			return nil, err
		}
		o.server = server
		r, err := run(server.Readings(), readings, "readings/influx", sinks.RunnerOptions{Interval: writeInterval})
		if err != nil {
			return nil, err
		}
		a, err := run(server.Alarms(), alarms, "alarms/influx", sinks.RunnerOptions{Interval: writeInterval})
		if err != nil {
			return nil, err
		}
		o.readings, o.alarms = append(o.readings, r), append(o.alarms, a)
	}
	if len(cfg.Notify) == 0 {
		return o, nil
	}
	bucket, err := store.Bucket(ctx, "notify")
	if err != nil {
		return nil, err
	}
	o.standing = notify.NewStanding(alarms, o.logger)
	for i := range cfg.Notify {
		e, err := cfg.Notify[i].build(notifyContext{
			standing: o.standing, bucket: bucket, console: cfg.HTTP.URL, logger: o.logger,
			onRefused: func(name string) func(body, reason string) { return newRejected(cfg.Data, name, logger).add },
		})
		if err != nil {
			return nil, fmt.Errorf("notify endpoint %s: %w", cfg.Notify[i].Name, err)
		}
		r, err := run(e, alarms, "alarms/"+e.Name(), sinks.RunnerOptions{MaxUnits: notifyBatch})
		if err != nil {
			return nil, err
		}
		o.endpoints, o.alarms = append(o.endpoints, e), append(o.alarms, r)
	}
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
	if o.standing != nil {
		parts = append(parts, part{"standing alarms", o.standing.Run})
	}
	for _, e := range o.endpoints {
		if manager, ok := e.(*notify.Alertmanager); ok {
			parts = append(parts, part{"repeat to " + manager.Name(), manager.Run})
		}
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
	for _, e := range o.endpoints {
		e.Close()
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
