package console

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// realParts are the logs and buckets of the gateway, on disk.
type realParts struct {
	t        testing.TB
	dir      string
	store    *journal.Store
	alarms   *journal.KeyedLog
	readings *journal.Log
	people   *journal.Bucket
}

func (p *realParts) open() {
	p.t.Helper()
	ctx := p.t.Context()
	var err error
	if p.store, err = journal.Open(ctx, journal.Options{Dir: p.dir}); err != nil {
		p.t.Fatal(err)
	}
	if p.alarms, err = p.store.KeyedLog(ctx, "alarms"); err != nil {
		p.t.Fatal(err)
	}
	if p.readings, err = p.store.Log(ctx, journal.LogOptions{Name: "readings"}); err != nil {
		p.t.Fatal(err)
	}
	if p.people, err = p.store.Bucket(ctx, "people"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *realParts) close() {
	p.t.Helper()
	if err := p.store.Close(); err != nil {
		p.t.Error(err)
	}
}

// console starts one on the parts.
func (p *realParts) console() *rig {
	p.t.Helper()
	var people *People
	r := startRig(p.t, func(o *Options) {
		var err error
		if people, err = OpenPeople(p.t.Context(), PeopleOptions{Bucket: p.people, AdminToken: adminToken, Cost: 4}); err != nil {
			p.t.Fatal(err)
		}
		o.People, o.Hub.Alarms, o.Hub.Readings = people, p.alarms, p.readings
	})
	r.people = people
	r.judge.write = func(key string, data []byte) uint64 {
		seq, err := p.alarms.Append(p.t.Context(), key, data, p.alarms.Last().Seq)
		if err != nil {
			p.t.Error(err)
		}
		return seq
	}
	if err := p.alarms.Latest(p.t.Context(), func(rec journal.Record) error {
		e, err := alarms.DecodeEvent(rec.Data, rec.Seq)
		r.judge.book.Fold(e)
		return err
	}); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// TestOnTheJournal: with the logs and buckets the gateway has. Across a restart
// people stay signed in, pages resume where they were, and the past is told.
func TestOnTheJournal(t *testing.T) {
	p := &realParts{t: t, dir: t.TempDir()}
	p.open()
	r := p.console()
	token := r.person("李雷", Operator)
	cookie := r.signIn(`{"token":"` + token + `"}`)
	b := r.browse(token)
	id := r.judge.raise(t, r.gas(1), rules.Red)
	other := r.judge.raise(t, r.gas(2), rules.Yellow) // with it the first is first out
	entry := devices.AppendReadings(nil, devices.ReadingsEntry{Readings: []devices.Reading{{
		Device: r.gas(1), Time: 1782541926000, Received: 1782541926081,
		Values: []devices.Value{{Field: r.gas(1).Kind.Fields[0], Number: 52.9}},
	}}})
	if _, err := p.readings.Append(t.Context(), entry, 1); err != nil {
		t.Fatal(err)
	}
	if status, body := r.call("POST", "/api/v1/alarms/"+id+"/ack", "", `{"note":"去看"}`, "Cookie", cookie, "Idempotency-Key", "k"); status != 200 {
		t.Fatalf("ack: %d %s", status, body)
	}
	b.until(func(page *page) bool { return page.seq == 4 && len(page.values) == 1 })
	if _, _, list := b.look(); !maps.Equal(list, r.server.hub.standing()) || len(list) != 2 {
		t.Errorf("the page shows %v", list)
	}
	b.leave()
	r.stop()
	p.close()

	p.open()
	defer p.close()
	r = p.console()
	defer r.stop()
	r.judge.raise(t, r.gas(3), rules.Orange)
	later := r.browser(token)
	later.page.epoch, later.page.seq, later.page.alarms = b.page.epoch, 3, b.page.alarms
	later.connect()
	defer later.leave()
	later.until(func(page *page) bool { return page.seq == 5 && len(page.values) == 1 })
	if got := strings.Join(later.page.notes, " "); got != "hello resume e e" {
		t.Errorf("after a restart the frames are %q", got)
	}
	if _, _, list := later.look(); !maps.Equal(list, r.server.hub.standing()) || len(list) != 3 {
		t.Errorf("after a restart the page shows %v", list)
	}
	if status, body := r.call("GET", "/api/v1/session", "", "", "Cookie", cookie); status != http.StatusOK || !strings.Contains(body, "李雷") {
		t.Errorf("after a restart the session is %d %s", status, body)
	}
	if status, body := r.call("POST", "/api/v1/alarms/"+id+"/ack", "", `{"note":"去看"}`, "Cookie", cookie, "Idempotency-Key", "k"); status != 200 || !strings.Contains(body, `"seq":4`) {
		t.Errorf("the repetition after a restart: %d %s", status, body)
	}
	if _, body := r.call("GET", "/api/v1/alarms/"+id+"/events", token, ""); strings.Count(body, `"type":`) != 3 || !strings.Contains(body, "去看") || !strings.Contains(body, `"first_out"`) {
		t.Errorf("timeline is %s", body)
	}
	if _, ok := r.server.hub.alarm(other); !ok {
		t.Error("an alarm was forgotten")
	}
}

// BenchmarkSnapshot is what a page costs that must start over, with ten thousand
// alarms open.
func BenchmarkSnapshot(b *testing.B) {
	h := tenThousand(b)
	var bytes int
	for b.Loop() {
		h.snapshot = nil
		s, err := h.encodeSnapshot()
		if err != nil {
			b.Fatal(err)
		}
		bytes = 0
		for _, f := range s.frames {
			bytes += len(f.text)
		}
	}
	b.ReportMetric(float64(bytes), "bytes")
}

// BenchmarkPublish is what an event costs the hub, with 200 consoles to wake.
func BenchmarkPublish(b *testing.B) {
	h := tenThousand(b)
	for range 200 {
		_, stop := h.listen()
		defer stop()
	}
	rec := h.o.Alarms.(*memoryLog).records[5000]
	h.o.Alarms = endless{h.o.Alarms}
	for b.Loop() {
		rec.Seq = h.seq + 1
		if err := h.take(rec); err != nil {
			b.Fatal(err)
		}
	}
}

// endless is a log whose end is never reached.
type endless struct{ AlarmLog }

func (endless) Last() journal.Mark { return journal.Mark{Seq: 1 << 60} }

func tenThousand(b *testing.B) *Hub {
	b.Helper()
	log := newMemoryLog("k3f9")
	var in struct {
		E alarms.Event `json:"e"`
	}
	if err := json.Unmarshal(golden(b, "e"), &in); err != nil {
		b.Fatal(err)
	}
	a := in.E.Alarm
	for i := range 10_000 {
		a.ID = "A" + time.Duration(i).String()
		log.event(b, alarms.Raised, a)
	}
	h := NewHub(HubOptions{Alarms: log})
	if err := h.load(context.Background()); err != nil {
		b.Fatal(err)
	}
	return h
}

// BenchmarkFanOut is an event on its way to 200 consoles over loopback, with the
// consoles' own reading.
func BenchmarkFanOut(b *testing.B) {
	o := serverOptions(b)
	log := o.Hub.Alarms.(*memoryLog)
	s, err := NewServer(o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var done, ready sync.WaitGroup
	last := []byte(`{"e":{"seq":` + strconv.Itoa(b.N) + ",")
	for range 200 {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr()+"/api/v1/stream", nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := conn.WriteJSON(map[string]any{"hello": map[string]any{"token": adminToken}}); err != nil {
			b.Fatal(err)
		}
		ready.Add(1)
		done.Go(func() {
			defer conn.Close()
			for waiting := true; ; {
				_, text, err := conn.ReadMessage()
				if waiting {
					waiting = false
					ready.Done()
				}
				if err != nil || bytes.HasPrefix(text, last) {
					return
				}
			}
		})
	}
	ready.Wait()
	var in struct {
		E alarms.Event `json:"e"`
	}
	if err := json.Unmarshal(golden(b, "e"), &in); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		log.event(b, alarms.Raised, in.E.Alarm)
	}
	done.Wait()
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
}

// BenchmarkReadings is what the newest values cost, a reading of one value each.
func BenchmarkReadings(b *testing.B) {
	d := newDirectory(b, 50)
	var entry devices.ReadingsEntry
	for i := range 1000 {
		for dev := range d.registry.Devices() {
			if len(entry.Readings) < 1000 {
				entry.Readings = append(entry.Readings, devices.Reading{Device: dev, Time: int64(i), Values: []devices.Value{{Field: dev.Kind.Fields[0], Number: 1}}})
			}
		}
	}
	rec := journal.Record{Seq: 1, Data: devices.AppendReadings(nil, entry)}
	v := newValues(1000)
	for b.Loop() {
		if _, err := v.take(rec); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(entry.Readings)), "ns/reading")
}
