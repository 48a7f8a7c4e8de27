package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"

	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// browser is a page on a stream. It does what PROTOCOL.md asks of a page:
// resumes, says hello again at a gap, reconnects when the stream ends.
type browser struct {
	rig   *rig
	token string
	hello map[string]any

	mu     sync.Mutex
	page   *page
	conn   *websocket.Conn
	chaos  *rand.Rand // drops and repeats events; nil: nothing of the kind
	news   time.Time  // when the last event came
	closes []int      // codes of streams that ended
	again  bool       // reconnect
	frames chan struct{}
	wg     sync.WaitGroup
}

func (r *rig) browse(token string) *browser {
	r.t.Helper()
	b := r.browser(token)
	b.connect()
	return b
}

func (r *rig) browser(token string) *browser {
	return &browser{rig: r, token: token, page: newPage(), hello: map[string]any{}, frames: make(chan struct{}, 1)}
}

// until waits for the frame after which the page is as wanted.
func (b *browser) until(wanted func(p *page) bool) {
	b.rig.t.Helper()
	for {
		ok := false
		b.with(func(p *page) { ok = wanted(p) })
		if ok {
			return
		}
		select {
		case <-b.frames:
		case <-b.rig.t.Context().Done():
			b.rig.t.Fatal("the frame did not come")
		}
	}
}

// connect opens a stream and reads it in the background.
func (b *browser) connect() {
	conn, _, err := b.rig.dial()
	if err != nil {
		return // the gateway is not there
	}
	b.mu.Lock()
	b.conn = conn
	b.mu.Unlock()
	b.sayHello(conn)
	b.wg.Go(func() { b.read(conn) })
}

func (b *browser) sayHello(conn *websocket.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hello := maps.Clone(b.hello)
	hello["token"] = b.token
	if b.page.epoch != "" {
		hello["epoch"], hello["seq"] = b.page.epoch, b.page.seq
	}
	b.news = time.Now()
	_ = conn.WriteJSON(map[string]any{"hello": hello})
}

func (b *browser) read(conn *websocket.Conn) {
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			b.ended(err)
			return
		}
		for range b.times(text) {
			b.mu.Lock()
			f, gap, err := b.page.take(text)
			if f.E != nil {
				b.news = time.Now()
			}
			stale := f.H != nil && f.H.Seq > b.page.seq && time.Since(b.news) > 3*time.Second
			b.mu.Unlock()
			select {
			case b.frames <- struct{}{}:
			default:
			}
			if err != nil {
				b.rig.t.Error(err)
			}
			if gap || stale {
				b.sayHello(conn)
			}
		}
	}
}

// times is how often a frame arrives.
func (b *browser) times(text []byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.chaos == nil || !strings.HasPrefix(string(text), `{"e"`) {
		return 1
	}
	return []int{0, 1, 1, 1, 1, 2}[b.chaos.IntN(6)]
}

func (b *browser) ended(err error) {
	var closed *websocket.CloseError
	b.mu.Lock()
	if errors.As(err, &closed) {
		b.closes = append(b.closes, closed.Code)
	}
	again := b.again
	b.conn.Close()
	b.mu.Unlock()
	if again {
		b.wg.Go(func() {
			time.Sleep(500 * time.Millisecond)
			b.connect()
		})
	}
}

// cut ends the connection without a word.
func (b *browser) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn.Close()
}

func (b *browser) leave() {
	b.mu.Lock()
	b.again = false
	b.conn.Close()
	b.mu.Unlock()
	b.wg.Wait()
}

// look gives what the page shows.
func (b *browser) look() (epoch string, seq uint64, list map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.page.epoch, b.page.seq, maps.Clone(b.page.alarms)
}

func (b *browser) with(f func(p *page)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b.page)
}

// history draws events and appends them.
func (r *rig) history(draw *rand.Rand, n int) {
	states := []alarms.State{alarms.ActiveUnacked, alarms.ActiveUnacked, alarms.ActiveAcked, alarms.ClearedUnacked, alarms.Closed}
	for range n {
		switch id := draw.IntN(12); id {
		case 10:
			r.alarms.add("config", []byte(`{"id":"config-1","type":"config","time":null,"alarm":{"id":""}}`))
		case 11:
			r.alarms.add("config", []byte(`not JSON`))
		default:
			r.alarms.event(r.t, alarms.Updated, alarms.Alarm{
				ID: fmt.Sprint("a", id), State: states[draw.IntN(len(states))], Level: rules.Level(1 + draw.IntN(5)), Site: "sample-gas", Device: "gas-01",
			})
		}
	}
}

// fold is the reference: the alarms after an event, straight from the log.
func (l *memoryLog) fold(seq uint64) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := map[string]string{}
	for _, r := range l.records[:min(seq, uint64(len(l.records)))] {
		e, err := alarms.DecodeEvent(r.Data, r.Seq)
		if err != nil || e.Alarm.ID == "" {
			continue
		}
		m[e.Alarm.ID] = string(encodeAlarm(&e.Alarm))
		if e.Alarm.State == alarms.Closed {
			delete(m, e.Alarm.ID)
		}
	}
	return m
}

// TestResume: whatever happens to the connection, the frames and the log, what
// the page shows is at every moment the state after the event it says it is at,
// and in the end the gateway's own.
func TestResume(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		ops := rapid.SliceOfN(rapid.SampledFrom([]string{"events", "events", "events", "cut", "wait", "epoch", "outage"}), 1, 25).Draw(rt, "ops")
		var wrong string
		bubble(t, func(t *testing.T) { wrong = resumeRun(t, rand.New(rand.NewPCG(seed, 1)), ops) })
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

// resumeRun plays one history and says what was wrong with it.
func resumeRun(t *testing.T, draw *rand.Rand, ops []string) (wrong string) {
	r := startRig(t, func(o *Options) { o.Hub.Events, o.Hub.MaxBehind = 16, 8 })
	r.history(draw, draw.IntN(40))
	b := r.browse(r.person("li", Viewer))
	defer b.leave()
	b.mu.Lock()
	b.again = true
	b.chaos = rand.New(rand.NewPCG(draw.Uint64(), 2))
	b.mu.Unlock()
	for step, op := range ops {
		switch op {
		case "events":
			r.history(draw, 1+draw.IntN(30))
		case "cut":
			b.cut()
		case "wait":
			time.Sleep(time.Duration(draw.IntN(3000)) * time.Millisecond)
		case "epoch":
			r.alarms.anew(fmt.Sprint("epoch", step))
			r.history(draw, draw.IntN(40))
		case "outage":
			r.alarms.fail(errors.New("disk"))
			time.Sleep(time.Duration(draw.IntN(3000)) * time.Millisecond)
			r.alarms.fail(nil)
		}
		synctest.Wait()
		epoch, seq, list := b.look()
		if want := r.alarms.fold(seq); epoch == r.alarms.Epoch() && !maps.Equal(want, list) {
			return fmt.Sprintf("after %s the page is at %d of %s and shows %s, want %s", op, seq, epoch, brief(list), brief(want))
		}
	}
	b.mu.Lock()
	b.chaos = nil
	b.mu.Unlock()
	time.Sleep(15 * time.Second)
	hub, last := r.server.hub.standing(), r.alarms.Last().Seq
	if epoch, seq, list := b.look(); epoch != r.alarms.Epoch() || seq != last || !maps.Equal(list, hub) || !maps.Equal(list, r.alarms.fold(seq)) {
		return fmt.Sprintf("in the end the page is at %d of %s and shows %s; the log is at %d of %s, the hub holds %s", seq, epoch, brief(list), last, r.alarms.Epoch(), brief(hub))
	}
	return ""
}

// brief names alarms and their newest events.
func brief(list map[string]string) string {
	var words []string
	for id, text := range list {
		_, seq, _ := strings.Cut(text, `"seq":`)
		seq, _, _ = strings.Cut(seq, ",")
		words = append(words, id+"@"+seq)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// TestAnotherLog: a log that becomes another one under the hub is noticed, also
// where nothing is appended to it and where its numbers fit.
func TestAnotherLog(t *testing.T) {
	for name, events := range map[string]int{"shorter": 3, "as long": 5, "longer": 9} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := startRig(t, nil)
				r.alarms.sly = true
				draw := rand.New(rand.NewPCG(1, 1))
				r.history(draw, 5)
				b := r.browse(r.person("li", Viewer))
				defer b.leave()
				synctest.Wait()
				r.alarms.anew("other")
				r.history(draw, events)
				synctest.Wait()
				if epoch, seq, _ := b.look(); epoch == "k3f9" && seq != 5 {
					t.Errorf("event %d of the other log was taken for one of this", seq)
				}
				time.Sleep(4 * time.Second)
				epoch, seq, list := b.look()
				if epoch != "other" || seq != uint64(events) || !maps.Equal(list, r.alarms.fold(seq)) {
					t.Errorf("the page is at %d of %s and shows %v", seq, epoch, list)
				}
				r.history(draw, 2)
				late := r.browser(b.token)
				late.page.epoch, late.page.seq, late.page.alarms = "other", 2, r.alarms.fold(2)
				late.connect()
				synctest.Wait()
				late.leave()
				if late.page.seq != r.alarms.Last().Seq || !maps.Equal(late.page.alarms, r.alarms.fold(late.page.seq)) {
					t.Errorf("who knew the other log from before is at %d and shows %v", late.page.seq, late.page.alarms)
				}
			})
		})
	}
}

func TestResumeSaysWhatFollows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Hub.Events = 8 })
		token := r.person("li", Viewer)
		draw := rand.New(rand.NewPCG(1, 1))
		r.history(draw, 20)
		synctest.Wait()
		cases := []struct {
			name  string
			epoch string
			seq   uint64
			notes string
		}{
			{"first visit", "", 0, "hello snapshot"},
			{"nothing missed", "k3f9", 20, "hello resume"},
			{"missed some, all in the log", "k3f9", 15, "hello resume e e e e e"},
			{"missed more than is held", "k3f9", 2, "hello snapshot"},
			{"another log", "old", 15, "hello snapshot"},
			{"ahead of the log", "k3f9", 21, "hello snapshot"},
		}
		for _, c := range cases {
			b := r.browser(token)
			b.page.epoch, b.page.seq = c.epoch, c.seq
			b.connect()
			synctest.Wait()
			b.leave()
			if got := strings.Join(b.page.notes, " "); got != c.notes {
				t.Errorf("%s: frames are %q, want %q", c.name, got, c.notes)
			}
			if b.page.seq != 20 || b.page.epoch != "k3f9" {
				t.Errorf("%s: page is at %d of %s", c.name, b.page.seq, b.page.epoch)
			}
			if c.seq == 15 && c.epoch == "k3f9" && b.page.resume != (span{16, 20}) {
				t.Errorf("%s: resume says %+v", c.name, b.page.resume)
			}
		}
	})
}

// TestSlowConsole: one console that does not read is dropped with 4408; others
// and the hub do not notice.
func TestSlowConsole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Hub.MaxBehind, o.Hub.WriteWait = 32, time.Hour })
		token := r.person("li", Viewer)
		quick := r.browse(token)
		defer quick.leave()
		slow, _, err := r.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if err := slow.WriteJSON(map[string]any{"hello": map[string]any{"token": token}}); err != nil {
			t.Fatal(err)
		}
		for range 3 { // hello, snapshot, health: it has caught up
			if _, _, err := slow.ReadMessage(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		draw := rand.New(rand.NewPCG(1, 1))
		for range 50 { // nobody reads slow meanwhile
			r.history(draw, 1)
			synctest.Wait()
		}
		if _, seq, list := quick.look(); seq != 50 || !maps.Equal(list, r.server.hub.standing()) {
			t.Errorf("the quick console is at %d", seq)
		}
		if got := r.server.hub.Stats(); got.Consoles != 2 || got.MaxBehind < 32 {
			t.Errorf("stats are %+v", got)
		}
		for err == nil {
			_, _, err = slow.ReadMessage()
		}
		if !websocket.IsCloseError(err, closeSlow) {
			t.Errorf("the slow console was told %v, want %d", err, closeSlow)
		}
		synctest.Wait()
		if got := r.server.hub.Stats(); got.Consoles != 1 || got.Slow != 1 {
			t.Errorf("stats are %+v", got)
		}
	})
}

// TestStuckConsole: one that takes nothing at all is dropped by the deadline.
func TestStuckConsole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		token := r.person("li", Viewer)
		stuck, _, err := r.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer stuck.Close()
		if err := stuck.WriteJSON(map[string]any{"hello": map[string]any{"token": token}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := r.server.hub.Stats(); got.Consoles != 0 {
			t.Errorf("stats are %+v", got)
		}
	})
}

func TestManyConsoles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		token := r.person("li", Viewer)
		all := make([]*browser, 200)
		for i := range all {
			all[i] = r.browse(token)
			defer all[i].leave()
		}
		r.history(rand.New(rand.NewPCG(1, 1)), 60)
		synctest.Wait()
		want := r.server.hub.standing()
		for i, b := range all {
			if _, seq, list := b.look(); seq != 60 || !maps.Equal(list, want) {
				t.Errorf("console %d is at %d", i, seq)
			}
		}
		if got := r.server.hub.Stats(); got.Consoles != len(all) || got.Snapshots != uint64(len(all)) {
			t.Errorf("stats are %+v", got)
		}
	})
}

// TestLargeSnapshot: the parts of a snapshot come worst first.
func TestLargeSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		token := r.person("li", Viewer)
		for i := range 1201 {
			level := rules.Blue
			if i == 700 {
				level = rules.Red
			}
			r.alarms.event(t, alarms.Raised, alarms.Alarm{ID: fmt.Sprint("a", i), State: alarms.ActiveUnacked, Level: level})
		}
		synctest.Wait()
		b := r.browse(token)
		synctest.Wait()
		b.leave()
		if len(b.page.alarms) != 1201 || len(b.page.parts) != 1201 {
			t.Fatalf("%d alarms in %d", len(b.page.alarms), len(b.page.parts))
		}
		var first alarms.Alarm
		if err := json.Unmarshal(b.page.parts[0], &first); err != nil || first.ID != "a700" {
			t.Errorf("first is %s, %v", first.ID, err)
		}
	})
}

func TestStreamOrigins(t *testing.T) {
	for origin, in := range map[string]bool{
		"": true, "http://gateway": true, "https://console.example": true,
		"http://evil.example": false, "null": false, "https://console.example.evil.example": false,
	} {
		t.Run(origin, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := startRig(t, func(o *Options) { o.Origins = []string{"https://console.example"} })
				headers := []string{"Origin", origin}
				if origin == "" {
					headers = nil
				}
				c, res, err := r.dial(headers...)
				if err == nil {
					c.Close()
				}
				if in != (err == nil) || !in && res.StatusCode != http.StatusForbidden {
					t.Errorf("let in: %v, want %v", err == nil, in)
				}
			})
		})
	}
}

func TestStreamFirstFrame(t *testing.T) {
	for _, f := range []struct {
		name, frame string
		code        int
	}{
		{"no token", `{"hello":{}}`, closeSignIn},
		{"wrong token", `{"hello":{"token":"nonsense"}}`, closeSignIn},
		{"not JSON", `hello`, closeBadFrame},
		{"too long a word", `{"hello":{"mode":"` + strings.Repeat("x", 100) + `"}}`, closeBadFrame},
		{"too large", `{"hello":{"mode":"` + strings.Repeat("x", maxClientFrame) + `"}}`, websocket.CloseMessageTooBig},
		{"watching without hello", `{"watch":["sample-gas/gas-01"]}`, closeBadFrame},
		{"silence", "", closeBadFrame},
	} {
		t.Run(f.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := startRig(t, nil)
				c, _, err := r.dial()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				go func() {
					if f.frame != "" {
						_ = c.WriteMessage(websocket.TextMessage, []byte(f.frame)) // the gateway may hang up before the end of it
					}
				}()
				_, text, err := c.ReadMessage()
				if err == nil {
					t.Errorf("a stranger was sent %s", text)
				}
				if !websocket.IsCloseError(err, f.code) {
					t.Errorf("ended with %v, want %d", err, f.code)
				}
			})
		})
	}
}

// TestAFrameIsBoundedByWhatItBecomes: a few kilobytes on the wire can be
// megabytes of text.
func TestAFrameIsBoundedByWhatItBecomes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		d := websocket.Dialer{NetDialContext: r.network.dial, EnableCompression: true}
		c, res, err := d.Dial("ws://gateway/api/v1/stream", http.Header{"Authorization": {"Bearer " + r.person("li", Viewer)}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if !strings.Contains(res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate") {
			t.Fatal("compression was not agreed on; the test shows nothing")
		}
		go func() {
			_ = c.WriteMessage(websocket.TextMessage, []byte(`{"hello":{}}`+strings.Repeat(" ", 16<<20))) // the gateway hangs up
		}()
		for range 10 { // hello, snapshot and a few heartbeats, if it were taken
			if _, _, err = c.ReadMessage(); err != nil {
				break
			}
		}
		if !websocket.IsCloseError(err, closeBadFrame) {
			t.Errorf("16 MB of text in a small frame ended with %v", err)
		}
	})
}

func TestStreamBearer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		c, _, err := r.dial("Authorization", "Bearer "+r.person("li", Viewer))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.WriteMessage(websocket.TextMessage, golden(t, "client_hello")); err != nil {
			t.Fatal(err)
		}
		if _, text, err := c.ReadMessage(); err != nil || !strings.Contains(string(text), `"user":"li"`) {
			t.Errorf("%s %v", text, err)
		}
		if _, res, err := r.dial("Authorization", "Bearer nonsense"); err == nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("let in: %v", err)
		}
	})
}

// TestSignedOutSocket: who is signed out, or gets another role, is so on open
// streams within a second.
func TestSignedOutSocket(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		b := r.browse(r.person("li", Viewer))
		defer b.leave()
		time.Sleep(2 * time.Second)
		if n := len(r.server.hub.Consoles()); n != 1 {
			t.Fatalf("%d consoles", n)
		}
		if err := r.people.RevokeTokens(t.Context(), "li"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.Equal(b.closes, []int{closeSignIn}) {
			t.Errorf("closed with %v", b.closes)
		}
	})
}

// TestShutdown: every socket is told that the gateway is going away.
func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		b := r.browse(r.person("li", Viewer))
		synctest.Wait()
		r.stop()
		b.leave()
		if !slices.Equal(b.closes, []int{websocket.CloseGoingAway}) {
			t.Errorf("closed with %v", b.closes)
		}
	})
}

func TestBlind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		canary := alarms.Time(0)
		hang := false
		set := func(at alarms.Time, h bool) {
			mu.Lock()
			defer mu.Unlock()
			canary, hang = at, h
		}
		r := startRig(t, func(o *Options) {
			o.Hub.Health = func() Health {
				for {
					mu.Lock()
					at, h := canary, hang
					mu.Unlock()
					if !h {
						return Health{CanaryTime: at}
					}
					time.Sleep(100 * time.Millisecond)
				}
			}
		})
		b := r.browse(r.person("li", Viewer))
		defer b.leave()
		health := func() (h Health) {
			b.with(func(p *page) { h = p.health })
			return h
		}
		now := func() alarms.Time { return alarms.Time(time.Now().UnixMilli()) }
		ready := func() int {
			status, _ := r.call("GET", "/readyz", "", "")
			return status
		}

		time.Sleep(1100 * time.Millisecond)
		if h := health(); h.CanaryAge != nil || h.Blind() == "" || h.Seq != 0 || ready() != 503 {
			t.Errorf("without a canary: %+v", h)
		}
		set(now(), false)
		time.Sleep(time.Second)
		if h := health(); h.CanaryAge == nil || h.Blind() != "" || ready() != 200 {
			t.Errorf("with a canary: %+v", h)
		}
		time.Sleep(4 * time.Second)
		if h := health(); h.Blind() == "" || ready() != 503 {
			t.Errorf("with an old canary: %+v", h)
		}

		// The console itself loses the alarm log; the canary is fresh.
		r.alarms.fail(errors.New("disk"))
		r.history(rand.New(rand.NewPCG(1, 1)), 3)
		for range 5 {
			set(now(), false)
			time.Sleep(time.Second)
		}
		if h := health(); h.Blind() == "" || ready() != 503 {
			t.Errorf("with a console behind the log: %+v", h)
		}
		r.alarms.fail(nil)
		for range 3 {
			set(now(), false)
			time.Sleep(time.Second)
		}
		if h := health(); h.Blind() != "" || h.Seq != 3 || ready() != 200 {
			t.Errorf("with the log back: %+v", h)
		}

		// The gateway hangs in telling its health: no frame comes at all.
		set(now(), true)
		before := health().Time
		time.Sleep(5 * time.Second)
		if h := health(); now()-h.Time < 3000 || h.Time-before > 1000 || ready() != 503 {
			t.Errorf("a hung gateway still sends: %+v", h)
		}
		set(now(), false)
	})
}

// TestLogLag: a console that is always a little behind under load is not blind,
// one that stands still is.
func TestLogLag(t *testing.T) {
	var l logLag
	now := time.UnixMilli(0)
	seq := uint64(0)
	for range 10 { // each second 100 events more, of which 5 are still to be read
		now = now.Add(time.Second)
		seq += 100
		if age := l.at(now, seq-5, seq); age > time.Second {
			t.Fatalf("age is %v while keeping up", age)
		}
	}
	for i := range 10 {
		now = now.Add(time.Second)
		seq += 100
		if age := l.at(now, 995, seq); age < time.Duration(i)*time.Second {
			t.Fatalf("age is %v after %d s standing still", age, i+1)
		}
	}
	if age := l.at(now.Add(time.Second), seq, seq); age != 0 {
		t.Fatalf("age is %v when level again", age)
	}
}

func TestSeenAndConsoles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []time.Duration
		r := startRig(t, func(o *Options) {
			o.Hub.OnSeen = func(age time.Duration, visible bool) {
				mu.Lock()
				defer mu.Unlock()
				if visible {
					seen = append(seen, age)
				}
			}
		})
		token := r.person("大屏", Viewer)
		b := r.browser(token)
		b.hello = map[string]any{"mode": "wall", "build": "b1", "sound": false, "visible": true}
		b.connect()
		defer b.leave()
		synctest.Wait()
		r.alarms.event(t, alarms.Raised, alarms.Alarm{ID: "a", State: alarms.ActiveUnacked, Level: rules.Red})
		time.Sleep(250 * time.Millisecond)
		say := func(text string) {
			if err := b.conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		say(`{"seen":1,"visible":true,"sound":false}`)
		say(`{"seen":1}`)
		say(`{"seen":99}`)
		list := r.server.hub.Consoles()
		if len(list) != 1 || list[0].User != "大屏" || list[0].Mode != "wall" || list[0].Sound || !list[0].Visible || list[0].Seen != 1 || list[0].Build != "b1" {
			t.Errorf("consoles are %+v", list)
		}
		mu.Lock()
		if !slices.Equal(seen, []time.Duration{250 * time.Millisecond}) {
			t.Errorf("seen after %v", seen)
		}
		mu.Unlock()
		time.Sleep(time.Second)
		if c := r.server.hub.Health().Consoles; c != (ConsoleCounts{Connected: 1, Walls: 1, WithoutSound: 1, Visible: 1}) {
			t.Errorf("health says %+v", c)
		}
		say(`{"seen":1,"sound":true}`)
		time.Sleep(time.Second)
		if c := r.server.hub.Health().Consoles; c.WithoutSound != 0 {
			t.Errorf("health says %+v", c)
		}
	})
}

// TestLostEvents: what the log has lost is passed on as a number, and nobody
// mistakes it for a gap.
func TestLostEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, nil)
		b := r.browse(r.person("li", Viewer))
		synctest.Wait()
		r.alarms.lose(3, &journal.CorruptError{Log: "alarms", Seq: 3, Reason: "test"})
		r.alarms.lose(5, &journal.GapError{Log: "alarms", From: 5, To: 6})
		r.history(rand.New(rand.NewPCG(1, 1)), 8)
		synctest.Wait()
		b.leave()
		if got := strings.Join(b.page.notes, " "); b.page.seq != 8 || got != "hello snapshot e e e e e e e e" {
			t.Errorf("the page stands at %d after %s", b.page.seq, got)
		}
		if !strings.Contains(r.log.String(), "events of the alarm log are lost") {
			t.Error("nobody was told")
		}
	})
}

// TestReplayOfLostEvents: who would have to replay what is lost gets a snapshot.
func TestReplayOfLostEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) {
			log := o.Hub.Alarms.(*memoryLog)
			for i := range 6 {
				log.event(t, alarms.Raised, alarms.Alarm{ID: fmt.Sprint("a", i), State: alarms.ActiveUnacked})
			}
			log.lose(3, &journal.CorruptError{Log: "alarms", Seq: 3, Reason: "test"})
		})
		token := r.person("li", Viewer)
		for seq, want := range map[uint64]string{2: "hello snapshot", 3: "hello resume e e e"} {
			b := r.browser(token)
			b.page.epoch, b.page.seq = "k3f9", seq
			b.connect()
			synctest.Wait()
			b.leave()
			if got := strings.Join(b.page.notes, " "); got != want || b.page.seq != 6 {
				t.Errorf("from %d: frames are %q, want %q", seq, got, want)
			}
		}
	})
}

func FuzzClientFrame(f *testing.F) {
	for _, name := range []string{"client_hello", "client_seen", "client_watch"} {
		f.Add(golden(f, name))
	}
	f.Add([]byte(`{"watch":["a"]}`))
	f.Add([]byte(`{"seen":-1}`))
	f.Add([]byte(`{"hello":null,"watch":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		frame, err := parseClientFrame(text)
		if err != nil {
			return
		}
		if len(frame.Watch) > maxWatch || frame.Hello != nil && len(frame.Hello.Token) > maxToken {
			t.Errorf("beyond the limits: %+v", frame)
		}
	})
}
