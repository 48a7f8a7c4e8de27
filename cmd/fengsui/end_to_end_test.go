package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/gorilla/websocket"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks/influx/influxtest"
)

// siteYAML is one site with a credential for all its devices, as an edge gateway
// of an enterprise would have.
func siteYAML(t *testing.T, site, password string, lines ...string) string {
	t.Helper()
	hash, err := devices.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "sites:\n  - id: %s\n    name: {zh: 测试站点, en: Test site}\n    password_hash: %q\n", site, hash)
	fmt.Fprintf(&b, "    params: {rated_current_a: 400, design_flood_level_m: 190}\n")
	b.WriteString("devices:\n")
	for _, l := range lines {
		fmt.Fprintf(&b, "  - {site: %s, %s}\n", site, l)
	}
	return b.String()
}

// mosquitto is a real broker on a free port.
type mosquitto struct {
	t       *testing.T
	address string
	dir     string
	cmd     *exec.Cmd
}

func startMosquitto(t *testing.T) *mosquitto {
	t.Helper()
	path := "/usr/sbin/mosquitto"
	if found, err := exec.LookPath("mosquitto"); err == nil {
		path = found
	}
	_, err := os.Stat(path)
	needReal(t, err == nil, "mosquitto")
	m := &mosquitto{t: t, address: freeAddress(t), dir: t.TempDir()}
	_, port, _ := net.SplitHostPort(m.address)
	config := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location %s/\nmax_inflight_messages 0\nmax_queued_messages 0\n", port, m.dir)
	if err := os.WriteFile(filepath.Join(m.dir, "mosquitto.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Chmod(m.dir, 0o777) // it gives up root before it writes its store
	m.run(path)
	return m
}

func (m *mosquitto) run(path string) {
	m.t.Helper()
	m.cmd = exec.Command(path, "-c", filepath.Join(m.dir, "mosquitto.conf"))
	m.cmd.Stderr = &lockedBuffer{}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	cmd := m.cmd
	m.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", m.address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("mosquitto does not answer: %v\n%s", err, m.cmd.Stderr)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// pub publishes one message with mosquitto_pub, as a newcomer would.
func pub(t *testing.T, address, topic, payload string, more ...string) {
	t.Helper()
	path, err := exec.LookPath("mosquitto_pub")
	needReal(t, err == nil, "mosquitto_pub")
	host, port, _ := net.SplitHostPort(address)
	args := append([]string{"-h", host, "-p", port, "-q", "1", "-t", topic, "-m", payload}, more...)
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub %v: %v\n%s", args, err, out)
	}
}

// connect is a bulk client: a paho connection that waits for every PUBACK.
func connect(t *testing.T, address, id, user, password string) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).SetUsername(user).SetPassword(password).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second).SetWriteTimeout(5 * time.Second)
	c := mqtt.NewClient(o)
	token := c.Connect()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connect to %s: %v", address, token.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// screen is a websocket client of the stream.
type screen struct {
	t    *testing.T
	conn *websocket.Conn
}

func (g *gateway) screen() *screen {
	g.t.Helper()
	u := url.URL{Scheme: "ws", Host: g.http, Path: "/api/v1/stream"}
	conn, _, err := websocket.DefaultDialer.Dial(u.String(), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { conn.Close() })
	if err := conn.WriteJSON(map[string]any{"hello": map[string]any{"mode": "desk", "token": g.token}}); err != nil {
		g.t.Fatal(err)
	}
	return &screen{t: g.t, conn: conn}
}

// event reads frames until an event that f accepts.
func (s *screen) event(what string, f func(e *alarms.Event) bool) alarms.Event {
	s.t.Helper()
	s.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		var frame struct {
			E *alarms.Event `json:"e"`
		}
		if err := s.conn.ReadJSON(&frame); err != nil {
			s.t.Fatalf("waiting for %s on the stream: %v", what, err)
		}
		if frame.E != nil && f(frame.E) {
			return *frame.E
		}
	}
}

// TestOneReadingWalksTheWholeWay drives the real binary with real peers: a
// message through Mosquitto ends as a point in InfluxDB; one through the embedded
// intake ends as an alarm on a screen, which lives through a crash until a person
// closes it.
func TestOneReadingWalksTheWholeWay(t *testing.T) {
	broker := startMosquitto(t)
	influx := influxtest.Start(t)
	g := newGateway(t, siteYAML(t, "canteen", "pw",
		"id: gas-01, kind: combustible_gas, state: in_service",
		"id: cable-01, kind: electrical_fire, state: in_service",
	), fmt.Sprintf("brokers:\n  - {name: county, url: \"tcp://%s\"}\ninflux: {url: %q, org: %q, bucket: %q, token_file: influx.token}\n",
		broker.address, influx.URL, influx.Org, influx.Bucket))
	g.write("influx.token", influx.Token)
	g.start()
	s := g.screen()

	// Through Mosquitto and the paho path into InfluxDB: one by hand, then in bulk.
	pub(t, broker.address, "v1/canteen/cable-01/telemetry", `{"values":{"residual_current_ma":31,"cable_temp_1_c":41.5}}`)
	c := connect(t, broker.address, "bulk", "", "")
	const bulk = 500
	start := time.Now().Add(-time.Minute).UnixMilli()
	tokens := make([]mqtt.Token, bulk)
	for i := range tokens {
		payload := fmt.Sprintf(`{"ts":%d,"seq":%d,"values":{"residual_current_ma":%d}}`, start+int64(i), i+1, 30+i%5)
		tokens[i] = c.Publish("v1/canteen/cable-01/telemetry", 1, false, payload)
	}
	for _, token := range tokens {
		if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("bulk publish: %v", token.Error())
		}
	}
	g.eventually("every point in InfluxDB", func() error {
		if n := influx.Count(t, influx.Bucket, "electrical_fire", "residual_current_ma"); n != bulk+1 {
			return fmt.Errorf("%d points, want %d", n, bulk+1)
		}
		return nil
	})

	// Through the embedded intake onto the screen.
	login := []string{"-u", "canteen", "-P", "pw"}
	at := time.Now().Add(-6 * time.Minute).UnixMilli()
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":62.5}}`, at), login...)
	raised := s.event("the gas alarm", func(e *alarms.Event) bool { return e.Type == alarms.Raised && e.Alarm.Field == "gas_lel_pct" })
	a := raised.Alarm
	if a.Level != rules.Red || a.State != alarms.ActiveUnacked || *a.Value != 62.5 || a.Device != "gas-01" {
		t.Fatalf("raised %+v", a)
	}

	var answer struct {
		Seq uint64 `json:"seq"`
	}
	if _, err := g.request("POST", "/api/v1/alarms/"+a.ID+"/ack", map[string]string{"note": "on my way"}, &answer); err != nil {
		t.Fatal(err)
	}
	acked := s.event("the acknowledgement", func(e *alarms.Event) bool { return e.Type == alarms.Acked && e.Alarm.ID == a.ID })
	if acked.Seq != answer.Seq || acked.Alarm.State != alarms.ActiveAcked || acked.By == "" {
		t.Fatalf("acknowledged %+v, answered seq %d", acked, answer.Seq)
	}

	g.kill()
	g.start()
	after := g.waitAlarm("the alarm after a crash", func(b *alarms.Alarm) bool { return b.ID == a.ID })
	if after.State != alarms.ActiveAcked || after.AckedBy != acked.By || after.Seq != acked.Seq {
		t.Fatalf("after kill -9: %+v, want it as acknowledged: %+v", after, acked.Alarm)
	}

	// Five minutes of clean air in event time, and a reset where the rule latches.
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":0.4}}`, at+10_000), login...)
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":0.3}}`, at+330_000), login...)
	latched := func(b *alarms.Alarm) bool {
		return b.ID == a.ID && strings.Contains(strings.Join(b.Flags, ","), "latched")
	}
	cleared := func(b *alarms.Alarm) bool { return b.ID == a.ID && b.State == alarms.ClearedUnacked }
	over := g.waitAlarm("the condition over", func(b *alarms.Alarm) bool { return latched(b) || cleared(b) })
	if latched(&over) {
		if _, err := g.request("POST", "/api/v1/alarms/"+a.ID+"/reset", map[string]string{"note": "checked on site"}, nil); err != nil {
			t.Fatal(err)
		}
		g.waitAlarm("the alarm cleared", cleared)
	}
	if _, err := g.request("POST", "/api/v1/alarms/"+a.ID+"/close", map[string]string{"disposition": "real", "note": "valve replaced"}, nil); err != nil {
		t.Fatal(err)
	}
	closed := g.waitAlarm("the alarm closed", func(b *alarms.Alarm) bool { return b.ID == a.ID && b.State == alarms.Closed })
	if closed.Disposition != "real" || closed.ClosedBy == "" {
		t.Fatalf("closed %+v", closed)
	}
	g.eventually("the alarm's events in InfluxDB", func() error {
		if n := influx.Count(t, influx.Bucket, "alarm_event", "seq"); n < 4 {
			return fmt.Errorf("%d events", n)
		}
		return nil
	})
	g.balanced()
	g.stop()
}

// balanced waits until both lines of the books show no residue and nothing is
// under way any more.
func (g *gateway) balanced() {
	g.t.Helper()
	g.eventually("the books balance", func() error {
		residue := g.metric("fengsui_books_residue")
		backlog := g.metric("fengsui_messages_backlog")
		if residue != 0 || backlog != 0 {
			return fmt.Errorf("residue %v, backlog %v", residue, backlog)
		}
		return nil
	})
}
