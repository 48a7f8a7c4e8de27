package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryLog is an alarm log, or a readings log, that forgets at the end.
type memoryLog struct {
	mu      sync.Mutex
	epoch   string
	records []journal.Record
	changed chan struct{}
	broken  error // given to every read until it is nil again
	sly     bool  // a read under way does not notice that the log is another one
	lost    map[uint64]error
}

func newMemoryLog(epoch string) *memoryLog {
	return &memoryLog{epoch: epoch, changed: make(chan struct{}), lost: map[uint64]error{}}
}

func (l *memoryLog) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// add appends a record; key is the alarm's id.
func (l *memoryLog) add(key string, data []byte) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := uint64(len(l.records)) + 1
	l.records = append(l.records, journal.Record{Seq: seq, Total: seq, Count: 1, Time: time.Now(), Subject: key, Data: data})
	l.wake()
	return seq
}

// event appends an event with the alarm as it stands after it.
func (l *memoryLog) event(t testing.TB, kind alarms.EventType, a alarms.Alarm) uint64 {
	t.Helper()
	e := alarms.Event{ID: fmt.Sprint(a.ID, "-", kind), Type: kind, Time: alarms.Time(time.Now().UnixMilli()), Alarm: a}
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return l.add(a.ID, data)
}

// anew makes it another log, with nothing in it.
func (l *memoryLog) anew(epoch string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch, l.records = epoch, nil
	l.lost = map[uint64]error{}
	l.wake()
}

func (l *memoryLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
	l.wake()
}

// lose makes an entry unreadable.
func (l *memoryLog) lose(seq uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost[seq] = err
}

var errRecreated = errors.New("the log was recreated")

func (l *memoryLog) Read(ctx context.Context, from uint64, fn func(journal.Record) error) error {
	epoch := l.Epoch()
	for seq := max(1, from); ; {
		l.mu.Lock()
		err, changed := l.broken, l.changed
		if err == nil && l.epoch != epoch && !l.sly {
			err = errRecreated
		}
		var rec journal.Record
		if err == nil && seq <= uint64(len(l.records)) {
			rec, err = l.records[seq-1], l.lost[seq]
		}
		l.mu.Unlock()
		if err != nil {
			return err
		}
		if rec.Seq != 0 {
			if err := fn(rec); err != nil {
				return err
			}
			seq++
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *memoryLog) Latest(_ context.Context, fn func(journal.Record) error) error {
	l.mu.Lock()
	latest := map[string]uint64{}
	for _, r := range l.records {
		latest[r.Subject] = r.Seq
	}
	var list []journal.Record
	for _, r := range l.records {
		if latest[r.Subject] == r.Seq && l.lost[r.Seq] == nil {
			list = append(list, r)
		}
	}
	err := l.broken
	l.mu.Unlock()
	for _, r := range list {
		if err == nil {
			err = fn(r)
		}
	}
	return err
}

func (l *memoryLog) At(_ context.Context, seq uint64) (journal.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq == 0 || seq > uint64(len(l.records)) {
		return journal.Record{}, journal.ErrNotFound
	}
	return l.records[seq-1], l.lost[seq]
}

func (l *memoryLog) Last() journal.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return journal.Mark{Seq: uint64(len(l.records)), Total: uint64(len(l.records))}
}

func (l *memoryLog) First() journal.Mark { return journal.Mark{Seq: 1} }

func (l *memoryLog) Epoch() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// memoryBucket is a bucket that forgets at the end.
type memoryBucket struct {
	mu     sync.Mutex
	values map[string][]byte
}

func newMemoryBucket() *memoryBucket { return &memoryBucket{values: map[string][]byte{}} }

func (b *memoryBucket) Put(_ context.Context, key string, value []byte) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.values[key] = bytes.Clone(value)
	return 1, nil
}

func (b *memoryBucket) Delete(_ context.Context, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.values, key)
	return nil
}

func (b *memoryBucket) All(context.Context) (map[string][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.values), nil
}

// judge carries commands out as the gateway's judge does: one at a time, on the
// book, answered when the events are in the log.
type judge struct {
	mu    sync.Mutex
	book  *alarms.Book
	write func(key string, data []byte) uint64
}

func newJudge(log *memoryLog) *judge { return &judge{book: alarms.NewBook(), write: log.add} }

func (j *judge) cause() alarms.Cause {
	return alarms.Cause{Position: 1, Clock: time.Now().UnixMilli()}
}

func (j *judge) record(events []alarms.Event) ([]alarms.Event, error) {
	for i := range events {
		if events[i].Seq != 0 { // the answer to an earlier command
			continue
		}
		data, err := json.Marshal(events[i])
		if err != nil {
			return nil, err
		}
		j.book.Recorded(&events[i], j.write(events[i].Alarm.ID, data))
	}
	return events, nil
}

func (j *judge) Command(_ context.Context, c alarms.Command) ([]alarms.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	events, err := j.book.Command(c, j.cause())
	if err != nil {
		return nil, err
	}
	return j.record(events)
}

// raise has a device of the registry raise an alarm, and returns its id.
func (j *judge) raise(t testing.TB, d *devices.Device, level rules.Level) string {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	rule := &rules.Rule{ID: "gas_high", Kind: d.Kind.ID, Field: d.Kind.Fields[0].Name, Title: devices.Text{ZH: "可燃气体浓度高", EN: "Gas high"}}
	change := rules.Change{Rule: rule, Device: d, Field: d.Kind.Fields[0], Level: level, Value: 30, Limit: 25, Sample: j.cause().Clock, Received: j.cause().Clock}
	events, err := j.record(j.book.Apply([]rules.Change{change}, j.cause()))
	if err != nil || len(events) == 0 {
		t.Fatalf("raise: %d events, %v", len(events), err)
	}
	return events[len(events)-1].Alarm.ID
}

// directory is a registry of a few devices; all are online.
type directory struct{ registry *devices.Registry }

func (d directory) Registry() *devices.Registry { return d.registry }
func (d directory) Presence(*devices.Device) (bool, time.Time) {
	return true, time.UnixMilli(1782541926081)
}

const gasKind = `
kind: combustible_gas
name: {zh: 可燃气体探测器, en: Combustible gas detector}
interval: 30s
silence: 10m
lateness: 1m
fields:
  - name: gas_lel_pct
    title: {zh: 可燃气体浓度, en: Combustible gas}
    unit: "%LEL"
    range: [0, 100]
    danger: high
`

func newDirectory(t testing.TB, n int) directory {
	t.Helper()
	kind, err := devices.ParseKind("combustible_gas.yaml", []byte(gasKind))
	if err != nil {
		t.Fatal(err)
	}
	o := devices.RegistryOptions{Kinds: []*devices.Kind{kind}}
	o.Sites = []*devices.Site{{
		ID: "sample-gas", Name: devices.Text{ZH: "示例加气站", EN: "Sample gas station"}, Area: "east",
		Contacts: []devices.Contact{{Role: "enterprise", Name: "值班室", Phone: "000-0000-0000"}},
	}}
	for i := range n {
		o.Devices = append(o.Devices, devices.DeviceConfig{
			Site: "sample-gas", ID: fmt.Sprintf("gas-%02d", i+1), Kind: kind.ID, State: devices.InService,
			Name: devices.Text{ZH: fmt.Sprintf("%d号探测器", i+1), EN: fmt.Sprintf("Detector %d", i+1)},
		})
	}
	registry, err := devices.NewRegistry(o)
	if err != nil {
		t.Fatal(err)
	}
	return directory{registry}
}

// rig is a console with everything round it, on a network inside the process;
// in a synctest bubble its clock is the bubble's.
type rig struct {
	t         testing.TB
	alarms    *memoryLog
	readings  *memoryLog
	bucket    *memoryBucket
	people    *People
	judge     *judge
	directory directory
	server    *Server
	network   *pipes
	log       *lockedBuffer
	stop      func()
}

const adminToken = "test-admin-token-of-more-than-32-characters"

// start builds and runs a console; change may alter its options before.
func startRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{
		t: t, alarms: newMemoryLog("k3f9"), readings: newMemoryLog("r1"), bucket: newMemoryBucket(),
		directory: newDirectory(t, 3), network: newPipes(), log: &lockedBuffer{},
	}
	r.judge = newJudge(r.alarms)
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	people, err := OpenPeople(t.Context(), PeopleOptions{Bucket: r.bucket, AdminToken: adminToken, Cost: 4, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	r.people = people
	o := Options{
		People: people, Commander: r.judge, Directory: r.directory, Logger: logger, Page: testPage(t),
		Hub: HubOptions{Alarms: r.alarms, Readings: r.readings, Health: func() Health { return Health{CanaryTime: alarms.Time(time.Now().UnixMilli())} }},
	}
	if change != nil {
		change(&o)
	}
	if r.server, err = NewServer(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{Handler: r.server.Handler()}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(r.network) })
	running.Go(func() { _ = r.server.hub.Run(ctx) })
	r.stop = sync.OnceFunc(func() {
		cancel()
		_ = server.Close()
		running.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

func testPage(t testing.TB) *Page {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"index.html": "<!doctype html><title>page</title>", "main.js": strings.Repeat("let a = 1;\n", 100), "BUILD": "3f2a9c1d\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := FolderPage(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// person adds somebody and returns a token of theirs.
func (r *rig) person(name string, role Role) string {
	r.t.Helper()
	if err := r.people.Add(r.t.Context(), name, role, ""); err != nil {
		r.t.Fatal(err)
	}
	token, err := r.people.IssueToken(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

func (r *rig) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: r.network.dial, DisableKeepAlives: true}}
}

// call does one request and returns status and body.
func (r *rig) call(method, path, token, body string, headers ...string) (int, string) {
	r.t.Helper()
	status, text, _ := r.callFull(method, path, token, body, headers...)
	return status, text
}

func (r *rig) callFull(method, path, token, body string, headers ...string) (int, string, http.Header) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://gateway"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// dial opens a stream without a hello.
func (r *rig) dial(headers ...string) (*websocket.Conn, *http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	d := websocket.Dialer{NetDialContext: r.network.dial}
	return d.Dial("ws://gateway/api/v1/stream", h)
}

// pipes is a network inside the process.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return a, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return remote{c}, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return address("192.0.2.1:80") }

// remote gives a pipe an address.
type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr { return address("192.0.2.7:50000") }

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// page is what a browser makes of the frames, as PROTOCOL.md tells it to.
type page struct {
	epoch  string
	seq    uint64
	alarms map[string]string // id → JSON
	parts  []json.RawMessage
	hello  serverHello
	resume span
	health Health
	values map[string]Value
	notes  []string // what came, in words
}

func newPage() *page { return &page{alarms: map[string]string{}, values: map[string]Value{}} }

// anyFrame is every frame the gateway sends.
type anyFrame struct {
	Hello    *serverHello `json:"hello"`
	Resume   *span        `json:"resume"`
	Snapshot *struct {
		Epoch  string              `json:"epoch"`
		Seq    uint64              `json:"seq"`
		Part   int                 `json:"part"`
		Parts  int                 `json:"parts"`
		Shared []json.RawMessage   `json:"shared"`
		Alarms [][]json.RawMessage `json:"alarms"`
	} `json:"snapshot"`
	E *struct {
		Seq   uint64           `json:"seq"`
		Type  alarms.EventType `json:"type"`
		Alarm json.RawMessage  `json:"alarm"`
	} `json:"e"`
	V []Value `json:"v"`
	H *Health `json:"h"`
}

// take applies one frame; gap says that the page must send hello again.
func (p *page) take(text []byte) (f anyFrame, gap bool, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&f); err != nil {
		return f, false, fmt.Errorf("%w: %s", err, text)
	}
	switch {
	case f.Hello != nil:
		p.hello, p.parts = *f.Hello, nil
		p.notes = append(p.notes, "hello")
	case f.Resume != nil:
		p.resume = *f.Resume
		p.notes = append(p.notes, "resume")
	case f.Snapshot != nil:
		s := f.Snapshot
		if s.Part == 1 {
			p.parts = nil
		}
		for _, row := range s.Alarms {
			p.parts = append(p.parts, unfold(s.Shared, row))
		}
		if s.Part != s.Parts {
			return f, false, nil
		}
		p.epoch, p.seq = s.Epoch, s.Seq
		clear(p.alarms)
		for _, a := range p.parts {
			p.put(a)
		}
		p.notes = append(p.notes, "snapshot")
	case f.E != nil:
		switch {
		case p.epoch == "" || f.E.Seq > p.seq+1:
			return f, true, nil
		case f.E.Seq <= p.seq:
			return f, false, nil
		}
		p.seq = f.E.Seq
		p.put(f.E.Alarm)
		p.notes = append(p.notes, "e")
	case f.H != nil:
		p.health = *f.H
	case f.V != nil:
		for _, v := range f.V {
			p.values[v.Site+"/"+v.Device+"/"+v.Field] = v
		}
	}
	return f, false, nil
}

// unfold makes an alarm of a row of a snapshot, as the page does.
func unfold(shared, row []json.RawMessage) json.RawMessage {
	a := alarms.Alarm{Flags: noFlags, Contacts: noContacts}
	read := func(text json.RawMessage, into any) {
		if err := json.Unmarshal(text, into); err != nil {
			panic(err)
		}
	}
	var numbers []int
	read(row[2], &numbers)
	for _, n := range numbers {
		read(shared[n], &a)
	}
	read(row[0], &a.ID)
	read(row[1], &a.Seq)
	read(row[3], &a.Device)
	read(row[4], &a.Value)
	var raised, sample, received *int64
	read(row[5], &raised)
	read(row[6], &sample)
	read(row[7], &received)
	if raised != nil {
		a.RaisedTime = alarms.Time(*raised)
	}
	if sample != nil {
		a.SampleTime = a.RaisedTime + alarms.Time(*sample)
	}
	if received != nil {
		a.ReceivedTime = a.SampleTime + alarms.Time(*received)
	}
	if len(row) > 8 {
		read(row[8], &a)
	}
	return encodeAlarm(&a)
}

func (p *page) put(text json.RawMessage) {
	var a *alarms.Alarm
	if err := json.Unmarshal(text, &a); err != nil {
		panic(err)
	}
	switch {
	case a == nil:
	case a.State == alarms.Closed:
		delete(p.alarms, a.ID)
	default:
		p.alarms[a.ID] = string(text)
	}
}

// standing is what the hub itself holds.
func (h *Hub) standing() map[string]string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	m := map[string]string{}
	for id, s := range h.present.open {
		m[id] = string(s.json)
	}
	return m
}

// bubble runs a test with a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
