package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	server "github.com/mochi-mqtt/server/v2"

	"fengsui/ingest"
)

// Source is the name under which the broker's messages are submitted.
const Source = "embedded"

// Options of a [Broker].
type Options struct {
	Listen     string      // address and port of plain TCP; port 0 takes a free one; empty: none
	TLSListen  string      // the same for TLS
	TLS        *tls.Config // with TLSListen
	Receiver   *ingest.Receiver
	Authorizer Authorizer

	// MaxPayload is the largest payload taken, in bytes. Default 1 MiB, at most
	// ingest.LargestPayload.
	MaxPayload int

	// MaxClients is how many clients may be connected. Default 20,000.
	MaxClients int

	// Quota is what each credential may take. Default: no limit.
	Quota Quota

	// ConnectTimeout is how long a connection may take to say who it is.
	// Default 10 s.
	ConnectTimeout time.Duration

	// AckTimeout is how long a client may leave its acknowledgements unread
	// before it is dropped. Default 5 s.
	AckTimeout time.Duration

	Logger *slog.Logger
}

func (o *Options) fill() {
	if o.MaxPayload <= 0 {
		o.MaxPayload = 1 << 20
	}
	if o.MaxClients <= 0 {
		o.MaxClients = 20_000
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 10 * time.Second
	}
	if o.AckTimeout <= 0 {
		o.AckTimeout = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// maxPacket is the payload cap with room for a topic and properties.
func (o *Options) maxPacket() int { return o.MaxPayload + 1<<10 }

// Broker is the embedded MQTT broker.
type Broker struct {
	o             Options
	plain, secure net.Listener // nil: switched off
	server        *server.Server
	refusals      refusals
	wills         wills
	paused        atomic.Pointer[pause]

	state   sync.Mutex // guards changes of serving and paused, and what is said of them
	serving bool

	mu         sync.Mutex
	clients    map[string]*session      // by client id, connected ones
	turns      map[string]chan struct{} // by client id, those about to be; closed when they are
	sessions   map[*session]struct{}    // all connections, also those not yet through CONNECT
	allowances map[string]*allowance    // by credential, of those connected
	drops      int                      // how often Disconnect was called
	closing    bool
}

// Listen binds the broker's address. Run serves it and closes it.
func Listen(o Options) (*Broker, error) {
	o.fill()
	if o.MaxPayload > ingest.LargestPayload {
		return nil, fmt.Errorf("the largest payload is %d bytes: want at most %d", o.MaxPayload, ingest.LargestPayload)
	}
	b := &Broker{
		o:          o,
		clients:    make(map[string]*session),
		turns:      make(map[string]chan struct{}),
		sessions:   make(map[*session]struct{}),
		allowances: make(map[string]*allowance),
	}
	if err := b.listen(); err != nil {
		b.closeListeners()
		return nil, err
	}
	var err error
	if b.server, err = newServer(b); err != nil {
		b.closeListeners()
		return nil, fmt.Errorf("set up the MQTT server: %w", err)
	}
	return b, nil
}

func (b *Broker) listen() (err error) {
	if b.o.Listen != "" {
		if b.plain, err = net.Listen("tcp", b.o.Listen); err != nil {
			return listenError(b.o.Listen, err)
		}
	}
	if b.o.TLSListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", b.o.TLSListen)
	if err != nil {
		return listenError(b.o.TLSListen, err)
	}
	b.secure = tls.NewListener(l, b.o.TLS)
	return nil
}

// listeners are those that are switched on.
func (b *Broker) listeners() []net.Listener {
	all := []net.Listener{b.plain, b.secure}
	return slices.DeleteFunc(all, func(l net.Listener) bool { return l == nil })
}

// closeListeners has nobody to tell an error to: either way no connection is
// accepted any more.
func (b *Broker) closeListeners() {
	for _, l := range b.listeners() {
		_ = l.Close()
	}
}

func listenError(address string, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "another program has this port, often a mosquitto that started with the machine: stop it (ss -ltnp shows which it is), or choose another port in mqtt.listen"
	case errors.Is(err, syscall.EACCES):
		remedy = "ports below 1024 need a privilege: listen on 1883 or 8883, or grant CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "this machine does not have that address: use one of its own, or :1883 for all of them"
	default:
		remedy = "the address must be host:port or :port"
	}
	return fmt.Errorf("listen for MQTT on %q: %w (%s)", address, err, remedy)
}

// newServer makes the MQTT server below with what its defaults leave open shut.
func newServer(b *Broker) (*server.Server, error) {
	capabilities := server.NewDefaultServerCapabilities()
	capabilities.MaximumClients = int64(b.o.MaxClients)
	capabilities.MaximumPacketSize = maxControlPacket
	capabilities.ReceiveMaximum = math.MaxUint16
	capabilities.TopicAliasMaximum = 0
	capabilities.MaximumClientWritesPending = 1024 // a slot each, for every client
	capabilities.MaximumInflight = 1024
	capabilities.MaximumMessageExpiryInterval = 0 // retained alarms stay until they are cleared
	capabilities.MaximumSessionExpiryInterval = uint32((24 * time.Hour).Seconds())

	s := server.New(&server.Options{
		Capabilities:            capabilities,
		ClientNetReadBufferSize: 256, // what it reads was buffered before
		SysTopicResendInterval:  math.MaxInt32,
		InlineClient:            true,
		Logger:                  slog.New(slog.DiscardHandler), // it logs whole packets, passwords included
	})
	return s, s.AddHook(&hook{broker: b}, nil)
}

// maxControlPacket bounds what the server below is asked to read: everything
// but publishes.
const maxControlPacket = 64 << 10

// Addr returns the address the broker listens on for plain TCP; nil: it does not.
func (b *Broker) Addr() net.Addr { return address(b.plain) }

// TLSAddr is the same for TLS.
func (b *Broker) TLSAddr() net.Addr { return address(b.secure) }

func address(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Run serves until ctx is done, or until the listener fails. Then it stops
// reading, gives what was received a second to be acknowledged, tells the
// clients, and returns when nothing of it is running.
func (b *Broker) Run(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	if err := b.server.Serve(); err != nil { // it has no listeners: we accept
		b.closeListeners()
		return fmt.Errorf("start the MQTT server: %w", err)
	}
	b.setServing(true)
	b.o.Logger.Info("listening for MQTT", "address", b.Addr(), "tls", b.TLSAddr())

	defer context.AfterFunc(serving, b.closeListeners)()
	var connections sync.WaitGroup
	err := b.acceptAll(serving, stop, &connections)
	b.stopSessions()
	connections.Wait()
	b.wills.stop()
	b.setServing(false)
	closed := b.server.Close()
	reason := ingest.Stopping
	if err != nil {
		reason = err.Error()
	}
	b.report(&ingest.Message{Kind: ingest.SourceDown, Source: Source, Topic: reason})
	return errors.Join(err, closed)
}

// acceptAll takes connections at every listener until ctx is done; when one
// fails, all end.
func (b *Broker) acceptAll(ctx context.Context, stop context.CancelFunc, connections *sync.WaitGroup) error {
	failed := make(chan error)
	listeners := b.listeners()
	for _, l := range listeners {
		go func() { failed <- b.accept(ctx, l, connections) }()
	}
	var errs []error
	for range listeners {
		errs = append(errs, <-failed)
		stop()
	}
	return errors.Join(errs...)
}

// accept takes connections until ctx is done. Running out of descriptors, the
// usual error here, is waited out.
func (b *Broker) accept(ctx context.Context, l net.Listener, connections *sync.WaitGroup) error {
	for failures := 0; ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			failures = 0
			connections.Go(func() { b.serve(c) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept MQTT connections on %s: %w", l.Addr(), err)
		default:
			failures++
			b.o.Logger.Error("cannot accept an MQTT connection; trying again", "error", err, "failures", failures)
			select {
			case <-time.After(min(time.Duration(failures)*50*time.Millisecond, time.Second)):
			case <-ctx.Done():
			}
		}
	}
}

// stopSessions ends all connections in good order.
func (b *Broker) stopSessions() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closing = true
	for s := range b.sessions {
		s.Interrupt(errStopping)
	}
}

// report submits what happened to a connection or to the broker. That is worth
// a wait, but no stop may hang on it.
func (b *Broker) report(m *ingest.Message) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := b.o.Receiver.Submit(ctx, m, nil); err != nil {
		b.o.Logger.Warn("cannot journal what happened", "kind", m.Kind, "client", m.Client, "error", err)
	}
}

// Deliver publishes to whoever subscribes. The message does not enter the log.
func (b *Broker) Deliver(topic string, payload []byte, retain bool) error {
	if err := b.server.Publish(topic, payload, retain, 1); err != nil {
		return fmt.Errorf("deliver to %s: %w", topic, err)
	}
	return nil
}

// Refusals returns the last 256 connections, publishes and subscriptions that
// were refused, newest first, repetitions folded into one.
func (b *Broker) Refusals() []Refusal { return b.refusals.all() }

// Connected returns how many clients are connected.
func (b *Broker) Connected() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.clients)
}

// Disconnect drops the clients that connected with a credential, because it was
// revoked or changed, and returns how many there were. Clients that are being
// let in at the moment are asked again who they are.
func (b *Broker) Disconnect(name, reason string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drops++
	n := 0
	for s := range b.sessions {
		if s.identity != nil && s.identity.Name() == name {
			s.Interrupt(&ending{code: codeAdministrative, words: reason})
			n++
		}
	}
	return n
}

// identify asks who a client is, again if credentials were revoked meanwhile.
func (b *Broker) identify(s *session, l Login) error {
	for {
		b.mu.Lock()
		drops := b.drops
		b.mu.Unlock()
		identity, err := b.o.Authorizer.Connect(l)
		if err != nil {
			return err
		}
		if pause := b.paused.Load(); pause != nil && s.Version() == 5 {
			return &Denial{Code: RefusedPaused, Err: errors.New(pause.reason)}
		}
		b.mu.Lock()
		current := drops == b.drops
		if current {
			if s.allowance, err = b.allow(identity.Name()); err == nil {
				s.identity = identity
			}
		}
		b.mu.Unlock()
		if current {
			return err
		}
	}
}

// pause is a closed door: why, and a channel that is closed when it opens.
type pause struct {
	reason string
	over   chan struct{}
}

// Pause stops taking messages until Resume: publishes of MQTT 5 clients at QoS 1
// and 2 are answered with "quota exceeded" (0x97) and those at QoS 0 are
// dropped, both counted as refused, and who connects by MQTT 5 is sent away with
// the same word, so that it keeps what it has; the connections of other clients are
// not read beyond their next publish. Meanwhile the source counts as down.
func (b *Broker) Pause(reason string) {
	b.state.Lock()
	defer b.state.Unlock()
	if b.paused.CompareAndSwap(nil, &pause{reason: reason, over: make(chan struct{})}) && b.serving {
		b.tellState()
	}
}

// Resume ends a Pause.
func (b *Broker) Resume() {
	b.state.Lock()
	defer b.state.Unlock()
	p := b.paused.Swap(nil)
	if p == nil {
		return
	}
	if b.serving {
		b.tellState()
	}
	close(p.over)
}

// setServing notes that Run serves, or no longer does.
func (b *Broker) setServing(yes bool) {
	b.state.Lock()
	defer b.state.Unlock()
	b.serving = yes
	if yes {
		b.tellState()
	}
}

// tellState submits whether messages can come: b.state is held, so that what is
// said last is true.
func (b *Broker) tellState() {
	if b.paused.Load() != nil {
		b.report(&ingest.Message{Kind: ingest.SourceDown, Source: Source, Topic: ingest.Paused})
		return
	}
	b.report(&ingest.Message{Kind: ingest.SourceUp, Source: Source})
}

// Close frees the addresses of a Broker that will not be run.
func (b *Broker) Close() { b.closeListeners() }
