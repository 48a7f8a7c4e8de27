package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fengsui/ingest"
	"fengsui/ingest/wire"
)

const (
	// connectLimit bounds each step of getting a connection: dialling, the
	// broker's answer, its answer to the subscriptions.
	connectLimit = 5 * time.Second

	// retryFirst and retryMost bound the time between two attempts: the broker
	// is back in use within 5 s of coming back.
	retryFirst = 250 * time.Millisecond
	retryMost  = 3 * time.Second

	// settled is how long a connection must last to be taken for a good one.
	settled = 10 * time.Second
)

// Source receives from one external broker.
type Source struct {
	o    Options
	only context.Context // is done: with it Submit tries and does not wait

	mu      sync.Mutex
	status  Status
	up      state
	paused  chan struct{} // closed by Resume; nil while the source is not paused
	pausing chan struct{} // closed by Pause, a new one after Resume
}

// state is what was submitted last of SourceUp and SourceDown.
type state int

const (
	untold state = iota
	toldUp
	toldDown
)

// Status is how a source is doing.
type Status struct {
	Connected   bool
	Since       time.Time // when it was connected, or lost
	Connects    uint64
	Redelivered uint64 // messages the broker marked as sent before
	LastError   string
	LastErrorAt time.Time
	Problems    []string // subscriptions that are not what was asked for
}

// New makes a Source; Run connects it.
func New(o Options) (*Source, error) {
	o.fill()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("source %q: %w", o.Name, err)
	}
	only, cancel := context.WithCancel(context.Background())
	cancel()
	return &Source{o: o, only: only, pausing: make(chan struct{})}, nil
}

// Status returns how the source is doing.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// errStopping ends a connection because the gateway stops.
var errStopping = errors.New(ingest.Stopping)

// Run keeps the source connected until ctx is done.
func (s *Source) Run(ctx context.Context) error {
	retry := retryFirst
	for ctx.Err() == nil {
		if s.waitOut(ctx) {
			retry = retryFirst
			continue
		}
		began := time.Now()
		err := s.connection(ctx)
		if ctx.Err() != nil {
			break
		}
		s.lost(err)
		if errors.Is(err, errPaused) {
			continue
		}
		if time.Since(began) > settled {
			retry = retryFirst
		}
		pause(ctx, retry)
		retry = min(2*retry, retryMost)
	}
	s.lost(errStopping)
	return nil
}

// errPaused ends a connection because nothing may be taken for a while.
var errPaused = errors.New(ingest.Paused)

// Pause takes the source off its broker, which keeps the messages of the session
// meanwhile, until Resume. It does not wait for that.
func (s *Source) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == nil {
		s.paused = make(chan struct{})
		close(s.pausing)
	}
}

// Resume ends a Pause.
func (s *Source) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		close(s.paused)
		s.paused, s.pausing = nil, make(chan struct{})
		s.up = untold // what holds it up from now on is worth telling
	}
}

// waitOut waits for the end of a pause, and reports whether there was one.
func (s *Source) waitOut(ctx context.Context) bool {
	s.mu.Lock()
	over := s.paused
	s.mu.Unlock()
	if over == nil {
		return false
	}
	s.lost(errPaused)
	select {
	case <-over:
	case <-ctx.Done():
	}
	return true
}

// pauseBegins returns a channel that is closed by the next Pause; closed already
// where there is one.
func (s *Source) pauseBegins() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pausing
}

// pause waits for about d, so that many gateways do not come back at once.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d - rand.N(d/4)):
	case <-ctx.Done():
	}
}

// connection is the life of one connection. It returns why it ended.
func (s *Source) connection(ctx context.Context) error {
	paused := s.pauseBegins()
	l := &link{source: s, ended: make(chan struct{})}
	defer l.close()
	options, err := l.options(ctx)
	if err != nil {
		return err
	}
	client := paho.NewClient(options)
	if err := l.wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("connect to %s: %w", s.o.URL, l.because(err))
	}
	began := time.Now()
	if err := s.subscribe(ctx, l, client); err != nil {
		return l.end(err)
	}
	s.connected()
	select {
	case <-l.ended:
	case <-paused:
		return l.end(errPaused)
	case <-ctx.Done():
		return l.end(errStopping)
	}
	if lived := time.Since(began); lived < settled && errors.Is(l.why, wire.ErrGone) {
		return fmt.Errorf("%w, %v after it was connected; does another client use the client id %q?", l.why, lived.Round(time.Millisecond), s.o.ClientID)
	}
	return l.why
}

// because prefers our own reason for the end of a connection to what the client
// library makes of it.
func (l *link) because(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil && l.conn.Cause() != nil {
		return l.conn.Cause()
	}
	return err
}

// wait waits for the client library to be done with something. It may never be.
func (l *link) wait(ctx context.Context, token paho.Token) error {
	const limit = 2 * connectLimit // its own limits end sooner
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-token.Done():
		return token.Error()
	case <-l.ended:
		return l.why
	case <-timer.C:
		return fmt.Errorf("no answer within %v", limit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe asks for the topics and reads what the broker says to each.
func (s *Source) subscribe(ctx context.Context, l *link, client paho.Client) error {
	topics := s.o.topics()
	token := client.SubscribeMultiple(topics, nil)
	if err := l.wait(ctx, token); err != nil {
		return fmt.Errorf("subscribe: %w", l.because(err))
	}
	answers := token.(*paho.SubscribeToken).Result()
	var problems []string
	refused := 0
	for _, t := range s.o.Topics {
		filter := shared(s.o.Share, t.Filter)
		switch granted := answers[filter]; {
		case granted > 2:
			refused++
			problems = append(problems, fmt.Sprintf("the broker refuses the subscription to %s: allow it in its access control", filter))
		case granted < t.QoS:
			problems = append(problems, fmt.Sprintf("the broker grants %s at QoS %d instead of %d: messages may be lost on the way", filter, granted, t.QoS))
		}
	}
	s.mu.Lock()
	s.status.Problems = problems
	s.mu.Unlock()
	for _, p := range problems {
		s.o.Logger.Warn("a subscription is not what was asked for", "source", s.o.Name, "problem", p)
	}
	if refused == len(s.o.Topics) {
		return errors.New(problems[0])
	}
	return nil
}

// connected tells that the source is up.
func (s *Source) connected() {
	s.mu.Lock()
	s.status.Connected = true
	s.status.Since = time.Now()
	s.status.Connects++
	s.up = toldUp
	s.mu.Unlock()
	s.report(&ingest.Message{Kind: ingest.SourceUp, Source: s.o.Name})
	s.o.Logger.Info("connected to the broker", "source", s.o.Name, "url", s.o.URL)
}

// lost tells that the source is down, once.
func (s *Source) lost(err error) {
	s.mu.Lock()
	if s.status.Connected {
		s.status.Since = time.Now()
	}
	s.status.Connected = false
	if err != errStopping {
		s.status.LastError, s.status.LastErrorAt = err.Error(), time.Now()
	}
	news := s.up != toldDown
	s.up = toldDown
	s.mu.Unlock()
	if !news {
		s.o.Logger.Debug("still not connected to the broker", "source", s.o.Name, "error", err)
		return
	}
	s.report(&ingest.Message{Kind: ingest.SourceDown, Source: s.o.Name, Topic: err.Error()})
	s.o.Logger.Warn("not connected to the broker", "source", s.o.Name, "error", err)
}

// report submits what happened to the connection. That is worth a wait, but no
// stop may hang on it.
func (s *Source) report(m *ingest.Message) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.o.Receiver.Submit(ctx, m, nil); err != nil {
		s.o.Logger.Warn("cannot journal what happened", "source", s.o.Name, "kind", m.Kind, "error", err)
	}
}

func (s *Source) redelivered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Redelivered++
}
