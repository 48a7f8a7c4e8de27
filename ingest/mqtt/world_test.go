package mqtt_test

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
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/ingest/mqtt"
)

func TestMain(m *testing.M) {
	if work := os.Getenv("FENGSUI_BENCH_BROKER"); work != "" {
		os.Exit(benchBroker(work))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds waits that a correct source ends long before.
const patience = 30 * time.Second

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
			all := lines(l.all())
			t.Fatalf("the log never holds %s; it holds %d messages, the last %q", what, len(all), all[max(0, len(all)-20):])
		}
	}
}

// awaitLines waits until so many messages read like this, see line.
func (l *memoryLog) awaitLines(t *testing.T, n int, want string) {
	t.Helper()
	l.await(t, fmt.Sprintf("%d times %q", n, want), func(ms []ingest.Message) bool { return count(ms, want) >= n })
}

func count(ms []ingest.Message, want string) (n int) {
	for _, m := range ms {
		if strings.HasPrefix(line(m), want) {
			n++
		}
	}
	return n
}

// line tells a message in a line.
func line(m ingest.Message) string {
	switch m.Kind {
	case ingest.Publish:
		return fmt.Sprintf("publish %s %s", m.Topic, m.Payload)
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

// eventually waits until something can be seen that no log entry tells.
func eventually(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !seen(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

// payloads counts how often each payload was kept.
func payloads(ms []ingest.Message) map[string]int {
	n := make(map[string]int)
	for _, m := range ms {
		if m.Kind == ingest.Publish {
			n[string(m.Payload)]++
		}
	}
	return n
}

// intake is a Receiver with a log in memory.
type intake struct {
	*ingest.Receiver
	log *memoryLog
}

func newIntake(t *testing.T, o ingest.ReceiverOptions, log *memoryLog) *intake {
	t.Helper()
	o.Log = log
	in := &intake{ingest.NewReceiver(o), log}
	in.run(t)
	return in
}

// run runs the Receiver until the test ends or its log fails.
func (in *intake) run(t *testing.T) <-chan error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() { defer close(done); ended <- in.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return ended
}

// run runs a Source until stop is called or the test ends.
func run(t *testing.T, o mqtt.Options) (s *mqtt.Source, stop func()) {
	t.Helper()
	if o.Name == "" {
		o.Name = "county"
	}
	if o.Topics == nil {
		o.Topics = []mqtt.Topic{{Filter: "v1/#", QoS: 1}}
	}
	s, err := mqtt.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// mosquitto is a real broker, with its data in a folder of its own.
type mosquitto struct {
	t       *testing.T
	address string
	config  string
	process *exec.Cmd
}

func startMosquitto(t *testing.T, config ...string) *mosquitto {
	t.Helper()
	path := mosquittoPath(t)
	port := freePort(t)
	dir := t.TempDir()
	m := &mosquitto{t: t, address: fmt.Sprint("127.0.0.1:", port), config: filepath.Join(dir, "mosquitto.conf")}
	text := fmt.Sprintf("listener %d 127.0.0.1\n", port) +
		"persistence true\npersistence_location " + dir + "/\nmax_queued_messages 0\nlog_dest none\n" + strings.Join(config, "\n") + "\n"
	if !strings.Contains(text, "allow_anonymous") {
		text += "allow_anonymous true\n"
	}
	if os.Getuid() == 0 {
		text += "user root\n" // it would give up its rights to the folder
	}
	if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.process = exec.Command(path, "-c", m.config)
	m.start()
	t.Cleanup(func() { m.end(syscall.SIGKILL) })
	return m
}

func mosquittoPath(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	if os.Getenv("FENGSUI_REAL") == "1" {
		t.Fatal("mosquitto is not installed, and FENGSUI_REAL=1 wants it")
	}
	t.Skip("mosquitto is not installed")
	return ""
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts the process and returns when it accepts connections.
func (m *mosquitto) start() {
	m.t.Helper()
	m.process = exec.Command(m.process.Path, "-c", m.config)
	if err := m.process.Start(); err != nil {
		m.t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", m.address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatal("mosquitto does not start: ", err)
		}
	}
}

// end sends a signal and waits for the process to end.
func (m *mosquitto) end(signal syscall.Signal) {
	if m.process.ProcessState != nil {
		return
	}
	_ = m.process.Process.Signal(signal)
	_ = m.process.Wait()
}

func (m *mosquitto) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.process.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mosquitto) url() string { return "tcp://" + m.address }

// publisher is a client that knows which of its messages were acknowledged.
type publisher struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
	id uint16
}

func newPublisher(t *testing.T, address string) *publisher {
	t.Helper()
	p, err := dialPublisher(t, address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func dialPublisher(t *testing.T, address string) (*publisher, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	p := &publisher{Conn: c, t: t, in: bufio.NewReader(c)}
	if _, err := c.Write(packet(0x10, slices.Concat(text("MQTT"), []byte{4, 2, 0, 0}, text("")))); err != nil {
		return nil, err
	}
	_, err = p.read()
	return p, err
}

func (p *publisher) read() ([]byte, error) {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, 4)
	_, err := io.ReadFull(p.in, answer)
	return answer, err
}

// publish publishes at QoS 1 and returns when the broker has acknowledged it.
func (p *publisher) publish(topic, payload string) error {
	p.id = p.id%65535 + 1
	if _, err := p.Write(packet(0x32, slices.Concat(text(topic), binary.BigEndian.AppendUint16(nil, p.id), []byte(payload)))); err != nil {
		return err
	}
	answer, err := p.read()
	if err == nil && (answer[0] != 0x40 || binary.BigEndian.Uint16(answer[2:]) != p.id) {
		err = fmt.Errorf("answer %x where PUBACK %d is due", answer, p.id)
	}
	return err
}

func (p *publisher) mustPublish(topic, payload string) {
	p.t.Helper()
	if err := p.publish(topic, payload); err != nil {
		p.t.Fatal("publish:", err)
	}
}

func packet(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// cutter is a TCP proxy whose connections can be cut.
type cutter struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, to: to}
	c.wg.Go(c.accept)
	t.Cleanup(func() { _ = l.Close(); c.cut(); c.wg.Wait() })
	return c
}

func (c *cutter) accept() {
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		c.wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		c.wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
	}
}

// cut resets all connections.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	c.conns = nil
}

// fakeBroker answers one client after the other as the test says.
func fakeBroker(t *testing.T, serve func(c *fakeConn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(&fakeConn{Conn: c, in: bufio.NewReader(c)})
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "tcp://" + l.Addr().String()
}

type fakeConn struct {
	net.Conn
	in *bufio.Reader
}

// next reads a packet; first is 0 when there is none any more.
func (c *fakeConn) next() (first byte, body []byte) {
	first, err := c.in.ReadByte()
	if err != nil {
		return 0, nil
	}
	n, err := binary.ReadUvarint(c.in)
	if err != nil {
		return 0, nil
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return 0, nil
	}
	return first, body
}

func (c *fakeConn) send(b ...byte) { _, _ = c.Write(b) }

// accept lets a client in and grants its subscriptions.
func (c *fakeConn) accept(granted ...byte) {
	c.next()
	c.send(0x20, 2, 0, 0)
	_, body := c.next()
	c.send(packet(0x90, append(body[:2:2], granted...))...)
}

var errDisk = errors.New("no space left on device")
