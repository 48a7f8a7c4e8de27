package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// probeRuleYAML is a rule without delays, so that a probe can go to red and back
// with every message.
const probeRuleYAML = `kind: combustible_gas
rules:
  - id: ` + probeRule + `
    field: gas_lel_pct
    title: {zh: 延迟探针, en: Latency probe}
    advice: {zh: 测试, en: For tests only}
    basis: {text: load test, status: platform_default}
    worse: high
    steps:
      - {level: red, limit: 5}
    clear: {hysteresis: 1}
`

// prober publishes red and normal values of dedicated devices in turn, and
// watches the stream for the events they cause, as a console would.
type prober struct {
	conn    net.Conn
	screen  *websocket.Conn
	seen    chan seen
	pending map[string]time.Time // by device; published and not yet on the stream
	high    map[string]bool
	packet  []byte
	over    chan struct{} // closed when nobody waits for events any more
	readers sync.WaitGroup
}

// seen is an event of a probe that arrived on the stream.
type seen struct {
	device string
	at     time.Time
	err    error
}

// probe publishes so often and returns publish → screen latencies. A probe
// whose event does not come within patience is an error: no alarm may be lost.
func (g *gateway) probe(ctx context.Context, every time.Duration, count int) (latencies, error) {
	p := &prober{
		seen: make(chan seen), over: make(chan struct{}),
		pending: map[string]time.Time{}, high: map[string]bool{},
	}
	defer p.close()
	if err := p.open(ctx, g); err != nil {
		return nil, err
	}
	p.readers.Go(p.drainAnswers)
	p.readers.Go(p.watch)
	return p.run(ctx, every, count)
}

func (p *prober) close() {
	close(p.over)
	if p.screen != nil {
		p.screen.Close()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	p.readers.Wait()
}

func (p *prober) open(ctx context.Context, g *gateway) error {
	var err error
	if p.screen, _, err = websocket.DefaultDialer.DialContext(ctx, "ws://"+g.http+"/api/v1/stream", nil); err != nil {
		return fmt.Errorf("open the stream: %w", err)
	}
	hello := map[string]any{"hello": map[string]any{"mode": "desk", "token": g.token}}
	if err := p.screen.WriteJSON(hello); err != nil {
		return fmt.Errorf("greet the stream: %w", err)
	}
	if err := p.awaitSnapshot(); err != nil {
		return err
	}
	var dialer net.Dialer
	if p.conn, err = dialer.DialContext(ctx, "tcp", g.mqtt); err != nil {
		return fmt.Errorf("connect the probes: %w", err)
	}
	_, err = p.conn.Write(appendConnect(nil, "probe", probeSite, password))
	return err
}

// frame is the part of a stream frame that matters here.
type frame struct {
	Snapshot json.RawMessage `json:"snapshot"`
	Resume   json.RawMessage `json:"resume"`
	Event    *struct {
		Alarm struct {
			Device string `json:"device"`
			Rule   string `json:"rule"`
		} `json:"alarm"`
	} `json:"e"`
}

func (p *prober) next() (frame, error) {
	var f frame
	p.screen.SetReadDeadline(time.Now().Add(patience))
	_, text, err := p.screen.ReadMessage()
	if err != nil {
		return f, fmt.Errorf("read the stream: %w", err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("frame of the stream: %w", err)
	}
	return f, nil
}

func (p *prober) awaitSnapshot() error {
	for {
		f, err := p.next()
		if err != nil || f.Snapshot != nil || f.Resume != nil {
			return err
		}
	}
}

// patience with a stream that should say something every second.
const patience = 10 * time.Second

// watch notes when each probe's event arrives.
func (p *prober) watch() {
	for {
		f, err := p.next()
		if err == nil && (f.Event == nil || f.Event.Alarm.Rule != probeRule) {
			continue
		}
		s := seen{at: time.Now(), err: err}
		if err == nil {
			s.device = f.Event.Alarm.Device
		}
		select {
		case p.seen <- s:
		case <-p.over:
			return
		}
		if err != nil {
			return
		}
	}
}

// drainAnswers reads CONNACK and PUBACKs, so that the gateway can write them.
func (p *prober) drainAnswers() {
	for r := bufio.NewReader(p.conn); ; {
		if _, err := readReply(r); err != nil {
			return
		}
	}
}

func (p *prober) run(ctx context.Context, every time.Duration, count int) (latencies, error) {
	clock := time.NewTicker(every)
	defer clock.Stop()
	var all latencies
	for sent := 0; len(all) < count; {
		select {
		case <-clock.C:
			if err := p.overdue(); err != nil {
				return all, err
			}
			if device := probe(sent % probes); sent < count && p.pending[device].IsZero() {
				sent++
				if err := p.toggle(device, uint16(sent%0xFFFF)+1); err != nil {
					return all, err
				}
			}
		case s := <-p.seen:
			if s.err != nil {
				return all, s.err
			}
			if at := p.pending[s.device]; !at.IsZero() {
				all = append(all, s.at.Sub(at))
				delete(p.pending, s.device)
			}
		case <-ctx.Done():
			return all, ctx.Err()
		}
	}
	return all, nil
}

func (p *prober) overdue() error {
	for device, at := range p.pending {
		if time.Since(at) > patience {
			return fmt.Errorf("probe %s: no event on the stream %v after its publish", device, patience)
		}
	}
	return nil
}

// toggle publishes the other value of a probe.
func (p *prober) toggle(device string, id uint16) error {
	p.high[device] = !p.high[device]
	value := "1.0"
	if p.high[device] {
		value = "9.0"
	}
	now := time.Now()
	payload := append([]byte(`{"ts":`), strconv.FormatInt(now.UnixMilli(), 10)...)
	payload = append(payload, `,"values":{"gas_lel_pct":`+value+`}}`...)
	p.packet = appendPublish(p.packet[:0], "v1/"+probeSite+"/"+device+"/telemetry", payload, 1, id)
	p.pending[device] = time.Now()
	if _, err := p.conn.Write(p.packet); err != nil {
		return fmt.Errorf("publish a probe: %w", err)
	}
	return nil
}
