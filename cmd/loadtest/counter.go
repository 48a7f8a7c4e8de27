package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	server "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// counter is this program again, as a child that takes messages and does nothing
// but count: the least a gateway built on the same library can cost. It is a
// process of its own so that its cost can be told from the generator's.
type counter struct {
	*process
	control io.WriteCloser
	answers *bufio.Reader
}

// startCounter runs it in one of its roles, subscriber or server.
func startCounter(role, address string, qos byte) (*counter, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, countCommand, role, address, fmt.Sprint(qos))
	words, writer := io.Pipe()
	cmd.Stdout = writer
	c := &counter{answers: bufio.NewReader(words)}
	if c.control, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("control the counting %s: %w", role, err)
	}
	if c.process, err = start("counting "+role, cmd); err != nil {
		return nil, err
	}
	go func() { <-c.ended; writer.CloseWithError(c.died()) }()
	var ready string
	if _, err := fmt.Fscanln(c.answers, &ready); err != nil || ready != "ready" {
		return nil, fmt.Errorf("the counting %s said %q: %w", role, ready, err)
	}
	return c, nil
}

// stop ends its input: it does not listen to signals, which are this program's.
func (c *counter) stop() {
	c.control.Close()
	c.process.stop()
}

// total asks how many messages were counted in all.
func (c *counter) total() (n int, err error) {
	if _, err := io.WriteString(c.control, "?\n"); err != nil {
		return 0, fmt.Errorf("ask %s: %w", c.name, err)
	}
	if _, err := fmt.Fscanln(c.answers, &n); err != nil {
		return 0, fmt.Errorf("ask %s: %w", c.name, err)
	}
	return n, nil
}

// takes waits until so many messages more are counted.
func (c *counter) takes(ctx context.Context, messages int) (finish func() error, err error) {
	before, err := c.total()
	return func() error {
		return c.until(ctx, "wait until everything is counted", func() error {
			time.Sleep(20 * time.Millisecond) // asking costs it time
			have, err := c.total()
			if err == nil && have < before+messages {
				err = fmt.Errorf("%d of %d messages counted", have-before, messages)
			}
			return err
		})
	}, err
}

// countCommand is the hidden argument that makes this program a counter.
const countCommand = "count"

// count is the child: it says the count when asked, until its input ends.
func count(role, address string, qos byte, questions io.Reader, answers io.Writer) error {
	var n atomic.Int64
	open := subscribe
	if role == "server" {
		open = serve
	}
	stop, err := open(address, qos, &n)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Fprintln(answers, "ready")
	for lines := bufio.NewScanner(questions); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "?" {
			fmt.Fprintln(answers, n.Load())
		}
	}
	return nil
}

// subscribe counts behind a broker, with the library the gateway uses.
func subscribe(address string, qos byte, n *atomic.Int64) (stop func(), err error) {
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID("counter").SetAutoReconnect(false))
	if err := settled(client.Connect()); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	err = settled(client.Subscribe(countedRoot+"/#", qos, func(mqtt.Client, mqtt.Message) { n.Add(1) }))
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return func() { client.Disconnect(100) }, nil
}

func settled(token mqtt.Token) error {
	if !token.WaitTimeout(10 * time.Second) {
		return context.DeadlineExceeded
	}
	return token.Error()
}

// serve counts in the hook of an embedded server, which acknowledges at once and
// keeps nothing.
func serve(address string, _ byte, n *atomic.Int64) (stop func(), err error) {
	capabilities := server.NewDefaultServerCapabilities()
	capabilities.ReceiveMaximum = math.MaxUint16
	s := server.New(&server.Options{Capabilities: capabilities, Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(&countingHook{n: n}, nil); err != nil {
		return nil, err
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: address})); err != nil {
		return nil, err
	}
	return func() { _ = s.Close() }, s.Serve()
}

type countingHook struct {
	server.HookBase
	n *atomic.Int64
}

func (*countingHook) ID() string { return "count" }

func (*countingHook) Provides(b byte) bool {
	return b == server.OnConnectAuthenticate || b == server.OnACLCheck || b == server.OnPublish
}

func (*countingHook) OnConnectAuthenticate(*server.Client, packets.Packet) bool { return true }

func (*countingHook) OnACLCheck(*server.Client, string, bool) bool { return true }

func (h *countingHook) OnPublish(_ *server.Client, p packets.Packet) (packets.Packet, error) {
	h.n.Add(1)
	return p, nil
}
