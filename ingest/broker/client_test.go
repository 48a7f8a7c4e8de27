package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fengsui/ingest"
	"fengsui/ingest/broker"
	"fengsui/ingest/journal"
)

// patience bounds waits that a correct gateway ends long before.
const patience = 20 * time.Second

// memoryLog is an input log whose syncs the test can hold up or fail.
type memoryLog struct {
	gate chan error // if set, each Append waits for a value and returns it

	mu       sync.Mutex
	messages []ingest.Message
	changed  chan struct{}
}

func (l *memoryLog) Append(_ context.Context, data []byte, _ int) (journal.Mark, error) {
	if l.gate != nil {
		if err := <-l.gate; err != nil {
			return journal.Mark{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return journal.Mark{}, ingest.DecodeEntry(bytes.Clone(data), func(_ int, m *ingest.Message) error {
		l.messages = append(l.messages, *m)
		return nil
	})
}

func (l *memoryLog) all() []ingest.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.messages)
}

// await waits until the log holds what is looked for.
func (l *memoryLog) await(t *testing.T, what string, found func([]ingest.Message) bool) []ingest.Message {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		if found(l.messages) {
			defer l.mu.Unlock()
			return slices.Clone(l.messages)
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the log never holds %s; it holds %s", what, tell(l.all()))
		}
	}
}

// awaitLine waits for a message that reads like this, see line.
func (l *memoryLog) awaitLine(t *testing.T, want string) {
	t.Helper()
	l.await(t, want, func(ms []ingest.Message) bool {
		return slices.ContainsFunc(ms, func(m ingest.Message) bool { return line(m) == want })
	})
}

// line tells a message in a line.
func line(m ingest.Message) string {
	switch m.Kind {
	case ingest.Publish:
		return fmt.Sprintf("publish %s %s %s", m.Client, m.Topic, m.Payload)
	case ingest.Will:
		return fmt.Sprintf("will %s %s %s", m.Client, m.Topic, m.Payload)
	case ingest.Connect:
		return "connect " + m.Client
	case ingest.Disconnect:
		return fmt.Sprintf("disconnect %s: %s", m.Client, m.Topic)
	case ingest.SourceUp:
		return "up " + m.Source
	case ingest.SourceDown:
		return fmt.Sprintf("down %s: %s", m.Source, m.Topic)
	}
	return fmt.Sprint("kind ", m.Kind)
}

func lines(ms []ingest.Message) (out []string) {
	for _, m := range ms {
		out = append(out, line(m))
	}
	return out
}

func tell(ms []ingest.Message) string {
	if len(ms) > 30 {
		return fmt.Sprintf("%d messages", len(ms))
	}
	return strings.Join(lines(ms), "\n")
}

// gateway is a broker with its Receiver and a log in memory.
type gateway struct {
	*broker.Broker
	receiver *ingest.Receiver
	log      *memoryLog
	failed   chan error // what the Receiver's Run returned
	stop     func()     // stops the broker, then the Receiver; may be called twice
}

func start(t *testing.T, o broker.Options) *gateway {
	t.Helper()
	return startWith(t, o, new(memoryLog))
}

func startWith(t *testing.T, o broker.Options, log *memoryLog) *gateway {
	t.Helper()
	g := &gateway{log: log, failed: make(chan error, 1)}
	g.receiver = ingest.NewReceiver(ingest.ReceiverOptions{Log: g.log})
	o.Listen = "127.0.0.1:0"
	o.Receiver = g.receiver
	if o.Authorizer == nil {
		o.Authorizer = anyone{}
	}
	b, err := broker.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	g.Broker = b
	serving, stopServing := context.WithCancel(context.Background())
	receiving, stopReceiving := context.WithCancel(context.Background())
	served := make(chan error, 1)
	received := make(chan struct{})
	go func() { served <- b.Run(serving) }()
	go func() { g.failed <- g.receiver.Run(receiving); close(received) }()
	g.stop = sync.OnceFunc(func() {
		stopServing()
		if err := <-served; err != nil {
			t.Error("the broker's Run:", err)
		}
		stopReceiving()
		<-received
	})
	t.Cleanup(g.stop)
	return g
}

func (g *gateway) address() string { return g.Addr().String() }

// awaitRefusals waits until so many refusals are remembered.
func (g *gateway) awaitRefusals(t *testing.T, n int) []broker.Refusal {
	t.Helper()
	for deadline := time.Now().Add(patience); len(g.Refusals()) < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("remembered %+v, want %d", g.Refusals(), n)
		}
	}
	return g.Refusals()
}

func (g *gateway) stats() ingest.SourceStats { return g.receiver.Stats()[broker.Source] }

// anyone lets everybody do everything.
type anyone struct{}

func (anyone) Connect(broker.Login) (broker.Identity, error) { return anyone{}, nil }
func (anyone) Name() string                                  { return "" }
func (anyone) MayPublish(string) bool                        { return true }
func (anyone) MayRead(string) bool                           { return true }

// owners lets a user in with the password "secret" and bounds it to
// v1/{user}/….
type owners struct{}

func (owners) Connect(l broker.Login) (broker.Identity, error) {
	if l.User == "" || string(l.Password) != "secret" {
		return nil, errors.New("unknown user or wrong password")
	}
	return owner(l.User), nil
}

type owner string

func (o owner) Name() string                 { return string(o) }
func (o owner) MayPublish(topic string) bool { return strings.HasPrefix(topic, "v1/"+string(o)+"/") }
func (o owner) MayRead(filter string) bool {
	return o.MayPublish(filter) || strings.HasPrefix(filter, "alarms/")
}

// device is an MQTT client that speaks in packets.
type device struct {
	net.Conn
	t       *testing.T
	in      *bufio.Reader
	version byte
}

type hello struct {
	client, user, password string
	version                byte // default 4
	keepalive              uint16
	keep                   bool // the session
	will, willTopic        string
	willDelay, sessionFor  uint32 // seconds, MQTT 5
}

func (h hello) packet() []byte {
	flags := byte(0)
	if !h.keep {
		flags |= 2
	}
	tail := text(h.client)
	if h.will != "" {
		flags |= 4 | 1<<3
		if h.version == 5 {
			tail = append(tail, 5, 0x18)
			tail = binary.BigEndian.AppendUint32(tail, h.willDelay)
		}
		tail = slices.Concat(tail, text(h.willTopic), text(h.will))
	}
	if h.user != "" {
		flags |= 0x80
		tail = append(tail, text(h.user)...)
	}
	if h.password != "" {
		flags |= 0x40
		tail = append(tail, text(h.password)...)
	}
	body := append(text("MQTT"), h.version, flags)
	body = binary.BigEndian.AppendUint16(body, h.keepalive)
	if h.version == 5 {
		body = append(body, 5, 0x11)
		body = binary.BigEndian.AppendUint32(body, h.sessionFor)
	}
	return packet(0x10, append(body, tail...))
}

// dial connects and sends a CONNECT, without waiting for the answer.
func dial(t *testing.T, address string, h hello) *device {
	t.Helper()
	if h.version == 0 {
		h.version = 4
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, c, h.version)
	d.send(h.packet())
	return d
}

func newDevice(t *testing.T, c net.Conn, version byte) *device {
	t.Cleanup(func() { _ = c.Close() })
	return &device{Conn: c, t: t, in: bufio.NewReader(c), version: version}
}

// skipWithout skips a test for want of a real part, unless all must be there.
func skipWithout(t *testing.T, part string) {
	t.Helper()
	if os.Getenv("FENGSUI_REAL") == "1" {
		t.Fatalf("%s is not installed, and FENGSUI_REAL=1 wants it", part)
	}
	t.Skipf("%s is not installed", part)
}

// connect connects and is let in.
func connect(t *testing.T, address string, h hello) *device {
	t.Helper()
	d := dial(t, address, h)
	first, body := d.read()
	if first != 0x20 || body[1] != 0 {
		t.Fatalf("CONNACK %x %x", first, body)
	}
	return d
}

func (d *device) send(packets ...[]byte) {
	d.t.Helper()
	if _, err := d.Write(slices.Concat(packets...)); err != nil {
		d.t.Fatal("send:", err)
	}
}

// read returns the next packet.
func (d *device) read() (first byte, body []byte) {
	d.t.Helper()
	first, body, err := d.next()
	if err != nil {
		d.t.Fatal("read:", err)
	}
	return first, body
}

func (d *device) next() (first byte, body []byte, err error) {
	_ = d.SetReadDeadline(time.Now().Add(patience))
	if first, err = d.in.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(d.in)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, n)
	_, err = io.ReadFull(d.in, body)
	return first, body, err
}

// expect reads a packet and compares it.
func (d *device) expect(want ...byte) {
	d.t.Helper()
	first, body := d.read()
	if got := packet(first, body); !bytes.Equal(got, want) {
		d.t.Fatalf("got %x, want %x", got, want)
	}
}

// expectEnd reads until the connection ends, and fails if a packet of the given
// type comes before.
func (d *device) expectEnd(not byte) {
	d.t.Helper()
	for {
		first, body, err := d.next()
		if err != nil {
			var slow net.Error
			if errors.As(err, &slow) && slow.Timeout() {
				d.t.Fatal("the connection does not end")
			}
			return
		}
		if first == not {
			d.t.Fatalf("got %x before the end of the connection", packet(first, body))
		}
	}
}

// ping proves that everything sent before was read.
func (d *device) ping() {
	d.t.Helper()
	d.send([]byte{0xc0, 0})
	d.expect(0xd0, 0)
}

// goodbye disconnects in good order.
func (d *device) goodbye() {
	d.t.Helper()
	d.send([]byte{0xe0, 0})
	d.expectEnd(0)
}

// publish encodes a PUBLISH for the device's version.
func (d *device) publish(topic string, qos byte, id uint16, payload string) []byte {
	if d.version < 5 {
		return publishPacket(topic, qos, id, []byte(payload))
	}
	body := text(topic)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return packet(0x30|qos<<1, append(append(body, 0), payload...))
}

// subscribe encodes a SUBSCRIBE at QoS 1 with packet id 9.
func (d *device) subscribe(filters ...string) []byte {
	body := []byte{0, 9}
	if d.version == 5 {
		body = append(body, 0)
	}
	for _, f := range filters {
		body = append(append(body, text(f)...), 1)
	}
	return packet(0x82, body)
}

func packet(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

func publishPacket(topic string, qos byte, id uint16, payload []byte) []byte {
	body := text(topic)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return packet(0x30|qos<<1, append(body, payload...))
}
