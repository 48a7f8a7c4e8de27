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

// written is everything an operator writes beside the config.
type written struct {
	kinds   []*devices.Kind
	devices *devices.File
	rules   []*rules.Rule
	routes  *devices.Routes
}

// readWritten reads it, without touching the data.
func readWritten(cfg Config) (w *written, err error) {
	w = &written{}
	if w.kinds, w.devices, err = readDevices(cfg); err != nil {
		return nil, err
	}
	if w.rules, err = readRules(cfg, w.kinds); err != nil {
		return nil, err
	}
	w.routes, err = readRoutes(cfg, w.kinds)
	return w, err
}
