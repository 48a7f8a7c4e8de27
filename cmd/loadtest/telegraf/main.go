// Command telegraf is Telegraf with the one input and the one output that the
// gateway is compared with, and without the hundreds of others. It is a
// module of its own, so that the gateway does not depend on it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/logger"
	_ "github.com/influxdata/telegraf/plugins/inputs/mqtt_consumer"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb_v2"
	_ "github.com/influxdata/telegraf/plugins/parsers/json_v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "telegraf:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, path string) error {
	c := config.NewConfig()
	if err := c.LoadAll(path); err != nil {
		return err
	}
	if err := logger.SetupLogging(&logger.Config{Debug: c.Agent.Debug}); err != nil {
		return err
	}
	return agent.NewAgent(c).Run(ctx)
}
