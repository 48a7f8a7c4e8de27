package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/rules/alarms"
)

var (
	overloadTime = flag.Duration("overload.time", 4*time.Second, "how long the gateway is flooded with each kind of message")
	// The promise is 1 s on a machine that has nothing else to do.
	overloadLimit = flag.Duration("overload.limit", 5*time.Second, "how late 1 in 100 alarms may be during the flood")
)

// flooder is one connection that publishes at QoS 1 as fast as the gateway lets
// it, with as many messages under way as MQTT has ids for.
type flooder struct {
	device      string
	start       int64 // time of its first reading, Unix ms
	readings    int   // in a message
	payload     []byte
	sent, acked atomic.Uint64
}

const floodWindow = 60_000

// run floods until ctx ends, and then waits for what is under way.
func (f *flooder) run(ctx context.Context, address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write(f.connect()); err != nil {
		return err
	}
	answers := bufio.NewReaderSize(c, 64<<10)
	if _, err := io.ReadFull(answers, make([]byte, 4)); err != nil { // CONNACK
		return err
	}
	ended := make(chan error, 1)
	go func() {
		puback := make([]byte, 4)
		for {
			if _, err := io.ReadFull(answers, puback); err != nil {
				ended <- err
				return
			}
			if n := f.acked.Add(1); packetID(n) != binary.BigEndian.Uint16(puback[2:]) {
				ended <- fmt.Errorf("acknowledgement %d is of message %d", n, binary.BigEndian.Uint16(puback[2:]))
				return
			}
		}
	}()
	var buf []byte
	for ctx.Err() == nil {
		buf = buf[:0]
		for range 200 {
			for f.sent.Load()-f.acked.Load() >= floodWindow-1 {
				select {
				case err := <-ended:
					return err
				case <-time.After(time.Millisecond):
				}
			}
			buf = f.append(buf, f.sent.Add(1))
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	for f.acked.Load() < f.sent.Load() {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (f *flooder) connect() []byte {
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0, 60}
	for _, s := range []string{"flood-" + f.device, "s", "pw"} {
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(s))), s...)
	}
	return append([]byte{0x10, byte(len(body))}, body...)
}

// packetID is that of a connection's nth message.
func packetID(n uint64) uint16 { return uint16(n%floodWindow) + 1 }

// append writes the nth message: an array of readings, each a millisecond after
// the one before. Only their times are written anew, so that a flood costs its
// sender a fraction of what it costs the gateway.
func (f *flooder) append(buf []byte, n uint64) []byte {
	const reading = `{"ts":1700000000000,"values":{"gas_lel_pct":0.5}},`
	const digits = len(`{"ts":`)
	if f.payload == nil {
		f.payload = []byte("[" + strings.Repeat(reading, f.readings))
		f.payload[len(f.payload)-1] = ']'
	}
	for i := range f.readings {
		at := 1 + i*len(reading) + digits
		strconv.AppendInt(f.payload[:at], f.start+int64(n)*int64(f.readings)+int64(i), 10)
	}
	topic := "v1/s/" + f.device + "/telemetry"
	buf = append(buf, 0x32)
	buf = binary.AppendUvarint(buf, uint64(2+len(topic)+2+len(f.payload))) // as MQTT writes lengths
	buf = append(binary.BigEndian.AppendUint16(buf, uint16(len(topic))), topic...)
	return append(binary.BigEndian.AppendUint16(buf, packetID(n)), f.payload...)
}

// peakMemory is the most that was resident of the gateway, in bytes.
func (g *gateway) peakMemory() int64 {
	g.t.Helper()
	status := readFile(g.t, fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	kb, err := strconv.ParseInt(fieldAfter(status, "VmHWM:"), 10, 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return kb << 10
}

// TestOverload floods the gateway with all it takes and more while one gas
// detector crosses its limit again and again. Back-pressure instead of loss,
// bounded memory, and the alarms of the detector do not wait behind the flood.
func TestOverload(t *testing.T) {
	for _, tt := range []struct {
		name     string
		readings int // in a message: many make the judge the slowest part
	}{{"many messages", 1}, {"large messages", 40}} {
		t.Run(tt.name, func(t *testing.T) { overload(t, tt.readings) })
	}
}

func overload(t *testing.T, readings int) {
	const count = 8
	lines := []string{"id: gas, kind: combustible_gas, state: in_service"}
	for i := range count {
		lines = append(lines, fmt.Sprintf("id: f%d, kind: combustible_gas, state: in_service", i))
	}
	g := newGateway(t, siteYAML(t, "s", "pw", lines...), "rules: rules\n")
	g.write("rules/crossing.yaml", crashRules)
	g.start()
	screen, detector := g.screen(), connect(t, g.mqtt, "gas", "s", "pw")

	ctx, cancel := context.WithTimeout(t.Context(), *overloadTime)
	defer cancel()
	flooders := make([]*flooder, count)
	var flooding sync.WaitGroup
	for i := range flooders {
		f := &flooder{device: fmt.Sprintf("f%d", i), readings: readings, start: time.Now().Add(-6 * time.Hour).UnixMilli()}
		flooders[i] = f
		flooding.Go(func() {
			if err := f.run(ctx, g.mqtt); err != nil {
				t.Errorf("%s: %v", f.device, err)
			}
		})
	}
	took := crossings(ctx, detector, screen)
	cancel()
	backlog := g.metric("fengsui_messages_backlog")
	flooding.Wait()
	g.balanced()

	sent := uint64(len(took))
	for _, f := range flooders {
		sent += f.acked.Load()
	}
	slices.Sort(took)
	late, memory := took[len(took)*99/100], g.peakMemory()
	t.Logf("%.0f messages/s; %d alarms on the screen after %v (median), %v (p99), %v (most); %.0f messages not yet judged at the end, %d MB resident at most",
		float64(sent)/overloadTime.Seconds(), len(took), took[len(took)/2], late, took[len(took)-1], backlog, memory>>20)
	if late > *overloadLimit {
		t.Errorf("1 in 100 alarms took %v", late)
	}
	if memory > 400<<20 {
		t.Errorf("%d MB were resident", memory>>20)
	}
	if kept := g.metric("fengsui_messages_kept_total"); kept != float64(sent) {
		t.Errorf("%d messages were acknowledged, %v were kept", sent, kept)
	}
	if refused := g.metric("fengsui_messages_refused_total"); refused != 0 {
		t.Errorf("%v messages were refused", refused)
	}
}

// crossings drives a detector over its limit and back until ctx ends, and
// returns how long each time took to be on the screen.
func crossings(ctx context.Context, detector mqtt.Client, screen *screen) (took []time.Duration) {
	for i := 0; ctx.Err() == nil; i++ {
		value, want := 1, alarms.Cleared
		switch {
		case i == 0:
			value, want = 60, alarms.Raised
		case i%2 == 0:
			value, want = 60, alarms.Rearmed
		}
		began := time.Now()
		detector.Publish("v1/s/gas/telemetry", 1, false, fmt.Sprintf(`{"seq":%d,"values":{"gas_lel_pct":%d}}`, i+1, value))
		screen.event("the detector's alarm", func(e *alarms.Event) bool { return e.Alarm.Device == "gas" && e.Type == want })
		took = append(took, time.Since(began))
	}
	return took
}
