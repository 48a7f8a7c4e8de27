package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// badInput is one way in which a device gets it wrong, and what its installer
// must be told.
type badInput struct {
	name    string
	device  string // of the culprit; empty: one that is registered for the case
	topic   string // default: the culprit's telemetry
	payload func(now time.Time) string
	code    string // of the rejection in quarantine and feedback, or of what the door refused
	door    bool   // refused at the door, so that it never got in
	says    string // part of the rejection's detail or hint
	value   string // quality of the value that gets in all the same: good, suspect, bad
	alarm   bool   // the culprit's own red alarm comes nevertheless
}

const danger = 62.5 // %LEL, well above the highest limit

func dangerAt(clock func(now time.Time) time.Time) func(time.Time) string {
	return func(now time.Time) string {
		return fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":%v}}`, clock(now).UnixMilli(), danger)
	}
}

func just(payload string) func(time.Time) string { return func(time.Time) string { return payload } }

var badInputs = []badInput{
	{name: "unknown topic", topic: "factory/line-1/data", payload: just(`{"gas":1}`), code: "not_authorized", door: true, says: "may not publish to factory/line-1/data"},
	{name: "unknown device", device: "sensr-01", payload: just(`{"values":{"gas_lel_pct":62.5}}`), code: "unknown_device", says: "sensor-01"},
	{name: "broken JSON", payload: just(`{"values":{"gas_lel_pct":12,6}}`), code: "bad_json", says: "decimal comma"},
	{name: "wrong type", payload: just(`{"values":{"gas_lel_pct":"high"}}`), code: "not_a_number", says: `found the text "high" where a number belongs`},
	{name: "unknown field", payload: just(`{"values":{"gas_lell_pct":62.5}}`), code: "unknown_field", says: "gas_lel_pct"},
	{name: "two unknown fields", payload: just(`{"values":{"a":1,"b":2}}`), code: "unknown_field", says: `no field "a"`},
	{name: "NaN", payload: just(`{"values":{"gas_lel_pct":NaN,"battery_v":3.3}}`), code: "not_finite", says: "found NaN", value: "good"},
	{name: "out of range, harmless", payload: just(`{"values":{"gas_lel_pct":-400}}`), value: "bad", says: "gas_lel_pct"},
	{name: "out of range, dangerous", payload: just(`{"values":{"gas_lel_pct":180}}`), value: "suspect", says: "gas_lel_pct", alarm: true},
	{name: "10 MB", payload: just(`{"values":{"gas_lel_pct":62.5}}` + strings.Repeat(" ", 10<<20)), code: "too_big", door: true, says: "too big"},
	{name: "clock in 1970", payload: dangerAt(func(time.Time) time.Time { return time.Unix(0, 0) }), code: "bad_clock", says: "1970-01-01", value: "good", alarm: true},
	{name: "clock in 2099", payload: dangerAt(func(time.Time) time.Time { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC) }), code: "bad_clock", says: "2099-01-01", value: "good", alarm: true},
	{name: "clock ten minutes fast", payload: dangerAt(func(now time.Time) time.Time { return now.Add(10 * time.Minute) }), code: "bad_clock", says: "10 min ahead", value: "good", alarm: true},
	{name: "clock eight hours off", payload: dangerAt(func(now time.Time) time.Time { return now.Add(8 * time.Hour) }), code: "bad_clock", says: `tz_lies: "+08:00"`, value: "good", alarm: true},
}

// steady is how many readings a well-behaved neighbour sends beside each case.
const steady = 20

// TestBadInput sends the real gateway everything that devices get wrong. Each
// time the installer is told what is wrong and what to do, a neighbour who does
// it right loses nothing and its alarm comes, and the books balance.
func TestBadInput(t *testing.T) {
	var lines []string
	for i, c := range badInputs {
		lines = append(lines, fmt.Sprintf("id: neighbour-%02d, kind: combustible_gas", i))
		if c.device == "" {
			lines = append(lines, fmt.Sprintf("id: culprit-%02d, kind: combustible_gas", i))
		}
	}
	g := newGateway(t, siteYAML(t, "plant", "pw", append(lines, "id: sensor-01, kind: combustible_gas")...), "")
	g.start()
	good := connect(t, g.mqtt, "neighbour", "plant", "pw")
	told := listen(t, connect(t, g.mqtt, "installer", "plant", "pw"), "v1/plant/+/feedback")

	for i, c := range badInputs {
		t.Run(c.name, func(t *testing.T) {
			g := *g
			g.t = t
			neighbour := fmt.Sprintf("neighbour-%02d", i)
			if c.device == "" {
				c.device = fmt.Sprintf("culprit-%02d", i)
			}
			before := g.metric("fengsui_messages_accepted_total")
			now := time.Now()
			publishSteadily(t, good, neighbour, now.Add(-time.Minute), steady/2)
			c.send(t, &g, now)
			publishSteadily(t, good, neighbour, now.Add(-30*time.Second), steady/2)
			publish(t, good, "v1/plant/"+neighbour+"/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":%v}}`, now.UnixMilli(), danger))
			g.waitAlarm("the neighbour's alarm", func(a *alarms.Alarm) bool { return a.Device == neighbour && a.Level == rules.Red })

			c.checkTold(t, &g, told)
			c.checkKept(t, &g)
			g.balanced()
			want := before + steady + 1
			if c.value != "" {
				want++
			}
			if got := g.metric("fengsui_messages_accepted_total"); got != want {
				t.Errorf("%v messages were accepted, want %v: the neighbour lost some", got-before, want-before)
			}
		})
	}
	g.stop()
}

// send publishes the case on a connection of its own, which the gateway may end.
func (c *badInput) send(t *testing.T, g *gateway, now time.Time) {
	t.Helper()
	topic := c.topic
	if topic == "" {
		topic = "v1/plant/" + c.device + "/telemetry"
	}
	bad := connect(t, g.mqtt, "culprit", "plant", "pw")
	token := bad.Publish(topic, 1, false, c.payload(now))
	if c.door {
		return // it gets no acknowledgement
	}
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("it was not acknowledged: %v", token.Error())
	}
}

// checkTold: what is wrong stands where the installer looks.
func (c *badInput) checkTold(t *testing.T, g *gateway, told <-chan feedbackMessage) {
	t.Helper()
	switch {
	case c.door:
		g.eventually("the door says why it refused", func() error {
			var door struct {
				Refused []struct{ Action, Code, Reason string }
			}
			g.get("/api/v1/refused", &door)
			for _, r := range door.Refused {
				if r.Action == "publish" && r.Code == c.code && strings.Contains(r.Reason, c.says) {
					return nil
				}
			}
			return fmt.Errorf("refused: %+v", door.Refused)
		})
	case c.code == "": // it is a reading, only none to trust
		g.eventually("the onboarding view says what is out of range", func() error {
			var view struct {
				Steps []struct {
					Step   string
					Done   bool
					Reason struct{ EN string }
				}
			}
			g.get("/api/v1/devices/plant/"+c.device+"/onboarding", &view)
			for _, s := range view.Steps {
				if s.Step == "in_range" && !s.Done && s.Reason.EN != "" {
					return nil
				}
			}
			return fmt.Errorf("onboarding: %+v", view.Steps)
		})
	default:
		c.checkRejection(t, g, told)
	}
}

// checkRejection: the quarantine and the feedback topic say the same.
func (c *badInput) checkRejection(t *testing.T, g *gateway, told <-chan feedbackMessage) {
	t.Helper()
	g.eventually("the quarantine says what is wrong", func() error {
		var list struct {
			Quarantine []struct {
				Code, Detail, Hint string
				Whole              bool
			}
		}
		g.get("/api/v1/quarantine?site=plant&device="+c.device, &list)
		for _, r := range list.Quarantine {
			if r.Code == c.code && strings.Contains(r.Detail+" "+r.Hint, c.says) && r.Whole == (c.value == "") {
				return nil
			}
		}
		return fmt.Errorf("quarantine: %+v", list.Quarantine)
	})
	for deadline := time.After(20 * time.Second); ; {
		select {
		case m := <-told:
			if m.Code == c.code && strings.Contains(m.Detail+" "+m.Hint, c.says) {
				return
			}
		case <-deadline:
			t.Fatalf("no feedback says %s: %s", c.code, c.says)
		}
	}
}

// checkKept: what can be used of it is used, with a quality that says how far.
func (c *badInput) checkKept(t *testing.T, g *gateway) {
	t.Helper()
	if c.value != "" {
		g.eventually("the value that could be used", func() error {
			var view struct {
				Values []struct{ Field, Quality string }
			}
			g.get("/api/v1/devices/plant/"+c.device, &view)
			for _, v := range view.Values {
				if v.Quality == c.value {
					return nil
				}
			}
			return fmt.Errorf("values: %+v", view.Values)
		})
	}
	red := func(a *alarms.Alarm) bool { return a.Device == c.device && a.Level == rules.Red }
	if c.alarm {
		g.waitAlarm("the culprit's own alarm", red)
		return
	}
	for _, a := range g.alarms("all") {
		if red(&a) {
			t.Errorf("bad input raised %s: %v", a.Rule, a.Value)
		}
	}
}

// publish waits for the acknowledgement.
func publish(t *testing.T, c mqtt.Client, topic, payload string) {
	t.Helper()
	if token := c.Publish(topic, 1, false, payload); !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatalf("publish to %s: %v", topic, token.Error())
	}
}

// publishSteadily sends n readings a second apart in event time.
func publishSteadily(t *testing.T, c mqtt.Client, device string, from time.Time, n int) {
	t.Helper()
	for i := range n {
		publish(t, c, "v1/plant/"+device+"/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":%v}}`, from.Add(time.Duration(i)*time.Second).UnixMilli(), float64(i%5)/10))
	}
}

// listen subscribes and hands on what is told.
func listen(t *testing.T, c mqtt.Client, filter string) <-chan feedbackMessage {
	t.Helper()
	told := make(chan feedbackMessage, 1000)
	token := c.Subscribe(filter, 1, func(_ mqtt.Client, m mqtt.Message) {
		var f feedbackMessage
		if json.Unmarshal(m.Payload(), &f) == nil {
			told <- f
		}
	})
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("subscribe to %s: %v", filter, token.Error())
	}
	return told
}

// TestRetainedFlood: a broker that hands thousands of remembered messages out
// at the connect raises no alarm and keeps nobody from being heard.
func TestRetainedFlood(t *testing.T) {
	const flood = 2000
	broker := startMosquitto(t)
	writer := connect(t, broker.address, "writer", "", "")
	hold := make([]mqtt.Token, 0, flood+1)
	payload := fmt.Sprintf(`{"values":{"gas_lel_pct":%v}}`, danger)
	for i := range flood {
		hold = append(hold, writer.Publish(fmt.Sprintf("v1/plant/ghost-%04d/telemetry", i), 1, true, payload))
	}
	hold = append(hold, writer.Publish("v1/plant/remembered/telemetry", 1, true, payload))
	for _, token := range hold {
		if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}

	g := newGateway(t, siteYAML(t, "plant", "pw", "id: remembered, kind: combustible_gas", "id: neighbour, kind: combustible_gas"),
		fmt.Sprintf("brokers:\n  - {name: county, url: \"tcp://%s\"}\n", broker.address))
	g.start()
	good := connect(t, g.mqtt, "neighbour", "plant", "pw")
	publish(t, good, "v1/plant/neighbour/telemetry", payload)
	g.waitAlarm("the neighbour's alarm", func(a *alarms.Alarm) bool { return a.Device == "neighbour" && a.Level == rules.Red })

	g.eventually("the flood is in quarantine", func() error {
		if n := g.metric("fengsui_messages_quarantined_total", `reason="unknown_device"`); n != flood {
			return fmt.Errorf("%v of %d", n, flood)
		}
		return nil
	})
	g.balanced()
	for _, a := range g.alarms("all") {
		if a.Device == "remembered" && a.Level == rules.Red {
			t.Errorf("a remembered message of unknown age raised %s", a.Rule)
		}
	}
	var view struct {
		Values []struct{ Value float64 }
	}
	g.get("/api/v1/devices/plant/remembered", &view)
	if len(view.Values) != 1 || view.Values[0].Value != danger {
		t.Errorf("the remembered reading is not shown: %+v", view.Values)
	}
	g.stop()
}
