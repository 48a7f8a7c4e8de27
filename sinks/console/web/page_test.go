package web_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks/console"
)

// long makes the tests of floods and of memory as long as promised; they then say
// what they measured.
var long = flag.Bool("page.long", false, "flood the page with 1,000 events a second for 10 s, and use it for ten minutes")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPageInBrowser shows the built page to a real Chromium: the server is the
// gateway's own, the alarms come from a book in memory, and what the browser does
// and must see stands in e2e/*.test.mjs.
func TestPageInBrowser(t *testing.T) {
	needBrowser(t)
	asTheyAre := func(text string) string { return text }
	for name, o := range map[string]roomOptions{
		"some":    {alarms: 40, words: asTheyAre},
		"none":    {words: asTheyAre},
		"many":    {alarms: 10_000, words: asTheyAre},
		"soak":    {alarms: 40, words: asTheyAre},
		"hostile": {alarms: 40, words: hostileWords()},
		"pseudo":  {alarms: 40, words: func(text string) string { return "⟪" + text + "⟫" }, pseudo: true},
	} {
		t.Run(name, func(t *testing.T) {
			base := startRoom(t, o)
			node := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", "--test-timeout=1200000", "e2e/"+name+".test.mjs")
			node.Env = append(os.Environ(), "BASE_URL="+base, "TOKEN="+adminToken, fmt.Sprint("LONG=", *long))
			out, err := node.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// needBrowser skips where a real part is missing; with FENGSUI_REAL=1 that fails.
func needBrowser(t *testing.T) {
	t.Helper()
	missing := ""
	if page, err := console.EmbeddedPage(); err != nil || page.Build == "" {
		missing = "the page is not built: go generate ./sinks/console"
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing = "the npm packages of the page are not installed: go generate ./sinks/console"
	}
	for _, name := range []string{"node", "chromium"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = name + " is not found"
		}
	}
	if missing == "" {
		return
	}
	if os.Getenv("FENGSUI_REAL") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
}

const adminToken = "token-of-this-test-only-0123456789"

// room is a gateway without intake: a book of alarms behind the real console.
type room struct {
	log      *memoryLog
	readings *memoryLog
	registry *devices.Registry
	points   []rules.Change // one for every point of the demo county that can be dangerous

	mu     sync.Mutex
	book   *alarms.Book
	raised int
	hung   alarms.Time // when the judge stopped; 0: it runs
	stage  string      // how far the installer at newcomer/gas-01 is
	words  func(string) string
}

type roomOptions struct {
	alarms int
	words  func(string) string // what people elsewhere make of a word of theirs
	pseudo bool                // the page speaks the pseudo-locale
}

// startRoom opens a console with alarms on it and gives its address.
func startRoom(t *testing.T, o roomOptions) string {
	t.Helper()
	r := &room{log: newMemoryLog(), readings: newMemoryLog(), book: alarms.NewBook(), words: o.words}
	r.registry, r.points = demoCounty(t, o.words)
	r.furnish(t, o.alarms)
	var page *console.Page // the built one
	if o.pseudo {
		page = pseudoPage(t)
	}
	people, err := console.OpenPeople(t.Context(), console.PeopleOptions{Bucket: memoryBucket{}, AdminToken: adminToken, Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	server, err := console.NewServer(console.Options{
		Hub:       console.HubOptions{Alarms: r.log, Readings: r.readings, Health: r.health},
		People:    people,
		Commander: r,
		Directory: r,
		History:   r,
		Progress:  r,
		Door:      r,
		Page:      page,
		Limits: func(_ *devices.Device, _ string) []rules.FieldLimit {
			return []rules.FieldLimit{{Level: rules.Yellow, Value: 20, Worse: devices.High}, {Level: rules.Red, Value: 50, Worse: devices.High}}
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", server.Handler())
	mux.HandleFunc("POST /test/raise/{level}/{n}", r.handleRaise)
	mux.HandleFunc("POST /test/lives/{n}/{rate}", r.handleLives)
	mux.HandleFunc("POST /test/install/{stage}", r.handleInstall)
	mux.HandleFunc("POST /test/hang", func(http.ResponseWriter, *http.Request) { r.hang(alarms.Time(time.Now().UnixMilli())) })
	mux.HandleFunc("POST /test/unhang", func(http.ResponseWriter, *http.Request) { r.hang(0) })
	outside := httptest.NewServer(mux)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Hub().Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		outside.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return outside.URL
}

// demoCounty is the invented county of the demo, and a change for each of its
// points that can be dangerous, with the words people elsewhere use.
func demoCounty(t *testing.T, words func(string) string) (*devices.Registry, []rules.Change) {
	t.Helper()
	kinds, err := devices.LoadKinds(os.DirFS("../../../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../configs/demo/devices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := devices.ParseDevices("devices.yaml", text, kinds)
	if err != nil {
		t.Fatal(err)
	}
	both := func(text devices.Text) devices.Text { return devices.Text{ZH: words(text.ZH), EN: words(text.EN)} }
	for _, k := range kinds {
		k.Name = both(k.Name)
		for _, f := range k.Fields {
			f.Title, f.Unit = both(f.Title), words(f.Unit)
		}
	}
	for _, s := range file.Sites {
		s.Name = both(s.Name)
		for i := range s.Contacts {
			s.Contacts[i].Name, s.Contacts[i].Phone = words(s.Contacts[i].Name), words(s.Contacts[i].Phone)
		}
	}
	for i := range file.Devices {
		file.Devices[i].Name = both(file.Devices[i].Name)
	}
	registry, err := devices.NewRegistry(devices.RegistryOptions{Kinds: kinds, Sites: file.Sites, Devices: file.Devices})
	if err != nil {
		t.Fatal(err)
	}
	var points []rules.Change
	for d := range registry.Devices() {
		for _, field := range d.Kind.Fields {
			if field.Danger == "" {
				continue
			}
			limit := (field.Range[0] + field.Range[1]) / 2
			rule := &rules.Rule{
				ID: d.Kind.ID + "_" + field.Name, Kind: d.Kind.ID, Field: field.Name, Title: field.Title,
				Advice: both(devices.Text{ZH: "按本单位处置方案执行", EN: "Follow the site's own response plan"}),
				Basis:  rules.Basis{Text: words("GB 15322.1"), Status: "platform_default"},
				Steps:  []rules.Step{{Limit: rules.Limit{Value: limit}}},
			}
			points = append(points, rules.Change{Rule: rule, Device: d, Field: field, Limit: limit, Value: limit * 1.07})
		}
	}
	if len(points) < 50 {
		t.Fatalf("the demo county has only %d points", len(points))
	}
	return registry, points
}

// furnish puts n alarms of every kind and state on the board.
func (r *room) furnish(t *testing.T, n int) {
	t.Helper()
	ladder := []rules.Level{rules.Red, rules.Orange, rules.Yellow, rules.Blue, rules.Fault}
	for i := range n {
		level := ladder[i*7%len(ladder)]
		if level == rules.Red && i > 0 {
			level = rules.Yellow // one red is enough for a board that is looked at
		}
		id, c := r.raise(level)
		switch i % 5 {
		case 2:
			r.must(t, alarms.Command{Alarm: id, Verb: alarms.Ack, By: r.words("somebody"), Note: clip(r.words("on the way"))})
		case 3:
			c.Level = rules.Normal
			r.judge(c)
		case 4:
			until := time.Now().Add(time.Hour).UnixMilli()
			r.must(t, alarms.Command{Alarm: id, Verb: alarms.Shelve, By: r.words("somebody"), Note: clip(r.words("calibration")), Until: until})
		}
	}
}

// clip makes a note as long as notes may be.
func clip(note string) string {
	letters := []rune(note)
	return "+" + string(letters[:min(len(letters), 1_900)])
}

// raise brings the next point to a level. Points are used again under rules of
// other names, so that there are as many alarms as are wanted.
func (r *room) raise(level rules.Level) (id string, c rules.Change) {
	r.mu.Lock()
	c = r.points[r.raised*31%len(r.points)]
	rule := *c.Rule
	rule.ID += fmt.Sprintf("-%d", r.raised)
	r.raised++
	r.mu.Unlock()
	c.Rule, c.Level = &rule, level
	if level == rules.Fault {
		c.Field, c.Value, c.Limit = nil, 0, 0
	}
	now := time.Now().UnixMilli()
	c.Sample, c.Received = now, now
	events := r.judge(c)
	return events[len(events)-1].Alarm.ID, c
}

func (r *room) judge(c rules.Change) []alarms.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record(r.book.Apply([]rules.Change{c}, r.cause()))
}

// Command carries out what people want, as the judge would.
func (r *room) Command(_ context.Context, c alarms.Command) ([]alarms.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events, err := r.book.Command(c, r.cause())
	if err != nil {
		return nil, err
	}
	return r.record(events), nil
}

func (r *room) must(t *testing.T, c alarms.Command) {
	t.Helper()
	if _, err := r.Command(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func (r *room) cause() alarms.Cause {
	return alarms.Cause{Position: r.log.Last().Seq + 1, Clock: time.Now().UnixMilli()}
}

func (r *room) record(events []alarms.Event) []alarms.Event {
	for i := range events {
		e := &events[i]
		if e.Seq == 0 {
			r.book.Recorded(e, r.log.append(e))
		}
	}
	return events
}

func (r *room) hang(at alarms.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hung = at
}

func (r *room) health() console.Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	canary := r.hung
	if canary == 0 {
		canary = alarms.Time(time.Now().UnixMilli())
	}
	return console.Health{
		CanaryTime: canary,
		Sources:    []console.SourceHealth{{Name: "embedded", Up: true, Since: canary, Last: canary}},
		Sinks:      []console.SinkHealth{{Name: "history"}},
		Disk:       console.DiskHealth{Level: "ok", FreeBytes: 50 << 30, SizeBytes: 100 << 30},
	}
}

func (r *room) handleRaise(w http.ResponseWriter, req *http.Request) {
	level, err := rules.ParseLevel(req.PathValue("level"))
	n, err2 := strconv.Atoi(req.PathValue("n"))
	if err != nil || err2 != nil {
		http.Error(w, "want /test/raise/LEVEL/N", http.StatusBadRequest)
		return
	}
	ids := make([]string, n)
	for i := range ids {
		ids[i], _ = r.raise(level)
	}
	fmt.Fprint(w, strings.Join(ids, " "))
}

// handleLives lets n alarms begin, get worse, end and be closed, side by side, at a
// rate of so many events a second; 0: as fast as it goes.
func (r *room) handleLives(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.Atoi(req.PathValue("n"))
	rate, err2 := strconv.Atoi(req.PathValue("rate"))
	if err != nil || err2 != nil {
		http.Error(w, "want /test/lives/N/RATE", http.StatusBadRequest)
		return
	}
	began, events := time.Now(), 0
	pace := func() {
		if events++; rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(events) * time.Second / time.Duration(rate))))
		}
	}
	const abreast = 50
	for first := 0; first < n; first += abreast {
		ids, changes := make([]string, min(abreast, n-first)), make([]rules.Change, min(abreast, n-first))
		for i := range ids {
			ids[i], changes[i] = r.raise(rules.Yellow)
			pace()
		}
		for _, level := range []rules.Level{rules.Orange, rules.Normal} {
			for i := range ids {
				changes[i].Level = level
				r.judge(changes[i])
				pace()
			}
		}
		for _, id := range ids {
			if _, err := r.Command(req.Context(), alarms.Command{Alarm: id, Verb: alarms.Close, By: "somebody", Disposition: "test"}); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			pace()
		}
	}
	fmt.Fprint(w, events)
}

// Registry and Presence make the room a directory of devices: everybody spoke now.
func (r *room) Registry() *devices.Registry { return r.registry }

func (r *room) Presence(*devices.Device) (bool, time.Time) { return true, time.Now() }

// Query makes the room a history: a slow climb with a gap in it and one value in
// doubt, known for half an hour.
func (r *room) Query(_ *devices.Device, _ string, _, to time.Time, _ int, _ time.Duration) ([]console.PastPoint, time.Time) {
	nan := float32(math.NaN())
	begin := to.Add(-30 * time.Minute)
	var points []console.PastPoint
	for i := range 60 {
		value := float32(i)
		p := console.PastPoint{Time: begin.Add(time.Duration(i) * 30 * time.Second).UnixMilli(), Min: value - 1, Max: value + 1, Last: value, Doubtful: i == 40}
		if i > 20 && i < 25 {
			p = console.PastPoint{Time: p.Time, Min: nan, Max: nan, Last: nan}
		}
		points = append(points, p)
	}
	return points, begin
}

// handleInstall brings the installer of newcomer/gas-01 further: refused at the
// door, then with a slip in the field's name, then done.
func (r *room) handleInstall(w http.ResponseWriter, req *http.Request) {
	d, _ := r.registry.Device("newcomer", "gas-01")
	now := time.Now().UnixMilli()
	entry := devices.ReadingsEntry{From: 1, To: 1}
	switch req.PathValue("stage") {
	case "refused":
	case "misspelled":
		entry.Rejections = []devices.Rejection{{
			Position: 7, Received: now, Source: "embedded", Topic: r.words("v1/newcomer/gas-01/telemetry"), Device: d.Key(),
			Code: devices.CodeUnknownField, Field: "gas_lell_pct", Detail: r.words("the kind has no such field"), Hint: "gas_lel_pct",
		}}
	case "done":
		field, _ := d.Kind.Field("gas_lel_pct")
		entry.Readings = []devices.Reading{{Device: d, Time: now, Received: now, Values: []devices.Value{{Field: field, Number: 1.5}}}}
	default:
		http.Error(w, "want refused, misspelled or done", http.StatusBadRequest)
		return
	}
	r.readings.add(d.Key(), devices.AppendReadings(nil, entry))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stage = req.PathValue("stage")
}

// Trace makes the room know how far a device has come.
func (r *room) Trace(d *devices.Device) console.Trace {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	t := console.Trace{User: d.Key()}
	if r.stage == "misspelled" || r.stage == "done" {
		t.Connected, t.Linked, t.Source, t.Message = true, now, "embedded", now
	}
	if r.stage == "done" {
		t.Decoded, t.Reading, t.InRange, t.Judged, t.Armed = now, now, now, now, 2
		rule := &rules.Rule{ID: "gas_rise", Field: "gas_lel_pct", Title: devices.Text{ZH: r.words("上升过快"), EN: r.words("Rises fast")}}
		t.Unarmed = []rules.Unarmed{{Rule: rule, Device: d, Missing: []string{"gas_rise_lel_pct"}}}
	}
	return t
}

// Refused makes the room a door at which a wrong password was tried.
func (r *room) Refused(int) []console.Refused {
	at := alarms.Time(time.Now().UnixMilli())
	return []console.Refused{{
		First: at, Time: at, Source: "embedded", Address: "192.0.2.31:51044", Client: r.words("gas-01"), User: r.words("newcomer/gas-01"),
		Action: "connect", Code: "wrong_password", Reason: "user or password is wrong", Count: 3,
	}}
}

// memoryLog is an alarm log that forgets at the end.
type memoryLog struct {
	mu      sync.Mutex
	records []journal.Record
	grown   chan struct{}
}

func newMemoryLog() *memoryLog { return &memoryLog{grown: make(chan struct{})} }

// append is called under the room's lock: nobody else appends events.
func (l *memoryLog) append(e *alarms.Event) uint64 {
	seq := l.Last().Seq + 1
	e.Seq, e.Alarm.Seq = seq, seq
	data, err := json.Marshal(e)
	if err != nil {
		panic(err) // an event is made of plain fields
	}
	return l.add(e.Alarm.ID, data)
}

func (l *memoryLog) add(key string, data []byte) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	seq := uint64(len(l.records)) + 1
	l.records = append(l.records, journal.Record{Seq: seq, Total: seq, Count: 1, Time: time.Now(), Subject: key, Data: data})
	close(l.grown)
	l.grown = make(chan struct{})
	return seq
}

func (l *memoryLog) from(seq uint64) ([]journal.Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[min(seq-1, uint64(len(l.records))):], l.grown
}

func (l *memoryLog) Read(ctx context.Context, from uint64, fn func(journal.Record) error) error {
	for seq := max(1, from); ; {
		records, grown := l.from(seq)
		for _, rec := range records {
			if err := fn(rec); err != nil {
				return err
			}
			seq++
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *memoryLog) Latest(_ context.Context, fn func(journal.Record) error) error {
	records, _ := l.from(1)
	last := map[string]uint64{}
	for _, rec := range records {
		last[rec.Subject] = rec.Seq
	}
	for _, rec := range records {
		if last[rec.Subject] != rec.Seq {
			continue
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
	return nil
}

func (l *memoryLog) At(_ context.Context, seq uint64) (journal.Record, error) {
	records, _ := l.from(seq)
	if len(records) == 0 {
		return journal.Record{}, fmt.Errorf("no entry %d", seq)
	}
	return records[0], nil
}

func (l *memoryLog) First() journal.Mark { return journal.Mark{Seq: 1} }

func (l *memoryLog) Last() journal.Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := uint64(len(l.records))
	return journal.Mark{Seq: n, Total: n}
}

func (l *memoryLog) Epoch() string { return "room" }

// memoryBucket keeps people for as long as the test lasts; one test at a time
// uses it.
type memoryBucket map[string][]byte

func (b memoryBucket) Put(_ context.Context, key string, value []byte) (uint64, error) {
	b[key] = value
	return uint64(len(b)), nil
}

func (b memoryBucket) Delete(_ context.Context, key string) error {
	delete(b, key)
	return nil
}

func (b memoryBucket) All(context.Context) (map[string][]byte, error) {
	all := map[string][]byte{}
	for k, v := range b {
		all[k] = v
	}
	return all, nil
}
