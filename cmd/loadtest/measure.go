package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// measure runs gateway and baseline in turn, so that both see the same machine.
func measure(ctx context.Context, o options, dir string) (*report, error) {
	r := &report{options: o, began: time.Now(), busy: loadAverage()}
	b, err := startBaseline(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	var broker string
	if b != nil {
		defer b.stop()
		broker = b.address
	}
	g, err := newGateway(o, dir, broker)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	if r.startEmpty, err = g.start(ctx); err != nil {
		return nil, err
	}
	if b != nil {
		if err := g.waitBroker(ctx, o, b.address); err != nil {
			return nil, err
		}
	}
	if err := g.calm(ctx, o, r); err != nil {
		return nil, err
	}
	if r.memoryCalm, _, err = g.process.memory(); err != nil {
		return nil, err
	}
	for range o.Rounds {
		if err := measureRound(ctx, o, g, b, r); err != nil {
			return nil, err
		}
	}
	if _, r.memoryPeak, err = g.process.memory(); err != nil {
		return nil, err
	}
	g.stop()
	r.startFull, err = g.start(ctx)
	return r, err
}

// startBaseline is nil, without an error, where Mosquitto is not installed.
func startBaseline(ctx context.Context, o options, dir string) (*baseline, error) {
	if _, err := findMosquitto(); err != nil {
		return nil, nil
	}
	b, err := startBroker(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := b.startSubscriber(o.QoS); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// measureRound sends the load three ways: to the gateway; through Mosquitto to
// the counting subscriber; through Mosquitto to the gateway.
func measureRound(ctx context.Context, o options, g *gateway, b *baseline, r *report) error {
	direct := o.load(g.mqtt, houseRoot)
	spent, rate, err := round(ctx, direct, g.judges(ctx, o.Messages), g.process)
	if err != nil {
		return fmt.Errorf("load on fengsui: %w", err)
	}
	r.fengsui = append(r.fengsui, cost{o.Messages, spent[0], rate})
	if b == nil {
		return nil
	}
	counted := o.load(b.address, otherRoot)
	spent, rate, err = round(ctx, counted, b.counts(ctx, o.Messages), b.broker, b.subscriber)
	if err != nil {
		return fmt.Errorf("load on mosquitto: %w", err)
	}
	r.mosquitto = append(r.mosquitto, cost{o.Messages, spent[0], rate})
	r.paho = append(r.paho, cost{o.Messages, spent[1], 0})

	behind := o.load(b.address, houseRoot)
	spent, rate, err = round(ctx, behind, g.judges(ctx, o.Messages), g.process)
	if err != nil {
		return fmt.Errorf("load on fengsui behind mosquitto: %w", err)
	}
	r.behind = append(r.behind, cost{o.Messages, spent[0], rate})
	return nil
}

func (o options) load(address, root string) loadOptions {
	return loadOptions{
		Address: address, Connections: o.Sites, Devices: devicesOf(root, o.Sites, o.DevicesEach),
		QoS: o.QoS, Messages: o.Messages, Window: o.Window,
	}
}

// receiver is what a load is published to: begin is called before the load,
// and waits, when called itself, until all of it was dealt with.
type receiver func() (finish func() error, err error)

// round publishes a load, waits until it is dealt with, and says what processor
// time that took of whom, and how many messages a second it was.
func round(ctx context.Context, load loadOptions, begin receiver, of ...*process) ([]time.Duration, float64, error) {
	finish, err := begin()
	if err != nil {
		return nil, 0, err
	}
	before, err := cpus(of)
	if err != nil {
		return nil, 0, err
	}
	began := time.Now()
	if _, err := publish(ctx, load); err != nil {
		return nil, 0, err
	}
	if err := finish(); err != nil {
		return nil, 0, err
	}
	elapsed := time.Since(began)
	after, err := cpus(of)
	if err != nil {
		return nil, 0, err
	}
	for i := range after {
		after[i] -= before[i]
	}
	return after, float64(load.Messages) / elapsed.Seconds(), nil
}

// judges is the gateway as a receiver.
func (g *gateway) judges(ctx context.Context, messages int) receiver {
	return func() (func() error, error) {
		before, err := g.metric("fengsui_messages_accepted_total")
		return func() error { return g.waitJudged(ctx, int(before)+messages) }, err
	}
}

// counts is the counting subscriber as a receiver.
func (b *baseline) counts(ctx context.Context, messages int) receiver {
	return func() (func() error, error) {
		before, err := b.total()
		return func() error { return b.waitCounted(ctx, before+messages) }, err
	}
}

// calm measures latency at a moderate rate.
func (g *gateway) calm(ctx context.Context, o options, r *report) error {
	of := []*process{g.process}
	before, err := cpus(of)
	if err != nil {
		return err
	}
	load := o.load(g.mqtt, houseRoot)
	load.Rate, load.Messages, load.QoS = o.Rate, int(o.Calm.Seconds()*float64(o.Rate)), 1
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		result, err := publish(ctx, load)
		r.acked = result.Acked
		r.calmFor = result.Elapsed
		return err
	})
	group.Go(func() (err error) {
		const every = 50 * time.Millisecond
		r.screen, err = g.probe(ctx, every, int((o.Calm-time.Second/2)/every))
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	after, err := cpus(of)
	if err != nil {
		return err
	}
	r.calmCPU = after[0] - before[0]
	return nil
}

func cpus(of []*process) ([]time.Duration, error) {
	all := make([]time.Duration, len(of))
	for i, p := range of {
		var err error
		if all[i], err = p.cpu(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
