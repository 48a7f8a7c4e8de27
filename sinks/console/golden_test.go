package console

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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
	type snapshotFrame struct {
		Epoch  string         `json:"epoch"`
		Seq    uint64         `json:"seq"`
		Part   int            `json:"part"`
		Parts  int            `json:"parts"`
		Alarms []alarms.Alarm `json:"alarms"`
	}
	type goldenPast struct {
		pastView
		Points [][]*float64 `json:"points"`
	}
	shapes := map[string]any{
		"hello":    &map[string]serverHello{},
		"resume":   &map[string]span{},
		"snapshot": &map[string]snapshotFrame{},
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
		"quarantine": &map[string][]rejectionView{},
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
	elsewhere := map[string]bool{"client_hello": true, "client_seen": true, "client_watch": true, "events": true, "login": true, "login_token": true}
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

// TestGoldenSnapshot does so for the snapshot.
func TestGoldenSnapshot(t *testing.T) {
	var in struct {
		Snapshot struct{ Alarms []alarms.Alarm }
	}
	if err := json.Unmarshal(golden(t, "snapshot"), &in); err != nil {
		t.Fatal(err)
	}
	p := newPresent(10)
	for i := range in.Snapshot.Alarms {
		p.apply(&in.Snapshot.Alarms[i], encodeAlarm(&in.Snapshot.Alarms[i]))
	}
	frames, err := encodeParts(place{epoch: "k3f9", seq: 4751}, p.worstFirst())
	if err != nil {
		t.Fatal(err)
	}
	if want, got := loose(t, golden(t, "snapshot")), loose(t, frames[0].text); len(frames) != 1 || !reflect.DeepEqual(want, got) {
		t.Errorf("%d frames: %s", len(frames), frames[0].text)
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
