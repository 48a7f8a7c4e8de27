package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// loadOptions says what to publish.
type loadOptions struct {
	Address     string
	Connections int // the devices are divided among them
	Devices     []loadDevice
	QoS         byte
	Messages    int // in all
	Window      int // messages under way without a PUBACK, per connection; QoS 1 only
	Rate        int // messages a second in all; 0: as fast as it goes
}

// loadDevice is a sender of readings and whose credentials it uses. Devices of
// one connection must share them.
type loadDevice struct {
	Topic          string
	User, Password string
}

// loadResult is what came of it.
type loadResult struct {
	Messages int
	Elapsed  time.Duration // until the last PUBACK (QoS 1) or write (QoS 0)
	Acked    latencies     // from the write to its PUBACK; QoS 1 only
}

// publish sends the load over its connections and waits until all of it is
// acknowledged.
func publish(ctx context.Context, o loadOptions) (loadResult, error) {
	publishers := make([]*publisher, o.Connections)
	group, connecting := errgroup.WithContext(ctx)
	for i := range publishers {
		p := &publisher{loadOptions: o, number: i, began: time.Now()}
		p.moved.L = &p.mu
		publishers[i] = p
		for d := i * len(o.Devices) / o.Connections; d < (i+1)*len(o.Devices)/o.Connections; d++ {
			p.mine = append(p.mine, o.Devices[d])
		}
		p.Messages = o.Messages*(i+1)/o.Connections - o.Messages*i/o.Connections
		group.Go(func() error { return p.connect(connecting) })
	}
	defer func() {
		for _, p := range publishers {
			p.close()
		}
	}()
	if err := group.Wait(); err != nil {
		return loadResult{}, err
	}

	group, ctx = errgroup.WithContext(ctx)
	began := time.Now()
	for _, p := range publishers {
		group.Go(func() error { return p.run(ctx) })
	}
	if err := group.Wait(); err != nil {
		return loadResult{}, err
	}
	result := loadResult{Messages: o.Messages, Elapsed: time.Since(began)}
	for _, p := range publishers {
		result.Acked = append(result.Acked, p.latencies...)
	}
	return result, nil
}

// publisher is one connection.
type publisher struct {
	loadOptions
	number int
	mine   []loadDevice
	conn   net.Conn
	reader *bufio.Reader

	mu        sync.Mutex
	moved     sync.Cond // acked or failed changed
	acked     int
	failed    error
	sentAt    [1 << 16]int64 // by packet id, monotonic ns since began
	latencies latencies
	began     time.Time
	readers   sync.WaitGroup
}

// connect opens the connection and waits for its CONNACK.
func (p *publisher) connect(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return fmt.Errorf("connection %d: %w", p.number, err)
	}
	p.conn, p.reader = conn, bufio.NewReaderSize(conn, 64<<10)
	d := p.mine[0]
	if _, err := conn.Write(appendConnect(nil, fmt.Sprintf("load-%d", p.number), d.User, d.Password)); err != nil {
		return fmt.Errorf("connection %d: %w", p.number, err)
	}
	answer, err := readReply(p.reader)
	switch {
	case err != nil:
		return fmt.Errorf("connection %d: CONNACK: %w", p.number, err)
	case answer.kind != connack || answer.body[1] != 0:
		return fmt.Errorf("connection %d refused: packet %d, code %d", p.number, answer.kind, answer.body[1])
	}
	return nil
}

func (p *publisher) close() {
	if p.conn == nil {
		return
	}
	p.conn.Write(appendDisconnect(nil))
	p.conn.Close()
	p.readers.Wait()
}

// run sends this connection's share.
func (p *publisher) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.fail(ctx.Err()); p.conn.Close() })
	defer stop()
	if p.QoS > 0 {
		p.latencies = make(latencies, 0, p.Messages)
		p.readers.Go(p.readAcks)
	}
	if err := p.send(); err != nil {
		return fmt.Errorf("connection %d: %w", p.number, errors.Join(err, p.failure()))
	}
	if p.QoS > 0 {
		return p.waitAcked(p.Messages)
	}
	return nil
}

func (p *publisher) send() error {
	writer := bufio.NewWriterSize(p.conn, 64<<10)
	pace := pacer{every: p.interval(), next: time.Now()}
	payload, packet := make([]byte, 0, 256), make([]byte, 0, 512)
	for n := range p.Messages {
		if due := n - p.Window + 1; p.QoS > 0 && !p.hasAcked(due) {
			if err := writer.Flush(); err != nil {
				return err
			}
			if err := p.waitAcked(due); err != nil {
				return err
			}
		}
		if pace.every > 0 && pace.ahead() {
			if err := writer.Flush(); err != nil {
				return err
			}
			pace.sleep()
		}
		now := time.Now()
		id := uint16(n%0xFFFF) + 1
		payload = appendReading(payload[:0], now, n)
		packet = appendPublish(packet[:0], p.mine[n%len(p.mine)].Topic, payload, p.QoS, id)
		if p.QoS > 0 {
			p.mu.Lock()
			p.sentAt[id] = int64(now.Sub(p.began))
			p.mu.Unlock()
		}
		if _, err := writer.Write(packet); err != nil {
			return err
		}
		pace.sent()
	}
	return writer.Flush()
}

// interval from one message of this connection to the next.
func (p *publisher) interval() time.Duration {
	if p.Rate == 0 {
		return 0
	}
	return time.Second * time.Duration(p.Connections) / time.Duration(p.Rate)
}

// pacer spreads messages evenly over time.
type pacer struct {
	every time.Duration
	next  time.Time
}

func (p *pacer) sent()       { p.next = p.next.Add(p.every) }
func (p *pacer) ahead() bool { return time.Until(p.next) > 0 }
func (p *pacer) sleep()      { time.Sleep(time.Until(p.next)) }

// appendReading writes a house message with five values that change each time
// and never alarm.
func appendReading(dst []byte, at time.Time, n int) []byte {
	dst = append(dst, `{"ts":`...)
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendInt(dst, int64(n)+1, 10)
	dst = append(dst, `,"values":{"residual_current_ma":`...)
	dst = strconv.AppendInt(dst, int64(80+n%60), 10)
	dst = append(dst, `,"cable_temp_1_c":`...)
	dst = appendTenths(dst, 300+n%97)
	dst = append(dst, `,"cable_temp_2_c":`...)
	dst = appendTenths(dst, 310+n%89)
	dst = append(dst, `,"cable_temp_3_c":`...)
	dst = appendTenths(dst, 320+n%83)
	dst = append(dst, `,"ambient_temp_c":`...)
	dst = appendTenths(dst, 240+n%31)
	return append(dst, "}}"...)
}

func appendTenths(dst []byte, tenths int) []byte {
	dst = strconv.AppendInt(dst, int64(tenths/10), 10)
	return append(dst, '.', byte('0'+tenths%10))
}

// readAcks takes PUBACKs until the connection ends.
func (p *publisher) readAcks() {
	for {
		answer, err := readReply(p.reader)
		if err == nil && answer.kind != puback {
			err = fmt.Errorf("packet %d instead of a PUBACK", answer.kind)
		}
		if err != nil {
			p.fail(err)
			return
		}
		now := time.Since(p.began)
		p.mu.Lock()
		p.latencies = append(p.latencies, now-time.Duration(p.sentAt[answer.id()]))
		p.acked++
		p.mu.Unlock()
		if p.reader.Buffered() == 0 { // a burst of PUBACKs wakes the sender once
			p.moved.Broadcast()
		}
	}
}

func (p *publisher) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = err
	}
	p.moved.Broadcast()
}

func (p *publisher) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *publisher) hasAcked(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked >= n
}

// waitAcked waits until n messages are acknowledged.
func (p *publisher) waitAcked(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.acked < n && p.failed == nil {
		p.moved.Wait()
	}
	if p.acked >= n {
		return nil
	}
	return fmt.Errorf("connection %d: %d of %d messages acknowledged: %w", p.number, p.acked, p.Messages, p.failed)
}
