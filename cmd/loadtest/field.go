package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// Roots of topics, one for each reader of the broker, so that it routes a
// message to one of them only.
const (
	houseRoot    = "v1" // the gateway's
	countedRoot  = "counted"
	telegrafRoot = "telegraf"
)

// field is everybody who is measured, running.
type field struct {
	contenders []*contender
	gateway    *gateway // the one without InfluxDB
	startEmpty time.Duration
	running    []interface{ stop() }
}

// openField starts the gateway and every peer this machine has.
func openField(ctx context.Context, o options, dir string) (*field, error) {
	f := &field{}
	program, found := findProgram("mosquitto")
	var broker *mosquitto
	if found {
		var err error
		if broker, err = startMosquitto(ctx, dir, program); err != nil {
			return f, err
		}
		f.running = append(f.running, broker)
	}
	if err := f.addGateway(ctx, o, dir, broker); err != nil {
		return f, err
	}
	if err := f.addServer(ctx, o); err != nil {
		return f, err
	}
	if broker != nil {
		if err := f.addSubscriber(ctx, o, broker); err != nil {
			return f, err
		}
	}
	if program, found := findInfluxd(); found {
		return f, f.addWriters(ctx, o, dir, program, broker)
	}
	return f, nil
}

func (f *field) add(c *contender) { f.contenders = append(f.contenders, c) }

// addGateway measures the gateway alone, and behind the broker.
func (f *field) addGateway(ctx context.Context, o options, dir string, broker *mosquitto) error {
	g, err := newGateway(gatewayOptions{options: o, dir: filepath.Join(dir, "gateway"), broker: broker})
	if err != nil {
		return err
	}
	f.gateway = g
	f.running = append(f.running, g)
	if f.startEmpty, err = g.start(ctx); err != nil {
		return err
	}
	f.add(&contender{
		who:  fmt.Sprintf("**fengsui, devices connect to it: %s, decoded, judged, logged**", kept(o.QoS)),
		load: o.load(g.mqtt, houseRoot), takes: g.judges, of: g.process,
	})
	if broker == nil {
		return nil
	}
	f.add(&contender{
		who: "fengsui, reading from Mosquitto through paho: the same", load: o.load(broker.address, houseRoot), takes: g.judges, of: g.process,
	})
	return g.waitBroker(ctx, o, broker.address)
}

// addServer measures the ceiling of the embedded server's library.
func (f *field) addServer(ctx context.Context, o options) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	c, err := startCounter("server", address, o.QoS)
	if err != nil {
		return err
	}
	f.running = append(f.running, c)
	f.add(&contender{who: "mochi server whose hook only counts: nothing kept", load: o.load(address, countedRoot), takes: c.takes, of: c.process})
	return nil
}

// addSubscriber measures the ceiling of a client behind a broker, and the broker.
func (f *field) addSubscriber(ctx context.Context, o options, broker *mosquitto) error {
	c, err := startCounter("subscriber", broker.address, o.QoS)
	if err != nil {
		return err
	}
	f.running = append(f.running, c)
	load := o.load(broker.address, countedRoot)
	f.add(&contender{who: "paho subscriber that only counts, behind Mosquitto", load: load, takes: c.takes, of: c.process})
	f.add(&contender{who: "Mosquitto itself, routing to it", load: load, takes: c.takes, of: broker.process, quiet: true})
	return nil
}

// addWriters measures those who write to InfluxDB.
func (f *field) addWriters(ctx context.Context, o options, dir, influxd string, broker *mosquitto) error {
	to, err := startInflux(ctx, dir, influxd)
	if to != nil {
		f.running = append(f.running, to)
	}
	if err != nil {
		return err
	}
	g, err := newGateway(gatewayOptions{options: o, dir: filepath.Join(dir, "writing"), influx: to})
	if err != nil {
		return err
	}
	f.running = append(f.running, g)
	if _, err := g.start(ctx); err != nil {
		return err
	}
	f.add(&contender{who: "**fengsui, devices connect to it: the same, and written to InfluxDB**", load: o.load(g.mqtt, houseRoot), takes: g.writes, of: g.process})
	if broker == nil || o.Telegraf == "" {
		return nil
	}
	t, err := startTelegraf(dir, o.Telegraf, broker.address, o.QoS, to)
	if err != nil {
		return err
	}
	f.running = append(f.running, t)
	load := o.load(broker.address, telegrafRoot)
	f.add(&contender{who: "Telegraf behind Mosquitto, written to InfluxDB: nothing kept, nothing judged", load: load, takes: t.takes, of: t.process})
	f.add(&contender{who: "Mosquitto itself, routing to it", load: load, takes: t.takes, of: broker.process, quiet: true})
	return nil
}

// close stops everybody, those who read before those they read from.
func (f *field) close() {
	for len(f.running) > 0 {
		last := len(f.running) - 1
		f.running[last].stop()
		f.running = f.running[:last]
	}
}
