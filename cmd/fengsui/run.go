package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"fengsui/devices"
	"fengsui/rules"
)

// runGateway is "fengsui run".
func runGateway(ctx context.Context, t terminal, args []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	path := flags.String("config", "fengsui.yaml", "config `file`")
	page := flags.String("console-dir", "", "serve the console's page from this `folder` (development)")
	if err := parseFlags(t, flags, args, 0); err != nil {
		return err
	}
	cfg, err := loadConfig(*path)
	if err != nil {
		return err
	}
	logger := newLogger(t.err, cfg.Log)
	for _, err := range cfg.unreadable {
		logger.Error("a file that the config names cannot be read; going on without it", "error", err)
	}
	return runOnDisk(ctx, appOptions{
		Config:     cfg,
		AdminToken: os.Getenv("FENGSUI_ADMIN_TOKEN"),
		ConsoleDir: *page,
		Logger:     logger,
		Ready: func(a addresses) {
			fmt.Fprintf(t.out, "fengsui is watching.\n  console  %s\n", a.Console)
			if a.MQTT != "" {
				fmt.Fprintf(t.out, "  MQTT     %s\n", a.MQTT)
			}
			if a.MQTTS != "" {
				fmt.Fprintf(t.out, "  MQTT     %s over TLS\n", a.MQTTS)
			}
			if a.TokenFile != "" {
				fmt.Fprintf(t.out, "  the admin token lies in %s\n", a.TokenFile)
			}
		},
	})
}

// readAll reads everything an operator writes, without touching the data.
func readAll(cfg Config) (*devices.Registry, []*rules.Rule, error) {
	kinds, file, err := readDevices(cfg)
	if err != nil {
		return nil, nil, err
	}
	registry, err := file.Registry(kinds)
	if err != nil {
		return nil, nil, err
	}
	if _, err := readRoutes(cfg, kinds); err != nil {
		return nil, nil, err
	}
	set, err := readRules(cfg, kinds)
	return registry, set, err
}
