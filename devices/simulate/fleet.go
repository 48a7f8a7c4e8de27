package simulate

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// FleetOptions says where the county's devices publish.
type FleetOptions struct {
	County *County
	// Broker is tcp://host:1883 or ssl://host:8883.
	Broker             string
	Username, Password string
	TLS                *tls.Config // for ssl://; nil: the system's roots
	Logger             *slog.Logger
}

// Stats are what a fleet did so far.
type Stats struct {
	Published    uint64 // handed to a connection, each message once
	Acknowledged uint64 // of those, what the broker confirmed
	Dropped      uint64 // never sent: the broker was away for too long
	Connected    uint64 // connections made, lost ones included
}

// Fleet publishes what a county's devices measure, at QoS 1, over a handful of
// connections: one for all devices of a kind, as an edge gateway would have, and
// one, with a last will, for each device whose connection the story may break.
type Fleet struct {
	FleetOptions
	server *url.URL
	lines  []*line
	byUnit map[string]*line // by device key
	broken []*line          // those the story may break
	counts counts
}

type counts struct{ published, acknowledged, dropped, connected atomic.Uint64 }

// NewFleet checks the options and plans the connections; it does not connect.
func NewFleet(o FleetOptions) (*Fleet, error) {
	if o.County == nil {
		return nil, errors.New("a fleet needs a county")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	server, err := url.Parse(o.Broker)
	if err != nil || server.Host == "" {
		return nil, fmt.Errorf("broker %q is no address; want tcp://host:1883 or ssl://host:8883", o.Broker)
	}
	switch server.Scheme {
	case "tcp", "mqtt":
		server = withPort(server, "1883")
	case "ssl", "tls", "mqtts":
		server = withPort(server, "8883")
		if o.TLS == nil {
			o.TLS = &tls.Config{ServerName: server.Hostname(), MinVersion: tls.VersionTLS12}
		}
	default:
		return nil, fmt.Errorf("broker %q: scheme %q is not supported; want tcp or ssl", o.Broker, server.Scheme)
	}
	f := &Fleet{FleetOptions: o, server: server, byUnit: map[string]*line{}}
	f.plan()
	return f, nil
}

func withPort(u *url.URL, port string) *url.URL {
	if u.Port() == "" {
		u.Host += ":" + port
	}
	return u
}

// plan gives every device its line.
func (f *Fleet) plan() {
	run := rand.Text()[:8] // two simulators at one broker must not throw each other out
	for _, d := range f.County.Breakable() {
		if f.byUnit[d.Key()] != nil {
			continue
		}
		l := f.newLine("simulate-" + run + "-" + d.Site.ID + "-" + d.ID)
		l.device = d
		f.byUnit[d.Key()] = l
		f.broken = append(f.broken, l)
	}
	shared := map[string]*line{}
	for _, d := range f.County.Devices() {
		if f.byUnit[d.Key()] != nil {
			continue
		}
		if shared[d.Kind.ID] == nil {
			shared[d.Kind.ID] = f.newLine("simulate-" + run + "-" + d.Kind.ID)
		}
		f.byUnit[d.Key()] = shared[d.Kind.ID]
	}
}

func (f *Fleet) newLine(clientID string) *line {
	l := newLine(f, clientID)
	f.lines = append(f.lines, l)
	return l
}

// Run publishes until ctx ends; that is no error. A broker that is away is
// waited for. The story begins when all connections stand.
func (f *Fleet) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range f.lines {
		group.Go(func() error { return l.run(ctx) })
	}
	group.Go(func() error { return f.pace(ctx) })
	return group.Wait()
}

// pace lets the county live and hands its messages to the lines.
func (f *Fleet) pace(ctx context.Context) error {
	for _, l := range f.lines {
		select {
		case <-l.up:
		case <-ctx.Done():
			return nil
		}
	}
	f.Logger.Info("simulation begins", "devices", len(f.County.Devices()), "connections", len(f.lines))
	clock := time.NewTicker(quarter)
	defer clock.Stop()
	var messages []Message
	for {
		messages = f.County.Step(time.Now(), messages[:0])
		for _, l := range f.broken {
			l.setBroken(f.County.Silent(l.device))
		}
		for _, m := range messages {
			f.byUnit[m.Device.Key()].submit(m)
		}
		select {
		case <-clock.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Stats may be called at any time.
func (f *Fleet) Stats() Stats {
	return Stats{
		Published:    f.counts.published.Load(),
		Acknowledged: f.counts.acknowledged.Load(),
		Dropped:      f.counts.dropped.Load(),
		Connected:    f.counts.connected.Load(),
	}
}
