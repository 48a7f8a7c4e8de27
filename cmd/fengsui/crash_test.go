package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
	"fengsui/sinks/influx/influxtest"
)

var crashRounds = flag.Int("crash.rounds", 20, "how often the gateway is killed under load")

// crashRules make every crossing count: no hold times, no latch.
const crashRules = `kind: combustible_gas
rules:
  - id: crossing
    field: gas_lel_pct
    title: {zh: 测试, en: Test}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: test, status: platform_default}
    worse: high
    steps:
      - {level: yellow, limit: 20}
      - {level: red, limit: 50}
    clear: {hysteresis: 5}
`

// TestKilledUnderLoad kills the gateway again and again while devices publish at
// QoS 1. Every acknowledged message must be in the input log and in InfluxDB, and
// the alarm log must tell, device by device, exactly the story a plain reference
// tells.
func TestKilledUnderLoad(t *testing.T) {
	influx := influxtest.Start(t)
	const count = 12
	var lines []string
	for i := range count {
		lines = append(lines, fmt.Sprintf("id: d%02d, kind: combustible_gas, state: in_service", i))
	}
	g := newGateway(t, siteYAML(t, "s", "pw", lines...),
		fmt.Sprintf("rules: rules\ninflux: {url: %q, org: %q, bucket: %q, token_file: influx.token}\n", influx.URL, influx.Org, influx.Bucket))
	g.write("influx.token", influx.Token)
	g.write("rules/crossing.yaml", crashRules)
	g.start()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	senders := make([]*sender, count)
	var sending sync.WaitGroup
	for i := range senders {
		senders[i] = newSender(fmt.Sprintf("d%02d", i), uint64(i))
		sending.Go(func() { senders[i].run(ctx, g.mqtt) })
	}
	random := rand.New(rand.NewPCG(1, 2))
	var starting time.Duration
	for range *crashRounds {
		time.Sleep(time.Duration(20+random.IntN(400)) * time.Millisecond)
		g.kill()
		began := time.Now()
		g.start()
		starting += time.Since(began)
	}
	cancel()
	sending.Wait()

	total := 0
	for _, s := range senders {
		total += s.acked
	}
	t.Logf("%d kills, %d messages acknowledged; ready %v after a kill", *crashRounds, total, (starting / time.Duration(*crashRounds)).Round(time.Millisecond))
	if total < 100*count {
		t.Fatalf("only %d messages were acknowledged; the test shows nothing", total)
	}
	g.balanced()
	g.patience = 10 * time.Minute // many kills leave InfluxDB far behind
	g.eventually("InfluxDB is at the head of the log", func() error {
		if lag := g.metric("fengsui_sink_lag_entries"); lag != 0 {
			return fmt.Errorf("%v entries behind", lag)
		}
		return nil
	})
	g.stop()

	messages, events := readLogs(t, filepath.Join(g.dir, "data"))
	kept := checkInputLog(t, messages, senders)
	checkStories(t, events, senders, kept)
	sum := 0
	for _, n := range kept {
		sum += n
	}
	if n := influx.Count(t, influx.Bucket, "combustible_gas", "gas_lel_pct"); n != sum {
		t.Errorf("InfluxDB holds %d points, the input log %d messages", n, sum)
	}
}

// sender is one device that keeps sending until each message is acknowledged, in
// order, as a device with a store of its own does.
type sender struct {
	device string
	values []float64 // what was sent: message i has seq i+1
	times  []int64   // and when it was measured: each a millisecond of its own
	acked  int       // messages 1 to acked are acknowledged
	around float64   // its present value
	random *rand.Rand
}

func newSender(device string, seed uint64) *sender {
	return &sender{device: device, random: rand.New(rand.NewPCG(seed, 7))}
}

// measure adds a message. It is of a minute ago, so that none is of the future, and
// not of half an hour ago, after which another clock judges: many kills take longer.
func (s *sender) measure() {
	now := time.Now().Add(-time.Minute).UnixMilli()
	if n := len(s.times); n > 0 {
		now = max(now, s.times[n-1]+1)
	}
	s.times = append(s.times, now)
	s.values = append(s.values, s.next())
}

// next stays where it is for some twenty messages, so that many alarms begin and
// end in the same entry of the log: a kill then finds a storm half on disk.
func (s *sender) next() float64 {
	if s.random.IntN(20) == 0 {
		s.around = []float64{1, 25, 55}[s.random.IntN(3)]
	}
	return s.around + s.random.Float64()
}

const (
	window = 20                   // messages in flight of one device
	pace   = 5 * time.Millisecond // from one window to the next
)

func (s *sender) run(ctx context.Context, address string) {
	for ctx.Err() == nil {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(s.device).SetUsername("s").SetPassword("pw").
			SetAutoReconnect(false).SetConnectTimeout(2 * time.Second).SetWriteTimeout(2 * time.Second).SetCleanSession(true)
		c := mqtt.NewClient(o)
		if token := c.Connect(); token.WaitTimeout(3*time.Second) && token.Error() == nil {
			s.publish(ctx, c)
		}
		c.Disconnect(0)
		time.Sleep(20 * time.Millisecond)
	}
}

// publish sends what is not yet acknowledged, a window at a time.
func (s *sender) publish(ctx context.Context, c mqtt.Client) {
	for ctx.Err() == nil {
		first := s.acked
		tokens := make([]mqtt.Token, window)
		for i := range tokens {
			seq := first + i + 1
			if seq > len(s.values) {
				s.measure()
			}
			payload := fmt.Sprintf(`{"ts":%d,"seq":%d,"values":{"gas_lel_pct":%v}}`, s.times[seq-1], seq, s.values[seq-1])
			tokens[i] = c.Publish("v1/s/"+s.device+"/telemetry", 1, false, payload)
		}
		for _, token := range tokens {
			if !token.WaitTimeout(3*time.Second) || token.Error() != nil {
				return
			}
			s.acked++
		}
		time.Sleep(pace)
	}
}

// checkStories compares the alarm log with the reference, device by device.
func checkStories(t *testing.T, events []alarms.Event, senders []*sender, kept map[string]int) {
	t.Helper()
	told := map[string][]string{}
	ids := map[string]bool{}
	var first []string
	for _, e := range events {
		if e.Alarm.ID == "" {
			continue
		}
		if ids[e.ID] {
			t.Errorf("event %s stands twice in the alarm log", e.ID)
		}
		ids[e.ID] = true
		if e.Alarm.Rule != "crossing" {
			t.Errorf("unexpected alarm %s of %s", e.Alarm.Rule, e.Alarm.Device)
			continue
		}
		if e.Type == alarms.Updated && slices.Contains(e.Alarm.Flags, "first_out") { // the others of the site followed it
			first = append(first, e.ID)
			continue
		}
		told[e.Alarm.Device] = append(told[e.Alarm.Device], fmt.Sprintf("%s %s at %d", e.Type, e.Alarm.Level, int64(e.Alarm.SampleTime)))
	}
	if len(first) > 1 {
		t.Errorf("the alarm log tells %d times which alarm of the site was the first: %v", len(first), first)
	}
	for _, s := range senders {
		got, want := told[s.device], s.story(kept[s.device])
		if at := firstDifference(got, want); at >= 0 {
			t.Errorf("%s: of %d steps the alarm log tells, want %d, number %d differs:\n  %s\nwant\n  %s",
				s.device, len(got), len(want), at, around(got, at), around(want, at))
		}
	}
}

// firstDifference is where two lists part, -1 where they do not.
func firstDifference(a, b []string) int {
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

func around(lines []string, at int) string {
	return strings.Join(lines[min(len(lines), max(0, at-3)):min(len(lines), at+4)], "\n  ")
}

// story is what the first n values say, by the plainest reference: a ladder of
// 20 and 50 of which each step is left 5 below.
func (s *sender) story(n int) (steps []string) {
	level, standing := rules.Normal, false
	for i, v := range s.values[:n] {
		next := rules.Normal
		switch {
		case v >= 50 || level == rules.Red && v > 45:
			next = rules.Red
		case v >= 20 || level >= rules.Yellow && v > 15:
			next = rules.Yellow
		}
		if next == level {
			continue
		}
		event := alarms.Eased
		switch {
		case level == rules.Normal && standing:
			event = alarms.Rearmed
		case level == rules.Normal:
			event, standing = alarms.Raised, true
		case next == rules.Normal:
			event = alarms.Cleared
		case next > level:
			event = alarms.Escalated
		}
		steps = append(steps, fmt.Sprintf("%s %s at %d", event, next, s.times[i]))
		level = next
	}
	return steps
}

// events reads the whole alarm log as a console that polls would.
func (g *gateway) events() []alarms.Event {
	g.t.Helper()
	var all []alarms.Event
	var epoch string
	for after := uint64(0); ; {
		var page struct {
			Frames []struct {
				Hello *struct {
					Epoch string `json:"epoch"`
					Seq   uint64 `json:"seq"`
				} `json:"hello"`
				Snapshot json.RawMessage `json:"snapshot"`
				E        *alarms.Event   `json:"e"`
			} `json:"frames"`
		}
		if epoch == "" {
			g.get("/api/v1/events?wait=0", &page)
			epoch = page.Frames[0].Hello.Epoch
			continue
		}
		g.get(fmt.Sprintf("/api/v1/events?epoch=%s&after=%d&limit=1000&wait=0", epoch, after), &page)
		head := uint64(0)
		for _, f := range page.Frames {
			if f.Snapshot != nil {
				g.t.Fatalf("asked for events after %d, got a snapshot", after)
			}
			if f.Hello != nil {
				head = f.Hello.Seq
			}
			if f.E != nil {
				all = append(all, *f.E)
				after = f.E.Seq
			}
		}
		if after >= head {
			return all
		}
	}
}

// checkInputLog looks for every message that was acknowledged, in order, and
// returns how many different ones the log holds of each device.
func checkInputLog(t *testing.T, held map[string][]uint64, senders []*sender) map[string]int {
	t.Helper()
	kept := map[string]int{}
	for _, s := range senders {
		for _, seq := range held[s.device] {
			switch n := kept[s.device]; {
			case int(seq) == n+1:
				kept[s.device]++
			case int(seq) > n:
				t.Fatalf("%s: message %d is missing before %d", s.device, n+1, seq)
			}
		}
		if kept[s.device] < s.acked {
			t.Errorf("%s: %d messages were acknowledged, the log ends at %d", s.device, s.acked, kept[s.device])
		}
	}
	return kept
}

// readLogs opens the logs of a stopped gateway: the seq of every message by
// device, and every event.
func readLogs(t *testing.T, dir string) (messages map[string][]uint64, events []alarms.Event) {
	t.Helper()
	store, err := journal.Open(t.Context(), journal.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	input, err := store.Log(t.Context(), journal.LogOptions{Name: "input"})
	if err != nil {
		t.Fatal(err)
	}
	messages = map[string][]uint64{}
	readAllOf(t, input, func(r journal.Record) error {
		return ingest.DecodeEntry(r.Data, func(_ int, m *ingest.Message) error {
			if m.Kind != ingest.Publish {
				return nil
			}
			var body struct {
				Seq uint64 `json:"seq"`
			}
			if err := json.Unmarshal(m.Payload, &body); err != nil {
				return err
			}
			device := strings.Clone(strings.Split(m.Topic, "/")[2])
			messages[device] = append(messages[device], body.Seq)
			return nil
		})
	})
	log, err := store.KeyedLog(t.Context(), "alarms")
	if err != nil {
		t.Fatal(err)
	}
	readAllOf(t, log, func(r journal.Record) error {
		e, err := alarms.DecodeEvent(r.Data, r.Seq)
		events = append(events, e)
		return err
	})
	return messages, events
}

// readAllOf reads a log up to its end.
func readAllOf(t *testing.T, log sinks.Log, fn func(journal.Record) error) {
	t.Helper()
	head, end := log.Last().Seq, errors.New("the end")
	if head == 0 {
		return
	}
	err := log.Read(t.Context(), 1, func(r journal.Record) error {
		if err := fn(r); err != nil {
			return err
		}
		if r.Seq == head {
			return end
		}
		return nil
	})
	if !errors.Is(err, end) {
		t.Fatal(err)
	}
}
