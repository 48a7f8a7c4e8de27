package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks/console"
	"fengsui/sinks/metrics"
)

// appOptions are what differs between demo, run and tests.
type appOptions struct {
	Config     Config
	AdminToken string // empty: generated at the first start and kept in a file
	ConsoleDir string // serve the page from this folder instead of the built-in one
	Start      time.Time
	Logger     *slog.Logger
	// Ready is called once the console listens and the judge has caught up.
	Ready func(a addresses)
}

// addresses are where the gateway listens.
type addresses struct {
	Console   string // a URL
	MQTT      string // host:port; empty: switched off
	MQTTS     string // the same over TLS
	TokenFile string // where the admin token lies, if it was generated
}

// runApp wires the parts together and runs them until ctx ends. It is one
// straight function on purpose: it shows what is connected to what.
func runApp(ctx context.Context, o appOptions) error {
	cfg, logger := o.Config, o.Logger
	now := newClock(o.Start)
	parts := &measured{now: now, data: cfg.Data}
	meters := metrics.New(parts.options(cfg))

	// The logs: everything else can be rebuilt from them.
	store, err := journal.Open(ctx, journal.Options{
		Dir: cfg.Data, MaxStore: cfg.Journal.MaxBytes, OnSync: meters.Synced, Logger: logger.With("part", "journal"),
	})
	if err != nil {
		return err
	}
	defer store.Close()
	input, err := store.Log(ctx, journal.LogOptions{Name: "input", MaxBytes: cfg.Journal.MaxBytes * 6 / 10})
	if err != nil {
		return err
	}
	readingsLog, err := store.Log(ctx, journal.LogOptions{Name: "readings", MaxBytes: cfg.Journal.MaxBytes * 3 / 10})
	if err != nil {
		return err
	}
	alarmLog, err := store.KeyedLog(ctx, "alarms")
	if err != nil {
		return err
	}

	// What is watched, and by which rules.
	inventory, err := openInventory(ctx, cfg, store)
	if err != nil {
		return err
	}
	registry := inventory.registry()
	ruleSet, err := readRules(cfg, inventory.kinds)
	if err != nil {
		return err
	}
	present := newPresence(registry)

	// The door.
	certificate, err := loadCertificate(cfg.TLS, logger)
	if err != nil {
		return err
	}
	parts.certificate = certificate
	receiver := ingest.NewReceiver(ingest.ReceiverOptions{
		Log: input, Now: now, OnKept: meters.Kept, Logger: logger.With("part", "receiver"),
	})
	sources, err := newSources(cfg, receiver, inventory, certificate, logger)
	if err != nil {
		return err
	}
	feedback := newFeedback(sources.deliver, logger.With("part", "feedback"))

	// The judge, and what it writes.
	appended, err := lastReadings(ctx, readingsLog)
	if err != nil {
		return err
	}
	readings := newReadingsWriter(readingsLog, appended)
	judge := newJudge(judgeOptions{
		Input: input, Alarms: alarmLog, Readings: readings,
		Fresh: func() (*devices.Intake, *rules.Engine) {
			return devices.NewIntake(devices.IntakeOptions{Registry: registry, HistoryAfter: cfg.HistoryAfter}),
				rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: ruleSet})
		},
		Rules:    ruleSet,
		Book:     alarms.NewBook(),
		Presence: present, Feedback: feedback,
		Snapshot: snapshotFile(filepath.Join(cfg.Data, "snapshot")),
		Now:      now, OnJudged: meters.Judged, Logger: logger.With("part", "judge"),
	})
	inventory.onChange, inventory.dropped = judge.Reconfigure, sources.drop

	// The sinks: each a cursor over a log.
	outlets, err := newOutlets(ctx, cfg, store, readingsLog, alarmLog, logger)
	if err != nil {
		return err
	}
	defer outlets.close()
	past := newPast(cfg.History, readingsLog, judge.caught, now, logger.With("part", "history"))
	screens, err := newScreens(ctx, screensOptions{
		App: o, Certificate: certificate, Store: store, Input: input, Readings: readingsLog, Alarms: alarmLog,
		Judge: judge, Inventory: inventory, Presence: present, Sources: sources, Outlets: outlets,
		Past: past, Rules: ruleSet,
		Meters: meters, Now: now, Logger: logger.With("part", "console"),
	})
	if err != nil {
		return err
	}
	parts.receiver, parts.judge, parts.presence, parts.outlets = receiver, judge, present, outlets
	parts.input, parts.store, parts.screens = input, store, screens

	canary := canary{receiver: receiver}
	watchman := &watchman{receiver: receiver, troubles: parts.troubles}
	trimmer := &trimmer{
		input: input, readings: readingsLog, judge: judge, outlets: outlets,
		keep: cfg.Journal.Keep, max: cfg.Journal.MaxBytes, now: now, logger: logger.With("part", "trimmer"),
	}
	announcer := announcer{judge: judge, ready: func() { o.Ready(o.addresses(screens, sources)) }}

	if err := begin(ctx, input, now); err != nil {
		return err
	}
	return runStages(ctx, logger,
		append(sources.parts(), part{"canary", canary.Run}, part{"watchman", watchman.Run}, part{"announcer", announcer.Run}),
		[]part{{"receiver", receiver.Run}},
		[]part{{"judge", judge.Run}, {"feedback", feedback.Run}},
		[]part{{"readings log", readings.Run}},
		append(outlets.parts(), part{"history", past.Run}, part{"trimmer", trimmer.Run}),
		[]part{{"console", screens.Run}},
	)
}

// begin writes the first message of this run: what was heard before it, and when,
// says nothing about who is silent now.
func begin(ctx context.Context, input *journal.Log, now func() time.Time) error {
	started := ingest.Message{Kind: ingest.Started, Received: now().Truncate(time.Millisecond)}
	if _, err := input.Append(ctx, ingest.AppendMessage(nil, &started), 0); err != nil {
		return fmt.Errorf("write the start of this run: %w", err)
	}
	return nil
}

// announcer says once that the gateway is ready.
type announcer struct {
	judge *judge
	ready func()
}

func (a announcer) Run(ctx context.Context) error {
	select {
	case <-a.judge.caught:
		a.ready()
	case <-ctx.Done():
	}
	return nil
}

// addresses are where this gateway can be reached.
func (o *appOptions) addresses(screens *console.Server, s *sources) addresses {
	a := addresses{Console: "http://" + screens.Addr() + "/", TokenFile: tokenFile(*o)}
	if o.Config.TLS != nil {
		a.Console = "https://" + screens.Addr() + "/"
	}
	a.MQTT, a.MQTTS = s.addresses()
	return a
}

// tokenFile is where the admin token lies, unless it was given.
func tokenFile(o appOptions) string {
	if o.AdminToken != "" {
		return ""
	}
	return filepath.Join(o.Config.Data, adminTokenFile)
}
