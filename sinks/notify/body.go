package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// body makes the text of a call from a message.
type body struct {
	template *template.Template // nil: the message as JSON
	isJSON   bool
}

// newBody parses a template and tries it on every step, so that a mistake is
// found at the start and not with the first alarm.
func newBody(text string, headers map[string]string, words *wording) (*body, error) {
	b := &body{isJSON: true}
	for name, v := range headers {
		if strings.EqualFold(name, "Content-Type") {
			b.isJSON = strings.Contains(v, "json")
		}
	}
	if text == "" {
		return b, nil
	}
	t, err := template.New("template").Option("missingkey=error").Funcs(template.FuncMap{"json": asJSON}).Parse(text)
	if err != nil {
		return nil, err
	}
	b.template = t
	for _, step := range append([]Step{Test}, Steps...) {
		for _, e := range []alarms.Event{sample(time.Now()), sampleSilence(time.Now())} {
			if _, err := b.render(ptr(words.message(&e, step, false))); err != nil {
				return nil, fmt.Errorf("template: tried with %q: %w", step, err)
			}
		}
	}
	return b, nil
}

func (b *body) render(m *Message) ([]byte, error) {
	if b.template == nil {
		return json.Marshal(m)
	}
	var out bytes.Buffer
	if err := b.template.Execute(&out, m); err != nil {
		return nil, err
	}
	if b.isJSON && !json.Valid(out.Bytes()) {
		return out.Bytes(), errors.New(`it makes no valid JSON; write texts as {{json .Text.ZH}}, without quotes around, or set the header Content-Type`)
	}
	return out.Bytes(), nil
}

// asJSON writes a value as JSON, a text with its quotes.
func asJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

// sample is an event about nothing real, with every text that can be there.
func sample(now time.Time) alarms.Event {
	value, limit := 26.5, 25.0
	at := alarms.Time(now.UnixMilli())
	return alarms.Event{
		ID: "test-" + now.UTC().Format("20060102T150405.000"), Type: alarms.Raised, Time: at,
		Alarm: alarms.Alarm{
			ID: "test", Site: "test", SiteName: devices.Text{ZH: "测试站点", EN: "Test site"},
			Device: "test-01", DeviceName: devices.Text{ZH: "测试探测器 \"1\"", EN: "Test detector \"1\""},
			Kind: "combustible_gas", Field: "gas_lel_pct", Rule: "test",
			Level: rules.Yellow, WorstLevel: rules.Yellow, State: alarms.ActiveUnacked, Flags: []string{},
			Value: &value, Limit: &limit, Unit: "%LEL", Quality: "good", SampleTime: at, ReceivedTime: at, RaisedTime: at,
			Title:    devices.Text{ZH: "测试：可燃气体浓度高", EN: "test: gas concentration high"},
			Advice:   devices.Text{ZH: "按本单位处置方案执行", EN: "follow your own response plan"},
			Contacts: []devices.Contact{{Role: "enterprise", Name: "测试", Phone: "000"}},
		},
	}
}

// sampleSilence is one without a number, a name or a contact.
func sampleSilence(now time.Time) alarms.Event {
	e := sample(now)
	a := &e.Alarm
	a.Value, a.Limit, a.Unit, a.Contacts, a.DeviceName, a.Level = nil, nil, "", nil, devices.Text{}, rules.Fault
	return e
}

func ptr[T any](v T) *T { return &v }
