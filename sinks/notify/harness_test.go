package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is the alarm log of a test: events are added as the judge would.
type script struct {
	now    time.Time
	events []alarms.Event
	state  map[string]*alarms.Alarm
	n      map[string]int
}

func newScript(now time.Time) *script {
	return &script{now: now.Truncate(time.Millisecond), state: map[string]*alarms.Alarm{}, n: map[string]int{}}
}

// add appends an event of an alarm; change says what is different after it.
func (s *script) add(id string, what alarms.EventType, change func(a *alarms.Alarm)) alarms.Event {
	a := s.state[id]
	if a == nil {
		value, limit := 26.5, 25.0
		a = &alarms.Alarm{
			ID: id, Site: "canteen", SiteName: devices.Text{ZH: "翠湖餐厅", EN: "Lake canteen"}, Area: "east",
			Device: "gas-01", DeviceName: devices.Text{ZH: "厨房燃气探头", EN: "kitchen detector"}, Kind: "combustible_gas",
			Field: "gas_lel_pct", Rule: "gas_high", Level: rules.Yellow, State: alarms.ActiveUnacked, Flags: []string{},
			Value: &value, Limit: &limit, Unit: "%LEL", RaisedTime: alarms.Time(s.now.UnixMilli()),
			Title: devices.Text{ZH: "可燃气体浓度高", EN: "gas concentration high"}, Advice: devices.Text{ZH: "按本单位处置方案执行", EN: "follow your own response plan"},
			Contacts: []devices.Contact{{Role: "enterprise", Name: "值班室", Phone: "0000-1"}, {Role: "township", Name: "应急办"}},
		}
		s.state[id] = a
	}
	if change != nil {
		change(a)
	}
	if a.Level.Rank() > a.WorstLevel.Rank() {
		a.WorstLevel = a.Level
	}
	s.n[id]++
	e := alarms.Event{Seq: uint64(len(s.events) + 1), ID: fmt.Sprintf("%s-%d", id, s.n[id]), Type: what, Time: alarms.Time(s.now.UnixMilli()), Alarm: *a}
	s.events = append(s.events, e)
	return e
}

func (s *script) raise(id string, level rules.Level, flags ...string) alarms.Event {
	return s.add(id, alarms.Raised, func(a *alarms.Alarm) { a.Level, a.Flags = level, append([]string{}, flags...) })
}

func (s *script) level(id string, level rules.Level) alarms.Event {
	what := alarms.Escalated
	if level.Rank() < s.state[id].Level.Rank() {
		what = alarms.Eased
	}
	return s.add(id, what, func(a *alarms.Alarm) { a.Level = level })
}

func (s *script) clear(id string) alarms.Event {
	return s.add(id, alarms.Cleared, func(a *alarms.Alarm) {
		a.Level, a.State, a.ClearedTime = rules.Normal, alarms.ClearedUnacked, alarms.Time(s.now.UnixMilli())
	})
}

func (s *script) close(id string) alarms.Event {
	return s.add(id, alarms.ClosedEv, func(a *alarms.Alarm) { a.State, a.Level = alarms.Closed, rules.Normal })
}

func (s *script) ack(id string) alarms.Event {
	return s.add(id, alarms.Acked, func(a *alarms.Alarm) { a.State = alarms.ActiveAcked })
}

// records are the events from position first on, as a runner hands them over.
func (s *script) records(t testing.TB, first int) []journal.Record {
	var batch []journal.Record
	for _, e := range s.events[first:] {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		batch = append(batch, journal.Record{Seq: e.Seq, Time: s.now, Count: 1, Data: data})
	}
	return batch
}

// standing is what stands at the end of the script.
func (s *script) standing() *Standing {
	st := NewStanding(nil, slog.New(slog.DiscardHandler))
	for _, e := range s.events {
		if e.Alarm.State == alarms.Closed {
			delete(st.open, e.Alarm.ID)
		} else {
			st.open[e.Alarm.ID] = &e
		}
	}
	close(st.ready)
	return st
}

// memoryBucket is a bucket in memory.
type memoryBucket struct {
	rows map[string][]byte
	err  error // of Put
}

func newBucket() *memoryBucket { return &memoryBucket{rows: map[string][]byte{}} }

func (b *memoryBucket) All(context.Context) (map[string][]byte, error) { return b.rows, nil }

func (b *memoryBucket) Put(_ context.Context, key string, value []byte) (uint64, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.rows[key] = value
	return 1, nil
}

// call is one that an endpoint got.
type call struct {
	header http.Header
	body   []byte
}

// listener is an endpoint outside; answer nil says 200 to everything.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []call
	answer func(w http.ResponseWriter, n int) // n: the how-manieth call, from 1
}

func listen(t testing.TB, answer func(w http.ResponseWriter, n int)) *listener {
	l := &listener{answer: answer}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.calls = append(l.calls, call{r.Header, body})
		n, answer := len(l.calls), l.answer
		l.mu.Unlock()
		if answer != nil {
			answer(w, n)
		}
	}))
	t.Cleanup(l.Close)
	return l
}

// told lists what the endpoint was told: "raised A-1".
func (l *listener) told(t testing.TB) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	list := []string{}
	for _, c := range l.calls {
		var m Message
		if err := json.Unmarshal(c.body, &m); err != nil {
			t.Fatalf("%v in %s", err, c.body)
		}
		late := ""
		if m.Late {
			late = " late"
		}
		list = append(list, fmt.Sprintf("%s %s%s", m.Step, m.ID, late))
	}
	return list
}

func (l *listener) answerWith(answer func(w http.ResponseWriter, n int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

// hook makes a webhook to a listener.
func hook(t testing.TB, l *listener, s *script, change func(o *WebhookOptions)) *Webhook {
	t.Helper()
	o := WebhookOptions{
		Common: Common{Endpoint: Endpoint{Name: "duty", URL: l.URL + "/alarms"}, Standing: s.standing(), Zone: time.UTC},
		Bucket: newBucket(),
	}
	if change != nil {
		change(&o)
	}
	w, err := NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
