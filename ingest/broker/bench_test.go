package broker_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"fengsui/ingest"
	"fengsui/ingest/broker"
	"fengsui/ingest/journal"
)

const benchPayload = `{"ts":1782541925000,"seq":17,"values":{"gas_lel_pct":12.6,"valve_state":1,"battery_v":3.61,"signal_dbm":-71,"temperature_c":24.5}}`

type devNull struct{}

func (devNull) Append(context.Context, []byte, int) (journal.Mark, error) { return journal.Mark{}, nil }

// BenchmarkIntake measures the CPU time of the broker's process for a message,
// with the publisher in another process, and a log that costs nothing or the
// real one, which syncs before each acknowledgement.
func BenchmarkIntake(b *testing.B) {
	for _, c := range []struct {
		log         string
		qos         byte
		connections int
		window      int // messages a client sends before it waits for an acknowledgement
	}{
		{"none", 0, 1, 10_000}, {"none", 1, 1, 10_000}, {"none", 1, 20, 10_000}, {"none", 1, 500, 10_000}, {"none", 1, 1000, 1},
		{"disk", 0, 1, 10_000}, {"disk", 1, 1, 10_000}, {"disk", 1, 20, 10_000}, {"disk", 1, 500, 10_000}, {"disk", 1, 1000, 1},
	} {
		b.Run(fmt.Sprintf("log=%s/qos=%d/connections=%d/window=%d", c.log, c.qos, c.connections, c.window), func(b *testing.B) {
			r := ingest.NewReceiver(ingest.ReceiverOptions{Log: benchLog(b, c.log)})
			address, stop := serveForBenchmark(b, r)
			defer stop()
			each := max(b.N/c.connections, 1)
			publisher := exec.Command(os.Args[0])
			publisher.Env = append(os.Environ(), "FENGSUI_BENCH_PUBLISH_TO="+address,
				"QOS="+strconv.Itoa(int(c.qos)), "CONNECTIONS="+strconv.Itoa(c.connections), "EACH="+strconv.Itoa(each), "WINDOW="+strconv.Itoa(c.window))
			publisher.Stderr = os.Stderr
			before := cpu()
			b.ReportAllocs()
			b.ResetTimer()
			if err := publisher.Run(); err != nil {
				b.Fatal(err)
			}
			for r.Stats()[broker.Source].Kept < uint64(each*c.connections) {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(each*c.connections), "cpu-ns/msg")
			b.ReportMetric(float64(each*c.connections)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func benchLog(b *testing.B, kind string) ingest.Appender {
	if kind == "none" {
		return devNull{}
	}
	store, err := journal.Open(b.Context(), journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	log, err := store.Log(b.Context(), journal.LogOptions{Name: "input"})
	if err != nil {
		b.Fatal(err)
	}
	return log
}

func serveForBenchmark(b *testing.B, r *ingest.Receiver) (address string, stop func()) {
	br, err := broker.Listen(broker.Options{Listen: "127.0.0.1:0", Receiver: r, Authorizer: anyone{}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = br.Run(ctx) })
	receiving, end := context.WithCancel(context.Background())
	running.Go(func() { _ = r.Run(receiving) })
	return br.Addr().String(), func() { cancel(); time.Sleep(100 * time.Millisecond); end(); running.Wait() }
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// publishForBenchmark is the publisher's process.
func publishForBenchmark(address string) int {
	number := func(name string) int { n, _ := strconv.Atoi(os.Getenv(name)); return n }
	qos, connections, each := byte(number("QOS")), number("CONNECTIONS"), number("EACH")
	var wg sync.WaitGroup
	failed := make(chan error, connections)
	for i := range connections {
		wg.Go(func() {
			if err := publishMany(address, fmt.Sprint("bench-", i), qos, publishing{each, number("WINDOW")}); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	if err := <-failed; err != nil {
		fmt.Fprintln(os.Stderr, "publisher:", err)
		return 1
	}
	return 0
}

// publishing says how many messages to send, and how many before waiting.
type publishing struct{ n, window int }

func publishMany(address, client string, qos byte, p publishing) error {
	n := p.n
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(hello{client: client, version: 4}.packet()); err != nil {
		return err
	}
	in := bufio.NewReader(c)
	if _, err := io.CopyN(io.Discard, in, 4); err != nil {
		return err
	}
	window := make(chan struct{}, p.window)
	acked := make(chan error, 1)
	go func() {
		ack := make([]byte, 4)
		for i := 0; i < n && qos > 0; i++ {
			if _, err := io.ReadFull(in, ack); err != nil {
				acked <- err
				return
			}
			if id := binary.BigEndian.Uint16(ack[2:]); ack[0] != 0x40 || id != uint16(i%60000+1) {
				acked <- fmt.Errorf("answer %x where PUBACK %d is due", ack, i%60000+1)
				return
			}
			<-window
		}
		acked <- nil
	}()
	out := bufio.NewWriterSize(c, 32<<10)
	for i := range n {
		if qos > 0 {
			select {
			case window <- struct{}{}:
			default:
				if err := out.Flush(); err != nil {
					return err
				}
				select {
				case window <- struct{}{}:
				case err := <-acked:
					return err
				}
			}
		}
		if _, err := out.Write(publishPacket("v1/site-3/"+client+"/telemetry", qos, uint16(i%60000+1), []byte(benchPayload))); err != nil {
			return err
		}
	}
	if qos > 0 {
		if err := out.Flush(); err != nil {
			return err
		}
		return <-acked
	}
	// The answer to a ping says that all before it was read.
	if _, err := out.Write([]byte{0xc0, 0}); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, in, 2)
	return err
}
