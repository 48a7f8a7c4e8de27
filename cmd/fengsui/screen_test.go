package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

var screenAway = flag.Duration("screen.away", 0, "how long the screen is cut off at least, as 30s; by default until it says so")

// cable leads from a browser to the gateway and can be pulled: what was on its way
// is lost, nobody is told, and nothing comes through until it is plugged in again.
type cable struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	pulled bool
	ends   []net.Conn
}

func (g *gateway) cable() *cable {
	g.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	c := &cable{listener: listener, to: g.http}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { c.join(conn) })
		}
	})
	g.t.Cleanup(func() {
		listener.Close()
		c.plug()
		running.Wait()
	})
	return c
}

func (c *cable) address() string { return c.listener.Addr().String() }

// join carries bytes both ways until an end closes.
func (c *cable) join(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer far.Close()
	c.mu.Lock()
	c.ends = append(c.ends, near, far)
	c.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { io.Copy(valve{c, near}, far); near.Close() })
	io.Copy(valve{c, far}, near)
	far.Close()
	back.Wait()
}

// valve lets bytes through while the cable is whole, and loses them otherwise.
type valve struct {
	c  *cable
	to net.Conn
}

func (v valve) Write(data []byte) (int, error) {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	if v.c.pulled {
		return len(data), nil
	}
	return v.to.Write(data)
}

func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
}

// plug makes the way free for new connections; the old ones have lost bytes.
func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = false
	for _, end := range c.ends {
		end.Close()
	}
	c.ends = nil
}

// looks waits until the page looks as the patterns say.
func (b *browser) looks(patterns map[string]string) {
	b.t.Helper()
	text, err := json.Marshal(patterns)
	if err != nil {
		b.t.Fatal(err)
	}
	b.do("looks "+string(text), "LOOKS")
}

// crossingGateway has n gas alarms d00, d01 … under rules without hold times.
func crossingGateway(t *testing.T, n int) *gateway {
	t.Helper()
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf("id: d%02d, kind: combustible_gas, state: in_service", i))
	}
	g := newGateway(t, siteYAML(t, "s", "pw", lines...), "rules: rules\n")
	g.write("rules/crossing.yaml", crashRules)
	return g
}

// plants sends readings of the devices of a crossing gateway, each acknowledged.
type plants struct {
	g  *gateway
	at int64
}

func (g *gateway) plants() *plants { return &plants{g, time.Now().Add(-time.Minute).UnixMilli()} }

// say publishes one value for each of the devices from first up to last.
func (p *plants) say(first, last int, value float64) {
	p.g.t.Helper()
	c := connect(p.g.t, p.g.mqtt, fmt.Sprint("plants-", p.at), "s", "pw")
	p.at++
	var sent []mqtt.Token
	for i := first; i < last; i++ {
		payload := fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":%v}}`, p.at, value)
		sent = append(sent, c.Publish(fmt.Sprintf("v1/s/d%02d/telemetry", i), 1, false, payload))
	}
	for _, token := range sent {
		if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			p.g.t.Fatalf("publish: %v", token.Error())
		}
	}
	c.Disconnect(0)
}

// changes waits until the alarm log has n events.
func (g *gateway) changes(n int) {
	g.t.Helper()
	g.eventually(fmt.Sprint(n, " changes of alarms"), func() error {
		if have := len(g.events()); have < n {
			return fmt.Errorf("%d so far", have)
		}
		return nil
	})
}

// people does the same to the first n alarms that are open and in a state.
func (g *gateway) people(n int, state alarms.State, verb string, body map[string]any) {
	g.t.Helper()
	for _, a := range g.alarms("active") {
		if n == 0 {
			return
		}
		if a.State != state {
			continue
		}
		if _, err := g.request("POST", "/api/v1/alarms/"+a.ID+"/"+verb, body, nil); err != nil {
			g.t.Fatal(err)
		}
		n--
	}
	if n > 0 {
		g.t.Fatalf("%d alarms too few to %s", n, verb)
	}
}

// TestTheScreenMissesNothingOffline: a screen whose cable is pulled says that it
// is blind; five hundred changes later, plugged in again, it shows row by row what
// the API lists, and sounds no more than one alarm would.
func TestTheScreenMissesNothingOffline(t *testing.T) {
	const n = 90
	g := crossingGateway(t, n)
	g.start()
	p, c := g.plants(), g.cable()
	b := g.browserAt(c.address())
	p.say(0, 60, 25)
	g.changes(60)
	b.do("same", "SAME")

	c.pull()
	pulled := time.Now()
	b.do("blind", "BLIND")
	p.say(0, n, 55)  // 60 escalated, 30 raised
	p.say(0, n, 1)   // cleared
	p.say(0, 75, 25) // re-armed
	p.say(0, 50, 56) // escalated
	p.say(10, 40, 1) // cleared
	p.say(20, 30, 57)
	p.say(60, n, 26)
	p.say(0, 60, 2)
	p.say(0, 30, 58)
	g.changes(60 + 430)
	g.people(20, alarms.ActiveUnacked, "ack", map[string]any{"note": "on the way"})
	g.people(10, alarms.ActiveUnacked, "shelve", map[string]any{"note": "calibration", "minutes": 60})
	g.people(20, alarms.ClearedUnacked, "close", map[string]any{"disposition": "test"})
	g.people(20, alarms.ActiveAcked, "note", map[string]any{"note": "gate is open"})
	g.changes(60 + 500)
	time.Sleep(time.Until(pulled.Add(*screenAway)))

	b.do("listen", "LISTENS")
	c.plug()
	b.do("sees", "RECOVERED")
	b.do("same", "SAME")
	b.do("calm", "CALM")
	b.looks(map[string]string{"title": `^\(红\d+`, "sound": `\bon\b`, "sounding": "true"})
	g.stop()
}

// TestTheScreenLivesThroughAKill: the gateway is killed in mid-burst; the screen
// says so, and when the gateway is back shows what the API lists, while the alarm
// log tells exactly the story that was sent.
func TestTheScreenLivesThroughAKill(t *testing.T) {
	const n = 12
	g := crossingGateway(t, n)
	g.start()
	b := g.browser()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	senders := make([]*sender, n)
	var sending sync.WaitGroup
	for i := range senders {
		senders[i] = newSender(fmt.Sprintf("d%02d", i), uint64(i))
		sending.Go(func() { senders[i].run(ctx, g.mqtt) })
	}
	g.changes(100)
	g.kill()
	b.do("blind", "BLIND")
	g.start()
	b.do("sees", "RECOVERED")
	g.changes(300)
	cancel()
	sending.Wait()
	g.balanced()
	b.do("same", "SAME")
	g.stop()

	messages, events := readLogs(t, filepath.Join(g.dir, "data"))
	checkStories(t, events, senders, checkInputLog(t, messages, senders))
}

// TestTheScreenRemembersWhatNobodySaw: whatever is raised while nobody looks, with
// the tab in the background, the chair empty or the page closed, waits for
// somebody: in the list, in title and icon, and in the ear.
func TestTheScreenRemembersWhatNobodySaw(t *testing.T) {
	g := crossingGateway(t, 4)
	g.start()
	p, b := g.plants(), g.browser()
	quiet := map[string]string{"title": "^监测中心$", "icon": "^$", "sound": `\bready\b`, "sounding": "false"}
	b.looks(quiet)

	b.do("leave", "LEFT")
	p.say(0, 1, 55)
	b.looks(map[string]string{"hidden": "true", "title": `^\(红1\)`, "icon": "^1$", "iconColour": "#f5383b", "sounding": "true"})
	b.looks(map[string]string{"title": `^红 测试`}) // in turn: what it is
	p.say(1, 2, 55)
	b.looks(map[string]string{"hidden": "true", "title": `^\(红2\)`, "icon": "^2$", "sounding": "true"})
	b.do("return", "BACK")
	b.looks(map[string]string{"sound": `\bon\b`, "takeover": "红色报警", "states": "^active_unacked active_unacked$"})
	b.do("same", "SAME")

	// The chair is empty: it begins and is over, and still nobody saw it.
	p.say(0, 2, 1)
	p.say(2, 3, 25)
	p.say(2, 3, 1)
	b.looks(map[string]string{
		"title": `^\(红2 黄1\)`, "icon": "^2$", "sound": `\bon\b`, "sounding": "true", "takeover": "^$",
		"first": "无人确认", "states": "^cleared_unacked cleared_unacked cleared_unacked$",
	})

	// The page is closed, and opened again.
	b.do("close", "CLOSED")
	p.say(3, 4, 25)
	g.waitAlarm("the fourth", func(a *alarms.Alarm) bool { return a.Device == "d03" && a.Level == rules.Yellow })
	b.do("open", "OPENED")
	b.looks(map[string]string{
		"title": `^\(红2 黄2\)`, "icon": "^2$", "sound": `\bon\b`, "sounding": "true",
		"states": "^active_unacked cleared_unacked cleared_unacked cleared_unacked$",
	})
	b.do("same", "SAME")

	g.people(3, alarms.ClearedUnacked, "close", map[string]any{"disposition": "test"})
	g.people(1, alarms.ActiveUnacked, "ack", map[string]any{"note": "seen"})
	b.looks(quiet)
	g.stop()
}
