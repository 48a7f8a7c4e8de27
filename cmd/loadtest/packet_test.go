package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Another library reads what was written by hand.
func read[P packets.ControlPacket](t *testing.T, b []byte) P {
	t.Helper()
	r := bytes.NewReader(b)
	p, err := packets.ReadPacket(r)
	if err != nil {
		t.Fatalf("% x: %v", b, err)
	}
	if r.Len() > 0 {
		t.Fatalf("% x: %d bytes too many", b, r.Len())
	}
	return p.(P)
}

func TestConnectPacket(t *testing.T) {
	for _, user := range []string{"", "load-01"} {
		p := read[*packets.ConnectPacket](t, appendConnect(nil, "client", user, "secret"))
		if p.ClientIdentifier != "client" || !p.CleanSession || p.ProtocolVersion != 4 || p.Username != user {
			t.Errorf("user %q: %v", user, p)
		}
		if (user != "") != (string(p.Password) == "secret") {
			t.Errorf("user %q: password %q", user, p.Password)
		}
	}
}

func TestPublishPacket(t *testing.T) {
	for _, size := range []int{0, 1, 100, 127, 128, 20_000, 3_000_000} {
		payload := []byte(strings.Repeat("x", size))
		for qos := range byte(2) {
			p := read[*packets.PublishPacket](t, appendPublish(nil, "v1/a/b/telemetry", payload, qos, 513))
			if p.Qos != qos || p.Retain || p.Dup || p.TopicName != "v1/a/b/telemetry" || !bytes.Equal(p.Payload, payload) {
				t.Errorf("%d bytes at QoS %d: %v", size, qos, p)
			}
			if qos > 0 && p.MessageID != 513 {
				t.Errorf("packet id %d, want 513", p.MessageID)
			}
		}
	}
}

func TestSmallPackets(t *testing.T) {
	read[*packets.DisconnectPacket](t, appendDisconnect(nil))
}

func TestReadReply(t *testing.T) {
	r := bufio.NewReader(bytes.NewReader([]byte{0x20, 2, 0, 5, 0x40, 2, 0x02, 0x01, 0xD0, 0, 0x30, 9, 'x'}))
	for _, want := range []reply{
		{kind: connack, body: [2]byte{0, 5}},
		{kind: puback, body: [2]byte{2, 1}},
		{kind: 13}, // PINGRESP
	} {
		if got, err := readReply(r); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	if _, err := readReply(r); err == nil {
		t.Error("a PUBLISH was taken for an answer")
	}
	if got := (reply{body: [2]byte{2, 1}}).id(); got != 513 {
		t.Errorf("packet id %d, want 513", got)
	}
}

func TestReadingIsHouseJSON(t *testing.T) {
	at := time.UnixMilli(1782541925123)
	for n := range 1000 {
		var m struct {
			TS     int64              `json:"ts"`
			Seq    int                `json:"seq"`
			Values map[string]float64 `json:"values"`
		}
		b := appendReading(nil, at, n)
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		if m.TS != at.UnixMilli() || m.Seq != n+1 || len(m.Values) != 5 {
			t.Fatalf("%s", b)
		}
		for field, v := range m.Values {
			if v <= 0 || v >= 150 {
				t.Fatalf("%s: %v would alarm", field, v)
			}
		}
	}
}
