package simulate

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"go.uber.org/goleak"

	"fengsui/devices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// heard is a broker that tells what it hears.
type heard struct {
	mochi.HookBase
	publishes chan packets.Packet
	wills     chan string
}

func (h *heard) ID() string { return "heard" }

func (h *heard) Provides(b byte) bool {
	switch b {
	case mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnPublish, mochi.OnWill:
		return true
	}
	return false
}

func (h *heard) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (h *heard) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (h *heard) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	h.publishes <- p.Copy(false)
	return p, nil
}

func (h *heard) OnWill(_ *mochi.Client, w mochi.Will) (mochi.Will, error) {
	h.wills <- w.TopicName + " " + string(w.Payload)
	return w, nil
}

// startBroker listens on address until the test, or stop, ends it.
func startBroker(t *testing.T, address string) (h *heard, addr string, stop func()) {
	t.Helper()
	h = &heard{publishes: make(chan packets.Packet, 10_000), wills: make(chan string, 100)}
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := server.AddHook(h, nil); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	// The server has no listener of its own: ending one while a client leaves can
	// lock it for ever.
	d := &door{open: map[net.Conn]bool{}}
	d.conns.Go(func() { d.serve(listener, server) })
	stop = sync.OnceFunc(func() {
		listener.Close()
		d.close()
		d.conns.Wait()
		server.Close()
	})
	t.Cleanup(stop)
	return h, listener.Addr().String(), stop
}

// door lets connections in, and knows them.
type door struct {
	conns sync.WaitGroup
	mu    sync.Mutex
	open  map[net.Conn]bool // nil once it is closed
}

func (d *door) serve(l net.Listener, server *mochi.Server) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		if d.open == nil {
			d.mu.Unlock()
			c.Close()
			return
		}
		d.open[c] = true
		d.mu.Unlock()
		d.conns.Go(func() { _ = server.EstablishConnection("test", c) })
	}
}

func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		c.Close()
	}
	d.open = nil
}

// run starts a fleet and returns what ends it and waits for it.
func run(t *testing.T, f *Fleet) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func receive[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("no %s within 30 s", what)
		panic("unreachable")
	}
}

func newTestFleet(t *testing.T, addr string, scenarios ...Scenario) *Fleet {
	t.Helper()
	c, err := NewCounty(CountyOptions{Devices: testDevices(), Scenarios: scenarios, Seed: 1, Pace: DemoPace})
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(FleetOptions{County: c, Broker: "tcp://" + addr})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFleetPublishesEveryDeviceAtQoS1(t *testing.T) {
	broker, addr, _ := startBroker(t, "127.0.0.1:0")
	fleet := newTestFleet(t, addr)
	stop := run(t, fleet)

	missing := map[string]bool{}
	for _, d := range fleet.County.Devices() {
		missing[topic(d)] = true
	}
	for len(missing) > 0 {
		p := receive(t, broker.publishes, "message of every device")
		if p.FixedHeader.Qos != 1 || p.FixedHeader.Retain {
			t.Errorf("%s: QoS %d, retained %v; want QoS 1, not retained", p.TopicName, p.FixedHeader.Qos, p.FixedHeader.Retain)
		}
		delete(missing, p.TopicName)
	}
	stop()
	if s := fleet.Stats(); s.Acknowledged != s.Published || s.Dropped != 0 {
		t.Errorf("after an orderly end: %+v; want everything acknowledged, nothing dropped", s)
	}
	select {
	case will := <-broker.wills:
		t.Errorf("last will %q after an orderly end", will)
	default:
	}
}

func TestSilenceIsABrokenConnectionWithALastWill(t *testing.T) {
	broker, addr, _ := startBroker(t, "127.0.0.1:0")
	silence := Scenario{
		Name: "silence", Kind: "electricity_meter", Cast: 1, First: 2 * time.Second, Every: time.Hour,
		Acts: []Act{{Force: Silence, Value: 1, Lasts: 4 * time.Second}},
	}
	fleet := newTestFleet(t, addr, silence)
	run(t, fleet)
	d := fleet.County.Breakable()[0]

	if got, want := receive(t, broker.wills, "last will"), statusTopic(d)+" offline"; got != want {
		t.Fatalf("will %q, want %q", got, want)
	}
	online, history := 0, 0
	for online < 2 || history == 0 {
		switch p := receive(t, broker.publishes, "return of the device"); {
		case p.TopicName == statusTopic(d) && string(p.Payload) == "online":
			online++
		case p.TopicName == topic(d) && p.Payload[0] == '[':
			history++
		}
	}
}

func TestNothingIsLostWhenTheBrokerEndsAndComesBack(t *testing.T) {
	first, addr, stopBroker := startBroker(t, "127.0.0.1:0")
	fleet := newTestFleet(t, addr)
	stop := run(t, fleet)
	seqs := map[string][]uint64{}
	for range 4 * len(fleet.County.Devices()) {
		note(t, seqs, receive(t, first.publishes, "message before the broker ends"))
	}
	stopBroker()

	second, _, _ := startBroker(t, addr)
	back := map[string]bool{}
	for len(back) < len(fleet.County.Devices()) {
		p := receive(t, second.publishes, "message after the broker came back")
		note(t, seqs, p)
		back[p.TopicName] = true
	}
	stop()
	for _, broker := range []*heard{first, second} {
		for len(broker.publishes) > 0 {
			note(t, seqs, <-broker.publishes)
		}
	}
	if s := fleet.Stats(); s.Dropped != 0 || s.Acknowledged != s.Published {
		t.Errorf("%+v; want everything acknowledged, nothing dropped", s)
	}
	for topic, all := range seqs {
		slices.Sort(all)
		for i, seq := range slices.Compact(all) {
			if seq != 1+uint64(i) {
				t.Errorf("%s: message %d is missing", topic, 1+i)
				break
			}
		}
	}
}

// note adds the sequence number of a message.
func note(t *testing.T, seqs map[string][]uint64, p packets.Packet) {
	all, _ := decode(t, p.Payload)
	seqs[p.TopicName] = append(seqs[p.TopicName], all[0].Seq)
}

func TestFleetWaitsForABrokerThatIsNotThereYet(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	fleet := newTestFleet(t, addr)
	run(t, fleet)
	broker, _, _ := startBroker(t, addr)
	receive(t, broker.publishes, "message")
}

func TestFleetRefusesAnAddressItCannotUse(t *testing.T) {
	c, err := NewCounty(CountyOptions{Devices: testDevices()})
	if err != nil {
		t.Fatal(err)
	}
	for _, broker := range []string{"", "localhost:1883", "http://localhost", "ws://localhost:9001"} {
		if _, err := NewFleet(FleetOptions{County: c, Broker: broker}); err == nil {
			t.Errorf("broker %q was accepted", broker)
		}
	}
}

// testDevices are two devices of every kind with a model, in two areas.
func testDevices() []*devices.Device {
	var all []*devices.Device
	for _, kind := range []string{"electricity_meter", "electrical_fire", "combustible_gas", "tailings_pond", "slope"} {
		k := &devices.Kind{ID: kind, Interval: time.Second}
		for _, area := range []string{"999901", "999902"} {
			s := &devices.Site{ID: kind + "-" + area, Area: area, Params: map[string]float64{"slope_angle_deg": 48}}
			all = append(all, &devices.Device{Site: s, ID: "d", Kind: k, State: devices.InService})
		}
	}
	return all
}
