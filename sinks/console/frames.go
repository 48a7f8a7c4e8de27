package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"fengsui/ingest/journal"
	"fengsui/rules/alarms"
)

// frame is one message of the stream, encoded once for everybody.
type frame struct {
	seq   uint64    // of the event it carries, 0 for other frames
	alarm string    // the event is about
	at    time.Time // when the event was appended
	text  []byte
	large bool // worth compressing

	once     sync.Once
	prepared *websocket.PreparedMessage
	err      error
}

// message is the frame ready for any socket.
func (f *frame) message() (*websocket.PreparedMessage, error) {
	f.once.Do(func() {
		f.prepared, f.err = websocket.NewPreparedMessage(websocket.TextMessage, f.text)
	})
	return f.prepared, f.err
}

// unprepared is the frame without what was made ready for sockets.
func (f *frame) unprepared() *frame {
	return &frame{seq: f.seq, alarm: f.alarm, at: f.at, text: f.text}
}

// newFrame encodes a frame of one key.
func newFrame(key string, value any) (*frame, error) {
	text, err := json.Marshal(map[string]any{key: value})
	if err != nil {
		return nil, fmt.Errorf("encode frame %s: %w", key, err)
	}
	return &frame{text: text}, nil
}

// serverHello is the first frame of the gateway on a stream.
type serverHello struct {
	Epoch string      `json:"epoch"`
	Seq   uint64      `json:"seq"`
	Time  alarms.Time `json:"time"`
	Build string      `json:"build"`
	User  string      `json:"user"`
	Role  Role        `json:"role"`
}

// span names the events that follow a resume.
type span struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// unreadable is the type of an event of which only the number is known.
const unreadable alarms.EventType = "unreadable"

// shown is an event as the stream shows it, but for its alarm, which is encoded
// once for the frame and for the present.
type shown struct {
	Seq   uint64           `json:"seq"`
	ID    string           `json:"id"`
	Type  alarms.EventType `json:"type"`
	Time  alarms.Time      `json:"time"`
	By    string           `json:"by,omitempty"`
	Note  string           `json:"note,omitempty"`
	Input uint64           `json:"input"`
}

// happening is an event of the log, ready to be published.
type happening struct {
	*frame
	event     alarms.Event
	alarmJSON json.RawMessage // null where the event is not about one
}

// readEvent reads a record of the alarm log. One that cannot be read still gives
// a frame beside the error, so that the sequence of the stream has no hole.
func readEvent(r journal.Record) (happening, error) {
	e, err := alarms.DecodeEvent(r.Data, r.Seq)
	if err != nil {
		e = alarms.Event{Seq: r.Seq, Type: unreadable, Time: alarms.Time(r.Time.UnixMilli())}
	}
	h, encodeErr := encodeEvent(e)
	if encodeErr != nil {
		return h, errors.Join(err, encodeErr)
	}
	h.at = r.Time
	return h, err
}

func encodeEvent(e alarms.Event) (happening, error) {
	h := happening{event: e, alarmJSON: json.RawMessage("null")}
	if e.Alarm.ID != "" {
		h.alarmJSON = encodeAlarm(&e.Alarm)
	}
	head, err := json.Marshal(shown{e.Seq, e.ID, e.Type, e.Time, e.By, e.Note, e.Input})
	if err != nil {
		return h, fmt.Errorf("encode event %d: %w", e.Seq, err)
	}
	text := make([]byte, 0, len(head)+len(h.alarmJSON)+16)
	text = append(append(text, `{"e":`...), head[:len(head)-1]...)
	text = append(append(text, `,"alarm":`...), h.alarmJSON...)
	text = append(text, "}}"...)
	h.frame = &frame{seq: e.Seq, alarm: e.Alarm.ID, text: text}
	return h, nil
}

// encodeAlarm never fails: an alarm holds nothing JSON cannot say except numbers
// that are none, and those are left out.
func encodeAlarm(a *alarms.Alarm) json.RawMessage {
	c := *a
	if c.Flags == nil {
		c.Flags = noFlags
	}
	if c.Contacts == nil {
		c.Contacts = noContacts
	}
	text, err := json.Marshal(&c)
	if err != nil {
		c.Value, c.Limit = nil, nil
		if text, err = json.Marshal(&c); err != nil {
			return json.RawMessage("null")
		}
	}
	return text
}

// clientFrame is one message of the page; exactly one of its parts is set.
type clientFrame struct {
	Hello *clientHello
	Seen  *clientSeen
	Watch []string // nil: not a watch frame
}

// clientHello says where the page is.
type clientHello struct {
	Epoch   string `json:"epoch"`
	Seq     uint64 `json:"seq"`
	Build   string `json:"build"`
	Mode    string `json:"mode"`
	Sound   bool   `json:"sound"`
	Visible bool   `json:"visible"`
	Token   string `json:"token"`
}

// clientSeen says what the page has applied, and whether people can see and
// hear it.
type clientSeen struct {
	Seen    uint64
	Visible *bool // nil: as before
	Sound   *bool
}

// Limits of what a page may send.
const (
	maxClientFrame = 64 << 10
	maxWatch       = 256
	maxWord        = 64
)

// parseClientFrame reads what a page sent. Keys it does not know are ignored, so
// that an older gateway bears a newer page.
func parseClientFrame(text []byte) (clientFrame, error) {
	var in struct {
		Hello   *clientHello `json:"hello"`
		Seen    *uint64      `json:"seen"`
		Visible *bool        `json:"visible"`
		Sound   *bool        `json:"sound"`
		Watch   *[]string    `json:"watch"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return clientFrame{}, fmt.Errorf("not a frame: %w", err)
	}
	switch {
	case in.Hello != nil:
		h := in.Hello
		if len(h.Epoch) > maxWord || len(h.Build) > maxWord || len(h.Mode) > maxWord || len(h.Token) > maxToken {
			return clientFrame{}, errors.New("hello: a field is too long")
		}
		return clientFrame{Hello: h}, nil
	case in.Watch != nil:
		watch := append([]string{}, *in.Watch...)
		if len(watch) > maxWatch {
			return clientFrame{}, fmt.Errorf("watch: %d devices, at most %d", len(watch), maxWatch)
		}
		for _, key := range watch {
			if len(key) > 2*maxWord+1 || !strings.Contains(key, "/") {
				return clientFrame{}, fmt.Errorf("watch: %.140q is not site/device", key)
			}
		}
		return clientFrame{Watch: watch}, nil
	case in.Seen != nil:
		return clientFrame{Seen: &clientSeen{Seen: *in.Seen, Visible: in.Visible, Sound: in.Sound}}, nil
	}
	return clientFrame{}, nil
}
