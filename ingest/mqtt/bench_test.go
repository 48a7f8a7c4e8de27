package mqtt_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/ingest/mqtt"
)

const benchPayload = `{"ts":1782541925000,"seq":17,"values":{"gas_lel_pct":12.6,"valve_state":1,"battery_v":3.61,"signal_dbm":-71,"temperature_c":24.5}}`

type devNull struct{}

func (devNull) Append(context.Context, []byte, int) (journal.Mark, error) { return journal.Mark{}, nil }

// BenchmarkSource measures the CPU time of the gateway's process for a message
// from an external broker, which is in another process and has a window of
// 1,000 messages, with a log that costs nothing.
func BenchmarkSource(b *testing.B) {
	for _, qos := range []int{0, 1} {
		b.Run(fmt.Sprint("qos=", qos), func(b *testing.B) {
			other := exec.Command(os.Args[0])
			other.Env = append(os.Environ(), fmt.Sprintf("FENGSUI_BENCH_BROKER=%d %d", qos, b.N))
			other.Stderr = os.Stderr
			out, err := other.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			if err := other.Start(); err != nil {
				b.Fatal(err)
			}
			address, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			r := ingest.NewReceiver(ingest.ReceiverOptions{Log: devNull{}})
			s, err := mqtt.New(mqtt.Options{Name: "bench", URL: "tcp://" + strings.TrimSpace(address),
				Topics: []mqtt.Topic{{"v1/#", byte(qos)}}, Receiver: r})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 2)
			go func() { ended <- r.Run(ctx) }()
			before := cpu()
			b.ReportAllocs()
			b.ResetTimer()
			go func() { ended <- s.Run(ctx) }()
			for r.Stats()["bench"].Kept < uint64(b.N) {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/msg")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			stop()
			<-ended
			<-ended
			_ = other.Wait()
		})
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchBroker is the process of the broker: it delivers n messages to the first
// client and reads its acknowledgements.
func benchBroker(work string) int {
	var qos byte
	var n int
	if _, err := fmt.Sscan(work, &qos, &n); err != nil {
		return 1
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	fmt.Println(l.Addr())
	conn, err := l.Accept()
	if err != nil {
		return 1
	}
	c := &fakeConn{Conn: conn, in: bufio.NewReader(conn)}
	c.accept(qos)
	window := make(chan struct{}, 1000)
	go func() {
		for first, _ := c.next(); first != 0; first, _ = c.next() {
			if first == 0x40 {
				<-window
			}
		}
	}()
	out := bufio.NewWriterSize(conn, 32<<10)
	for i := range n {
		body := text("v1/site-3/meter-0007/telemetry")
		if qos > 0 {
			select {
			case window <- struct{}{}:
			default:
				_ = out.Flush()
				window <- struct{}{}
			}
			id := uint16(i%60000 + 1)
			body = append(body, byte(id>>8), byte(id))
		}
		if _, err := out.Write(packet(0x30|qos<<1, slices.Concat(body, []byte(benchPayload)))); err != nil {
			return 1
		}
	}
	_ = out.Flush()
	_, _ = conn.Read(make([]byte, 1)) // until the client has gone
	return 0
}
