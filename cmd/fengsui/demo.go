package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"fengsui/configs"
	"fengsui/devices"
	"fengsui/devices/simulate"
)

// runDemo is "fengsui demo": a simulated county that publishes real MQTT into a
// gateway with everything embedded, on loopback only.
func runDemo(ctx context.Context, t terminal, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	listen := flags.String("http", "127.0.0.1:8080", "`address` of the console; if its port is taken, a free one")
	mqtt := flags.String("mqtt", "127.0.0.1:1883", "`address` of the MQTT intake; if its port is taken, a free one")
	data := flags.String("data", "", "keep the data in this `folder` (default: a temporary one)")
	influxURL := flags.String("influx", "", "write to this InfluxDB 2 as well, `URL`; the token comes from INFLUX_TOKEN")
	org := flags.String("influx-org", "fengsui", "`organisation` in InfluxDB")
	bucket := flags.String("influx-bucket", "fengsui", "`bucket` in InfluxDB")
	page := flags.String("console-dir", "", "serve the console's page from this `folder` (development)")
	level := flags.String("log", "warn", "debug, info, warn or error")
	if err := parseFlags(t, flags, args, 0); err != nil {
		return err
	}
	folder, clean, err := demoFolder(*data)
	if err != nil {
		return err
	}
	defer clean()

	cfg := defaultConfig()
	cfg.Data = folder
	cfg.MQTT.anonymous = true
	if cfg.HTTP.Listen, err = loopback(*listen); err != nil {
		return err
	}
	if cfg.MQTT.Listen, err = loopback(*mqtt); err != nil {
		return err
	}
	if cfg.builtinDevices, err = configs.DemoDevices(); err != nil {
		return err
	}
	if *influxURL != "" {
		cfg.Influx = &InfluxConfig{URL: *influxURL, Org: *org, Bucket: *bucket, token: os.Getenv("INFLUX_TOKEN")}
		if cfg.Influx.token == "" {
			return errors.New("demo -influx: set INFLUX_TOKEN to a token that may write the bucket")
		}
	}
	token := os.Getenv("FENGSUI_ADMIN_TOKEN")
	if token == "" {
		token = cryptorand.Text() + cryptorand.Text()
	}
	logger := newLogger(t.err, *level)

	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan addresses, 1)
	group.Go(func() error {
		return runApp(ctx, appOptions{
			Config: cfg, AdminToken: token, ConsoleDir: *page,
			Logger: logger, Ready: func(a addresses) { ready <- a },
		})
	})
	group.Go(func() error {
		select {
		case a := <-ready:
			welcome(t, a, token)
			registry, err := readRegistry(cfg)
			if err != nil {
				return err
			}
			return play(ctx, registry, simulate.Story(), simulate.DemoPace, simulate.FleetOptions{Broker: "tcp://" + a.MQTT, Logger: logger})
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait()
}

// play publishes as the registry's devices until ctx ends.
func play(ctx context.Context, registry *devices.Registry, story []simulate.Scenario, pace float64, o simulate.FleetOptions) error {
	var err error
	o.County, err = simulate.NewCounty(simulate.CountyOptions{
		Devices: slices.Collect(registry.Devices()), Scenarios: story, Seed: 1, Pace: pace,
	})
	if err != nil {
		return err
	}
	fleet, err := simulate.NewFleet(o)
	if err != nil {
		return err
	}
	return fleet.Run(ctx)
}

func welcome(t terminal, a addresses, token string) {
	_, port, _ := net.SplitHostPort(a.MQTT)
	fmt.Fprintf(t.out, `
Fengsui demo: a simulated county, on this machine only. 演示县，仅本机可访问。

  Console 控制台   %s
  Sign in 登录     %s#token=%s

The story starts now: a gas leak, heavy rain over a pond and a slope, a cable that
overheats, a plant that goes silent. Ctrl-C ends it.

Be a device yourself 自己上报一条读数:

`, a.Console, a.Console, token)
	for _, r := range newcomers {
		fmt.Fprintf(t.out, "  mosquitto_pub -h 127.0.0.1 -p %s -q 1 -t v1/newcomer/%s/telemetry -m '{\"values\":{%s}}'\n", port, r.device, r.values)
	}
	fmt.Fprintln(t.out)
}

// newcomers are the spare devices of the demo, one of each kind, with a reading
// that raises an alarm at once.
var newcomers = []struct{ device, values string }{
	{"gas-01", `"gas_lel_pct":62`},
	{"meter-01", `"cover_open":1`},
	{"fire-01", `"arc_half_cycles_1s":20`},
	{"pond-01", `"dry_beach_m":38`},
	{"slope-01", `"crack_mm":60`},
}

// demoFolder is a temporary folder that clean removes, or the one asked for.
func demoFolder(name string) (folder string, clean func(), err error) {
	if name != "" {
		return name, func() {}, nil
	}
	folder, err = os.MkdirTemp("", "fengsui-demo-")
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the demo's data: %w", err)
	}
	return folder, func() { os.RemoveAll(folder) }, nil
}

// loopback insists that nobody else on the network reaches the demo, which lets
// anonymous devices in, and takes a free port where the wanted one is taken.
func loopback(address string) (string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("address %q: %w (want 127.0.0.1:PORT)", address, err)
	}
	if ip := net.ParseIP(strings.ReplaceAll(host, "localhost", "127.0.0.1")); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("address %q: the demo takes anonymous devices and listens on loopback only; use fengsui run to be reached from elsewhere", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return net.JoinHostPort(host, "0"), nil
	}
	return address, l.Close()
}

// runSimulate is "fengsui simulate".
func runSimulate(ctx context.Context, t terminal, args []string) error {
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	broker := flags.String("broker", "tcp://127.0.0.1:1883", "`URL` of the broker to publish to")
	path := flags.String("config", "", "simulate the devices of this config `file` (default: the demo's county)")
	scenario := flags.String("scenario", "", "play only this `name`; \"none\" plays nothing (default: the whole story)")
	pace := flags.Float64("pace", simulate.DemoPace, "how much faster than the clock weather, water, heat and creep run")
	user := flags.String("user", "", "MQTT user `name`; the password comes from FENGSUI_MQTT_PASSWORD")
	level := flags.String("log", "info", "debug, info, warn or error")
	if err := parseFlags(t, flags, args, 0); err != nil {
		return err
	}
	cfg := defaultConfig()
	var err error
	if *path != "" {
		cfg, err = loadConfig(*path)
	} else {
		cfg.builtinDevices, err = configs.DemoDevices()
	}
	if err != nil {
		return err
	}
	registry, err := readRegistry(cfg)
	if err != nil {
		return err
	}
	story, err := chooseStory(*scenario)
	if err != nil {
		return err
	}
	return play(ctx, registry, story, *pace, simulate.FleetOptions{
		Broker: *broker, Username: *user, Password: os.Getenv("FENGSUI_MQTT_PASSWORD"), Logger: newLogger(t.err, *level),
	})
}

func chooseStory(name string) ([]simulate.Scenario, error) {
	switch name {
	case "none":
		return nil, nil
	case "":
		return simulate.Story(), nil
	}
	s, err := simulate.FindScenario(name)
	if err != nil {
		return nil, err
	}
	return []simulate.Scenario{s}, nil
}
