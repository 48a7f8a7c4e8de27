package ingest_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/ingest"
)

func sampleMessages() []ingest.Message {
	at := time.UnixMilli(1782541925123).UTC()
	return []ingest.Message{
		{Kind: ingest.Started, Received: at, Source: "gateway", Payload: []byte{}},
		{Kind: ingest.Publish, Received: at, Source: "embedded", Client: "meter-7", User: "site-3", Topic: "v1/site-3/meter-7/telemetry",
			Payload: []byte(`{"values":{"gas_lel_pct":12.6}}`), QoS: 1, Dup: true, PacketID: 65535},
		{Kind: ingest.Will, Received: at, Source: "embedded", Client: "meter-7", Topic: "v1/site-3/meter-7/status", Payload: []byte("offline"), QoS: 2, Retained: true},
		{Kind: ingest.SourceDown, Received: time.UnixMilli(-1).UTC(), Source: "county", Topic: "连接中断", Payload: []byte{}},
	}
}

func encode(messages []ingest.Message) []byte {
	var entry []byte
	for i := range messages {
		entry = ingest.AppendMessage(entry, &messages[i])
	}
	return entry
}

func decode(entry []byte) ([]ingest.Message, error) {
	var out []ingest.Message
	err := ingest.DecodeEntry(entry, func(i int, m *ingest.Message) error {
		if i != len(out) {
			return errors.New("messages are not numbered from 0")
		}
		out = append(out, *m)
		return nil
	})
	return out, err
}

func TestEntryComesBackAsItWas(t *testing.T) {
	want := sampleMessages()
	got, err := decode(encode(want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%+v, want\n%+v", got, want)
	}
}

func TestEntryRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(drawMessage)).Draw(t, "messages")
		got, err := decode(encode(want))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded\n%+v, want\n%+v", got, want)
		}
	})
}

func drawMessage(t *rapid.T) ingest.Message {
	return ingest.Message{
		Kind:     ingest.MessageKind(rapid.IntRange(int(ingest.Publish), int(ingest.Replayed)).Draw(t, "kind")),
		Received: time.UnixMilli(rapid.Int64Range(-1e15, 1e15).Draw(t, "received")).UTC(),
		Source:   rapid.String().Draw(t, "source"),
		Client:   rapid.String().Draw(t, "client"),
		User:     rapid.String().Draw(t, "user"),
		Topic:    rapid.String().Draw(t, "topic"),
		Payload:  append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "payload")...),
		QoS:      rapid.ByteRange(0, 2).Draw(t, "qos"),
		Retained: rapid.Bool().Draw(t, "retained"),
		Dup:      rapid.Bool().Draw(t, "dup"),
		PacketID: rapid.Uint16().Draw(t, "packet id"),
	}
}

func TestDamagedEntriesSayWhatIsWrong(t *testing.T) {
	one := encode(sampleMessages()[1:2])
	for _, c := range []struct {
		name  string
		entry []byte
		want  string
	}{
		{"unknown kind", []byte{0x0f}, "kind 15 is unknown"},
		{"kind zero", append([]byte{0x00}, one[1:]...), "kind 0 is unknown"},
		{"qos three", append([]byte{one[0] | 0x30}, one[1:]...), "QoS 3 does not exist"},
		{"head alone", one[:1], "received time at byte 1 is cut off"},
		{"cut in the payload", one[:len(one)-1], "payload is 31 bytes long, of which 30 are there"},
		{"cut in a name", one[:14], "source is 8 bytes long"},
		{"damage in the second", append(bytes.Clone(one), 0x0f), "decode message 1 of an entry"},
		{"packet id too large", []byte{0x01, 0x00, 0x80, 0x80, 0x04, 0, 0, 0, 0, 0}, "packet id 65536 is above 65535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(c.entry)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("decoding says %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestDecodeEntryEndsWithTheCallersError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := ingest.DecodeEntry(encode(sampleMessages()), func(int, *ingest.Message) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("%d calls and error %v, want 1 and the caller's own", calls, err)
	}
}

// Whatever decodes is a message list, and encodes to one that decodes the same.
func FuzzDecodeEntry(f *testing.F) {
	all := sampleMessages()
	f.Add([]byte{})
	f.Add(encode(all))
	f.Add(encode(all)[:40])
	for i := range all {
		f.Add(encode(all[i : i+1]))
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		first, err := decode(entry)
		if err != nil {
			return
		}
		second, err := decode(encode(first))
		if err != nil {
			t.Fatalf("what was decoded encodes to an entry that does not decode: %v", err)
		}
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("decoded\n%+v, after another round\n%+v", first, second)
		}
	})
}

func BenchmarkDecodeEntry(b *testing.B) {
	m := sampleMessages()[1]
	var entry []byte
	n := 0
	for ; len(entry) < 256<<10; n++ {
		entry = ingest.AppendMessage(entry, &m)
	}
	b.ReportAllocs()
	for done := 0; done < b.N; done += n {
		if err := ingest.DecodeEntry(entry, func(int, *ingest.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
