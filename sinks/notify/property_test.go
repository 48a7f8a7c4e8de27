package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// TestTheEndpointKnowsInTheEnd: whatever alarms do, however often the gateway
// dies and wherever its cursor then is, whatever fails on the way and however
// much of it is old by then: an endpoint that believes what it is told knows in
// the end of every alarm that stands, and of none that is over.
func TestTheEndpointKnowsInTheEnd(t *testing.T) {
	l := listen(t, nil)
	levels := []rules.Level{rules.Blue, rules.Yellow, rules.Orange, rules.Red}
	rapid.Check(t, func(rt *rapid.T) {
		s := newScript(time.Now().Add(-time.Hour))
		for range rapid.IntRange(1, 60).Draw(rt, "events") {
			if rapid.IntRange(0, 9).Draw(rt, "time passes") == 0 {
				s.now = time.Now()
			}
			id := fmt.Sprint("A", rapid.IntRange(1, 4).Draw(rt, "alarm"))
			switch a := s.state[id]; {
			case a == nil:
				s.raise(id, rapid.SampledFrom(levels).Draw(rt, "level"))
			case a.State == alarms.Closed: // an alarm that is closed stays so
			default:
				s.add(id, alarms.Updated, func(a *alarms.Alarm) {
					a.State = rapid.SampledFrom([]alarms.State{alarms.ActiveUnacked, alarms.ActiveAcked, alarms.ClearedUnacked, alarms.Closed}).Draw(rt, "state")
					a.Level = rapid.SampledFrom(levels).Draw(rt, "level")
					a.Flags = rapid.SliceOfN(rapid.SampledFrom([]string{"suppressed", "shelved"}), 0, 1).Draw(rt, "flags")
				})
			}
		}
		l.calls = nil
		refused := map[int]bool{}
		l.answerWith(func(w http.ResponseWriter, n int) {
			if rapid.IntRange(0, 3).Draw(rt, "fault") == 0 {
				refused[n-1] = true
				w.WriteHeader(500)
			}
		})
		bucket, filter := newBucket(), Filter{Levels: []rules.Level{rules.Yellow, rules.Orange, rules.Red}}
		start := func() *Webhook {
			return hook(t, l, s, func(o *WebhookOptions) { o.Bucket, o.Filter = bucket, filter })
		}
		w, records := start(), s.records(t, 0)
		for at := 0; at < len(records); {
			to := rapid.IntRange(at+1, len(records)).Draw(rt, "batch")
			err := w.Write(t.Context(), records[at:to])
			switch {
			case rapid.IntRange(0, 4).Draw(rt, "crash") == 0:
				w, at = start(), rapid.IntRange(0, at).Draw(rt, "cursor")
			case err == nil:
				at = to
			}
		}
		known := map[string]bool{}
		for n, c := range l.calls {
			if refused[n] {
				continue
			}
			var m Message
			if err := json.Unmarshal(c.body, &m); err != nil {
				rt.Fatal(err)
			}
			known[m.Alarm.ID] = m.Step != Resolved
		}
		for id, a := range s.state {
			if over(a) && known[id] || filter.stands(a) && !known[id] {
				rt.Fatalf("%s is %s %s %v, and the endpoint knows of it: %v; it was told %s", id, a.State, a.Level, a.Flags, known[id], strings.Join(l.told(t), ", "))
			}
		}
	})
}
