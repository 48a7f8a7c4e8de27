package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
	"fengsui/sinks/influx/influxtest"
)

// These tests write through a runner from a real journal to a real InfluxDB.

var fieldNames = []string{"voltage_a_v", "current_a_a", "power_kw", "energy_kwh", "relay_state"}

// site is a handful of meters that all speak once a second.
type site struct {
	meters []*devices.Device
	fields []*devices.Field
	from   time.Time
}

func newSite(meters int, from time.Time) *site {
	s := &site{from: from.Truncate(time.Second)}
	plant := &devices.Site{ID: "plant-1", Area: "东区 2"}
	kind := &devices.Kind{ID: "electricity_meter"}
	for i := range meters {
		s.meters = append(s.meters, &devices.Device{Site: plant, Kind: kind, ID: fmt.Sprintf("meter-%03d", i)})
	}
	for _, name := range fieldNames {
		s.fields = append(s.fields, &devices.Field{Name: name})
	}
	return s
}

// entry is what all meters said in one second.
func (s *site) entry(second int) (e devices.ReadingsEntry) {
	for i, meter := range s.meters {
		r := devices.Reading{Device: meter, Time: s.from.Add(time.Duration(second) * time.Second).UnixMilli()}
		for j, field := range s.fields {
			r.Values = append(r.Values, devices.Value{Field: field, Number: float64(second) + float64(i)/10 + float64(j)/1000})
		}
		e.Readings = append(e.Readings, r)
	}
	return e
}

func openLog(t testing.TB) (*journal.Store, *journal.Log) {
	t.Helper()
	store, err := journal.Open(t.Context(), journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log, err := store.Log(t.Context(), journal.LogOptions{Name: "readings"})
	if err != nil {
		t.Fatal(err)
	}
	return store, log
}

func appendEntry(t testing.TB, log *journal.Log, e devices.ReadingsEntry) {
	t.Helper()
	if _, err := log.Append(t.Context(), devices.AppendReadings(nil, e), len(e.Readings)); err != nil {
		t.Fatal(err)
	}
}

// run delivers until the head as of now is reached and returns the last status.
func run(t testing.TB, store *journal.Store, log *journal.Log, sink sinks.Sink) sinks.Status {
	t.Helper()
	cursor, err := store.Cursor(t.Context(), "readings/"+sink.Name())
	if err != nil {
		t.Fatal(err)
	}
	r := sinks.NewRunner(sinks.RunnerOptions{Sink: sink, Log: log, Cursor: cursor})
	return runUntil(t, r, func(s sinks.Status) bool { return s.LagEntries == 0 })
}

func runUntil(t testing.TB, r *sinks.Runner, done func(sinks.Status) bool) sinks.Status {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	deadline := time.Now().Add(2 * time.Minute)
	for !done(r.Status()) {
		select {
		case err := <-ended:
			stop()
			t.Fatalf("runner ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			t.Fatalf("not done: %+v", r.Status())
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return r.Status()
}

func open(t testing.TB, db *influxtest.Server, change func(*Options)) (*Server, *[]rejection) {
	t.Helper()
	var rejections []rejection
	o := Options{URL: db.URL, Org: db.Org, Bucket: db.Bucket, Token: db.Token,
		OnRejected: func(line, reason string) { rejections = append(rejections, rejection{line, reason}) }}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, &rejections
}

func TestRealReadings(t *testing.T) {
	db := influxtest.Start(t)
	server, rejections := open(t, db, nil)
	if err := server.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, log := openLog(t)

	const meters, seconds = 50, 60
	plant := newSite(meters, time.Now().Add(-time.Hour))
	for second := range seconds {
		appendEntry(t, log, plant.entry(second))
	}
	// One reading with every quality, and one of a second site without an area.
	odd := plant.entry(seconds)
	odd.Readings = odd.Readings[:2]
	v := odd.Readings[0].Values
	v[0].Number, v[0].Quality = -999, devices.Bad
	v[1].Number, v[1].Quality, v[1].Over = 1e6, devices.Suspect, true
	v[2].Number, v[2].Quality = math.NaN(), devices.Bad
	v[3].Number = 1.0 / 3
	odd.Readings[1].Device = &devices.Device{Site: &devices.Site{ID: "plant-2"}, Kind: plant.meters[0].Kind, ID: "m"}
	appendEntry(t, log, odd)

	status := run(t, store, log, server.Readings())
	if status.Errors != 0 || status.Written != meters*seconds+2 || len(*rejections) != 0 {
		t.Errorf("status %+v, rejections %v", status, *rejections)
	}
	if n := db.Count(t, db.Bucket, "electricity_meter", "quality"); n != meters*seconds+2 {
		t.Errorf("%d points in InfluxDB, want %d", n, meters*seconds+2)
	}
	points := db.Points(t, db.Bucket, "electricity_meter")
	byKey := map[string]map[string]string{}
	for _, p := range points {
		byKey[p["site"]+"/"+p["device"]+"@"+p["_time"]] = p
	}
	check := func(device string, second int, want map[string]string) {
		t.Helper()
		key := device + "@" + plant.from.Add(time.Duration(second)*time.Second).UTC().Format(time.RFC3339)
		for column, text := range want {
			if got := byKey[key][column]; got != text {
				t.Errorf("%s: %s = %q, want %q", key, column, got, text)
			}
		}
	}
	check("plant-1/meter-007", 42, map[string]string{
		"area": "东区 2", "voltage_a_v": "42.7", "current_a_a": "42.701", "relay_state": "42.704", "quality": "0", "bad_fields": ""})
	check("plant-1/meter-000", seconds, map[string]string{
		"voltage_a_v": "", "current_a_a": "1000000", "power_kw": "", "energy_kwh": "0.3333333333333333", "quality": "2",
		"bad_fields": "voltage_a_v,current_a_a,power_kw"})
	check("plant-2/m", seconds, map[string]string{"area": "", "quality": "0"})

	// The same once more, as after a crash before the cursor was saved.
	cursor, err := store.Cursor(t.Context(), "readings/influx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cursor.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cursor.Save(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	run(t, store, log, server.Readings())
	again := db.Points(t, db.Bucket, "electricity_meter")
	if fmt.Sprint(again) != fmt.Sprint(points) {
		t.Errorf("writing everything again changed something: %d points, were %d", len(again), len(points))
	}
}

// TestRealRestartInMidBatch kills InfluxDB again and again while a backlog is
// being written: every point is there in the end.
func TestRealRestartInMidBatch(t *testing.T) {
	db := influxtest.Start(t)
	if !db.Ours() {
		t.Skip("the server is somebody else's and cannot be killed")
	}
	server, rejections := open(t, db, func(o *Options) { o.MaxLines = 500 })
	store, log := openLog(t)
	const meters, seconds = 200, 150
	plant := newSite(meters, time.Now().Add(-time.Hour))
	for second := range seconds {
		appendEntry(t, log, plant.entry(second))
	}
	cursor, err := store.Cursor(t.Context(), "readings/influx")
	if err != nil {
		t.Fatal(err)
	}
	r := sinks.NewRunner(sinks.RunnerOptions{Sink: server.Readings(), Log: log, Cursor: cursor, MaxUnits: 5 * meters})
	kills := 0
	status := runUntil(t, r, func(s sinks.Status) bool {
		if kills < 3 && server.Stats().Accepted > uint64(kills+1)*meters*seconds/5 {
			kills++
			db.Kill()
			db.Resume(t)
		}
		return s.LagEntries == 0
	})
	if kills != 3 || status.Errors == 0 || len(*rejections) != 0 {
		t.Errorf("%d kills, status %+v, rejections %v", kills, status, *rejections)
	}
	for _, field := range []string{"quality", "energy_kwh"} {
		if n := db.Count(t, db.Bucket, "electricity_meter", field); n != meters*seconds {
			t.Errorf("%d values of %s in InfluxDB, want %d", n, field, meters*seconds)
		}
	}
}

// TestRealTypeConflict: somebody else wrote a field of ours as a string.
func TestRealTypeConflict(t *testing.T) {
	db := influxtest.Start(t)
	server, rejections := open(t, db, nil)
	store, log := openLog(t)
	plant := newSite(20, time.Now().Add(-time.Hour))
	db.Write(t, db.Bucket, fmt.Sprintf(`electricity_meter,device=x,site=y power_kw="much" %d`, plant.from.UnixMilli()))
	smoke := &devices.Kind{ID: "smoke"}
	for second := range 30 {
		e := plant.entry(second)
		for i := range e.Readings { // every other device is of a kind without conflict
			if i%2 == 0 {
				d := *e.Readings[i].Device
				d.Kind = smoke
				e.Readings[i].Device = &d
			}
		}
		appendEntry(t, log, e)
	}
	status := run(t, store, log, server.Readings())
	if status.Rejected != 300 || len(*rejections) != 300 {
		t.Errorf("%d rejected, want 300; status %+v", len(*rejections), status)
	}
	for _, r := range *rejections {
		if !strings.HasPrefix(r.line, "electricity_meter,") || !strings.Contains(r.reason, "field type conflict") {
			t.Fatalf("rejected %s for %s", r.line, r.reason)
		}
	}
	if n := db.Count(t, db.Bucket, "smoke", "power_kw"); n != 300 {
		t.Errorf("%d points of the other kind, want 300", n)
	}
}

// TestRealRetention: after a long outage some points are older than the bucket keeps.
func TestRealRetention(t *testing.T) {
	db := influxtest.Start(t)
	bucket := db.NewBucket(t, time.Hour)
	server, rejections := open(t, db, func(o *Options) { o.Bucket = bucket })
	store, log := openLog(t)
	old, fresh := newSite(40, time.Now().Add(-100*time.Hour)), newSite(40, time.Now().Add(-30*time.Minute))
	for second := range 25 {
		appendEntry(t, log, old.entry(second))
		appendEntry(t, log, fresh.entry(second))
	}
	status := run(t, store, log, server.Readings())
	if status.Rejected != 1000 || !strings.Contains((*rejections)[0].reason, "retention policy") {
		t.Errorf("status %+v, %d rejected", status, len(*rejections))
	}
	if n := db.Count(t, bucket, "electricity_meter", "quality"); n != 1000 {
		t.Errorf("%d points in InfluxDB, want the 1000 that are young enough", n)
	}
}

// TestRealOddLine: a time that InfluxDB cannot hold costs that point only.
func TestRealOddLine(t *testing.T) {
	db := influxtest.Start(t)
	server, rejections := open(t, db, nil)
	store, log := openLog(t)
	plant := newSite(500, time.Now().Add(-time.Hour))
	e := plant.entry(0)
	e.Readings[123].Time = math.MaxInt64 / 2
	appendEntry(t, log, e)
	run(t, store, log, server.Readings())
	if len(*rejections) != 1 || !strings.Contains((*rejections)[0].line, "meter-123") {
		t.Errorf("rejected %v", *rejections)
	}
	if n := db.Count(t, db.Bucket, "electricity_meter", "quality"); n != 499 {
		t.Errorf("%d points, want 499", n)
	}
}

func TestRealConfigurationFaults(t *testing.T) {
	db := influxtest.Start(t)
	store, log := openLog(t)
	appendEntry(t, log, newSite(10, time.Now()).entry(0))
	tokenFile := filepath.Join(t.TempDir(), "token")
	readOnly := db.NewToken(t, "read", db.Bucket)
	for _, c := range []struct {
		name, token, bucket, want string
	}{
		{"wrong token", "not-a-token", db.Bucket, "does not know the token"},
		{"token that may only read", readOnly, db.Bucket, "may not write the bucket"},
		{"no such bucket", db.Token, "nowhere", "no such bucket"},
	} {
		if err := os.WriteFile(tokenFile, []byte(c.token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		server, _ := open(t, db, func(o *Options) { o.Token, o.TokenFile, o.Bucket = "", tokenFile, c.bucket })
		var stopped *sinks.Stopped
		if err := server.Ping(t.Context()); !errors.As(err, &stopped) || !strings.Contains(stopped.Reason, c.want) {
			t.Errorf("%s: ping says %v", c.name, err)
		}
		cursor, err := store.Cursor(t.Context(), "readings/influx")
		if err != nil {
			t.Fatal(err)
		}
		r := sinks.NewRunner(sinks.RunnerOptions{Sink: server.Readings(), Log: log, Cursor: cursor})
		status := runUntil(t, r, func(s sinks.Status) bool { return s.Stopped != "" })
		if !strings.Contains(status.Stopped, c.want) || status.Position != 0 || strings.Contains(status.Stopped+status.Error, c.token) {
			t.Errorf("%s: %+v", c.name, status)
		}
	}
	write := db.NewToken(t, "write", db.Bucket)
	if err := os.WriteFile(tokenFile, []byte(write), 0o600); err != nil {
		t.Fatal(err)
	}
	server, _ := open(t, db, func(o *Options) { o.Token, o.TokenFile = "", tokenFile })
	if err := server.Ping(t.Context()); err != nil {
		t.Errorf("a token that may only write: ping says %v", err)
	}
	if status := run(t, store, log, server.Readings()); status.Written != 10 {
		t.Errorf("status %+v", status)
	}
}

// TestRealAlarms: events of one millisecond and one series keep apart, and
// writing them again changes nothing.
func TestRealAlarms(t *testing.T) {
	db := influxtest.Start(t)
	server, _ := open(t, db, nil)
	at := alarms.Time(time.Now().Add(-time.Minute).UnixMilli())
	var batch []journal.Record
	add := func(seq uint64, e alarms.Event) {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, journal.Record{Seq: seq, Count: 1, Data: data})
	}
	limit, values := 25.0, []float64{26.5, 31}
	for i, id := range []string{"a-1", "a-2"} { // one rule, one device, two fields, one millisecond
		add(uint64(100+i), alarms.Event{ID: "e-" + id, Type: alarms.Raised, Time: at, Alarm: alarms.Alarm{
			ID: id, Site: "plant-1", Area: "东区 2", Device: "gas-01", Kind: "combustible_gas", Rule: "gas_high",
			Level: rules.Red, WorstLevel: rules.Red, State: alarms.ActiveUnacked, Value: &values[i], Limit: &limit,
		}})
	}
	add(102, alarms.Event{Type: "config", Time: at})
	sink := server.Alarms()
	for range 2 {
		if err := sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	points := db.Points(t, db.Bucket, "alarm_event")
	if len(points) != 2 {
		t.Fatalf("%d points, want 2: %v", len(points), points)
	}
	for i, p := range points {
		want := map[string]string{
			"alarm": []string{"a-1", "a-2"}[i], "value": []string{"26.5", "31"}[i], "seq": fmt.Sprint(100 + i),
			"limit": "25", "state": "active_unacked", "level": "red", "type": "raised", "kind": "combustible_gas",
			"rule": "gas_high", "site": "plant-1", "area": "东区 2", "device": "gas-01",
		}
		for column, text := range want {
			if p[column] != text {
				t.Errorf("point %d: %s = %q, want %q", i, column, p[column], text)
			}
		}
	}
}

// BenchmarkBacklog writes a backlog from a real journal to a server that only
// reads the requests; one operation is one reading of five values.
func BenchmarkBacklog(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	influx, err := New(Options{URL: server.URL, Org: "o", Bucket: "b", Token: "t"})
	if err != nil {
		b.Fatal(err)
	}
	defer influx.Close()
	store, log := openLog(b)
	const meters = 1000
	plant := newSite(meters, time.Now().Add(-time.Hour))
	for second := range b.N/meters + 1 {
		appendEntry(b, log, plant.entry(second))
	}
	b.ResetTimer()
	run(b, store, log, influx.Readings())
}

// TestEntriesOfAnotherVersionStopTheSink: what cannot be read is not skipped.
func TestEntriesOfAnotherVersionStopTheSink(t *testing.T) {
	server, err := New(Options{URL: "http://127.0.0.1:1", Org: "o", Bucket: "b", Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, sink := range []sinks.Sink{server.Readings(), server.Alarms()} {
		err := sink.Write(t.Context(), []journal.Record{{Seq: 7, Data: []byte{250, 1, 2}}})
		var stopped *sinks.Stopped
		if !errors.As(err, &stopped) || !strings.Contains(stopped.Reason, "entry 7 of the") {
			t.Errorf("%s: %v", sink.Name(), err)
		}
	}
}
