package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"fengsui/configs"
	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// traffic is what devices sent before a judge began: whole rounds of one message
// of five values from each device, of which some cross a limit.
type traffic struct {
	devices  int
	perEntry int
	crossing int // of a hundred messages, those whose alarm begins or ends
}

func (tr traffic) yaml() string {
	var b strings.Builder
	b.WriteString("sites:\n  - {id: s, name: {zh: 测试站点, en: Test site}}\ndevices:\n")
	for i := range tr.devices {
		fmt.Fprintf(&b, "  - {site: s, id: d%05d, kind: combustible_gas, state: in_service}\n", i)
	}
	return b.String()
}

// write appends n messages to the input log, the first at start, spread evenly
// over the time they span.
func (tr traffic) write(t testing.TB, log *journal.Log, n int, start time.Time, span time.Duration) {
	t.Helper()
	high := make([]bool, tr.devices)
	var data []byte
	for i, count := 0, 0; i < n; i++ {
		d, round := i%tr.devices, i/tr.devices
		if (i*7919+round)%100 < tr.crossing {
			high[d] = !high[d]
		}
		value := 1 + float64(i%10)/10
		if high[d] {
			value += 25
		}
		at := start.Add(span / time.Duration(n) * time.Duration(i)).Truncate(time.Millisecond)
		m := ingest.Message{
			Kind: ingest.Publish, Received: at, Source: embeddedSource, User: "s", QoS: 1, PacketID: 1,
			Topic: fmt.Sprintf("v1/s/d%05d/telemetry", d),
			Payload: fmt.Appendf(nil, `{"ts":%d,"seq":%d,"values":{"gas_lel_pct":%.1f,"temp_c":2%d.5,"humidity_pct":4%d,"battery_pct":9%d,"valve_state":1}}`,
				at.UnixMilli(), round+1, value, i%9, i%10, i%8),
		}
		data = ingest.AppendMessage(data, &m)
		if count++; count == tr.perEntry || i == n-1 {
			if _, err := log.Append(t.Context(), data, count); err != nil {
				t.Fatal(err)
			}
			data, count = data[:0], 0
		}
	}
}

// BenchmarkStorm judges the same traffic without any alarm and with alarms that
// begin or end with some of the messages: the ratio is what a storm costs the judge.
func BenchmarkStorm(b *testing.B) {
	const messages = 120_000
	start := time.Now().Add(-time.Minute)
	for _, crossing := range []int{2, 10} {
		b.Run(fmt.Sprintf("%d%%", crossing), func(b *testing.B) {
			for b.Loop() {
				calm, _ := judgeAll(b, traffic{devices: 1000, perEntry: 500}, messages, start)
				storm, events := judgeAll(b, traffic{devices: 1000, perEntry: 500, crossing: crossing}, messages, start)
				b.ReportMetric(messages/storm.Seconds(), "messages/s")
				b.ReportMetric(float64(events)/storm.Seconds(), "events/s")
				b.ReportMetric(float64(storm)/float64(calm), "storm/calm")
			}
		})
	}
}

// judgeAll has a judge judge n messages and returns how long it took and how many
// events came of them.
func judgeAll(b *testing.B, tr traffic, n int, start time.Time) (time.Duration, uint64) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	dir := b.TempDir()
	store, err := journal.Open(ctx, journal.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	input, err := store.Log(ctx, journal.LogOptions{Name: "input"})
	if err != nil {
		b.Fatal(err)
	}
	readingsLog, err := store.Log(ctx, journal.LogOptions{Name: "readings"})
	if err != nil {
		b.Fatal(err)
	}
	events, err := store.KeyedLog(ctx, "alarms")
	if err != nil {
		b.Fatal(err)
	}
	tr.write(b, input, n, start, time.Minute)
	registry, set := plainSetup(b, tr.yaml())
	readings := newReadingsWriter(readingsLog, 0)
	j := newJudge(judgeOptions{
		Input: input, Alarms: events, Readings: readings, Rules: set, Book: alarms.NewBook(),
		Fresh: func() (*devices.Intake, *rules.Engine) {
			return devices.NewIntake(devices.IntakeOptions{Registry: registry, HistoryAfter: time.Hour}),
				rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: set})
		},
		Presence: newPresence(registry), Feedback: newFeedback(nil, slog.New(slog.DiscardHandler)),
		Snapshot: snapshotFile(filepath.Join(dir, "snapshot")),
		Now:      time.Now, OnJudged: func(int, time.Duration) {}, Logger: slog.New(slog.DiscardHandler),
	})
	ended := make(chan error, 2)
	began := time.Now()
	go func() { ended <- readings.Run(ctx) }()
	go func() { ended <- j.Run(ctx) }()
	select {
	case <-j.caught:
	case err := <-ended:
		b.Fatal(err)
	}
	if err := j.Do(ctx, func(context.Context) error { return nil }); err != nil { // what was decided is on disk
		b.Fatal(err)
	}
	took := time.Since(began)
	cancel()
	<-ended
	<-ended
	return took, events.Last().Seq
}

// plainSetup has the built-in kinds and the rules of the crash test.
func plainSetup(t testing.TB, file string) (*devices.Registry, []*rules.Rule) {
	t.Helper()
	kinds, err := devices.LoadKinds(configs.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	f, err := devices.ParseDevices("devices.yaml", []byte(file), kinds)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := f.Registry(kinds)
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.LoadRules(fstest.MapFS{"crossing.yaml": {Data: []byte(crashRules)}}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	return registry, set
}
