package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"fengsui/ingest/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// taker is a Handler that notes what it is given.
type taker struct {
	publish  func(p *wire.Publish) error // nil: take all
	tooBig   func(p *wire.Publish, size int) error
	farewell []byte

	took []string
}

func (h *taker) Publish(p *wire.Publish) error {
	h.took = append(h.took, describe(p))
	if h.publish != nil {
		return h.publish(p)
	}
	return nil
}

func (h *taker) TooBig(p *wire.Publish, size int) error {
	h.took = append(h.took, fmt.Sprintf("too big: %s %d", p.Topic, size))
	if h.tooBig != nil {
		return h.tooBig(p, size)
	}
	return nil
}

func (h *taker) Farewell(error) []byte { return h.farewell }

func describe(p *wire.Publish) string {
	return fmt.Sprintf("%s %q qos=%d id=%d retained=%v dup=%v", p.Topic, p.Payload, p.QoS, p.PacketID, p.Retained, p.Dup)
}

func packet(first byte, body ...byte) []byte {
	out := []byte{first}
	n := len(body)
	for ; n >= 128; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(append(out, byte(n)), body...)
}

func publish(topic string, qos byte, id uint16, payload string) []byte {
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return packet(0x30|qos<<1, append(body, payload...)...)
}

// script is a connection that plays what was received, in pieces, and keeps
// what was written.
type script struct {
	net.Conn // nil: whatever else is called is a bug
	in       io.Reader
	out      bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
func (s *script) Close() error                     { return nil }

// play runs what was received through a Conn and returns what is handed through.
func play(h wire.Handler, received io.Reader, version byte) (through []byte, c *wire.Conn, s *script, err error) {
	s = &script{in: received}
	c = wire.NewConn(s, wire.Options{Handler: h, MaxPacket: 1 << 20, Grace: 1})
	c.SetVersion(version)
	through, err = io.ReadAll(c)
	return through, c, s, err
}

func TestPublishesAreCutOutOfTheStream(t *testing.T) {
	ping, subscribe := []byte{0xc0, 0}, packet(0x82, 0, 9, 0, 1, '#', 1)
	h := new(taker)
	through, _, _, err := play(h, bytes.NewReader(slices.Concat(
		ping,
		publish("a/b", 0, 0, "zero"),
		publish("a/b", 1, 513, "one"),
		subscribe,
		packet(0x3d, 0, 1, 'r', 0, 7, 'd', 'u', 'p'), // QoS 2, retained, duplicate
		publish("empty", 0, 0, ""),
		ping,
	)), 4)
	if !errors.Is(err, wire.ErrGone) {
		t.Errorf("the end of the stream is reported as %v, want ErrGone", err)
	}
	if want := slices.Concat(ping, subscribe, ping); !bytes.Equal(through, want) {
		t.Errorf("handed through %x, want %x", through, want)
	}
	want := []string{
		`a/b "zero" qos=0 id=0 retained=false dup=false`,
		`a/b "one" qos=1 id=513 retained=false dup=false`,
		`r "dup" qos=2 id=7 retained=true dup=true`,
		`empty "" qos=0 id=0 retained=false dup=false`,
	}
	if !slices.Equal(h.took, want) {
		t.Errorf("took %q, want %q", h.took, want)
	}
}

func TestPropertiesOfMQTT5AreSkipped(t *testing.T) {
	h := new(taker)
	properties := append([]byte{0x26, 0, 60}, bytes.Repeat([]byte("k"), 60)...)
	properties = append(append(properties, 0, 90), bytes.Repeat([]byte("v"), 90)...)
	body := append([]byte{0, 1, 't', 0, 5, 0x9b, 0x01}, properties...) // a length of two bytes: 155
	_, _, _, err := play(h, bytes.NewReader(packet(0x32, append(body, "payload"...)...)), 5)
	if !errors.Is(err, wire.ErrGone) {
		t.Error(err)
	}
	if want := []string{`t "payload" qos=1 id=5 retained=false dup=false`}; !slices.Equal(h.took, want) {
		t.Errorf("took %q, want %q", h.took, want)
	}
}

func TestMalformedPacketsEndTheConnection(t *testing.T) {
	for _, c := range []struct {
		name    string
		bytes   []byte
		version byte
		want    string
	}{
		{"qos 3", packet(0x36, 0, 1, 't', 0, 1), 4, "QoS 3"},
		{"no topic", packet(0x30), 4, "inside its topic"},
		{"topic cut off", packet(0x30, 0, 9, 't'), 4, "inside its topic"},
		{"no packet id", packet(0x32, 0, 1, 't', 0), 4, "before its packet id"},
		{"packet id 0", packet(0x32, 0, 1, 't', 0, 0), 4, "packet id 0"},
		{"no properties", packet(0x30, 0, 1, 't'), 5, "inside its properties"},
		{"properties cut off", packet(0x30, 0, 1, 't', 9, 1), 5, "inside its properties"},
		{"properties of 5 length bytes", packet(0x30, 0, 1, 't', 0x80, 0x80, 0x80, 0x80, 1), 5, "inside its properties"},
		{"endless length", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, 4, "more than 4 bytes"},
		{"endless length of another", []byte{0x10, 0xff, 0xff, 0xff, 0xff, 1}, 4, "more than 4 bytes"},
		{"short PUBREL", packet(0x62, 1), 4, "PUBREL"},
		{"long PUBREL", packet(0x62, make([]byte, 70_000)...), 4, "PUBREL"},
		{"long CONNECT", packet(0x10, make([]byte, 70_000)...), 4, "packet of type 1 with 70000 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &taker{farewell: []byte("bye")}
			through, _, s, err := play(h, bytes.NewReader(c.bytes), c.version)
			if !errors.Is(err, wire.ErrMalformed) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ended with %v, want a malformed packet with %q", err, c.want)
			}
			if len(through) > 0 || len(h.took) > 0 {
				t.Errorf("handed through %x, took %q", through, h.took)
			}
			if s.out.String() != "bye" {
				t.Errorf("wrote %q, want the farewell", s.out.String())
			}
		})
	}
}

func TestTooBigIsSkippedOrEndsTheConnection(t *testing.T) {
	stream := slices.Concat(publish("big", 1, 3, string(make([]byte, 2<<20))), publish("t", 0, 0, "next"), []byte{0xc0, 0})
	h := new(taker)
	through, _, _, err := play(h, bytes.NewReader(stream), 4)
	if !errors.Is(err, wire.ErrGone) || !bytes.Equal(through, []byte{0xc0, 0}) {
		t.Errorf("handed through %x, ended with %v", through, err)
	}
	if want := []string{"too big: big 2097159", `t "next" qos=0 id=0 retained=false dup=false`}; !slices.Equal(h.took, want) {
		t.Errorf("took %q, want %q", h.took, want)
	}

	enough := errors.New("enough")
	h = &taker{tooBig: func(*wire.Publish, int) error { return enough }, farewell: []byte("bye")}
	_, c, s, err := play(h, bytes.NewReader(stream), 4)
	if err != enough || c.Cause() != enough || s.out.String() != "bye" {
		t.Errorf("ended with %v, cause %v, wrote %q", err, c.Cause(), s.out.String())
	}
}

// pipe returns a Conn and the other side's end of it.
func pipe(h wire.Handler, o wire.Options) (*wire.Conn, net.Conn) {
	ours, theirs := net.Pipe()
	o.Handler = h
	if o.MaxPacket == 0 {
		o.MaxPacket = 1 << 20
	}
	return wire.NewConn(ours, o), theirs
}

// reading reads the Conn in the background until it ends.
func reading(c *wire.Conn) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		c.Wait()
		ended <- err
	}()
	return ended
}

func expect(t *testing.T, c net.Conn, want ...byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %x (%v), want %x", got, err, want)
	}
}

func TestAnswersLeaveInTheOrderOfTheMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *wire.Conn
		h := &taker{publish: func(p *wire.Publish) error {
			switch p.PacketID {
			case 2, 3, 5:
				c.Answer(p, 0x87)
			}
			return nil
		}}
		c, theirs := pipe(h, wire.Options{})
		c.SetVersion(5)
		ended := reading(c)
		one := func(qos byte, id byte) []byte { return packet(0x30|qos<<1, 0, 1, 't', 0, id, 0) }
		if _, err := theirs.Write(slices.Concat(one(1, 1), one(1, 2), one(2, 3), one(2, 4), one(1, 5))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Acker(1).Kept(1)
		expect(t, theirs, 0x40, 2, 0, 1)
		expect(t, theirs, 0x40, 3, 0, 2, 0x87)
		expect(t, theirs, 0x50, 3, 0, 3, 0x87)
		c.Acker(2).Kept(4)
		expect(t, theirs, 0x50, 2, 0, 4)
		expect(t, theirs, 0x40, 3, 0, 5, 0x87)
		if _, err := theirs.Write([]byte{0x62, 2, 0, 4}); err != nil {
			t.Fatal(err)
		}
		expect(t, theirs, 0x70, 2, 0, 4)
		_ = theirs.Close()
		if err := <-ended; !errors.Is(err, wire.ErrGone) {
			t.Error(err)
		}
	})
}

func TestReasonsAreForMQTT5(t *testing.T) {
	var c *wire.Conn
	h := &taker{publish: func(p *wire.Publish) error { c.Answer(p, 0x87); return nil }}
	c, theirs := pipe(h, wire.Options{})
	ended := reading(c)
	if _, err := theirs.Write(publish("t", 1, 9, "")); err != nil {
		t.Fatal(err)
	}
	expect(t, theirs, 0x40, 2, 0, 9)
	_ = theirs.Close()
	<-ended
}

func TestWhoDoesNotReadIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := pipe(new(taker), wire.Options{WriteTimeout: 5 * time.Second})
		ended := reading(c)
		if _, err := theirs.Write(publish("t", 1, 9, "")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c.Kept(9) // returns although nobody reads
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "has not read for 5s") {
			t.Errorf("ended with %v", err)
		}
		if c.Cause() != nil {
			t.Errorf("cause %v, want none: the other side is lost, not sent away", c.Cause())
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("dropped after %v, want 5s", took)
		}
		c.Kept(10) // is late, and harmless
		_ = theirs.Close()
	})
}

func TestPublishesAreSignsOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, theirs := pipe(new(taker), wire.Options{})
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ended := reading(c)
		for range 10 {
			time.Sleep(25 * time.Second) // of the bubble's clock
			if _, err := theirs.Write(publish("t", 0, 0, "alive")); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; !errors.Is(err, wire.ErrSilent) {
			t.Errorf("ended with %v, want ErrSilent", err)
		}
		if lived := time.Since(began); lived < 278*time.Second || lived > 280*time.Second {
			t.Errorf("lived %v, want 30s after the last publish", lived)
		}
		_ = theirs.Close()
	})
}

func TestInterruptLetsWhatWasReceivedBeAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := errors.New("stopping")
		c, theirs := pipe(&taker{farewell: []byte("bye")}, wire.Options{})
		ended := reading(c)
		if _, err := theirs.Write(publish("t", 1, 9, "")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Interrupt(stopping)
		if c.Context().Err() == nil {
			t.Error("a handler that waits is not released")
		}
		time.Sleep(500 * time.Millisecond)
		c.Kept(9)
		expect(t, theirs, 0x40, 2, 0, 9)
		expect(t, theirs, 'b', 'y', 'e')
		if err := <-ended; err != stopping {
			t.Errorf("ended with %v", err)
		}
		_ = theirs.Close()
	})
}

func TestInterruptDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := errors.New("stopping")
		c, theirs := pipe(new(taker), wire.Options{Grace: time.Second})
		ended := reading(c)
		if _, err := theirs.Write(publish("t", 1, 9, "")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		c.Interrupt(stopping)
		if err := <-ended; err != stopping || time.Since(began) != time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
		_ = theirs.Close()
	})
}

func TestFailedDropsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		c, theirs := pipe(&taker{farewell: []byte("bye")}, wire.Options{})
		ended := reading(c)
		if _, err := theirs.Write(slices.Concat(publish("t", 1, 8, ""), publish("t", 2, 9, ""))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		c.Acker(1).Failed(8, full)
		c.Acker(2).Failed(9, full)
		if got, err := io.ReadAll(theirs); len(got) > 0 || err != nil {
			t.Errorf("the sender got %x (%v), want nothing but the end", got, err)
		}
		if err := <-ended; err != full {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestTakingCostsNoAllocation(t *testing.T) {
	stream := bytes.Repeat(publish("v1/site/device/telemetry", 1, 7, strings.Repeat("x", 150)), 1000)
	h := quietTaker{}
	s := &script{}
	c := wire.NewConn(s, wire.Options{Handler: h, MaxPacket: 1 << 20})
	read := func() {
		s.in = io.MultiReader(bytes.NewReader(stream), bytes.NewReader([]byte{0xc0, 0}))
		if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(20, read); n > 8 { // those of the test itself
		t.Errorf("%v allocations for 1000 publishes", n)
	}
}

type quietTaker struct{}

func (quietTaker) Publish(*wire.Publish) error     { return nil }
func (quietTaker) TooBig(*wire.Publish, int) error { return nil }
func (quietTaker) Farewell(error) []byte           { return nil }

// In whatever pieces a stream arrives, the same is taken and the same handed through.
func TestStreamProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.SampledFrom([]byte{4, 5}).Draw(t, "version")
		var stream, through []byte
		var took []string
		for range rapid.IntRange(0, 30).Draw(t, "packets") {
			if rapid.Bool().Draw(t, "is a publish") {
				p, encoded := drawPublish(t, version)
				stream = append(stream, encoded...)
				took = append(took, describe(p))
				continue
			}
			other := packet(rapid.SampledFrom([]byte{0x10, 0x82, 0xa2, 0xc0, 0xe0, 0x40, 0xf0}).Draw(t, "type"),
				rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")...)
			stream = append(stream, other...)
			through = append(through, other...)
		}
		h := new(taker)
		got, _, _, err := play(h, &pieces{t: t, rest: stream}, version)
		if !errors.Is(err, wire.ErrGone) {
			t.Fatal(err)
		}
		if !bytes.Equal(got, through) {
			t.Fatalf("handed through %x, want %x", got, through)
		}
		if !slices.Equal(h.took, took) {
			t.Fatalf("took %q, want %q", h.took, took)
		}
	})
}

func drawPublish(t *rapid.T, version byte) (*wire.Publish, []byte) {
	p := &wire.Publish{
		Topic:    rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "topic"),
		Payload:  make([]byte, rapid.SampledFrom([]int{0, 1, 100, 4000, 9000, 70_000}).Draw(t, "payload")),
		QoS:      rapid.ByteRange(0, 2).Draw(t, "qos"),
		Retained: rapid.Bool().Draw(t, "retained"),
	}
	first := 0x30 | p.QoS<<1
	if p.Retained {
		first |= 1
	}
	body := append(binary.BigEndian.AppendUint16(nil, uint16(len(p.Topic))), p.Topic...)
	if p.QoS > 0 {
		p.PacketID = rapid.Uint16Range(1, 65535).Draw(t, "packet id")
		p.Dup = rapid.Bool().Draw(t, "dup")
		body = binary.BigEndian.AppendUint16(body, p.PacketID)
	}
	if p.Dup {
		first |= 8
	}
	if version == 5 {
		n := rapid.IntRange(0, 100).Draw(t, "properties")
		body = append(append(body, byte(n)), make([]byte, n)...)
	}
	return p, packet(first, append(body, p.Payload...)...)
}

// pieces delivers a stream in pieces of drawn sizes.
type pieces struct {
	t    *rapid.T
	rest []byte
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := rapid.SampledFrom([]int{1, 2, 3, 100, 5000, 1 << 20}).Draw(r.t, "piece")
	n = copy(p, r.rest[:min(n, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

// No bytes from outside make the Conn panic, and whatever publish another
// implementation of MQTT reads, this one reads the same.
func FuzzConn(f *testing.F) {
	f.Add(slices.Concat(publish("a/b", 1, 7, "payload"), []byte{0xc0, 0}, publish("c", 0, 0, "")), false)
	f.Add(packet(0x32, 0, 1, 't', 0, 5, 3, 0x23, 0, 1, 'x'), true)
	f.Add([]byte{0x62, 2, 0, 4, 0x30, 0xff, 0xff, 0x7f}, false)
	f.Add([]byte{0x36, 0x80, 0x80, 0x80, 0x80}, true)
	f.Add(packet(0x32, 0, 1, 't', 0, 5, 0x80, 0x80, 0x80, 0x80, 0x80, 0, 'x'), true)
	f.Fuzz(func(t *testing.T, stream []byte, five bool) {
		version := byte(4)
		if five {
			version = 5
		}
		h := new(taker)
		_, c, _, _ := play(h, bytes.NewReader(stream), version)
		c.Wait()
		for i, want := range others(stream, version) {
			if i >= len(h.took) || h.took[i] != want {
				t.Fatalf("publish %d of %x: took %q, want %q", i, stream, h.took, want)
			}
		}
	})
}

// others are the publishes at the beginning of a stream as the server library
// reads them: up to the first packet it finds fault with.
func others(stream []byte, version byte) (took []string) {
	in := bytes.NewReader(stream)
	for {
		first, err := in.ReadByte()
		if err != nil {
			return took
		}
		pk := packets.Packet{ProtocolVersion: version}
		n, size, err := packets.DecodeLength(in)
		if err != nil || size > 4 || n > in.Len() || n > 60_000 {
			return took
		}
		pk.FixedHeader.Remaining = n
		body := make([]byte, n)
		_, _ = io.ReadFull(in, body)
		if first>>4 == packets.Pubrel && len(body) < 2 {
			return took
		}
		if first>>4 != packets.Publish {
			continue
		}
		if pk.FixedHeader.Decode(first) != nil || pk.PublishDecode(body) != nil || pk.FixedHeader.Qos > 0 && pk.PacketID == 0 {
			return took
		}
		if version == 5 && longLength(body[2+len(pk.TopicName)+2*min(int(pk.FixedHeader.Qos), 1):]) {
			return took
		}
		took = append(took, describe(&wire.Publish{Topic: []byte(pk.TopicName), Payload: pk.Payload, QoS: pk.FixedHeader.Qos,
			PacketID: pk.PacketID, Retained: pk.FixedHeader.Retain, Dup: pk.FixedHeader.Dup}))
	}
}

// longLength reports whether b begins with a length of more than the four bytes
// that MQTT allows; the library takes one in properties.
func longLength(b []byte) bool {
	return len(b) > 4 && b[0]&b[1]&b[2]&b[3]&0x80 != 0
}
