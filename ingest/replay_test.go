package ingest_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/ingest"
)

// TestReplayKeepsWhatItWas: a replayed message goes through an entry and still
// knows where and when it came first, and whose it was.
func TestReplayKeepsWhatItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := ingest.Message{
			Kind: ingest.Publish, Source: "s", Client: "c", User: rapid.String().Draw(t, "user"),
			Topic: rapid.String().Draw(t, "topic"), Payload: []byte(rapid.String().Draw(t, "payload")), QoS: 1, Dup: true, PacketID: 7,
		}
		from := ingest.Origin{
			Position: rapid.Uint64().Draw(t, "position"), Index: rapid.IntRange(0, 1<<20).Draw(t, "index"),
			Received: time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "received")).UTC(),
		}
		again := ingest.Replay(&m, from)
		again.Received = time.UnixMilli(5e12).UTC()
		err := ingest.DecodeEntry(ingest.AppendMessage(nil, &again), func(_ int, x *ingest.Message) error {
			o, user, err := x.Origin()
			if err != nil || o != from || user != m.User || x.Topic != m.Topic || string(x.Payload) != string(m.Payload) || x.Dup || x.Kind.Counted() {
				t.Fatalf("%+v from %+v of %q (%v)", x, o, user, err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzOrigin(f *testing.F) {
	f.Add("1 2 3 user")
	f.Add("1 2")
	f.Fuzz(func(t *testing.T, user string) {
		m := ingest.Message{User: user}
		if o, was, err := m.Origin(); err == nil {
			again := ingest.Replay(&ingest.Message{User: was}, o)
			if back, _, err := again.Origin(); err != nil || back != o {
				t.Errorf("%+v became %+v (%v)", o, back, err)
			}
		}
	})
}
