package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks/console"
)

// ask calls the API as admin with headers, and gives status, body and ETag.
func (g *gateway) ask(method, path, body string, headers ...string) (status int, text, tag string) {
	g.t.Helper()
	req, err := http.NewRequest(method, "http://"+g.http+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, string(all), resp.Header.Get("ETag")
}

// TestRegistryAtRunTime: sites and devices are registered, changed and removed
// while the gateway runs, and it judges by what was answered.
func TestRegistryAtRunTime(t *testing.T) {
	g := newGateway(t, siteYAML(t, "plant", "pw", "id: meter-01, kind: electricity_meter, state: in_service"), "")
	g.start()
	want := func(wantStatus int, wantText, method, path, body string, headers ...string) (tag string) {
		t.Helper()
		status, text, tag := g.ask(method, path, body, headers...)
		if status != wantStatus || !strings.Contains(text, wantText) {
			t.Fatalf("%s %s: %d %s\nwant %d %s", method, path, status, text, wantStatus, wantText)
		}
		return tag
	}
	site := `{"name":{"zh":"食堂","en":"Canteen"},"area":"east","position":{"lat":35.1,"lon":118.2,"datum":"GCJ-02"},"params":{"gas_low_lel_pct":15},` +
		`"documents":{"gas_low_lel_pct":{"document":"设计文件","date":"2026-03-01"}},"contacts":[{"role":"enterprise","name":"值班室","phone":"000-0001"}],` +
		`"advice":{"zh":"先关阀","en":"Close the valve first"},"camera_ref":"cam-7"}`
	first := want(200, `"camera_ref":"cam-7"`, "PUT", "/sites/canteen", site)
	want(200, `"document":"设计文件"`, "GET", "/sites/canteen", "")
	want(200, `"password":"`, "PUT", "/devices/canteen/gas-01", `{"kind":"combustible_gas","state":"commissioning"}`, "If-None-Match", "*")
	want(412, "registered already", "PUT", "/devices/canteen/gas-01", `{"kind":"combustible_gas"}`, "If-None-Match", "*")

	// What is wrong is named: where, and what was probably meant.
	want(422, `did you mean \"combustible_gas\"?","path":"kind"`, "PUT", "/devices/canteen/gas-02", `{"kind":"combustibel_gas"}`)
	want(422, `"path":"baselines[0].field"`, "PUT", "/devices/canteen/gas-02", `{"kind":"combustible_gas","baselines":[{"field":"gas_lell_pct","value":1,"from":"2026-03-01T00:00:00Z"}]}`)
	want(422, `there is no key \"intervall\" here, did you mean \"interval\"?`, "PUT", "/devices/canteen/gas-02", `{"kind":"combustible_gas","intervall":"30s"}`)
	want(422, `area is a number, want a text","path":"area"`, "PUT", "/sites/canteen", `{"area":7}`)
	want(422, `"path":"contacts[0].role"`, "PUT", "/sites/canteen", `{"contacts":[{"role":"boss","name":"x"}]}`)
	want(422, `"path":"position.datum"`, "PUT", "/sites/canteen", `{"position":{"lat":1,"lon":2,"datum":"BD-09"}}`)
	want(422, `"path":"id"`, "PUT", "/sites/canteen", `{"id":"other"}`)
	want(409, `"in_file"`, "PUT", "/devices/plant/meter-01", `{"kind":"electricity_meter"}`)
	want(409, `"in_file"`, "DELETE", "/sites/plant", "")
	want(409, `"not_empty"`, "DELETE", "/sites/canteen", "")
	want(404, `"not_found"`, "GET", "/sites/nowhere", "")

	// Nobody overwrites what he has not seen.
	second := want(200, `"camera_ref":"cam-8"`, "PATCH", "/sites/canteen", `{"camera_ref":"cam-8"}`, "If-Match", first)
	want(412, "somebody changed site canteen meanwhile", "PATCH", "/sites/canteen", `{"camera_ref":"cam-9"}`, "If-Match", first)
	want(412, "somebody changed", "DELETE", "/sites/canteen", "", "If-Match", first)
	if third := want(200, `"area":"east"`, "PUT", "/sites/canteen", strings.Replace(site, "cam-7", "cam-8", 1), "If-Match", second); third != second {
		t.Errorf("the same content has another tag: %s, %s", second, third)
	}

	// A state is changed by an operator, of a device in the file too, and stays.
	want(200, `"by":"admin"`, "PUT", "/devices/canteen/gas-01/state", `{"state":"in_service"}`)
	want(200, `"state":"out_of_service"`, "PUT", "/devices/plant/meter-01/state", `{"state":"out_of_service"}`)
	want(422, `"path":"state"`, "PUT", "/devices/plant/meter-01/state", `{"state":"broken"}`)

	// Who is told of an alarm is told by the registry of now.
	pub(t, g.mqtt, "v1/plant/x/telemetry", `{}`, "-u", "plant", "-P", "pw")
	issued := struct{ Credential struct{ Password string } }{}
	if _, err := g.request("POST", "/api/v1/devices/canteen/gas-01/credential", nil, &issued); err != nil {
		t.Fatal(err)
	}
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", `{"values":{"gas_lel_pct":70}}`, "-u", "canteen/gas-01", "-P", issued.Credential.Password)
	a := g.waitAlarm("the alarm", func(a *alarms.Alarm) bool { return a.Device == "gas-01" })
	if len(a.Contacts) != 1 || a.Contacts[0].Phone != "000-0001" || a.Advice.ZH != "先关阀" || a.SiteName.EN != "Canteen" {
		t.Errorf("the alarm tells %+v, %+v", a.Contacts, a.Advice)
	}

	// All of it is there after a crash; what is removed stays removed.
	g.kill()
	g.start()
	want(200, `"state":"out_of_service"`, "GET", "/devices/plant/meter-01", "")
	want(200, `"camera_ref":"cam-8"`, "GET", "/sites/canteen", "")
	want(204, "", "DELETE", "/devices/canteen/gas-01", "")
	g.waitAlarm("the alarm of a device that is gone is over", func(a *alarms.Alarm) bool {
		return a.Device == "gas-01" && (a.State == alarms.ClearedUnacked || slices.Contains(a.Flags, "latched"))
	})
	if tryConnect(t, g.mqtt, "canteen/gas-01", issued.Credential.Password) {
		t.Error("a device that was removed is let in")
	}
	want(204, "", "DELETE", "/sites/canteen", "")
	want(200, `device canteen/gas-01 removed`, "GET", "/registry/changes", "")

	// The file wins where it says something else than it did when it was overruled.
	g.stop()
	g.write("devices.yaml", strings.Replace(readFile(t, filepath.Join(g.dir, "devices.yaml")), "state: in_service", "state: commissioning", 1))
	g.start()
	want(200, `"state":"commissioning"`, "GET", "/devices/plant/meter-01", "")
}

// TestImportIsOneChange: many at once, all of them or none, and what is exported
// can be imported.
func TestImportIsOneChange(t *testing.T) {
	g := newGateway(t, siteYAML(t, "plant", "pw"), "")
	g.start()
	good := `{"sites":[{"id":"a","name":{"zh":"甲","en":"A"}}],"devices":[{"site":"a","id":"x","kind":"slope"},{"site":"a","id":"y","kind":"%s"}],"passwords":true}`
	if status, text, _ := g.ask("POST", "/registry", fmt.Sprintf(good, "slop")); status != 422 || !strings.Contains(text, `device a/y: unknown kind`) {
		t.Errorf("import with a mistake: %d %s", status, text)
	}
	if status, _, _ := g.ask("GET", "/sites/a", ""); status != 404 {
		t.Errorf("half an import was taken: %d", status)
	}
	if status, text, _ := g.ask("POST", "/registry", fmt.Sprintf(good, "slope")); status != 200 || strings.Count(text, `"password":"`) != 2 {
		t.Errorf("import: %d %s", status, text)
	}
	status, text, _ := g.ask("GET", "/registry", "")
	var all struct {
		Hash    string
		Sites   []devices.Site
		Devices []devices.DeviceConfig
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil || status != 200 || len(all.Sites) != 2 || len(all.Devices) != 2 || all.Hash == "" {
		t.Errorf("export: %d %s %v", status, text, err)
	}
}

// tower is a judge with an inventory and its logs, all real, stopped and opened
// again as the steps of a change want it.
type tower struct {
	t         *testing.T
	dir       string
	store     *journal.Store
	input     *journal.Log
	readings  *journal.Log
	events    *journal.KeyedLog
	inventory *inventory
}

func openTower(t *testing.T, dir string) *tower {
	t.Helper()
	w := &tower{t: t, dir: dir}
	store, err := journal.Open(t.Context(), journal.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	w.check(err)
	w.store = store
	w.input, err = store.Log(t.Context(), journal.LogOptions{Name: "input"})
	w.check(err)
	w.readings, err = store.Log(t.Context(), journal.LogOptions{Name: "readings"})
	w.check(err)
	w.events, err = store.KeyedLog(t.Context(), "alarms")
	w.check(err)
	says, err := readWritten(Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.inventory, err = openInventory(t.Context(), says, store)
	w.check(err)
	w.inventory.dropped = func(string, string) {}
	w.inventory.announce = w.append
	return w
}

func (w *tower) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// append puts messages into the input log, as the receiver does.
func (w *tower) append(ctx context.Context, m *ingest.Message) error {
	m.Received = time.Now().Truncate(time.Millisecond)
	n := 0
	if m.Kind.Counted() {
		n = 1
	}
	_, err := w.input.Append(ctx, ingest.AppendMessage(nil, m), n)
	return err
}

func (w *tower) send(topic string) {
	w.t.Helper()
	w.check(w.append(w.t.Context(), &ingest.Message{Kind: ingest.Publish, Source: "embedded", Topic: topic, Payload: []byte(`{"values":{"gas_lel_pct":1}}`)}))
}

// judge judges what is in the log and gives the positions of the messages that
// became readings, and of those that were quarantined.
func (w *tower) judge(snapshot string, then func(j *judge)) (accepted, quarantined []uint64) {
	w.t.Helper()
	appended, err := lastReadings(w.t.Context(), w.readings)
	w.check(err)
	writer := newReadingsWriter(w.readings, appended)
	j := newJudge(judgeOptions{
		Input: w.input, InputEnd: w.input.Last().Seq, Alarms: w.events, Readings: writer, Book: alarms.NewBook(), History: w.inventory,
		Fresh: func(r *devices.Registry) (*devices.Intake, *rules.Engine) {
			return devices.NewIntake(devices.IntakeOptions{Registry: r}), rules.NewEngine(rules.EngineOptions{Registry: r})
		},
		Presence: newPresence(w.inventory.registry()), Feedback: newFeedback(nil, slog.New(slog.DiscardHandler)),
		Snapshot: snapshotFile(filepath.Join(w.dir, snapshot)),
		Now:      time.Now, OnJudged: func(int, time.Duration) {}, Pacer: newPacer(w.input), Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	judged, written := make(chan error, 1), make(chan error, 1)
	writing, stopWriting := context.WithCancel(w.t.Context())
	go func() { judged <- j.Run(ctx) }()
	go func() { written <- writer.Run(writing) }()
	<-j.caught
	if then != nil {
		then(j)
	}
	cancel()
	w.check(<-judged)
	stopWriting()
	w.check(<-written)
	return w.became()
}

// became reads the readings log.
func (w *tower) became() (accepted, quarantined []uint64) {
	w.t.Helper()
	for seq := uint64(1); seq <= w.readings.Last().Seq; seq++ {
		r, err := w.readings.At(w.t.Context(), seq)
		w.check(err)
		e, err := devices.DecodeReadings(r.Data)
		w.check(err)
		for range e.Readings {
			accepted = append(accepted, e.From)
		}
		for _, x := range e.Rejections {
			quarantined = append(quarantined, x.Position)
		}
	}
	return accepted, quarantined
}

func (w *tower) begin() {
	w.t.Helper()
	w.check(begin(w.t.Context(), w.input, newClock(time.Now, slog.New(slog.DiscardHandler)), w.inventory.barrier()))
}

var gas = console.Change{By: "test", Devices: []devices.DeviceConfig{{Site: "s", ID: "d", Kind: "combustible_gas", State: devices.InService}}}

// TestCrashAtEveryStepOfAChange: whatever step a change died behind, the gateway
// goes on with the old registry or with the new one, from one place of the log
// on, in every replay.
func TestCrashAtEveryStepOfAChange(t *testing.T) {
	for _, c := range []struct {
		name string
		die  func(w *tower, c *change) // how far the change came
		new  bool                      // holds after the next start
	}{
		{"before anything", func(*tower, *change) {}, false},
		{"behind the bucket", func(w *tower, c *change) { w.check(w.inventory.write(w.t.Context(), c)) }, true},
		{"behind the input log", func(w *tower, c *change) { w.check(w.inventory.keep(w.t.Context(), c)) }, true},
		{"behind the judge, before its snapshot", func(w *tower, c *change) {
			w.check(w.inventory.keep(w.t.Context(), c))
			w.judge("forgotten", nil)
		}, true},
		{"behind all", func(w *tower, c *change) {
			w.check(w.inventory.keep(w.t.Context(), c))
			w.judge("snapshot", nil)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			w := openTower(t, dir)
			w.begin() // position 1
			w.send("v1/s/d/telemetry")
			w.judge("snapshot", nil)
			plan, err := w.inventory.plan(gas)
			w.check(err)
			c.die(w, plan)
			w.store.Close()

			w = openTower(t, dir)
			w.begin()
			w.send("v1/s/d/telemetry")
			last := w.input.Last().Seq
			accepted, quarantined := w.judge("snapshot", nil)
			if len(quarantined) == 0 || quarantined[0] != 2 {
				t.Errorf("the message before the change: accepted %v, quarantined %v", accepted, quarantined)
			}
			if got := len(accepted) == 1 && accepted[0] == last; got != c.new {
				t.Errorf("the message behind it: accepted %v, quarantined %v, want it accepted: %v", accepted, quarantined, c.new)
			}
			if _, ok := w.inventory.registry().Device("s", "d"); ok != c.new {
				t.Errorf("the device is registered: %v, want %v", ok, c.new)
			}
			w.store.Close()
		})
	}
}

// TestReplaysChangeOverAtTheSamePlace: two gateways that read the same log, one
// from a snapshot before the changes and one from nothing, agree on every
// message of it.
func TestReplaysChangeOverAtTheSamePlace(t *testing.T) {
	dir := t.TempDir()
	w := openTower(t, dir)
	w.begin()
	w.send("v1/s/d/telemetry")
	w.judge("early", nil)
	accepted, quarantined := w.judge("live", func(j *judge) {
		for _, order := range []console.Change{
			gas,
			{By: "test", RemoveDevices: []string{"s/d"}},
			gas,
			{By: "test", RemoveDevices: []string{"s/d"}},
		} {
			if _, err := w.inventory.Change(t.Context(), order); err != nil {
				t.Fatal(err)
			}
			w.send("v1/s/d/telemetry")
		}
		if _, err := w.inventory.Change(t.Context(), gas); err != nil { // answered behind all of them
			t.Fatal(err)
		}
	})
	want := fmt.Sprint(accepted, quarantined)
	if want != "[4 8] [2 6 10]" {
		t.Fatalf("live, the messages at %s were accepted, quarantined", want)
	}
	w.store.Close()
	for _, snapshot := range []string{"early", "none"} {
		w := openTower(t, dir)
		// The readings log is written anew, as by a gateway that never saw it.
		fresh, err := w.store.Log(t.Context(), journal.LogOptions{Name: "again_" + snapshot})
		w.check(err)
		w.readings = fresh
		accepted, quarantined := w.judge(snapshot, nil)
		got := fmt.Sprint(accepted, quarantined)
		if snapshot == "early" {
			quarantined = append([]uint64{2}, quarantined...) // judged before it
			got = fmt.Sprint(accepted, quarantined)
		}
		if got != want {
			t.Errorf("from snapshot %s the messages at %s were accepted, quarantined; live at %s", snapshot, got, want)
		}
		w.store.Close()
	}
}

// TestKillWhileTheRegistryChanges: kill -9 as soon as a change is answered, or sent;
// what was answered holds, what was not holds as a whole or not at all.
func TestKillWhileTheRegistryChanges(t *testing.T) {
	g := newGateway(t, siteYAML(t, "plant", "pw"), "")
	g.start()
	answered := -1
	for round := range 6 {
		const before = 3 // changes are answered before the kill
		enough := make(chan struct{})
		done := make(chan int)
		go func(n int) {
			defer func() { done <- n }()
			for first := n; ; n++ {
				if n == first+before && round%2 == 0 {
					close(enough)
				}
				sent := func(httptrace.WroteRequestInfo) {
					if n == first+before && round%2 == 1 {
						close(enough)
					}
				}
				body := fmt.Sprintf(`{"sites":[{"id":"a","area":"%d"}],"devices":[{"site":"a","id":"x","kind":"slope","params":{"n":%d}}]}`, n+1, n+1)
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: sent})
				req, err := http.NewRequestWithContext(ctx, "POST", "http://"+g.http+"/api/v1/registry", bytes.NewBufferString(body))
				if err != nil {
					return
				}
				req.Header.Set("Authorization", "Bearer "+g.token)
				resp, err := http.DefaultClient.Do(req)
				if err != nil || resp.StatusCode != 200 {
					return // it is dead
				}
				resp.Body.Close()
			}
		}(answered)
		select {
		case <-enough:
		case n := <-done:
			t.Fatalf("change %d was refused", n+1)
		}
		g.kill()
		answered = <-done
		g.start()
		var site struct{ Config struct{ Area string } }
		var device struct {
			Config struct{ Params map[string]float64 }
		}
		g.get("/api/v1/sites/a", &site)
		g.get("/api/v1/devices/a/x", &device)
		n := int(device.Config.Params["n"])
		if site.Config.Area != fmt.Sprint(n) || n != answered && n != answered+1 {
			t.Fatalf("after the kill the site is of change %s, the device of %d; %d was answered", site.Config.Area, n, answered)
		}
		answered = n
	}
}
