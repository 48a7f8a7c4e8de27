package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
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
	// Wall is the machine's clock; nil: time.Now.
	Wall   func() time.Time
	Logger *slog.Logger
	// Ready is called once the console listens and the judge has caught up.
	Ready func(a addresses)
}

func (o *appOptions) wall() func() time.Time {
	if o.Wall != nil {
		return o.Wall
	}
	return time.Now
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
	clock := newClock(o.wall(), logger.With("part", "clock"))
	now := clock.Now
	parts := &measured{clock: clock}
	meters := metrics.New(parts.options(cfg))

	// What operators wrote is read while the logs are opened: either takes a while.
	reading := sync.OnceValues(func() (*written, error) { return readWritten(cfg) })
	go reading()

	// The logs: everything else can be rebuilt from them.
	store, err := journal.Open(ctx, journal.Options{
		Dir: cfg.Data, MaxStore: cfg.Journal.MaxBytes, OnSync: meters.Synced, Logger: logger.With("part", "journal"),
	})
	if err != nil {
		return dataFolderError(cfg.Data, err)
	}
	defer store.Close()
	input, err := store.Log(ctx, logOptions("input", cfg.Journal.inputBytes()))
	if err != nil {
		return err
	}
	readingsLog, err := store.Log(ctx, logOptions("readings", cfg.Journal.readingsBytes()))
	if err != nil {
		return err
	}
	alarmLog, err := store.KeyedLog(ctx, "alarms")
	if err != nil {
		return err
	}

	// What is watched, and by which rules.
	says, err := reading()
	if err != nil {
		return err
	}
	inventory, err := openInventory(ctx, says, store)
	if err != nil {
		return err
	}
	ruleSet, routes := says.rules, says.routes
	present := newPresence(inventory.registry())

	// The door.
	certificate, err := loadCertificate(cfg.TLS, logger)
	if err != nil {
		return err
	}
	parts.certificate = certificate
	pacer := newPacer(input)
	receiver := ingest.NewReceiver(ingest.ReceiverOptions{
		Log: input, Now: now, Pace: pacer.wait, OnKept: meters.Kept, Logger: logger.With("part", "receiver"),
	})
	sources, err := newSources(cfg, receiver, inventory, routes, certificate, logger)
	if err != nil {
		return err
	}
	defer sources.close()
	feedback := newFeedback(sources.deliver, logger.With("part", "feedback"))

	// The judge, and what it writes.
	appended, err := lastReadings(ctx, readingsLog)
	if err != nil {
		return err
	}
	readings := newReadingsWriter(readingsLog, appended)
	judge := newJudge(judgeOptions{
		Input: input, InputEnd: input.Last().Seq, Alarms: alarmLog, Readings: readings,
		History: inventory,
		Fresh: func(registry *devices.Registry) (*devices.Intake, *rules.Engine) {
			return devices.NewIntake(devices.IntakeOptions{Registry: registry, Routes: routes, HistoryAfter: cfg.HistoryAfter, Logger: logger}),
				rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: ruleSet})
		},
		Rules:    ruleSet,
		Book:     alarms.NewBook(),
		Presence: present, Feedback: feedback,
		Snapshot: snapshotFile(filepath.Join(cfg.Data, "snapshot")), Damaged: store.Damaged,
		Now: now, OnJudged: meters.Judged, Pacer: pacer, Logger: logger.With("part", "judge"),
	})
	inventory.announce = func(ctx context.Context, m *ingest.Message) error { return receiver.Submit(ctx, m, nil) }
	inventory.dropped = sources.drop

	// The sinks: each a cursor over a log.
	outlets, err := newOutlets(ctx, cfg, store, readingsLog, alarmLog, logger)
	if err != nil {
		return err
	}
	defer outlets.close()
	inputRoom, readingsRoom := sized{input, cfg.Journal.inputBytes()}, sized{readingsLog, cfg.Journal.readingsBytes()}
	disk := newDiskWatch(cfg, store, inputRoom, readingsRoom, alarmLog, sources, logger.With("part", "disk"))
	past := newPast(cfg.History, readingsLog, judge.caught, now, logger.With("part", "history"))
	screens, err := newScreens(ctx, screensOptions{
		App: o, Certificate: certificate, Store: store, Input: input, Readings: readingsLog, Alarms: alarmLog,
		Receiver: receiver, Judge: judge, Inventory: inventory, Presence: present, Sources: sources, Outlets: outlets, Disk: disk,
		Past: past, Routes: routes, Rules: ruleSet,
		Meters: meters, Now: now, Logger: logger.With("part", "console"),
	})
	if err != nil {
		return err
	}
	defer screens.Close()
	parts.receiver, parts.disk, parts.judge, parts.presence, parts.outlets = receiver, disk, judge, present, outlets
	parts.input, parts.store, parts.screens, parts.past = input, store, screens, past

	canary := canary{receiver: receiver}
	watchman := &watchman{receiver: receiver, troubles: parts.troubles}
	trimmer := &trimmer{
		input: inputRoom, readings: readingsRoom, judge: judge, outlets: outlets, disk: disk,
		keep: cfg.Journal.Keep, now: now, logger: logger.With("part", "trimmer"),
	}
	announcer := announcer{judge: judge, ready: func() { o.Ready(o.addresses(screens, sources)) }}

	if err := begin(ctx, input, clock, inventory.barrier()); err != nil {
		return err
	}
	disk.step() // where there is no room, no message is taken from the first
	return runStages(ctx, logger,
		append(sources.parts(), part{"clock", clock.Run}, part{"disk watch", disk.Run}, part{"canary", canary.Run}, part{"watchman", watchman.Run}, part{"announcer", announcer.Run}),
		[]part{{"receiver", receiver.Run}},
		[]part{{"judge", judge.Run}, {"feedback", feedback.Run}},
		[]part{{"readings log", readings.Run}},
		append(outlets.parts(), part{"history", past.Run}, part{"trimmer", trimmer.Run}),
		[]part{{"console", screens.Run}},
	)
}

// begin writes the first messages of this run: what was heard before it, and
// when, says nothing about who is silent now; and the registry may be another one,
// by its file or by a change that a crash cut off.
func begin(ctx context.Context, input *journal.Log, clock *clock, barrier ingest.Message) error {
	last, err := newest(ctx, input)
	if err != nil {
		return err
	}
	clock.notBefore(last)
	started := ingest.Message{Kind: ingest.Started, Received: clock.Now().Truncate(time.Millisecond)}
	barrier.Received = started.Received
	entry := ingest.AppendMessage(ingest.AppendMessage(nil, &started), &barrier)
	if _, err := input.Append(ctx, entry, 0); err != nil {
		return fmt.Errorf("write the start of this run: %w", err)
	}
	return nil
}

// newest is when the newest message of the input log was received.
func newest(ctx context.Context, input *journal.Log) (t time.Time, err error) {
	r, err := input.Newest(ctx)
	if errors.Is(err, journal.ErrNotFound) {
		return t, nil
	}
	if err == nil {
		err = ingest.DecodeEntry(r.Data, func(_ int, m *ingest.Message) error { t = m.Received; return nil })
	}
	if err != nil {
		return t, fmt.Errorf("read the end of the input log: %w", err)
	}
	return t, nil
}

// announcer says once that the gateway is ready, and settles down.
type announcer struct {
	judge *judge
	ready func()
}

func (a announcer) Run(ctx context.Context) error {
	select {
	case <-a.judge.caught:
		a.ready()
		settle()
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
