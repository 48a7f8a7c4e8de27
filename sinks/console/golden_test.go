package console

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// TestGoldenShapes reads every file of testdata into the type that writes it and
// back: no key may be lost, none may come that the file does not have.
func TestGoldenShapes(t *testing.T) {
	type alarmPage struct {
		Alarms []alarms.Alarm `json:"alarms"`
		Next   string         `json:"next"`
	}
	type goldenEvent struct {
		Seq   uint64           `json:"seq"`
		ID    string           `json:"id"`
		Type  alarms.EventType `json:"type"`
		Time  alarms.Time      `json:"time"`
		By    string           `json:"by,omitempty"`
		Note  string           `json:"note,omitempty"`
		Input uint64           `json:"input"`
		Alarm *alarms.Alarm    `json:"alarm"`
	}
	type goldenPast struct {
		pastView
		Points [][]*float64 `json:"points"`
	}
	shapes := map[string]any{
		"hello":    &map[string]serverHello{},
		"resume":   &map[string]span{},
		"e":        &map[string]goldenEvent{},
		"e_acked":  &map[string]goldenEvent{},
		"e_config": &map[string]goldenEvent{},
		"v":        &map[string][]Value{},
		"h":        &map[string]Health{},
		"h_blind":  &map[string]Health{},
		"alarm":    &alarms.Alarm{},
		"alarms":   &alarmPage{},
		"command":  &commandBody{},
		"ack": &struct {
			Seq   uint64       `json:"seq"`
			Alarm alarms.Alarm `json:"alarm"`
		}{},
		"error":      &errorBody{},
		"conflict":   &errorBody{},
		"device":     &deviceView{},
		"sites":      &map[string][]siteView{},
		"kinds":      &map[string][]kindView{},
		"readings":   &goldenPast{},
		"timeline":   &map[string][]goldenEvent{},
		"session":    &sessionView{},
		"consoles":   &map[string][]Console{},
		"quarantine": &quarantineView{},
		"refused":    &map[string][]Refused{},
		"onboarding": &onboardingView{},
		"users":      &map[string][]User{},
		"devices": &struct {
			Devices []deviceView `json:"devices"`
			Next    string       `json:"next"`
		}{},
	}
	for name, into := range shapes {
		t.Run(name, func(t *testing.T) {
			text := golden(t, name)
			d := json.NewDecoder(bytes.NewReader(text))
			d.DisallowUnknownFields()
			if err := d.Decode(into); err != nil {
				t.Fatal(err)
			}
			back, err := json.Marshal(into)
			if err != nil {
				t.Fatal(err)
			}
			if want, got := loose(t, text), loose(t, back); !reflect.DeepEqual(want, got) {
				t.Errorf("the type writes\n%s\nthe file says\n%s", back, text)
			}
		})
	}
	for name := range map[string]bool{"client_hello": true, "client_seen": true, "client_watch": true} {
		t.Run(name, func(t *testing.T) {
			f, err := parseClientFrame(golden(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if f.Hello == nil && f.Seen == nil && f.Watch == nil {
				t.Error("nothing of the frame was understood")
			}
		})
	}
	elsewhere := map[string]bool{"client_hello": true, "client_seen": true, "client_watch": true, "snapshot": true, "events": true, "login": true, "login_token": true}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if shapes[name] == nil && !elsewhere[name] {
			t.Errorf("no test reads %s", f)
		}
	}
}

// TestGoldenEventFrame holds the bytes that a socket carries to the file: the
// log's record goes in, the frame comes out.
func TestGoldenEventFrame(t *testing.T) {
	for _, name := range []string{"e", "e_acked", "e_config"} {
		t.Run(name, func(t *testing.T) {
			var in struct {
				E alarms.Event `json:"e"`
			}
			if err := json.Unmarshal(golden(t, name), &in); err != nil {
				t.Fatal(err)
			}
			f, err := encodeEvent(in.E)
			if err != nil {
				t.Fatal(err)
			}
			if want, got := loose(t, golden(t, name)), loose(t, f.text); !reflect.DeepEqual(want, got) {
				t.Errorf("frame is %s", f.text)
			}
			if !json.Valid(f.frame.event()) || !bytes.HasPrefix(f.frame.event(), []byte(`{"seq":`)) {
				t.Errorf("event is %s", f.frame.event())
			}
		})
	}
}

// TestGoldenSnapshot: the alarms of alarms.json are the rows of snapshot.json,
// and the rows are those alarms again.
func TestGoldenSnapshot(t *testing.T) {
	var in struct{ Alarms []alarms.Alarm }
	if err := json.Unmarshal(golden(t, "alarms"), &in); err != nil {
		t.Fatal(err)
	}
	p := newPresent(10)
	for i := range in.Alarms {
		p.apply(&in.Alarms[i], encodeAlarm(&in.Alarms[i]))
	}
	frames, err := encodeParts(place{epoch: "k3f9", seq: 4751}, p.worstFirst())
	if err != nil {
		t.Fatal(err)
	}
	if want, got := loose(t, golden(t, "snapshot")), loose(t, frames[0].text); len(frames) != 1 || !reflect.DeepEqual(want, got) {
		t.Errorf("%d frames: %s", len(frames), frames[0].text)
	}
	page := newPage()
	if _, _, err := page.take(frames[0].text); err != nil {
		t.Fatal(err)
	}
	for _, a := range in.Alarms {
		if want := string(encodeAlarm(&a)); page.alarms[a.ID] != want {
			t.Errorf("unfolded\n%s\nwant\n%s", page.alarms[a.ID], want)
		}
	}
}

// TestASnapshotLosesNothing: every key that an alarm has, also one that is added
// to it later, is in its row, whatever it holds.
func TestASnapshotLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := rapid.SliceOfN(rapid.Custom(drawAlarm), 1, 8).Draw(t, "alarms")
		list := make([]*standing, len(drawn))
		for i := range drawn {
			list[i] = &standing{Alarm: drawn[i]}
		}
		frames, err := encodeParts(place{epoch: "e"}, list)
		if err != nil {
			t.Fatal(err)
		}
		page := newPage()
		if _, _, err := page.take(frames[0].text); err != nil {
			t.Fatal(err)
		}
		for i := range drawn {
			if want := encodeAlarm(&drawn[i]); string(page.parts[i]) != string(want) {
				t.Fatalf("unfolded\n%s\nwant\n%s", page.parts[i], want)
			}
		}
	})
}

// drawAlarm fills every field that an alarm has, or leaves it empty.
func drawAlarm(t *rapid.T) alarms.Alarm {
	var a alarms.Alarm
	fill(t, reflect.ValueOf(&a).Elem())
	return a
}

func fill(t *rapid.T, v reflect.Value) {
	switch some := rapid.SampledFrom([]int{0, 1, 1, 2}).Draw(t, "some"); {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case some == 0:
	case v.Type() == reflect.TypeFor[rules.Level]():
		v.Set(reflect.ValueOf(rapid.SampledFrom([]rules.Level{rules.Normal, rules.Yellow, rules.Red, rules.Fault}).Draw(t, "level")))
	case v.Kind() == reflect.String:
		v.SetString(rapid.SampledFrom([]string{"a", "b", "甲\"站\\", "\u2028"}).Draw(t, "text"))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), some, some))
		for i := range some {
			fill(t, v.Index(i))
		}
	case v.CanInt():
		v.SetInt(rapid.Int64Range(1, 2_000_000_000_000).Draw(t, "number"))
	case v.CanUint():
		v.SetUint(rapid.Uint64Range(1, 1<<40).Draw(t, "number"))
	case v.CanFloat():
		v.SetFloat(rapid.SampledFrom([]float64{0.1, -7, 1e21, 111.908}).Draw(t, "number"))
	default:
		t.Fatalf("nothing fills %v", v.Type())
	}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func loose(t testing.TB, text []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// TestTenThousandAlarms: what a page must load before it shows anything.
func TestTenThousandAlarms(t *testing.T) {
	var in struct{ Alarms []alarms.Alarm }
	if err := json.Unmarshal(golden(t, "alarms"), &in); err != nil {
		t.Fatal(err)
	}
	draw := rand.New(rand.NewPCG(1, 1))
	list := make([]*standing, 10_000)
	for i := range list {
		a := in.Alarms[0]
		a.ID, a.Seq = fmt.Sprintf("A%012X", draw.Uint64()>>16), uint64(20_000+i)
		a.Site, a.Device = fmt.Sprintf("plant-%03d", draw.IntN(200)), fmt.Sprintf("gas-%02d", draw.IntN(60))
		a.SiteName.ZH = "厂区" + a.Site
		n := draw.IntN(40)
		a.Rule, a.Title.ZH = fmt.Sprintf("rule-%d", n), fmt.Sprintf("第%d项超限", n)
		a.Level = rules.Level(1 + draw.IntN(4))
		a.State = []alarms.State{alarms.ActiveUnacked, alarms.ActiveAcked, alarms.ClearedUnacked}[draw.IntN(3)]
		if a.State == alarms.ActiveAcked {
			a.AckedBy, a.AckedTime = "李雷", a.RaisedTime+alarms.Time(draw.IntN(1e6))
		}
		value := math.Round(draw.Float64()*1000) / 10
		a.Value = &value
		a.RaisedTime += alarms.Time(draw.IntN(86_400_000))
		a.SampleTime = a.RaisedTime + alarms.Time(draw.IntN(60_000))
		a.ReceivedTime = a.SampleTime + alarms.Time(draw.IntN(300))
		list[i] = &standing{Alarm: a, json: encodeAlarm(&a)}
	}
	frames, err := encodeParts(place{epoch: "k3f9", seq: 1}, list)
	if err != nil {
		t.Fatal(err)
	}
	raw, before := 0, 0
	var packed bytes.Buffer
	deflate, err := flate.NewWriter(&packed, snapshotDeflate)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		raw += len(f.text)
		if _, err := deflate.Write(f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := deflate.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		before += len(s.json)
	}
	t.Logf("%d alarms: %d bytes in %d parts, %d compressed; %d one by one", len(list), raw, len(frames), packed.Len(), before)
	if raw > 1_500_000 || packed.Len() > 400_000 {
		t.Errorf("the snapshot has %d bytes, compressed %d", raw, packed.Len())
	}
}
