package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"fengsui/ingest"
	"fengsui/ingest/broker"
)

func TestAcknowledgedOnlyWhenOnDiskAndInOrder(t *testing.T) {
	for _, version := range []byte{3, 4, 5} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			log := &memoryLog{gate: make(chan error, 1000)}
			g := startWith(t, broker.Options{}, log)
			log.gate <- nil
			log.awaitLine(t, "up embedded") // or it might share the entry of what follows
			d := connectVersion(t, g, version)
			log.gate <- nil // its Connect
			log.awaitLine(t, "connect d")

			d.send(d.publish("a", 1, 7, "one"), d.publish("a", 2, 8, "two"), d.publish("a", 1, 9, "three"))
			d.ping() // all three were read, and nothing was acknowledged
			log.gate <- nil
			log.gate <- nil
			log.gate <- nil
			d.expect(0x40, 2, 0, 7)
			d.expect(0x50, 2, 0, 8)
			d.expect(0x40, 2, 0, 9)
			d.send([]byte{0x62, 2, 0, 8})
			d.expect(0x70, 2, 0, 8)
			close(log.gate)
			want := []string{"up embedded", "connect d", "publish d a one", "publish d a two", "publish d a three"}
			if got := lines(log.all()); !slices.Equal(got, want) {
				t.Errorf("the log holds %q, want %q", got, want)
			}
		})
	}
}

// connectVersion connects with MQTT 3.1 (version 3), 3.1.1 or 5.
func connectVersion(t *testing.T, g *gateway, version byte) *device {
	t.Helper()
	if version > 3 {
		return connect(t, g.address(), hello{client: "d", version: version})
	}
	c, err := net.Dial("tcp", g.address())
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, c, 3)
	d.send(packet(0x10, slices.Concat(text("MQIsdp"), []byte{3, 2, 0, 0}, text("d"))))
	d.expect(0x20, 2, 0, 0)
	return d
}

func TestMessageArrivesAsItWasSent(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}})
	d := connect(t, g.address(), hello{client: "meter", user: "s1", password: "secret"})
	retainedDuplicate := d.publish("v1/s1/meter/telemetry", 1, 258, "{}")
	retainedDuplicate[0] |= 8 | 1
	d.send(retainedDuplicate)
	d.expect(0x40, 2, 1, 2)
	ms := g.log.all()
	got := ms[len(ms)-1]
	got.Received = time.Time{}
	want := ingest.Message{Kind: ingest.Publish, Source: "embedded", Client: "meter", User: "s1", Topic: "v1/s1/meter/telemetry",
		Payload: []byte("{}"), QoS: 1, Retained: true, Dup: true, PacketID: 258}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("the log holds\n%+v, want\n%+v", got, want)
	}
}

func TestMessagesMayFollowConnectAtOnce(t *testing.T) {
	g := start(t, broker.Options{})
	c, err := net.Dial("tcp", g.address())
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, c, 4)
	d.send(hello{client: "d", version: 4}.packet(), d.publish("t", 1, 1, "x"), d.publish("t", 0, 0, "y"))
	d.expect(0x20, 2, 0, 0)
	d.expect(0x40, 2, 0, 1)
	g.log.awaitLine(t, "publish d t y")
}

func TestFailedAppendDropsTheConnectionUnacknowledged(t *testing.T) {
	log := &memoryLog{gate: make(chan error, 2)}
	g := startWith(t, broker.Options{}, log)
	log.gate <- nil
	log.awaitLine(t, "up embedded") // or it might share the entry of what follows
	d := connect(t, g.address(), hello{client: "d", will: "offline", willTopic: "status"})
	log.gate <- nil
	log.awaitLine(t, "connect d")
	d.send(d.publish("t", 1, 1, "lost"))
	d.ping()
	full := errors.New("no space left on device")
	log.gate <- full
	d.expectEnd(0x40)
	if err := <-g.failed; err != full {
		t.Errorf("the Receiver ended with %v", err)
	}
	if s := g.stats(); s.Received != 1 || s.Refused[ingest.RefusedLogFailed] != 1 {
		t.Errorf("books: %+v; the will of a client we dropped is not to be published", s)
	}
}

func TestClientThatReadsNothingDelaysNobody(t *testing.T) {
	g := start(t, broker.Options{AckTimeout: 2 * time.Second})
	deaf := connect(t, g.address(), hello{client: "deaf", will: "offline", willTopic: "status"})
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		// Each PUBREL is answered as well, and fills the socket without filling the log.
		block := append(deaf.publish("t", 1, 1, ""), bytes.Repeat([]byte{0x62, 2, 0, 1}, 10_000)...)
		for {
			if _, err := deaf.Write(block); err != nil {
				return // dropped
			}
		}
	}()
	other := connect(t, g.address(), hello{client: "other"})
	for id := uint16(1); ; id = id%65535 + 1 {
		other.send(other.publish("t", 1, id, ""))
		other.expect(0x40, 2, byte(id>>8), byte(id))
		select {
		case <-flood:
			ms := g.log.await(t, "the will of the deaf client", func(ms []ingest.Message) bool {
				return slices.ContainsFunc(ms, func(m ingest.Message) bool { return line(m) == "will deaf status offline" })
			})
			for _, m := range ms {
				if m.Kind == ingest.Disconnect && !strings.HasPrefix(m.Topic, "the other side has not read for 2s what it was sent") {
					t.Errorf("the log holds %q", line(m))
				}
			}
			return
		default:
		}
	}
}

func TestForeignTopicIsRefusedAndRemembered(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}})
	five := connect(t, g.address(), hello{client: "five", user: "s1", password: "secret", version: 5})
	five.send(
		five.publish("v1/s2/x/telemetry", 1, 1, ""),
		five.publish("v1/s1/x/telemetry", 1, 2, "mine"),
		five.publish("v1/s2/x/telemetry", 2, 3, ""),
		five.publish("v1/s2/x/telemetry", 0, 0, ""),
		five.publish("v1/s1/x/telemetry", 1, 4, "mine"),
	)
	five.expect(0x40, 3, 0, 1, 0x87)
	five.expect(0x40, 2, 0, 2)
	five.expect(0x50, 3, 0, 3, 0x87)
	five.expect(0x40, 2, 0, 4)

	four := connect(t, g.address(), hello{client: "four", user: "s1", password: "secret"})
	four.send(four.publish("v1/s1/x/telemetry", 1, 1, "mine"), four.publish("v1/s2/x/telemetry", 1, 2, ""))
	four.expect(0x40, 2, 0, 1) // what was kept is acknowledged all the same
	four.expectEnd(0x40)
	g.log.awaitLine(t, "disconnect four: s1 may not publish to v1/s2/x/telemetry")

	if s := g.stats(); s.Received != 7 || s.Kept != 3 || s.Refused[broker.RefusedNotAuthorized] != 4 {
		t.Errorf("books: %+v", s)
	}
	all := g.Refusals()
	if len(all) != 2 || all[1].Client != "five" || all[1].Count != 3 || all[1].First.After(all[1].Time) {
		t.Fatalf("remembered: %+v, want three of one and then one of the other", all)
	}
	f := all[0]
	if f.Client != "four" || f.User != "s1" || f.Action != broker.Publish || f.Topic != "v1/s2/x/telemetry" || f.Code != broker.RefusedNotAuthorized ||
		f.Remote != four.LocalAddr().String() || f.Reason != "s1 may not publish to v1/s2/x/telemetry" || f.Count != 1 || f.Time.IsZero() {
		t.Errorf("remembered: %+v", f)
	}
}

func TestTopicsThatAreNoneAreRefused(t *testing.T) {
	g := start(t, broker.Options{})
	for _, topic := range []string{"", "a/+", "a/#", "a\x00b", "\xff\xfe"} {
		d := connect(t, g.address(), hello{client: "d", version: 5})
		d.send(d.publish(topic, 1, 1, ""))
		d.expect(0x40, 3, 0, 1, 0x90)
		d.goodbye()
	}
	if s := g.stats(); s.Received != 5 || s.Refused[broker.RefusedBadTopic] != 5 {
		t.Errorf("books: %+v", s)
	}
}

// What a client says may be long and no text; what is remembered of it is neither.
func TestRefusalsAreShortText(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}})
	d := connect(t, g.address(), hello{client: "d", user: "s1", password: "secret", version: 5})
	d.send(d.publish("v1/s2/"+strings.Repeat("站", 20_000), 1, 1, ""), d.publish("a"+strings.Repeat("\xff", 60_000), 1, 2, ""))
	d.expect(0x40, 3, 0, 1, 0x87)
	d.expect(0x40, 3, 0, 2, 0x90)
	for _, f := range g.Refusals() {
		if len(f.Topic) > 300 || len(f.Reason) > 300 || !utf8.ValidString(f.Topic) || !utf8.ValidString(f.Reason) {
			t.Errorf("remembered: %+v", f)
		}
	}
	d.send(d.publish("v1/s1/d/telemetry", 1, 3, "x"))
	d.expect(0x40, 2, 0, 3)
}

func TestTooBigIsRefusedWithTheReason(t *testing.T) {
	g := start(t, broker.Options{})
	d := dial(t, g.address(), hello{client: "five", version: 5})
	_, connack := d.read()
	if limit := []byte{0x27, 0x00, 0x10, 0x04, 0x00}; !bytes.Contains(connack, limit) {
		t.Errorf("CONNACK %x does not tell the Maximum Packet Size %x", connack, limit)
	}
	big := strings.Repeat("x", 10<<20)
	d.send(d.publish("t", 1, 1, "small"), d.publish("t", 1, 2, big))
	d.expect(0x40, 2, 0, 1)
	first, body := d.read()
	if first != 0xe0 || body[0] != 0x95 || !strings.Contains(string(body), "too big; at most 1048576 are taken") {
		t.Errorf("got %x %q, want a DISCONNECT with 0x95 and the limit", first, body)
	}

	four := connect(t, g.address(), hello{client: "four"})
	four.send(four.publish("t", 1, 2, big))
	four.expectEnd(0x40)
	g.log.awaitLine(t, "disconnect four: a message of 10485765 bytes is too big; at most 1048576 are taken")
	if s := g.stats(); s.Received != 3 || s.Kept != 1 || s.Refused[broker.RefusedTooBig] != 2 {
		t.Errorf("books: %+v", s)
	}
}

func TestLargePayloadWithinTheLimitIsKept(t *testing.T) {
	g := start(t, broker.Options{MaxPayload: ingest.LargestPayload})
	d := connect(t, g.address(), hello{client: "d"})
	big := strings.Repeat("x", ingest.LargestPayload)
	d.send(d.publish("t", 1, 1, big), d.publish("t", 1, 2, "small"))
	d.expect(0x40, 2, 0, 1)
	d.expect(0x40, 2, 0, 2)
	ms := g.log.all()
	if string(ms[len(ms)-2].Payload) != big || string(ms[len(ms)-1].Payload) != "small" {
		t.Error("the payloads on disk are not those sent")
	}
}

func TestWills(t *testing.T) {
	h := hello{client: "d", will: "offline", willTopic: "v1/s/d/status"}
	five := h
	five.version, five.sessionFor, five.willDelay = 5, 3600, 1
	for _, c := range []struct {
		name  string
		hello hello
		end   func(g *gateway, d *device)
		want  string // what stands before the marker in the log
	}{
		{"a client that crashes", h, func(_ *gateway, d *device) { _ = d.Close() }, "will d v1/s/d/status offline"},
		{"a client that falls silent", hello{client: "d", will: "offline", willTopic: "v1/s/d/status", keepalive: 1},
			func(_ *gateway, d *device) { d.expectEnd(0) }, "will d v1/s/d/status offline"},
		{"a malformed packet", h, func(_ *gateway, d *device) { d.send([]byte{0x36, 0}); d.expectEnd(0) }, "disconnect d: malformed MQTT packet: PUBLISH with QoS 3"},
		{"a client that says goodbye", h, func(_ *gateway, d *device) { d.goodbye() }, "disconnect d: disconnected"},
		{"a client we send away", h, func(g *gateway, d *device) { g.Disconnect("", "revoked"); d.expectEnd(0) }, "disconnect d: revoked"},
		{"MQTT 5: with delay", five, func(_ *gateway, d *device) { _ = d.Close() }, "will d v1/s/d/status offline"},
		{"MQTT 5: delay without a session", hello{client: "d", version: 5, will: "offline", willTopic: "v1/s/d/status", willDelay: 3600},
			func(_ *gateway, d *device) { _ = d.Close() }, "will d v1/s/d/status offline"},
		{"MQTT 5: disconnect with will", five, func(_ *gateway, d *device) { d.send([]byte{0xe0, 1, 4}); d.expectEnd(0) }, "will d v1/s/d/status offline"},
		{"MQTT 5: goodbye", five, func(_ *gateway, d *device) { d.goodbye() }, "disconnect d: disconnected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, broker.Options{})
			c.end(g, connect(t, g.address(), c.hello))
			g.log.awaitLine(t, c.want)
			g.stop()
			ms := lines(g.log.all())
			if before := ms[len(ms)-2]; before != c.want {
				t.Errorf("the last before the end is %q, want %q", before, c.want)
			}
			if !strings.HasPrefix(ms[2], "disconnect d: ") {
				t.Errorf("the log holds %q, want the disconnect before the will", ms)
			}
		})
	}
}

func TestDelayedWillIsDroppedWhenTheClientIsBack(t *testing.T) {
	g := start(t, broker.Options{})
	h := hello{client: "back", version: 5, will: "offline", willTopic: "status", willDelay: 1, sessionFor: 3600}
	_ = connect(t, g.address(), h).Close()
	g.log.awaitLine(t, "disconnect back: the connection was closed without a DISCONNECT")
	connect(t, g.address(), h)
	h.client = "gone" // later than the other, so its will is due later
	_ = connect(t, g.address(), h).Close()
	g.log.awaitLine(t, "will gone status offline")
	if got := lines(g.log.all()); slices.Contains(got, "will back status offline") {
		t.Errorf("the log holds %q, want no will of a client that is back", got)
	}
}

func TestStopDropsWillsThatWait(t *testing.T) {
	g := start(t, broker.Options{})
	h := hello{client: "d", version: 5, will: "offline", willTopic: "status", willDelay: 3600, sessionFor: 3600}
	_ = connect(t, g.address(), h).Close()
	g.log.awaitLine(t, "disconnect d: the connection was closed without a DISCONNECT")
	g.stop() // would hang on a timer that was not stopped
	want := []string{"up embedded", "connect d", "disconnect d: the connection was closed without a DISCONNECT", "down embedded: the gateway is stopping"}
	if got := lines(g.log.all()); !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

func TestForeignWillIsRefused(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}})
	d := connect(t, g.address(), hello{client: "d", user: "s1", password: "secret", will: "offline", willTopic: "v1/s2/d/status"})
	_ = d.Close()
	if f := g.awaitRefusals(t, 1); f[0].Reason != "s1 may not publish its last will to v1/s2/d/status" {
		t.Errorf("remembered: %+v", f)
	}
	if s := g.stats(); s.Received != 1 || s.Refused[broker.RefusedNotAuthorized] != 1 {
		t.Errorf("books: %+v", s)
	}
}

func TestTakenOverConnectionEndsBeforeTheNextBegins(t *testing.T) {
	g := start(t, broker.Options{})
	h := hello{client: "d", will: "offline", willTopic: "status"}
	first := connect(t, g.address(), h)
	first.ping() // is answered when the connect is journaled
	second := connect(t, g.address(), h)
	second.ping()
	first.expectEnd(0)
	third := connect(t, g.address(), h)
	third.goodbye()
	g.stop()
	want := []string{
		"up embedded",
		"connect d", "disconnect d: the client connected again",
		"connect d", "disconnect d: the client connected again",
		"connect d", "disconnect d: disconnected",
		"down embedded: the gateway is stopping",
	}
	if got := lines(g.log.all()); !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// Of many connections with one client id, the one that came last stays, and the
// log tells one after the other.
func TestOneOfManyConnectionsStays(t *testing.T) {
	g := start(t, broker.Options{})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			c, err := net.Dial("tcp", g.address())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = c.Write(hello{client: "d", version: 4}.packet())
			_, _ = io.ReadFull(c, make([]byte, 4)) // it may be thrown out before
		})
	}
	wg.Wait()
	last := connect(t, g.address(), hello{client: "d"})
	last.ping()
	if n := g.Connected(); n != 1 {
		t.Errorf("%d connected, want 1", n)
	}
	last.goodbye()
	g.stop()
	connected := false
	for _, m := range g.log.all() {
		switch m.Kind {
		case ingest.Connect, ingest.Disconnect:
			if connected == (m.Kind == ingest.Connect) {
				t.Fatalf("the log holds %q", lines(g.log.all()))
			}
			connected = !connected
		}
	}
	if len(g.Refusals()) != 0 {
		t.Errorf("remembered as refused: %+v", g.Refusals())
	}
}

func TestStopAcknowledgesWhatWasReceivedAndSaysSo(t *testing.T) {
	log := &memoryLog{gate: make(chan error, 10)}
	g := startWith(t, broker.Options{}, log)
	log.gate <- nil
	d := connect(t, g.address(), hello{client: "d", version: 5, will: "offline", willTopic: "status"})
	log.gate <- nil
	log.awaitLine(t, "connect d")
	d.send(d.publish("t", 1, 1, "x"))
	d.ping()
	stopped := make(chan struct{})
	go func() { g.stop(); close(stopped) }()
	for g.refusesConnections() {
		// The listener is closed first; then the connections are interrupted.
	}
	close(log.gate)
	d.expect(0x40, 2, 0, 1)
	first, body := d.read()
	if first != 0xe0 || body[0] != 0x8b || !strings.Contains(string(body), "the gateway is stopping") {
		t.Errorf("got %x %q, want a DISCONNECT with 0x8b", first, body)
	}
	_ = d.Close()
	<-stopped
	want := []string{"up embedded", "connect d", "publish d t x", "down embedded: the gateway is stopping"}
	if got := lines(log.all()); !slices.Equal(got, want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}

// refusesConnections is false as soon as nobody listens any more.
func (g *gateway) refusesConnections() bool {
	c, err := net.Dial("tcp", g.address())
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func TestSubscriptions(t *testing.T) {
	filters := []string{
		"v1/s1/d/feedback", "v1/s1/+/command", "alarms/#", "alarms/s1/+",
		"v1/s2/d/feedback", "v1/s1/d/telemetry", "#", "v1/#", "v1/s1/#", "$SYS/#", "$share/g/alarms/#", "alarms",
	}
	for _, c := range []struct{ version, refused byte }{{4, 0x80}, {5, 0x87}} {
		t.Run(fmt.Sprint("version ", c.version), func(t *testing.T) {
			g := start(t, broker.Options{Authorizer: owners{}})
			d := connect(t, g.address(), hello{client: "d", user: "s1", password: "secret", version: c.version})
			d.send(d.subscribe(filters...))
			first, body := d.read()
			want := append([]byte{1, 1, 1, 1}, bytes.Repeat([]byte{c.refused}, 8)...)
			if first != 0x90 || !bytes.HasSuffix(body, want) {
				t.Errorf("SUBACK %x %x, want it to end with %x", first, body, want)
			}
			if n := len(g.Refusals()); n != 8 {
				t.Errorf("%d refusals remembered, want 8", n)
			}
			if f := g.Refusals()[7]; f.Topic != "v1/s2/d/feedback" || f.Reason != "s1 may not subscribe to v1/s2/d/feedback" {
				t.Errorf("the first refusal: %+v", f)
			}
			if f := g.Refusals()[0]; !strings.Contains(f.Reason, "this broker only delivers") {
				t.Errorf("the last refusal: %+v", f)
			}
		})
	}
}

func TestDeliver(t *testing.T) {
	g := start(t, broker.Options{})
	if err := g.Deliver("alarms/s1/7", []byte("retained"), true); err != nil {
		t.Fatal(err)
	}
	d := connect(t, g.address(), hello{client: "d"})
	d.send(d.subscribe("v1/s1/d/feedback", "alarms/#"))
	d.expect(0x90, 4, 0, 9, 1, 1)
	if first, body := d.read(); first != 0x33 || string(body[2:13]) != "alarms/s1/7" || !bytes.HasSuffix(body, []byte("retained")) {
		t.Errorf("got %x %q, want the retained alarm", first, body)
	}
	d.send([]byte{0x40, 2, 0, 1})
	other := connect(t, g.address(), hello{client: "other"})
	other.send(other.publish("v1/s1/d/feedback", 1, 1, "forged"))
	other.expect(0x40, 2, 0, 1)
	if err := g.Deliver("v1/s1/d/feedback", []byte("unknown_field"), false); err != nil {
		t.Fatal(err)
	}
	if first, body := d.read(); first != 0x32 || !bytes.HasSuffix(body, []byte("unknown_field")) {
		t.Errorf("got %x %q, want the feedback and nothing of what clients publish", first, body)
	}
}

func TestRetainedFlood(t *testing.T) {
	const n = 3000
	g := start(t, broker.Options{})
	d := connect(t, g.address(), hello{client: "d"})
	var flood []byte
	for i := range n {
		p := d.publish(fmt.Sprintf("alarms/%d", i), 1, uint16(i+1), "mine")
		p[0] |= 1
		flood = append(flood, p...)
	}
	d.send(flood)
	for i := range n {
		d.expect(0x40, 2, byte((i+1)>>8), byte(i+1))
	}
	if s := g.stats(); s.Kept != n {
		t.Errorf("books: %+v", s)
	}
	d.send(d.subscribe("alarms/#"))
	d.expect(0x90, 3, 0, 9, 1)
	d.ping() // and nothing of the flood came back
}

func TestPause(t *testing.T) {
	g := start(t, broker.Options{})
	five := connect(t, g.address(), hello{client: "five", version: 5})
	four := connect(t, g.address(), hello{client: "four"})
	idle := connect(t, g.address(), hello{client: "idle"})
	g.Pause("the disk is full")
	five.send(five.publish("t", 1, 1, ""), five.publish("t", 0, 0, ""))
	five.expect(0x40, 3, 0, 1, 0x97)
	five.ping()
	idle.ping()
	late := dial(t, g.address(), hello{client: "late", version: 5})
	if first, body := late.read(); first != 0x20 || body[1] != 0x97 || !bytes.Contains(body, []byte("the disk is full")) {
		t.Errorf("CONNACK at a pause: %x %x", first, body)
	}
	if f := g.awaitRefusals(t, 1)[0]; f.Code != broker.RefusedPaused || f.Reason != "the disk is full" {
		t.Errorf("remembered %+v", f)
	}
	four.send(four.publish("t", 1, 1, "waits"))
	blocked := connect(t, g.address(), hello{client: "blocked"})
	blocked.send(blocked.publish("t", 1, 1, "never"))
	_ = blocked.Close()
	if s := g.stats(); s.Received != 2 || s.Refused[broker.RefusedPaused] != 2 {
		t.Errorf("books: %+v", s)
	}
	g.Resume()
	four.expect(0x40, 2, 0, 1)
	five.send(five.publish("t", 1, 2, "goes"))
	five.expect(0x40, 2, 0, 2)
	connect(t, g.address(), hello{client: "late", version: 5})

	g.Pause("again")
	four.send(four.publish("t", 1, 3, "never"))
	g.stop() // does not wait for the end of the pause
	var told []string
	for _, m := range g.log.all() {
		if m.Kind == ingest.SourceUp || m.Kind == ingest.SourceDown {
			told = append(told, m.Topic)
		}
	}
	if want := []string{"", ingest.Paused, "", ingest.Paused, ingest.Stopping}; !slices.Equal(told, want) {
		t.Errorf("it is told to be up and down: %q, want %q", told, want)
	}
}

func TestStrangersAreRefusedAndRemembered(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}, ConnectTimeout: 200 * time.Millisecond})
	four := dial(t, g.address(), hello{client: "four", user: "s1", password: "wrong"})
	four.expect(0x20, 2, 0, 5)
	four.expectEnd(0)
	five := dial(t, g.address(), hello{client: "five", user: "s1", password: "wrong", version: 5})
	if _, body := five.read(); body[1] != 0x86 {
		t.Errorf("CONNACK %x, want 0x86", body)
	}
	five.expectEnd(0)
	early := rawDevice(t, g)
	early.send(early.publish("t", 1, 1, "before CONNECT"))
	early.expectEnd(0x40)
	browser := rawDevice(t, g)
	browser.send([]byte("GET / HTTP/1.1\r\nHost: gateway\r\n\r\n"))
	browser.expectEnd(0)
	mute := rawDevice(t, g)
	mute.expectEnd(0)
	scanner := rawDevice(t, g)
	_ = scanner.Close()

	var got []string
	for _, f := range g.awaitRefusals(t, 5) {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Client, f.User, f.Reason)))
	}
	slices.Sort(got)
	want := []string{
		"a message came before CONNECT",
		"did not say who it is within 200ms",
		"five s1 unknown user or wrong password",
		"four s1 unknown user or wrong password",
		"read connection: malformed packet: flags", // the browser
	}
	if !slices.Equal(got, want) {
		t.Errorf("remembered %q, want %q", got, want)
	}
	if s := g.stats(); s.Received != 0 {
		t.Errorf("books: %+v", s)
	}
}

func rawDevice(t *testing.T, g *gateway) *device {
	t.Helper()
	return rawDeviceAt(t, g.address())
}

func rawDeviceAt(t *testing.T, address string) *device {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newDevice(t, c, 4)
}

// The MQTT server below panics on a SUBSCRIBE of MQTT 5 that ends before its options.
func TestPacketThatTripsTheServerEndsOnlyItsConnection(t *testing.T) {
	g := start(t, broker.Options{})
	bad := connect(t, g.address(), hello{client: "bad", version: 5})
	good := connect(t, g.address(), hello{client: "good"})
	bad.send(packet(0x82, slices.Concat([]byte{0, 1, 0}, text("alarms/#"))))
	bad.expectEnd(0)
	good.send(good.publish("t", 1, 1, "x"))
	good.expect(0x40, 2, 0, 1)
	g.log.await(t, "the disconnect", func(ms []ingest.Message) bool {
		return slices.ContainsFunc(ms, func(m ingest.Message) bool { return m.Kind == ingest.Disconnect && m.Client == "bad" })
	})
}

// A credential that is revoked while its client is being let in lets nobody in.
func TestRevokedWhileConnecting(t *testing.T) {
	asked := make(chan chan error)
	g := start(t, broker.Options{Authorizer: asker{asked}})
	d := dial(t, g.address(), hello{client: "d", user: "s1", password: "secret"})
	first := <-asked
	if n := g.Disconnect("s1", "revoked"); n != 0 {
		t.Errorf("%d dropped, want none yet", n)
	}
	first <- nil // what the first answer was, before it was revoked
	again := <-asked
	again <- errors.New("revoked")
	d.expect(0x20, 2, 0, 5)
	d.expectEnd(0)

	d = dial(t, g.address(), hello{client: "d", user: "s1", password: "secret"})
	answer := <-asked
	answer <- nil
	d.expect(0x20, 2, 0, 0)
	if n := g.Disconnect("s1", "revoked"); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
	d.expectEnd(0)
}

// asker is an Authorizer that asks the test.
type asker struct{ asked chan chan error }

func (a asker) Connect(l broker.Login) (broker.Identity, error) {
	answer := make(chan error)
	a.asked <- answer
	return owner(l.User), <-answer
}

func TestPortInUseSaysWhatToDo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for address, want := range map[string]string{
		l.Addr().String(): "another program has this port",
		"192.0.2.1:1883":  "this machine does not have that address",
		"no address":      "must be host:port",
	} {
		_, err := broker.Listen(broker.Options{Listen: address, Receiver: ingest.NewReceiver(ingest.ReceiverOptions{}), Authorizer: anyone{}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("listening on %s says %v, want %q", address, err, want)
		}
	}
}

func TestMosquittoPub(t *testing.T) {
	const tool = "mosquitto_pub"
	path, err := exec.LookPath(tool)
	if err != nil {
		skipWithout(t, tool)
	}
	g := start(t, broker.Options{Authorizer: owners{}})
	host, port, _ := net.SplitHostPort(g.address())
	for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			out, err := exec.Command(path, "-h", host, "-p", port, "-V", version, "-q", qos, "-u", "s1", "-P", "secret",
				"-i", "pub", "-t", "v1/s1/d/telemetry", "-m", version+" "+qos, "--repeat", "20").CombinedOutput()
			if err != nil {
				t.Errorf("%s at QoS %s: %v: %s", version, qos, err, out)
			}
		}
	}
	g.stop()
	counts := make(map[string]int)
	for _, m := range g.log.all() {
		if m.Kind == ingest.Publish {
			counts[string(m.Payload)]++
		}
	}
	if len(counts) != 9 {
		t.Errorf("kept %v", counts)
	}
	for what, n := range counts {
		if n != 20 {
			t.Errorf("%s: kept %d of 20", what, n)
		}
	}
}

// TestMosquittoPubAtAPause: a real MQTT 5 client that comes while the disk is at
// its floor is told why, instead of being let in to lose what it has.
func TestMosquittoPubAtAPause(t *testing.T) {
	const tool = "mosquitto_pub"
	path, err := exec.LookPath(tool)
	if err != nil {
		skipWithout(t, tool)
	}
	g := start(t, broker.Options{Authorizer: owners{}})
	host, port, _ := net.SplitHostPort(g.address())
	publish := func() (string, error) {
		out, err := exec.Command(path, "-h", host, "-p", port, "-V", "mqttv5", "-q", "1", "-u", "s1", "-P", "secret",
			"-t", "v1/s1/d/telemetry", "-m", "x").CombinedOutput()
		return string(out), err
	}
	g.Pause("the disk is full")
	if out, err := publish(); err == nil || !strings.Contains(out, "Quota exceeded") {
		t.Errorf("at a pause: %v: %s", err, out)
	}
	g.Resume()
	if out, err := publish(); err != nil {
		t.Errorf("after it: %v: %s", err, out)
	}
	g.stop()
	if s := g.stats(); s.Received != 1 || s.Kept != 1 {
		t.Errorf("books: %+v", s)
	}
}

// Whatever clients do, the books balance at every moment, and at the end the log
// holds exactly what they say was kept.
func TestBooksBalanceProperty(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}, MaxPayload: 4 << 10})
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Microsecond):
				balance(t, g)
			}
		}
	}()
	client := 0
	rapid.Check(t, func(rt *rapid.T) {
		client++
		version := rapid.SampledFrom([]byte{4, 5}).Draw(rt, "version")
		d := connect(t, g.address(), hello{client: fmt.Sprint("c", client), user: "s1", password: "secret", version: version})
		defer d.Close()
		var stream []byte
		for id := range rapid.IntRange(0, 50).Draw(rt, "messages") {
			qos := rapid.ByteRange(0, 2).Draw(rt, "qos")
			topic := rapid.SampledFrom([]string{"v1/s1/d/telemetry", "v1/s1/d/status", "v1/s2/d/telemetry", "v1/s1/+"}).Draw(rt, "topic")
			size := rapid.SampledFrom([]int{0, 10, 1000, 6000}).Draw(rt, "size")
			stream = append(stream, d.publish(topic, qos, uint16(id+1), strings.Repeat("x", size))...)
		}
		_, _ = d.Write(stream) // it may have been dropped for what it sends
		if rapid.Bool().Draw(rt, "says goodbye") {
			_, _ = d.Write([]byte{0xe0, 0})
			d.expectEnd(0)
		}
	})
	close(done)
	<-watched
	g.stop()
	balance(t, g)
	s := g.stats()
	kept := uint64(0)
	for _, m := range g.log.all() {
		if m.Kind.Counted() {
			kept++
		}
	}
	if s.Kept != kept || s.InFlight != 0 {
		t.Errorf("books: %+v; the log holds %d", s, kept)
	}
	for _, reason := range []string{broker.RefusedBadTopic, broker.RefusedNotAuthorized, broker.RefusedTooBig} {
		if s.Refused[reason] == 0 {
			t.Errorf("nothing was refused as %s: the test does not test it", reason)
		}
	}
}

func balance(t *testing.T, g *gateway) {
	s := g.stats()
	sum := s.Kept + s.InFlight
	for _, n := range s.Refused {
		sum += n
	}
	if sum != s.Received {
		t.Errorf("received %d is not %+v", s.Received, s)
	}
}
