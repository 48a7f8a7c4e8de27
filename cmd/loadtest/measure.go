package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// measure runs the gateway and its peers in turn, so that all see the same
// machine.
func measure(ctx context.Context, o options, dir string) (*report, error) {
	r := &report{options: o, began: time.Now(), busy: loadAverage()}
	f, err := openField(ctx, o, dir)
	if f != nil {
		defer f.close()
	}
	if err != nil {
		return nil, err
	}
	r.startEmpty, r.contenders = f.startEmpty, f.contenders
	for _, rate := range o.Rates {
		c, err := f.gateway.calm(ctx, o, rate, dir)
		if err != nil {
			return nil, fmt.Errorf("at %d messages/s: %w", rate, err)
		}
		r.calm = append(r.calm, c)
	}
	for range o.Rounds {
		for _, c := range f.contenders {
			if err := c.round(ctx); err != nil {
				return nil, fmt.Errorf("load on %s: %w", c.who, err)
			}
		}
	}
	if _, r.memoryPeak, err = f.gateway.process.memory(); err != nil {
		return nil, err
	}
	if err := r.restart(ctx, f.gateway); err != nil {
		return nil, err
	}
	f.close()
	return r, r.manyDevices(ctx, dir)
}

// restart measures the start with what the rounds left, after a stop in good
// order and after a kill.
func (r *report) restart(ctx context.Context, g *gateway) (err error) {
	accepted, err := g.metric("fengsui_messages_accepted_total")
	if err != nil {
		return err
	}
	r.logged = int(accepted)
	g.stop()
	if r.startFull, err = g.start(ctx); err != nil {
		return fmt.Errorf("start with a full log: %w", err)
	}
	g.process.kill()
	if r.startKilled, err = g.start(ctx); err != nil {
		return fmt.Errorf("start after a kill: %w", err)
	}
	return nil
}

// manyDevices measures the memory of a gateway that has heard of a great many
// devices, each some times.
func (r *report) manyDevices(ctx context.Context, dir string) error {
	if r.Many == 0 {
		return nil
	}
	const each, messagesEach, rate = 100, 5, 2000
	o := r.options
	o.Sites, o.DevicesEach, o.Messages = r.Many/each, each, r.Many*messagesEach
	g, err := newGateway(gatewayOptions{options: o, dir: filepath.Join(dir, "many")})
	if err != nil {
		return err
	}
	defer g.stop()
	if _, err := g.start(ctx); err != nil {
		return err
	}
	load := o.load(g.mqtt, houseRoot)
	load.Rate = rate
	if _, err := publish(ctx, load); err != nil {
		return fmt.Errorf("load of %d devices: %w", r.Many, err)
	}
	if err := g.waitJudged(ctx, load.Messages); err != nil {
		return err
	}
	r.memoryMany, r.memoryManyPeak, err = g.process.memory()
	return err
}

// contender is somebody who takes the load.
type contender struct {
	who    string
	load   loadOptions
	takes  func(ctx context.Context, messages int) (finish func() error, err error)
	of     *process // whose processor time counts
	rounds []cost
	quiet  bool // its rate says nothing: another contender's row has it
}

// round publishes the load, waits until it is dealt with, and notes what
// processor time that took, and how many messages a second it was.
func (c *contender) round(ctx context.Context) error {
	finish, err := c.takes(ctx, c.load.Messages)
	if err != nil {
		return err
	}
	before, err := c.of.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := publish(ctx, c.load); err != nil {
		return err
	}
	if err := finish(); err != nil {
		return err
	}
	elapsed := time.Since(began)
	after, err := c.of.cpu()
	if err != nil {
		return err
	}
	c.rounds = append(c.rounds, cost{c.load.Messages, after - before, float64(c.load.Messages) / elapsed.Seconds()})
	return nil
}

func (o options) load(address, root string) loadOptions {
	return loadOptions{
		Address: address, Connections: o.Sites, Devices: devicesOf(root, o.Sites, o.DevicesEach),
		QoS: o.QoS, Messages: o.Messages, Window: o.Window,
	}
}

// calmPhase is what was measured at a moderate rate.
type calmPhase struct {
	rate   int
	cpu    time.Duration
	lasted time.Duration
	acked  latencies
	screen latencies
	fsync  latencies // of a bystander on the same disk
	memory int64
}

// calm measures latency at a moderate rate.
func (g *gateway) calm(ctx context.Context, o options, rate int, dir string) (calmPhase, error) {
	c := calmPhase{rate: rate}
	before, err := g.process.cpu()
	if err != nil {
		return c, err
	}
	load := o.load(g.mqtt, houseRoot)
	load.Rate, load.Messages, load.QoS = rate, int(o.Calm.Seconds()*float64(rate)), 1
	bystander, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stop()
		result, err := publish(ctx, load)
		c.acked, c.lasted = result.Acked, result.Elapsed
		return err
	})
	group.Go(func() (err error) {
		const every = 50 * time.Millisecond
		// As often up as down, so that the next phase finds every probe normal.
		const cycle = 2 * probes
		c.screen, err = g.probe(ctx, every, max(1, int(o.Calm/every)/cycle)*cycle)
		return err
	})
	group.Go(func() (err error) {
		c.fsync, err = syncs(bystander, dir)
		return err
	})
	if err := group.Wait(); err != nil {
		return c, err
	}
	after, err := g.process.cpu()
	if err != nil {
		return c, err
	}
	c.cpu = after - before
	c.memory, _, err = g.process.memory()
	return c, err
}

// syncs measures what the disk gives anybody in these minutes: writing and
// syncing 4 KB.
func syncs(ctx context.Context, dir string) (all latencies, err error) {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return nil, fmt.Errorf("measure the disk: %w", err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return all, nil
		}
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return all, fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return all, fmt.Errorf("measure the disk: %w", err)
		}
		all = append(all, time.Since(began))
	}
}
