package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
	"fengsui/sinks/console"
	"fengsui/sinks/metrics"
)

// screensOptions are what the console shows, and who may see it.
type screensOptions struct {
	App         appOptions
	Certificate *certificate // nil: plain HTTP
	Store       *journal.Store
	Input       *journal.Log
	Readings    *journal.Log
	Alarms      *journal.KeyedLog
	Receiver    *ingest.Receiver
	Judge       *judge
	Inventory   *inventory
	Presence    *presence
	Sources     *sources
	Outlets     *outlets
	Disk        *diskWatch
	Past        *past
	Rules       []*rules.Rule
	Routes      *devices.Routes
	Meters      *metrics.Metrics
	Now         func() time.Time
	Logger      *slog.Logger
}

// newScreens opens people and console.
func newScreens(ctx context.Context, o screensOptions) (*console.Server, error) {
	bucket, err := o.Store.Bucket(ctx, "people")
	if err != nil {
		return nil, err
	}
	people, err := console.OpenPeople(ctx, console.PeopleOptions{
		Bucket: bucket, AdminToken: o.App.AdminToken, Logger: o.Logger,
		AdminTokenFile: filepath.Join(o.App.Config.Data, adminTokenFile),
	})
	if err != nil {
		return nil, err
	}
	var page *console.Page
	if o.App.ConsoleDir != "" {
		if page, err = console.FolderPage(o.App.ConsoleDir); err != nil {
			return nil, err
		}
	}
	return console.NewServer(console.Options{
		Listen: o.App.Config.HTTP.Listen, TLS: o.Certificate.config(), Origins: o.App.Config.HTTP.Origins,
		Hub: console.HubOptions{
			Alarms: o.Alarms, Readings: o.Readings, Health: o.health, Now: o.Now,
			OnPublished: func(age time.Duration) { o.Meters.Sent(1, age) },
			Logger:      o.Logger,
		},
		People: people, Commander: o.Judge, Page: page,
		Directory: directory{o.Inventory, o.Presence, o.Now},
		History:   o.Past.shown(),
		Limits:    func(d *devices.Device, field string) []rules.FieldLimit { return rules.LimitsOf(o.Rules, d, field) },
		Replayer:  &replayer{o.Input, o.Receiver, o.Judge},
		Progress:  &progress{o.Inventory, o.Presence, o.Judge},
		Decoder:   decoder{o.Inventory, o.Routes, o.Now},
		Registrar: o.Inventory, Door: o.Sources, Metrics: o.Meters.Handler(), MetricsToken: metricsToken(o.App.Config),
		Ready: o.ready, Logger: o.Logger,
	})
}

// ready says why the gateway is not ready, beyond what the console sees itself.
func (o *screensOptions) ready() error {
	if !o.Judge.status.live.Load() {
		return errCatchingUp
	}
	return o.Store.Health()
}

var errCatchingUp = errors.New("the judge has not yet caught up with the input log")

// health is what the gateway knows of itself, asked each second.
func (o *screensOptions) health() console.Health {
	view := o.Judge.status.look()
	disk := o.Disk.now.Load()
	h := console.Health{
		CanaryTime: alarms.Time(o.Judge.status.canary.Load()),
		Lag:        console.Lag{Messages: o.Input.Last().Total - view.total},
		Sources:    o.Presence.health(),
		Log:        console.LogHealth{Bytes: o.Input.Bytes() + o.Readings.Bytes() + o.Alarms.Bytes(), FreeBytes: disk.free, FloorBytes: disk.floor},
		Disk:       console.DiskHealth{Level: disk.level.String(), FreeBytes: disk.free, SizeBytes: disk.size},
	}
	for _, s := range slices.Concat(o.Outlets.status(), o.Past.status()) {
		h.Sinks = append(h.Sinks, sinkHealth(s))
	}
	h.Counts.RulesArmed, h.Counts.RulesUnarmed = view.armed, view.unarmed
	h.Counts.Devices, h.Counts.Online = o.Presence.count(o.Now())
	h.Counts.Offline = h.Counts.Devices - h.Counts.Online
	return h
}

func sinkHealth(s sinks.Status) console.SinkHealth {
	what := s.Stopped
	if what == "" {
		what = s.Error
	}
	if what == "" {
		what = s.Trouble
	}
	h := console.SinkHealth{Name: s.Sink, LagEntries: s.LagEntries, LagSeconds: s.Lag.Seconds(), Rate: s.Entries, Error: what}
	if s.LagEntries > 0 && s.ETA >= 0 {
		left := s.ETA.Seconds()
		h.ETASeconds = &left
	}
	return h
}

// directory tells the console who is registered and who is there.
type directory struct {
	inventory *inventory
	present   *presence
	now       func() time.Time
}

func (d directory) Registry() *devices.Registry { return d.inventory.registry() }

func (d directory) Presence(device *devices.Device) (online bool, lastSeen time.Time) {
	s, online := d.present.look(device, d.now())
	if s.Last == 0 {
		return online, time.Time{}
	}
	return online, time.UnixMilli(s.Last)
}

// metricsToken reads the token that scrapers on other machines need.
// Where it cannot be read, which was said at the start, there is none, and only
// this machine may scrape.
func metricsToken(cfg Config) string {
	text, err := os.ReadFile(cfg.Metrics.TokenFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
