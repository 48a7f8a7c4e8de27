package main

import (
	"context"
	"errors"
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
	d := newBareJudge(b, b.TempDir(), tr)
	tr.write(b, d.Input, n, start, time.Minute)
	began := time.Now()
	stop := d.start(b)
	if err := d.Do(b.Context(), func(context.Context) error { return nil }); err != nil { // what was decided is on disk
		b.Fatal(err)
	}
	took := time.Since(began)
	stop()
	return took, d.Alarms.Last().Seq
}

// A judge that is killed has little to judge again, however much it judged, and
// also when it was killed soon after a start that had much to judge.
func TestSnapshotsKeepUp(t *testing.T) {
	dir, tr := t.TempDir(), traffic{devices: 100, perEntry: 1000}
	d := newBareJudge(t, dir, tr)
	const n = 3 * snapshotMessages
	tr.write(t, d.Input, n, time.Now().Add(-time.Minute), time.Minute)
	stop := d.start(t)
	written := make(chan struct{})
	if err := d.Readings.after(t.Context(), func() error { close(written); return nil }); err != nil {
		t.Fatal(err)
	}
	<-written // and every snapshot that was taken before
	if behind := d.Input.Last().Seq - d.status.saved.Load(); behind*uint64(tr.perEntry) > snapshotMessages {
		t.Errorf("%d of %d entries would be judged again", behind, d.Input.Last().Seq)
	}
	stop()
}

// bareJudge is a judge with its logs, and no gateway around it.
type bareJudge struct {
	*judge
	store *journal.Store
}

func newBareJudge(t testing.TB, dir string, tr traffic) *bareJudge {
	t.Helper()
	store, err := journal.Open(t.Context(), journal.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	input, err := store.Log(t.Context(), journal.LogOptions{Name: "input"})
	if err != nil {
		t.Fatal(err)
	}
	readings, err := store.Log(t.Context(), journal.LogOptions{Name: "readings"})
	if err != nil {
		t.Fatal(err)
	}
	events, err := store.KeyedLog(t.Context(), "alarms")
	if err != nil {
		t.Fatal(err)
	}
	registry, set := plainSetup(t, tr.yaml())
	return &bareJudge{store: store, judge: newJudge(judgeOptions{
		Input: input, InputEnd: input.Last().Seq, Alarms: events, Readings: newReadingsWriter(readings, 0), Rules: set, Book: alarms.NewBook(),
		History: fixedRegistry{registry},
		Fresh: func(registry *devices.Registry) (*devices.Intake, *rules.Engine) {
			return devices.NewIntake(devices.IntakeOptions{Registry: registry, HistoryAfter: time.Hour}),
				rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: set})
		},
		Presence: newPresence(registry), Feedback: newFeedback(nil, slog.New(slog.DiscardHandler)),
		Snapshot: snapshotFile(filepath.Join(dir, "snapshot")), Damaged: func(string) {},
		Now: time.Now, OnJudged: func(int, time.Duration) {}, Pacer: newPacer(input), Logger: slog.New(slog.DiscardHandler),
	})}
}

// start runs the judge and returns when it has caught up with the input log.
func (d *bareJudge) start(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- d.Readings.Run(ctx) }()
	go func() { ended <- d.judge.Run(ctx) }()
	select {
	case <-d.caught:
	case err := <-ended:
		t.Fatal(err)
	}
	return func() {
		cancel()
		<-ended
		<-ended
	}
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

// fixedRegistry has one version.
type fixedRegistry struct{ r *devices.Registry }

func (f fixedRegistry) At(uint64) (*devices.Registry, error)       { return f.r, nil }
func (f fixedRegistry) Newest() (uint64, *devices.Registry)        { return 0, f.r }
func (f fixedRegistry) Passed(version uint64, r *devices.Registry) {}

// TestBooksThatDoNotBalanceAreAnAlarm: a message that nobody accounts for is told
// of, and nothing is said while all are accounted for.
func TestBooksThatDoNotBalanceAreAnAlarm(t *testing.T) {
	tr := traffic{devices: 10, perEntry: 100}
	d := newBareJudge(t, t.TempDir(), tr)
	tr.write(t, d.Input, 1000, time.Now().Add(-time.Minute), time.Minute)
	stop := d.start(t)
	if err := d.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	stop()
	disk := &diskWatch{config: defaultDisk()}
	disk.now.Store(&diskView{})
	clock := newClock(time.Now, slog.New(slog.DiscardHandler))
	m := &measured{
		receiver: ingest.NewReceiver(ingest.ReceiverOptions{Log: d.Input}), judge: d.judge, presence: d.Presence,
		outlets: &outlets{}, input: d.Input, store: d.store, disk: disk, clock: clock,
	}
	if got := m.troubles()["books"]; got.reason != "" {
		t.Errorf("of books that balance it says: %s", got.reason)
	}
	d.counts.Accepted -= 2
	d.status.publish(d.judge)
	got := m.troubles()["books"]
	if got.level != rules.Fault || !strings.Contains(got.reason, "0 messages at the door, 2 behind it") {
		t.Errorf("two messages are missing: level %v, %q", got.level, got.reason)
	}
}

// TestAnEventThatIsNotKeptStopsTheJudge: what was decided and could not be put on
// disk is decided again after a start. To go on would lose an alarm.
func TestAnEventThatIsNotKeptStopsTheJudge(t *testing.T) {
	d := newBareJudge(t, t.TempDir(), traffic{devices: 10, perEntry: 10})
	d.begin(d.History.Newest())
	d.quiet.over = true
	d.alarm(d.Engine.SourceDown("broker", "gone", time.Now().UnixMilli(), nil))
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	told := d.status.look()
	if err := d.flush(t.Context()); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("flush says: %v", err)
	}
	if got := d.status.look(); len(got.counts.Events) != len(told.counts.Events) {
		t.Errorf("an event was counted that is nowhere: %v", got.counts.Events)
	}
}

// TestAJudgeThatHangsBlindsTheScreens: what a screen goes by is stamped by the
// judge, from a canary that came all the way. That the gateway still takes
// messages and answers says nothing.
func TestAJudgeThatHangsBlindsTheScreens(t *testing.T) {
	d := newBareJudge(t, t.TempDir(), traffic{devices: 1})
	defer d.start(t)()
	disk := &diskWatch{config: defaultDisk()}
	disk.now.Store(&diskView{})
	screens := &screensOptions{
		Judge: d.judge, Presence: d.Presence, Outlets: &outlets{}, Disk: disk,
		Input: d.Input, Readings: d.Readings.log, Alarms: d.Alarms, Now: time.Now,
	}
	send := func(at time.Time) {
		t.Helper()
		m := ingest.Message{Kind: ingest.Canary, Received: at}
		if _, err := d.Input.Append(t.Context(), ingest.AppendMessage(nil, &m), 0); err != nil {
			t.Fatal(err)
		}
	}
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	arrived := func(at time.Time) {
		t.Helper()
		for int64(screens.health().CanaryTime) != at.UnixMilli() {
			select {
			case <-patience.Done():
				t.Fatalf("the canary of %v never came through", at)
			case <-time.After(time.Millisecond):
			}
		}
	}
	first := time.Now().Truncate(time.Millisecond)
	send(first)
	arrived(first)

	hangs, release := make(chan struct{}), make(chan struct{})
	answered := make(chan error, 1)
	go func() {
		answered <- d.Do(t.Context(), func(context.Context) error { close(hangs); <-release; return nil })
	}()
	<-hangs
	second := first.Add(time.Second)
	send(second)
	if got := int64(screens.health().CanaryTime); got != first.UnixMilli() {
		t.Errorf("the judge hangs, and the screens hear of a canary %d ms younger than the last it saw", got-first.UnixMilli())
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	arrived(second)
}
