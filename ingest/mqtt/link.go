package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fengsui/ingest"
	"fengsui/ingest/wire"
)

// RefusedTooBig is the reason under which messages are counted that were larger
// than Options.MaxPayload.
const RefusedTooBig = "too_big"

// link is one connection to the broker.
type link struct {
	source  *Source
	ended   chan struct{}  // closed when the client library has ended it
	why     error          // set before ended is closed
	message ingest.Message // reused for each message; owned by the reading goroutine

	mu     sync.Mutex
	conn   *wire.Conn // once it is dialled
	closed bool       // what is dialled from now on comes too late
}

// options sets up the client library for one connection. It makes a new one for
// the next: it cannot be used twice.
func (l *link) options(ctx context.Context) (*paho.ClientOptions, error) {
	o := &l.source.o
	password, err := o.password()
	if err != nil {
		return nil, err
	}
	trust, err := o.trust()
	if err != nil {
		return nil, err
	}
	p := paho.NewClientOptions().
		AddBroker(o.URL).
		SetClientID(o.ClientID).
		SetUsername(o.Username).
		SetPassword(password).
		SetCleanSession(o.CleanSession).
		SetKeepAlive(o.KeepAlive).
		SetPingTimeout(connectLimit).
		SetConnectTimeout(connectLimit).
		SetProtocolVersion(4).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetAutoAckDisabled(true).
		SetOrderMatters(true).
		SetStore(paho.NewMemoryStore()).
		SetWriteTimeout(connectLimit).
		SetConnectionLostHandler(func(_ paho.Client, err error) { l.why = err; close(l.ended) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ paho.ClientOptions) (net.Conn, error) {
			return l.dial(ctx, u, trust)
		})
	return p, nil
}

func (o *Options) password() (string, error) {
	if o.PasswordFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}

// trust returns what the broker's certificate is checked against.
func (o *Options) trust() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificates to trust: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("there is no certificate in %s: it must be PEM, -----BEGIN CERTIFICATE-----", o.CAFile)
	}
	return c, nil
}

// dial opens the network connection.
func (l *link) dial(ctx context.Context, u *url.URL, trust *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	c, err := open(ctx, u, trust)
	if err != nil {
		return nil, err
	}
	conn := wire.NewConn(c, wire.Options{Handler: l, MaxPacket: l.source.o.maxPacket(), Control: l.control})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return nil, errStopping
	}
	l.conn = conn
	return conn, nil
}

func open(ctx context.Context, u *url.URL, trust *tls.Config) (net.Conn, error) {
	var d net.Dialer
	switch u.Scheme {
	case "ws", "wss":
		return paho.NewWebsocket(u.String(), trust, connectLimit, nil, nil)
	case "ssl", "tls", "mqtts":
		return (&tls.Dialer{NetDialer: &d, Config: trust}).DialContext(ctx, "tcp", withPort(u, "8883"))
	}
	return d.DialContext(ctx, "tcp", withPort(u, "1883"))
}

func withPort(u *url.URL, usual string) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), usual)
}

// control refuses an answer to more or fewer subscriptions than we have; the
// client library would panic.
func (l *link) control(kind byte, length int) error {
	const suback = 9
	if want := 2 + len(l.source.o.topics()); kind == suback && length != want {
		return fmt.Errorf("%w: SUBACK of %d bytes, want %d", wire.ErrMalformed, length, want)
	}
	return nil
}

// end ends the connection in good order: what was received is acknowledged when
// it is on disk, then the broker is told. It returns why.
func (l *link) end(why error) error {
	l.conn.Interrupt(why)
	select {
	case <-l.ended:
	case <-time.After(connectLimit):
	}
	return why
}

// close sees to it that nothing of the connection is left. The client library
// must read an error of its own: it takes a closed connection for its own doing
// and would wait for what it has not begun.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	c := l.conn
	l.mu.Unlock()
	if c != nil {
		c.Kill(errStopping)
		c.Wait()
	}
}

// errOverrun ends a connection whose messages the disk does not take.
var errOverrun = errors.New("the disk does not keep up; the connection was dropped to leave the messages with the broker")

// Publish takes one message.
func (l *link) Publish(p *wire.Publish) error {
	if p.Dup {
		l.source.redelivered()
	}
	l.message = ingest.Message{
		Kind:     ingest.Publish,
		Source:   l.source.o.Name,
		Topic:    unsafe.String(unsafe.SliceData(p.Topic), len(p.Topic)), // Submit copies it
		Payload:  p.Payload,
		QoS:      p.QoS,
		Retained: p.Retained,
		Dup:      p.Dup,
		PacketID: p.PacketID,
	}
	acker := l.conn.Acker(p.QoS)
	err := l.source.o.Receiver.Submit(l.source.only, &l.message, acker)
	if errors.Is(err, context.Canceled) {
		err = l.submitPatiently(acker)
	}
	return err
}

// submitPatiently waits for the disk, but not for longer than the broker may go
// without an answer to a ping, which cannot be read meanwhile.
func (l *link) submitPatiently(a ingest.Acker) error {
	ctx, cancel := context.WithTimeout(l.conn.Context(), l.source.o.MaxWait)
	defer cancel()
	err := l.source.o.Receiver.Submit(ctx, &l.message, a)
	if errors.Is(err, context.DeadlineExceeded) {
		return errOverrun
	}
	return err
}

// TooBig refuses a message, and acknowledges it.
func (l *link) TooBig(p *wire.Publish, size int) error {
	o := &l.source.o
	o.Receiver.Refuse(o.Name, RefusedTooBig)
	o.Logger.Warn("a message is too big and was refused", "source", o.Name, "topic", string(p.Topic), "bytes", size, "limit", o.MaxPayload)
	l.conn.Answer(p, 0)
	return nil
}

// Farewell is a DISCONNECT: the broker keeps the session.
func (l *link) Farewell(error) []byte { return []byte{0xe0, 0} }
