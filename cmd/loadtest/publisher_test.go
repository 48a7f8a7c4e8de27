package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a fake one that checks what publishers do. It holds PUBACKs back
// until a connection has hold messages under way, or has sent all of its own.
type broker struct {
	t        *testing.T
	hold     int
	perConn  int  // messages every connection will send
	refuse   byte // CONNACK code
	closeAt  int  // close a connection after so many messages; 0: never
	listener net.Listener
	conns    sync.WaitGroup

	mu     sync.Mutex
	topics map[string]int
	users  map[string]bool
	most   int // messages under way at once, on any connection
}

func startFake(t *testing.T, b *broker) *broker {
	t.Helper()
	var err error
	if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	b.t, b.topics, b.users = t, map[string]int{}, map[string]bool{}
	b.conns.Go(func() {
		for {
			conn, err := b.listener.Accept()
			if err != nil {
				return
			}
			b.conns.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() { b.listener.Close(); b.conns.Wait() })
	return b
}

func (b *broker) serve(conn net.Conn) {
	defer conn.Close()
	var waiting []uint16
	seen := 0
	for {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return
		}
		switch p := packet.(type) {
		case *packets.ConnectPacket:
			b.mu.Lock()
			b.users[p.Username+":"+string(p.Password)] = true
			b.mu.Unlock()
			conn.Write([]byte{0x20, 2, 0, b.refuse})
		case *packets.PublishPacket:
			seen++
			if p.Qos > 0 {
				waiting = append(waiting, p.MessageID)
			}
			b.note(p, len(waiting))
			if b.closeAt > 0 && seen == b.closeAt {
				return
			}
			if len(waiting) == b.hold || seen == b.perConn {
				for _, id := range waiting {
					conn.Write([]byte{0x40, 2, byte(id >> 8), byte(id)})
				}
				waiting = waiting[:0]
			}
		}
	}
}

func (b *broker) note(p *packets.PublishPacket, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[p.TopicName]++
	b.most = max(b.most, waiting)
}

func (b *broker) load(qos byte) loadOptions {
	return loadOptions{
		Address: b.listener.Addr().String(), Connections: 2, Devices: devicesOf(houseRoot, 2, 3),
		QoS: qos, Messages: 2 * b.perConn, Window: 10,
	}
}

func TestPublishSendsEverythingWithinItsWindow(t *testing.T) {
	b := startFake(t, &broker{hold: 10, perConn: 1001})
	result, err := publish(context.Background(), b.load(1))
	if err != nil {
		t.Fatal(err)
	}
	if result.Messages != 2002 || len(result.Acked) != 2002 || result.Elapsed <= 0 {
		t.Errorf("%d messages, %d acknowledged in %v; want 2002", result.Messages, len(result.Acked), result.Elapsed)
	}
	if b.most != 10 {
		t.Errorf("at most %d messages under way on a connection, want the window of 10", b.most)
	}
	total := 0
	for topic, n := range b.topics {
		if total += n; n < 333 {
			t.Errorf("%s: %d messages; want an even share", topic, n)
		}
	}
	if total != 2002 || len(b.topics) != 6 {
		t.Errorf("%d messages of %d devices, want 2002 of 6", total, len(b.topics))
	}
	if !b.users["load-00:load"] || !b.users["load-01:load"] {
		t.Errorf("logged in as %v; want each site with its own credential", b.users)
	}
}

func TestPublishAtQoS0WaitsForNothing(t *testing.T) {
	b := startFake(t, &broker{hold: -1, perConn: 500})
	if _, err := publish(context.Background(), b.load(0)); err != nil {
		t.Fatal(err)
	}
	b.listener.Close()
	b.conns.Wait()
	total := 0
	for _, n := range b.topics {
		total += n
	}
	if total != 1000 {
		t.Errorf("%d messages arrived, want 1000", total)
	}
}

func TestPublishKeepsItsRate(t *testing.T) {
	b := startFake(t, &broker{hold: 1, perConn: 50})
	load := b.load(1)
	load.Rate = 1000
	result, err := publish(context.Background(), load)
	if err != nil {
		t.Fatal(err)
	}
	if least := 98 * time.Millisecond; result.Elapsed < least {
		t.Errorf("100 messages at 1000 a second in %v", result.Elapsed)
	}
}

func TestPublishSaysWhatWentWrong(t *testing.T) {
	tests := []struct {
		name   string
		broker *broker
		want   string
	}{
		{"refused", &broker{refuse: 5}, "code 5"},
		{"connection lost", &broker{hold: 10, perConn: 1000, closeAt: 500}, "of 1000 messages acknowledged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := startFake(t, test.broker)
			_, err := publish(context.Background(), b.load(1))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want an error that says %q", err, test.want)
			}
		})
	}
}

func TestPublishEndsWithItsContext(t *testing.T) {
	b := startFake(t, &broker{hold: -1, perConn: 1000}) // never acknowledges
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := publish(ctx, b.load(1)); err == nil {
		t.Error("no error although nothing was acknowledged")
	}
}

func TestParse(t *testing.T) {
	if _, err := parse(nil); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, bad := range []string{"-qos=2", "-sites=0", "-messages=1", "-rounds=0", "-window=70000", "-rate=0", "-calm=1ms", "extra"} {
		if _, err := parse([]string{bad}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
