package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/devices"
)

const (
	queueSize   = 1024             // messages a line holds while the broker is away
	window      = 32               // messages under way without an answer
	patience    = 10 * time.Second // for an answer of the broker
	firstRetry  = 500 * time.Millisecond
	longestWait = 8 * time.Second
)

// line is one connection to the broker. It makes a new client for every attempt
// and reconnects by itself: paho's own reconnect reports publishes as delivered
// that may not have been. What was not acknowledged is sent again.
type line struct {
	fleet    *Fleet
	clientID string
	device   *devices.Device // whose connection it is alone; nil for a shared one

	up     chan struct{} // closed at the first connection
	once   sync.Once
	queue  chan Message
	broken atomic.Bool
	toggle chan struct{} // broken changed

	flight []flying // owned by run, as it was sent
}

// flying is a message that is not acknowledged yet.
type flying struct {
	Message
	token mqtt.Token
}

func newLine(f *Fleet, clientID string) *line {
	return &line{
		fleet:    f,
		clientID: clientID,
		up:       make(chan struct{}),
		queue:    make(chan Message, queueSize),
		toggle:   make(chan struct{}, 1),
	}
}

// submit never blocks: a device does not stop measuring because nobody listens.
func (l *line) submit(m Message) {
	select {
	case l.queue <- m:
	default:
		l.fleet.counts.dropped.Add(1)
	}
}

// setBroken breaks the connection without a farewell, so that the broker
// publishes the device's last will, or lets it come back.
func (l *line) setBroken(broken bool) {
	if l.broken.Swap(broken) == broken {
		return
	}
	select {
	case l.toggle <- struct{}{}:
	default:
	}
}

// run keeps the line connected until ctx ends.
func (l *line) run(ctx context.Context) error {
	wait := firstRetry
	for ctx.Err() == nil {
		if l.broken.Load() {
			select {
			case <-l.toggle:
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		if err := l.connectAndServe(ctx); err != nil && ctx.Err() == nil {
			l.fleet.Logger.Warn("simulated connection lost", "client", l.clientID, "err", err)
			if time.Since(began) > longestWait {
				wait = firstRetry
			}
			sleep(ctx, wait)
			wait = min(2*wait, longestWait)
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// connectAndServe publishes over one connection. It returns nil when ctx ended or
// the story broke the connection.
func (l *line) connectAndServe(ctx context.Context) error {
	s := &session{line: l, lost: make(chan error, 1)}
	client := mqtt.NewClient(s.options())
	if err := wait(ctx, client.Connect()); err != nil {
		client.Disconnect(0)
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("connect to %s: %w", l.fleet.server.Redacted(), err)
	}
	defer client.Disconnect(100)
	l.fleet.counts.connected.Add(1)
	l.once.Do(func() { close(l.up) })

	if l.device != nil {
		client.Publish(statusTopic(l.device), 1, false, "online")
	}
	l.resend(client)
	for {
		select {
		case m := <-l.queue:
			if err := l.publish(ctx, client, m); err != nil {
				return err
			}
		case err := <-s.lost:
			return err
		case <-l.toggle:
			if l.broken.Load() {
				s.cut()
				return nil
			}
		case <-ctx.Done():
			l.settle(client)
			return nil
		}
	}
}

// publish sends one message, and waits only when the window is full.
func (l *line) publish(ctx context.Context, client mqtt.Client, m Message) error {
	l.flight = append(l.flight, flying{m, client.Publish(m.Topic, 1, false, m.Payload)})
	l.fleet.counts.published.Add(1)
	for len(l.flight) > 0 {
		oldest := l.flight[0].token
		if len(l.flight) < window && !isDone(oldest) {
			return nil
		}
		if err := wait(ctx, oldest); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		l.landed()
	}
	return nil
}

// resend publishes again what the last connection left without an answer.
func (l *line) resend(client mqtt.Client) {
	unanswered := l.flight[:0]
	for _, m := range l.flight {
		if isDone(m.token) && m.token.Error() == nil {
			l.fleet.counts.acknowledged.Add(1)
			continue
		}
		m.token = client.Publish(m.Topic, 1, false, m.Payload)
		unanswered = append(unanswered, m)
	}
	l.flight = unanswered
}

func (l *line) landed() {
	l.flight = append(l.flight[:0], l.flight[1:]...)
	l.fleet.counts.acknowledged.Add(1)
}

// settle waits a moment for the last answers, so that an orderly end loses nothing.
func (l *line) settle(client mqtt.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for len(l.flight) > 0 && client.IsConnectionOpen() {
		if wait(ctx, l.flight[0].token) != nil {
			return
		}
		l.landed()
	}
}

var errPatience = errors.New("no answer from the broker")

// wait never waits for ever: a token of paho may never be done.
func wait(ctx context.Context, token mqtt.Token) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-timer.C:
		return errPatience
	case <-ctx.Done():
		return ctx.Err()
	}
}

func isDone(token mqtt.Token) bool {
	select {
	case <-token.Done():
		return true
	default:
		return false
	}
}

// session is one connection of a line.
type session struct {
	line *line
	conn net.Conn
	lost chan error
}

func (s *session) options() *mqtt.ClientOptions {
	f := s.line.fleet
	o := mqtt.NewClientOptions().
		AddBroker(f.server.String()).
		SetClientID(s.line.clientID).
		SetUsername(f.Username).SetPassword(f.Password).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetKeepAlive(20 * time.Second).
		SetConnectTimeout(patience).
		SetWriteTimeout(patience).
		SetCustomOpenConnectionFn(s.dial).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.lost <- err })
	if d := s.line.device; d != nil {
		o.SetWill(statusTopic(d), "offline", 1, false)
	}
	return o
}

// dial keeps the connection at hand, so that the story can cut it.
func (s *session) dial(server *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: patience}
	conn, err := dialer.Dial("tcp", server.Host)
	if err != nil {
		return nil, err
	}
	if t := s.line.fleet.TLS; t != nil {
		conn = tls.Client(conn, t)
	}
	s.conn = conn
	return conn, nil
}

// cut ends the connection as a power failure would: without a farewell, so that
// the broker publishes the last will. A deadline in the past does it; paho takes
// no notice of a connection that somebody else closed.
func (s *session) cut() {
	s.conn.SetDeadline(time.Now())
	<-s.lost
}
