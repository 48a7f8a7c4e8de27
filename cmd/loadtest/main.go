// Command loadtest measures the real gateway from outside: what a message costs,
// how many a second it takes, and how long it is from a publish to the screen.
// Beside it, in the same minutes, it measures what a user would pick instead
// (Telegraf behind Mosquitto) and the least its libraries cost (a server and a
// subscriber that only count), so that the figures mean something on another
// machine.
//
// In: the fengsui binary (built if none is named). Out: a table in Markdown. It
// keeps nothing, works in a temporary folder, talks to loopback only, and is
// bounded in messages and time. It will not tell what a network or a slow disk
// adds, and the generator takes its share of the same cores.
//
//	go run ./cmd/loadtest
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options of a measurement.
type options struct {
	Binary      string
	Sites       int
	DevicesEach int
	QoS         byte
	Messages    int // a round
	Rounds      int
	Window      int
	Rates       []int         // of the calm phases, messages a second
	Calm        time.Duration // how long each lasts
	Many        int           // devices whose memory is measured at the end
	Telegraf    string        // its binary; empty: not measured
	Limit       time.Duration // of everything
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 4 && args[0] == countCommand {
		qos, err := strconv.ParseUint(args[3], 10, 8)
		if err != nil {
			return fmt.Errorf("count: QoS %q: %w", args[3], err)
		}
		return count(args[1], args[2], byte(qos), os.Stdin, out)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "fengsui-loadtest")
	if err != nil {
		return fmt.Errorf("make a folder to work in: %w", err)
	}
	defer os.RemoveAll(dir)
	if o.Binary == "" {
		if o.Binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	if o.Telegraf == "build" {
		if o.Telegraf, err = buildTelegraf(ctx, dir); err != nil {
			return err
		}
	}
	r, err := measure(ctx, o, dir)
	if err != nil {
		return err
	}
	return r.write(out)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	flags.StringVar(&o.Binary, "fengsui", "", "the binary to measure; empty: go build ./cmd/fengsui")
	flags.IntVar(&o.Sites, "sites", 20, "sites, with one connection each")
	flags.IntVar(&o.DevicesEach, "devices", 50, "devices a site")
	qos := flags.Int("qos", 1, "0 or 1")
	flags.IntVar(&o.Messages, "messages", 300_000, "messages a round")
	flags.IntVar(&o.Rounds, "rounds", 3, "rounds; the median counts")
	flags.IntVar(&o.Window, "window", 500, "unacknowledged messages a connection, at QoS 1")
	rates := flags.String("rates", "1000,10000", "messages a second of the calm phases, in which latency is measured")
	flags.DurationVar(&o.Calm, "calm", 30*time.Second, "length of each calm phase")
	flags.IntVar(&o.Many, "many", 10_000, "devices of a second gateway, whose memory is measured; 0: none")
	flags.StringVar(&o.Telegraf, "telegraf", "build", "binary of Telegraf with mqtt_consumer and influxdb_v2; build: from cmd/loadtest/telegraf; empty: not measured")
	flags.DurationVar(&o.Limit, "limit", 20*time.Minute, "give up after this time")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.QoS = byte(*qos)
	for word := range strings.SplitSeq(*rates, ",") {
		rate, err := strconv.Atoi(word)
		if err != nil || rate < 1 || rate > 50_000 {
			return o, fmt.Errorf("-rates %q; want numbers from 1 to 50,000 with commas between them", *rates)
		}
		o.Rates = append(o.Rates, rate)
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected %q", flags.Arg(0))
	case *qos != 0 && *qos != 1:
		return o, fmt.Errorf("-qos %d; want 0 or 1", *qos)
	case o.Sites < 1 || o.Sites > 100 || o.DevicesEach < 1 || o.DevicesEach > 1000:
		return o, errors.New("want 1 to 100 sites of 1 to 1000 devices")
	case o.Messages < o.Sites || o.Messages > 10_000_000 || o.Rounds < 1 || o.Rounds > 20:
		return o, errors.New("want at most 10,000,000 messages in 1 to 20 rounds, and a message for every site")
	case o.Window < 1 || o.Window > 60_000:
		return o, errors.New("want a window of 1 to 60,000 messages")
	case o.Calm < 5*time.Second || o.Calm > 10*time.Minute:
		return o, errors.New("want calm phases of 5 s to 10 min")
	case o.Many < 0 || o.Many > 50_000 || o.Many%100 != 0:
		return o, errors.New("want at most 50,000 many devices, in hundreds")
	}
	return o, nil
}

// build compiles the gateway from the sources beside this program.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "fengsui")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "fengsui/cmd/fengsui").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}
