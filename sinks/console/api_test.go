package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

func (r *rig) gas(n int) *devices.Device {
	r.t.Helper()
	d, ok := r.directory.registry.Device("sample-gas", fmt.Sprintf("gas-%02d", n))
	if !ok {
		r.t.Fatal("no such device")
	}
	return d
}

// errorCode reads the one shape of errors.
func errorCode(t testing.TB, body string) string {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Code == "" || e.Error.Message == "" {
		t.Errorf("not the shape of an error: %s", body)
	}
	return e.Error.Code
}

// TestCommandIsOnTheStream: the seq of the answer is an event of the stream.
func TestCommandIsOnTheStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		token := r.person("李雷", Operator)
		b := r.browse(token)
		defer b.leave()
		id := r.judge.raise(t, r.gas(1), rules.Red)
		status, body := r.call("POST", "/api/v1/alarms/"+id+"/ack", token, `{"note":"已电话核实"}`, "Idempotency-Key", "k1")
		var ack struct {
			Seq   uint64
			Alarm alarms.Alarm
		}
		if err := json.Unmarshal([]byte(body), &ack); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		if ack.Seq != 2 || ack.Alarm.Seq != 2 || ack.Alarm.AckedBy != "李雷" || ack.Alarm.State != alarms.ActiveAcked {
			t.Errorf("answer is %s", body)
		}
		synctest.Wait()
		epoch, seq, list := b.look()
		if seq != 2 || epoch != "k3f9" || !maps.Equal(list, r.server.hub.standing()) || !strings.Contains(list[id], `"acked_by":"李雷"`) {
			t.Errorf("the page is at %d and shows %v", seq, list)
		}
		if _, again := r.call("POST", "/api/v1/alarms/"+id+"/ack", token, `{"note":"已电话核实"}`, "Idempotency-Key", "k1"); again != body {
			t.Errorf("the repetition was answered %s, not %s", again, body)
		}
		if n := r.alarms.Last().Seq; n != 2 {
			t.Errorf("the log has %d events", n)
		}
		status, body = r.call("GET", "/api/v1/alarms/"+id+"/events", token, "")
		var timeline struct{ Events []alarms.Event }
		if err := json.Unmarshal([]byte(body), &timeline); err != nil || status != 200 || len(timeline.Events) != 2 || timeline.Events[0].Type != alarms.Raised || timeline.Events[1].Note != "已电话核实" {
			t.Errorf("timeline is %s", body)
		}
	})
}

// TestRaceOfTwo: of two who acknowledge at once one wins, and the other is told
// who and when.
func TestRaceOfTwo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		id := r.judge.raise(t, r.gas(1), rules.Red)
		names := []string{"李雷", "韩梅梅"}
		var status [2]int
		var body [2]string
		var both sync.WaitGroup
		for i, name := range names {
			token := r.person(name, Operator)
			both.Go(func() { status[i], body[i] = r.call("POST", "/api/v1/alarms/"+id+"/ack", token, "") })
		}
		both.Wait()
		winner := slices.Index(status[:], 200)
		if winner < 0 || status[1-winner] != 409 {
			t.Fatalf("statuses %v, %v", status, body)
		}
		var e errorBody
		if err := json.Unmarshal([]byte(body[1-winner]), &e); err != nil {
			t.Fatal(err)
		}
		if e.Error.By != names[winner] || e.Error.At == 0 || e.Error.Code != "already_acked" {
			t.Errorf("the loser was told %s", body[1-winner])
		}
	})
}

func TestCommandRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		operator, viewer := r.person("op", Operator), r.person("eyes", Viewer)
		id := r.judge.raise(t, r.gas(1), rules.Red)
		synctest.Wait()
		post := "/api/v1/alarms/" + id + "/"
		for _, c := range []struct {
			name, method, path, token, body string
			status                          int
			code                            string
		}{
			{"nobody", "POST", post + "ack", "", "", 401, "sign_in"},
			{"wrong token", "POST", post + "ack", "nonsense", "", 401, "bad_login"},
			{"viewer", "POST", post + "ack", viewer, "", 403, "forbidden"},
			{"no such alarm", "POST", "/api/v1/alarms/x/ack", operator, "", 404, "not_found"},
			{"no such verb", "POST", post + "burn", operator, "", 404, "not_found"},
			{"wrong method", "GET", post + "ack", operator, "", 405, "bad_method"},
			{"not JSON", "POST", post + "ack", operator, "{", 400, "bad_body"},
			{"two bodies", "POST", post + "ack", operator, "{}{}", 400, "bad_body"},
			{"unknown key", "POST", post + "ack", operator, `{"nota":"x"}`, 422, "unknown_key"},
			{"too long", "POST", post + "note", operator, `{"note":"` + strings.Repeat("x", maxBody) + `"}`, 413, "too_large"},
			{"empty note", "POST", post + "note", operator, `{"note":" "}`, 422, "note_required"},
			{"disposition of an ack", "POST", post + "ack", operator, `{"disposition":"real"}`, 422, "not_for_this"},
			{"minutes of an ack", "POST", post + "ack", operator, `{"minutes":5}`, 422, "not_for_this"},
			{"shelve for how long", "POST", post + "shelve", operator, `{"note":"maintenance"}`, 422, "until_required"},
			{"shelve for ever", "POST", post + "shelve", operator, `{"note":"maintenance","minutes":1000}`, 422, "too_long"},
			{"shelve twice over", "POST", post + "shelve", operator, `{"note":"m","minutes":5,"until":"2026-06-27T06:45:00Z"}`, 422, "bad_until"},
			{"shelve backwards", "POST", post + "shelve", operator, `{"note":"m","minutes":-5}`, 422, "bad_until"},
			{"close what lasts", "POST", post + "close", operator, `{"disposition":"real"}`, 409, "still_active"},
			{"cookie of another", "GET", "/api/v1/alarms", "", "", 401, "sign_in"},
			{"no such call", "GET", "/api/v1/alarm", viewer, "", 404, "not_found"},
			{"quarantine is not for viewers", "GET", "/api/v1/quarantine", viewer, "", 403, "forbidden"},
			{"users are not for operators", "GET", "/api/v1/users", operator, "", 403, "forbidden"},
			{"unknown parameter", "GET", "/api/v1/alarms?levels=red", viewer, "", 400, "bad_query"},
			{"unknown level", "GET", "/api/v1/alarms?level=purple", viewer, "", 400, "bad_query"},
			{"unknown state", "GET", "/api/v1/alarms?state=open", viewer, "", 400, "bad_query"},
			{"limit", "GET", "/api/v1/alarms?limit=0", viewer, "", 400, "bad_query"},
			{"mark", "GET", "/api/v1/alarms?after=x", viewer, "", 400, "bad_query"},
			{"no such device", "GET", "/api/v1/devices/sample-gas/gas-99", viewer, "", 404, "not_found"},
			{"no history", "GET", "/api/v1/devices/sample-gas/gas-01/readings?field=gas_lel_pct", viewer, "", 404, "no_history"},
			{"no such field", "GET", "/api/v1/devices/sample-gas/gas-01/readings?field=gas", viewer, "", 400, "bad_query"},
			{"no registrar", "POST", "/api/v1/devices", adminToken, `{"site":"sample-gas","id":"gas-09","kind":"combustible_gas"}`, 404, "not_here"},
		} {
			status, body := r.call(c.method, c.path, c.token, c.body)
			if code := errorCode(t, body); status != c.status || code != c.code {
				t.Errorf("%s: %d %s, want %d %s; %s", c.name, status, code, c.status, c.code, body)
			}
		}
		long := strings.Repeat("k", maxKey+1)
		if status, body := r.call("POST", post+"ack", operator, "", "Idempotency-Key", long); status != 422 || errorCode(t, body) != "bad_key" {
			t.Errorf("long key: %d %s", status, body)
		}
		if n := r.alarms.Last().Seq; n != 1 {
			t.Errorf("the log has %d events", n)
		}
	})
}

// TestForeignPages: a page of another site can neither command nor sign in, with
// whatever cookie the browser sends along.
func TestForeignPages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Origins = []string{"https://console.example"} })
		cookie := r.signIn(`{"token":"` + adminToken + `"}`)
		id := r.judge.raise(t, r.gas(1), rules.Red)
		for _, c := range []struct {
			name    string
			headers []string
			status  int
		}{
			{"foreign origin", []string{"Origin", "http://evil.example"}, 403},
			{"no origin at all of a page", []string{"Origin", "null"}, 403},
			{"said by the browser", []string{"Sec-Fetch-Site", "cross-site"}, 403},
			{"subdomain", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://other.gateway"}, 403},
			{"own page", []string{"Origin", "http://gateway", "Sec-Fetch-Site", "same-origin"}, 200},
		} {
			path := "/api/v1/alarms/" + id + "/note"
			if status, body := r.call("POST", path, "", `{"note":"x"}`, append(c.headers, "Cookie", cookie)...); status != c.status {
				t.Errorf("%s: %d %s", c.name, status, body)
			}
		}
		if status, body := r.call("POST", "/api/v1/session", "", `{"token":"x"}`, "Origin", "http://evil.example"); status != 403 || errorCode(t, body) != "foreign_origin" {
			t.Errorf("sign in from elsewhere: %d %s", status, body)
		}
		if status, _ := r.call("POST", "/api/v1/alarms/"+id+"/note", "", `{"note":"x"}`, "Cookie", cookie, "Origin", "https://console.example", "Sec-Fetch-Site", "cross-site"); status != 200 {
			t.Errorf("named origin: %d", status)
		}
	})
}

// TestAlarmPages: the pages of a list, one after the other, are the list, though
// alarms come and go in between.
func TestAlarmPages(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := NewHub(HubOptions{Alarms: newMemoryLog("e")})
		draw := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		put := func(i int) {
			h.present.apply(&alarms.Alarm{
				ID: fmt.Sprint("a", i), Seq: h.seq + 1, Level: rules.Level(draw.IntN(6)), RaisedTime: alarms.Time(draw.IntN(5)),
				Site: fmt.Sprint("s", draw.IntN(2)), State: []alarms.State{alarms.ActiveAcked, alarms.Closed}[draw.IntN(2)],
			}, nil)
			h.seq++
		}
		for i := range draw.IntN(60) {
			put(i)
		}
		q := alarmQuery{
			open: true, closed: rapid.Bool().Draw(rt, "closed"), limit: rapid.IntRange(1, 9).Draw(rt, "limit"),
			sites: rapid.SampledFrom([][]string{nil, {"s0"}}).Draw(rt, "sites"),
		}
		stay := map[string]bool{}
		for _, m := range []map[string]*standing{h.present.open, h.present.closed} {
			for id, s := range m {
				if q.wants(s) && (q.closed || s.State != alarms.Closed) {
					stay[id] = true
				}
			}
		}
		var got []*standing
		for pages := 0; ; pages++ {
			list, next, err := h.pick(q)
			if err != nil || pages > 100 {
				rt.Fatal(pages, err)
			}
			got = append(got, list...)
			if pages < 20 {
				put(100 + pages) // somebody else's
			}
			if q.after = next; next == "" {
				break
			}
		}
		seen := map[string]bool{}
		for i, s := range got {
			if seen[s.ID] {
				rt.Fatalf("%s came twice", s.ID)
			}
			seen[s.ID] = true
			if i > 0 && q.compare(&got[i-1].Alarm, &s.Alarm) >= 0 {
				rt.Fatalf("%s came after %s", s.ID, got[i-1].ID)
			}
		}
		for id := range stay {
			if !seen[id] {
				rt.Fatalf("%s is missing", id)
			}
		}
	})
}

func TestLists(t *testing.T) {
	bubble(t, func(t *testing.T) {
		drawing := fstest.MapFS{"sample-gas.svg": {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)}}
		r := startRig(t, func(o *Options) { o.Schematics = drawing })
		token := r.person("li", Operator)
		r.judge.raise(t, r.gas(1), rules.Red)
		r.judge.raise(t, r.gas(2), rules.Yellow)
		gas := r.gas(1).Kind.Fields[0]
		entry := devices.AppendReadings(nil, devices.ReadingsEntry{
			From: 1, To: 1,
			Readings: []devices.Reading{{Device: r.gas(1), Time: 1782541926000, Received: 1782541926081, Values: []devices.Value{{Field: gas, Number: 52.9}}}},
			Rejections: []devices.Rejection{
				{Position: 7, Received: 1782541926081, Source: "embedded", Topic: "v1/sample-gas/gas-01/telemetry", Device: "sample-gas/gas-01", Code: "unknown_field", Field: "gas", Detail: "no such field", Hint: "gas_lel_pct"},
				{Position: 8, Received: 1782541926082, Source: "embedded", Topic: "v1/sample-gas/gas-02/telemetry", Code: "bad_json", Detail: "byte 3", Whole: true},
			},
		})
		r.readings.add("", entry)
		synctest.Wait()

		var page struct {
			Alarms []alarms.Alarm
			Next   string
		}
		var devs struct {
			Devices []deviceView
			Next    string
		}
		var sites struct{ Sites []siteView }
		var kinds struct{ Kinds []kindView }
		var dev deviceView
		var quarantine struct{ Quarantine []rejectionView }
		var onboarding onboardingView
		get := func(path string, into any) {
			t.Helper()
			status, body := r.call("GET", "/api/v1"+path, token, "")
			if err := json.Unmarshal([]byte(body), into); err != nil || status != 200 {
				t.Fatalf("%s: %d %s", path, status, body)
			}
		}
		get("/alarms", &page)
		if len(page.Alarms) != 2 || page.Alarms[0].Level != rules.Red || page.Next != "" {
			t.Errorf("alarms: %+v", page)
		}
		get("/alarms?level=yellow,blue&site=sample-gas&kind=combustible_gas", &page)
		if len(page.Alarms) != 1 || page.Alarms[0].Level != rules.Yellow {
			t.Errorf("alarms: %+v", page)
		}
		get("/devices?limit=2", &devs)
		if len(devs.Devices) != 2 || devs.Devices[0].ID != "gas-01" || devs.Next != "sample-gas/gas-02" {
			t.Errorf("devices: %+v", devs)
		}
		if v := devs.Devices[0]; v.Level != rules.Red || len(v.Values) != 1 || *v.Values[0].Value != 52.9 || !v.Online || v.LastSeen != 1782541926081 {
			t.Errorf("device: %+v", v)
		}
		get("/devices?limit=2&after="+url.QueryEscape(devs.Next), &devs)
		if len(devs.Devices) != 1 || devs.Devices[0].ID != "gas-03" || devs.Next != "" {
			t.Errorf("devices: %+v", devs)
		}
		get("/devices?level=normal&online=true&state=in_service", &devs)
		if len(devs.Devices) != 1 || devs.Devices[0].ID != "gas-03" {
			t.Errorf("devices: %+v", devs)
		}
		get("/devices?online=false", &devs)
		if len(devs.Devices) != 0 {
			t.Errorf("devices: %+v", devs)
		}
		get("/devices/sample-gas/gas-02", &dev)
		if dev.ID != "gas-02" || dev.Level != rules.Yellow || len(dev.Values) != 0 || dev.Silence != 600 {
			t.Errorf("device: %+v", dev)
		}
		get("/sites", &sites)
		if s := sites.Sites[0]; len(sites.Sites) != 1 || s.Devices != 3 || s.Online != 3 || s.Open.Red != 1 || s.Open.Yellow != 1 || s.Level != rules.Red || !s.Schematic {
			t.Errorf("sites: %+v", sites)
		}
		get("/kinds", &kinds)
		if len(kinds.Kinds) != 1 || kinds.Kinds[0].Fields[0].Unit != "%LEL" {
			t.Errorf("kinds: %+v", kinds)
		}
		get("/quarantine?site=sample-gas", &quarantine)
		if len(quarantine.Quarantine) != 2 || quarantine.Quarantine[0].Position != 8 || quarantine.Quarantine[0].Received != 1782541926082 {
			t.Errorf("quarantine: %+v", quarantine)
		}
		get("/quarantine?site=sample-gas&device=gas-01", &quarantine)
		if len(quarantine.Quarantine) != 1 || quarantine.Quarantine[0].Hint != "gas_lel_pct" {
			t.Errorf("quarantine: %+v", quarantine)
		}
		get("/devices/sample-gas/gas-01/onboarding", &onboarding)
		if len(onboarding.Rejections) != 1 || onboarding.Device != "gas-01" || onboarding.Site != "sample-gas" || len(onboarding.Steps) != 5 {
			t.Errorf("onboarding: %+v", onboarding)
		}
		status, body, header := r.callFull("GET", "/api/v1/sites/sample-gas/schematic", token, "")
		if status != 200 || !strings.HasPrefix(body, "<svg") || !strings.Contains(header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("schematic: %d %s", status, body)
		}
		for _, site := range []string{"other", "..%2fgo.mod", "sample-gas.svg%00"} {
			if status, _ := r.call("GET", "/api/v1/sites/"+site+"/schematic", token, ""); status != 404 {
				t.Errorf("schematic of %s: %d", site, status)
			}
		}
	})
}

// TestLiveValues: pages get the values of devices with open alarms, and of those
// they watch, the newest only, and at most four times a second.
func TestLiveValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		token := r.person("li", Viewer)
		at := time.Now().UnixMilli()
		measure := func(n int, value float64, q devices.Quality) {
			at++
			d := r.gas(n)
			r.readings.add("", devices.AppendReadings(nil, devices.ReadingsEntry{Readings: []devices.Reading{
				{Device: d, Time: at, Received: at, Values: []devices.Value{{Field: d.Kind.Fields[0], Number: value, Quality: q}}},
			}}))
		}
		for n := 1; n <= 3; n++ {
			measure(n, float64(n), devices.Good)
		}
		r.judge.raise(t, r.gas(1), rules.Red)
		time.Sleep(time.Second)
		b := r.browse(token)
		defer b.leave()
		values := func() map[string]float64 {
			m := map[string]float64{}
			b.with(func(p *page) {
				for key, v := range p.values {
					m[strings.Split(key, "/")[1]] = *v.Value
				}
			})
			return m
		}
		want := func(when string, list map[string]float64) {
			t.Helper()
			synctest.Wait()
			if got := values(); !maps.Equal(got, list) {
				t.Errorf("%s the page has %v, want %v", when, got, list)
			}
		}
		want("at first", map[string]float64{"gas-01": 1})
		if err := b.conn.WriteJSON(map[string]any{"watch": []string{"sample-gas/gas-02"}}); err != nil {
			t.Fatal(err)
		}
		want("watching", map[string]float64{"gas-01": 1, "gas-02": 2})
		for i := range 50 {
			measure(1, 10+float64(i), devices.Good)
			measure(2, 100+float64(i), devices.Good)
			measure(3, 1000+float64(i), devices.Good)
		}
		synctest.Wait()
		want("before the tick", map[string]float64{"gas-01": 1, "gas-02": 2})
		time.Sleep(valueEvery)
		want("after the tick", map[string]float64{"gas-01": 59, "gas-02": 149})
		id := r.judge.raise(t, r.gas(3), rules.Yellow)
		time.Sleep(2 * valueEvery)
		want("with another alarm", map[string]float64{"gas-01": 59, "gas-02": 149, "gas-03": 1049})
		at -= 1000
		measure(1, 0, devices.Good) // older than what is shown
		at += 1000
		time.Sleep(2 * valueEvery)
		want("after a late one", map[string]float64{"gas-01": 59, "gas-02": 149, "gas-03": 1049})
		_ = id
	})
}

func TestPoll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Hub.Events = 8 })
		token := r.person("li", Viewer)
		draw := rand.New(rand.NewPCG(1, 1))
		r.history(draw, 5)
		synctest.Wait()
		poll := func(query string) (*page, string) {
			t.Helper()
			status, body := r.call("GET", "/api/v1/events?"+query, token, "")
			var out struct{ Frames []json.RawMessage }
			if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			p := newPage()
			if strings.Contains(query, "after=") {
				p.epoch, p.seq = "k3f9", 3
			}
			for _, f := range out.Frames {
				if _, gap, err := p.take(f); err != nil || gap {
					t.Fatalf("gap %v, %v: %s", gap, err, f)
				}
			}
			return p, strings.Join(p.notes, " ")
		}
		p, notes := poll("wait=0")
		if notes != "hello snapshot" || p.seq != 5 || !maps.Equal(p.alarms, r.server.hub.standing()) || p.health.Seq != 0 && p.health.Time == 0 {
			t.Errorf("first: %s at %d", notes, p.seq)
		}
		if p, notes = poll("epoch=k3f9&after=3"); notes != "hello resume e e" || p.resume != (span{4, 5}) {
			t.Errorf("resume: %s %+v", notes, p.resume)
		}
		if p, notes = poll("after=3&limit=1"); notes != "hello resume e" || p.resume != (span{4, 4}) || p.hello.Seq != 5 {
			t.Errorf("one: %s %+v", notes, p.resume)
		}
		if _, notes = poll("epoch=old&after=3"); notes != "hello snapshot" {
			t.Errorf("another log: %s", notes)
		}
		before := time.Now()
		if _, notes = poll("epoch=k3f9&after=5&wait=7"); notes != "hello resume" || time.Since(before) != 7*time.Second {
			t.Errorf("nothing new: %s after %v", notes, time.Since(before))
		}
		go func() {
			time.Sleep(3 * time.Second)
			r.history(draw, 1)
		}()
		before = time.Now()
		if status, body := r.call("GET", "/api/v1/events?epoch=k3f9&after=5", token, ""); status != 200 || !strings.Contains(body, `{"e":{"seq":6,`) || time.Since(before) != 3*time.Second {
			t.Errorf("something new: %d %s after %v", status, body, time.Since(before))
		}
	})
}

// TestTimelineFromTheLog: what happened before the gateway was started anew is
// told as well.
func TestTimelineFromTheLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) {
			log := o.Hub.Alarms.(*memoryLog)
			add := func(kind alarms.EventType, id string, raised time.Time) {
				log.event(t, kind, alarms.Alarm{ID: id, State: alarms.ActiveUnacked, RaisedTime: alarms.Time(raised.UnixMilli())})
			}
			for range 50 {
				add(alarms.Raised, "other", time.Now())
				time.Sleep(time.Minute)
			}
			raised := time.Now()
			for _, kind := range []alarms.EventType{alarms.Raised, alarms.Escalated, alarms.Noted} {
				add(kind, "mine", raised)
				add(alarms.Updated, "other", raised)
				time.Sleep(time.Minute)
			}
		})
		synctest.Wait()
		var out struct{ Events []alarms.Event }
		status, body := r.call("GET", "/api/v1/alarms/mine/events", r.person("li", Viewer), "")
		if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		var kinds []alarms.EventType
		for _, e := range out.Events {
			kinds = append(kinds, e.Type)
		}
		if !slices.Equal(kinds, []alarms.EventType{alarms.Raised, alarms.Escalated, alarms.Noted}) {
			t.Errorf("timeline is %v", kinds)
		}
	})
}

// TestOpenAPI: every call is in the document, and the document has no other.
func TestOpenAPI(t *testing.T) {
	r := startRig(t, nil)
	var doc struct {
		Paths map[string]map[string]struct {
			Role     string `json:"x-role"`
			Security *[]any
		}
	}
	status, body := r.call("GET", "/api/v1/openapi.json", "", "")
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 {
		t.Fatalf("%d %v", status, err)
	}
	documented := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, rt := range r.server.routes() {
		if !documented[rt.pattern] {
			t.Errorf("%s is not in openapi.json", rt.pattern)
		}
		delete(documented, rt.pattern)
		method, path, _ := strings.Cut(rt.pattern, " ")
		said := doc.Paths[path][strings.ToLower(method)]
		want := string(rt.role)
		if rt.open {
			want = "anybody"
		}
		if said.Role != want || (said.Security != nil) != rt.open {
			t.Errorf("%s: openapi.json says it needs %s, it needs %s", rt.pattern, said.Role, want)
		}
	}
	for pattern := range documented {
		t.Errorf("openapi.json has %s, which is not served", pattern)
	}
	checkRefs(t, []byte(body))
}

// checkRefs follows every reference of the document.
func checkRefs(t *testing.T, text []byte) {
	t.Helper()
	root := loose(t, text)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := root
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(root)
}

// registrar takes every change, or refuses every one.
type registrar struct {
	problem error
	asked   *[]Change
}

func (f registrar) Change(_ context.Context, c Change) ([]Credential, error) {
	if f.asked != nil {
		*f.asked = append(*f.asked, c)
	}
	var issued []Credential
	for _, d := range c.Devices {
		issued = append(issued, Credential{User: d.Key(), Password: "shown-once-secret"})
	}
	return issued, f.problem
}

func (f registrar) NewCredential(_ context.Context, site, device string) (Credential, error) {
	return Credential{User: site + "/" + device, Password: "shown-once-secret"}, f.problem
}
func (f registrar) Revoke(context.Context, string, string) error { return f.problem }
func (f registrar) InFile(string, string) bool                   { return true }
func (f registrar) Changes(int) []RegistryChange                 { return []RegistryChange{} }

func TestRegistrar(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Registrar = registrar{} })
		body := `{"site":"sample-gas","id":"gas-09","kind":"combustible_gas","name":{"zh":"9号","en":"9"},"state":"in_service","interval":"30s"}`
		if status, got := r.call("POST", "/api/v1/devices", adminToken, body); status != 201 || !strings.Contains(got, `"password":"shown-once-secret"`) {
			t.Errorf("register: %d %s", status, got)
		}
		if status, got := r.call("POST", "/api/v1/devices/sample-gas/gas-01/credential", adminToken, ""); status != 201 || !strings.Contains(got, `"user":"sample-gas/gas-01"`) {
			t.Errorf("credential: %d %s", status, got)
		}
		if status, got := r.call("DELETE", "/api/v1/devices/sample-gas/gas-01/credential", adminToken, ""); status != 204 {
			t.Errorf("revoke: %d %s", status, got)
		}
		if strings.Contains(r.log.String(), "shown-once-secret") {
			t.Error("the credential is in the log")
		}
	})
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) {
			o.Registrar = registrar{problem: problem(http.StatusUnprocessableEntity, "unknown_kind", "no such kind")}
		})
		if status, got := r.call("POST", "/api/v1/devices", adminToken, `{"site":"s"}`); status != 422 || errorCode(t, got) != "unknown_kind" {
			t.Errorf("register: %d %s", status, got)
		}
	})
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Registrar = registrar{problem: errors.New("disk on fire at /secret/path")} })
		if status, got := r.call("POST", "/api/v1/devices", adminToken, `{"site":"s"}`); status != 500 || strings.Contains(got, "secret") || !strings.Contains(r.log.String(), "disk on fire") {
			t.Errorf("register: %d %s", status, got)
		}
	})
}

func FuzzQueries(f *testing.F) {
	f.Add("level=red,blue&site=s&after=eCAx&limit=5")
	f.Add("state=in_service&online=true&after=a%2Fb")
	f.Add(url.Values{"after": {pageMark(&alarms.Alarm{ID: "a b", Level: rules.Red, RaisedTime: 5})}}.Encode())
	f.Add("limit=-1&level=%ff;")
	h := NewHub(HubOptions{Alarms: newMemoryLog("e")})
	h.present.apply(&alarms.Alarm{ID: "a", Seq: 1, State: alarms.ActiveAcked}, nil)
	all := slices.Collect(newDirectory(f, 3).registry.Devices())
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = raw
		if a, err := readAlarmQuery(r); err == nil {
			list, _, err := h.pick(a)
			var p *Problem
			if err != nil && !errors.As(err, &p) || len(list) > a.limit {
				t.Errorf("%d, %v", len(list), err)
			}
		}
		if d, err := readDeviceQuery(r); err == nil {
			list, _ := d.pick(all, func(*devices.Device) bool { return true }, func(*devices.Device) rules.Level { return rules.Normal })
			if len(list) > d.limit {
				t.Errorf("%d devices", len(list))
			}
		}
	})
}

// signIn begins a session and returns its Cookie header.
func (r *rig) signIn(body string) string {
	r.t.Helper()
	status, text, header := r.callFull("POST", "/api/v1/session", "", body)
	if status != 200 {
		r.t.Fatalf("sign in: %d %s", status, text)
	}
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	return cookie
}
