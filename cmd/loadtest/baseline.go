package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// baseline is what any gateway behind a broker costs before it does anything:
// Mosquitto, and a paho subscriber that only counts. It is measured in the same
// minute and on the same machine as the gateway.
type baseline struct {
	broker     *process
	subscriber *process
	address    string
	counted    io.Reader // the subscriber's words
	control    io.WriteCloser
}

// findMosquitto looks where Debian puts it, too.
func findMosquitto() (string, error) {
	if path, err := exec.LookPath("mosquitto"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/mosquitto")
}

// startBroker runs Mosquitto on a free loopback port, without persistence, and
// with a thousand messages in flight instead of its 20, which would throttle any
// subscriber that acknowledges.
func startBroker(ctx context.Context, dir string) (*baseline, error) {
	path, err := findMosquitto()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 1000\nmax_queued_messages 0\nset_tcp_nodelay true\n", port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("write mosquitto's config: %w", err)
	}
	broker, err := start("mosquitto", exec.Command(path, "-c", config))
	if err != nil {
		return nil, err
	}
	b := &baseline{broker: broker, address: address}
	err = broker.until(ctx, "wait for its port", func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err != nil {
		broker.stop()
		return nil, err
	}
	return b, nil
}

// startSubscriber runs this program again as the counting subscriber, so that
// its cost can be told from the generator's.
func (b *baseline) startSubscriber(qos byte) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self, "subscriber", "tcp://"+b.address, fmt.Sprint(qos))
	words, writer := io.Pipe()
	cmd.Stdout = writer
	if b.control, err = cmd.StdinPipe(); err != nil {
		return fmt.Errorf("control the subscriber: %w", err)
	}
	if b.subscriber, err = start("paho subscriber", cmd); err != nil {
		return err
	}
	b.counted = bufio.NewReader(words)
	go func() { <-b.subscriber.ended; writer.CloseWithError(b.subscriber.died()) }()
	var ready string
	if _, err := fmt.Fscanln(b.counted, &ready); err != nil || ready != "ready" {
		return fmt.Errorf("paho subscriber said %q: %w", ready, err)
	}
	return nil
}

// total asks how many messages the subscriber counted in all.
func (b *baseline) total() (n int, err error) {
	if _, err := io.WriteString(b.control, "?\n"); err != nil {
		return 0, fmt.Errorf("ask the subscriber: %w", err)
	}
	if _, err := fmt.Fscanln(b.counted, &n); err != nil {
		return 0, fmt.Errorf("ask the subscriber: %w", err)
	}
	return n, nil
}

// waitCounted waits until the subscriber has counted so many messages in all.
func (b *baseline) waitCounted(ctx context.Context, total int) error {
	return b.subscriber.until(ctx, "wait until everything is counted", func() error {
		time.Sleep(20 * time.Millisecond) // asking costs the subscriber time
		have, err := b.total()
		if err == nil && have < total {
			err = fmt.Errorf("%d of %d messages counted", have, total)
		}
		return err
	})
}

func (b *baseline) stop() {
	if b.subscriber != nil {
		b.control.Close()
		b.subscriber.stop()
	}
	b.broker.stop()
}

// subscriber is the child: it counts, and says the count when asked, until its
// input ends.
func subscriber(broker string, qos byte, questions io.Reader, answers io.Writer) error {
	var count atomic.Int64
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(broker).SetClientID("counter").SetAutoReconnect(false))
	if err := settled(client.Connect()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer client.Disconnect(100)
	err := settled(client.Subscribe(otherRoot+"/#", qos, func(mqtt.Client, mqtt.Message) { count.Add(1) }))
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	fmt.Fprintln(answers, "ready")
	for lines := bufio.NewScanner(questions); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "?" {
			fmt.Fprintln(answers, count.Load())
		}
	}
	return nil
}

func settled(token mqtt.Token) error {
	if !token.WaitTimeout(10 * time.Second) {
		return context.DeadlineExceeded
	}
	return token.Error()
}

// freeAddress is a loopback port nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
