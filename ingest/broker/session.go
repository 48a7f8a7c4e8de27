package broker

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"syscall"
	"time"
	"unicode/utf8"

	server "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"fengsui/ingest"
	"fengsui/ingest/wire"
)

// session is one connection, from accept to close. It belongs to the goroutine
// that reads it, except for wire.Conn and what the Broker's lock guards.
type session struct {
	*wire.Conn
	broker    *Broker
	client    *server.Client // set by CONNECT
	identity  Identity       // set, under Broker.mu, once the client may connect
	will      *will
	message   ingest.Message    // reused for each publish
	topics    map[string]string // its usual ones
	allowance *allowance        // of its credential; nil: unlimited
	taken     int               // messages since it was last asked
	refused   error             // why it was told at CONNECT that it may not
	turn      func()            // gives up its turn to connect; nil if it has none
	ended     chan struct{}     // closed when all about it is journaled

	established bool // guarded by Broker.mu: the client was let in
}

// ending is why we end a connection, with the MQTT 5 reason code to give.
type ending struct {
	code  byte
	words string
}

func (e *ending) Error() string { return e.words }

const (
	codeMalformed      = 0x81
	codeNotAuthorized  = 0x87
	codeStopping       = 0x8b
	codeBadTopic       = 0x90
	codeTooBig         = 0x95
	codeQuota          = 0x97
	codeAdministrative = 0x98
)

var (
	errStopping  = &ending{codeStopping, "the gateway is stopping"}
	errNoConnect = &ending{codeMalformed, "a message came before CONNECT"}
	errTakenOver = errors.New("the client connected again")
)

// serve is the life of one connection.
func (b *Broker) serve(c net.Conn) {
	s := &session{broker: b, topics: make(map[string]string), ended: make(chan struct{})}
	defer close(s.ended)
	s.Conn = wire.NewConn(c, wire.Options{Handler: s, MaxPacket: b.o.maxPacket(), WriteTimeout: b.o.AckTimeout})
	if !b.admit(s) {
		_ = s.Close() // we are stopping
		return
	}
	late := time.AfterFunc(b.o.ConnectTimeout, func() { b.dropUnlessEstablished(s) })
	defer late.Stop()
	err := s.attach()
	s.passTurn()
	s.Wait()
	b.leave(s, s.reason(err))
}

// attach hands the connection to the MQTT server and returns when it has ended.
// A packet that trips the server ends its connection, not the gateway.
func (s *session) attach() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the MQTT server gave up on a packet: %v", r)
			s.broker.o.Logger.Error("a malformed packet tripped the MQTT server; its connection was closed",
				"client", s.clientID(), "remote", s.RemoteAddr().String(), "panic", r, "stack", string(debug.Stack()))
		}
	}()
	return s.broker.server.EstablishConnection(Source, s)
}

func (b *Broker) admit(s *session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closing {
		b.sessions[s] = struct{}{}
	}
	return !b.closing
}

func (b *Broker) dropUnlessEstablished(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.established {
		s.Kill(fmt.Errorf("did not say who it is within %v", b.o.ConnectTimeout))
	}
}

// takeTurn waits until no other connection is connecting with the same client
// id. The server below lets two at once both in, and loses sight of one.
func (b *Broker) takeTurn(s *session) {
	id := s.client.ID
	for {
		b.mu.Lock()
		other := b.turns[id]
		if other == nil {
			mine := make(chan struct{})
			b.turns[id] = mine
			s.turn = func() {
				b.mu.Lock()
				defer b.mu.Unlock()
				delete(b.turns, id)
				close(mine)
			}
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		<-other
	}
}

func (s *session) passTurn() {
	if s.turn != nil {
		s.turn()
		s.turn = nil
	}
}

// enter is called when a client has been let in: after its CONNACK, before its
// first packet is read. In the log the end of its connection before stands
// before the beginning of this one.
func (b *Broker) enter(s *session) {
	defer s.passTurn()
	id := s.client.ID
	b.mu.Lock()
	before := b.clients[id]
	b.clients[id] = s
	s.established = true
	b.mu.Unlock()
	if before != nil {
		before.Kill(errTakenOver)
		<-before.ended
	}
	b.wills.cancel(id)
	b.report(s.event(ingest.Connect, ""))
	b.o.Logger.Debug("client connected", "client", id, "user", s.identity.Name(), "remote", s.RemoteAddr().String())
}

// leave is called when a connection has ended.
func (b *Broker) leave(s *session, reason error) {
	defer b.forget(s)
	if !s.established {
		b.rememberStranger(s, reason)
		return
	}
	if reason == errStopping { // SourceDown speaks for all of them
		return
	}
	b.report(s.event(ingest.Disconnect, reason.Error()))
	b.o.Logger.Debug("client disconnected", "client", s.client.ID, "remote", s.RemoteAddr().String(), "reason", reason)
	if s.will != nil && s.vanished(reason) {
		b.wills.publish(s)
	}
}

func (b *Broker) forget(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, s)
	b.release(s.allowance)
	if id := s.clientID(); b.clients[id] == s {
		delete(b.clients, id)
	}
}

// rememberStranger keeps why a client never got in, unless it did not try.
func (b *Broker) rememberStranger(s *session, reason error) {
	if s.refused != nil || reason == errStopping || errors.Is(reason, wire.ErrGone) || errors.Is(reason, syscall.ECONNRESET) {
		return
	}
	b.refusals.add(s.refusal(Connect, RefusedBadConnect, "", reason.Error()))
}

var (
	errGoodbye  = errors.New("disconnected")
	errWithWill = errors.New("disconnected, leaving its will to be published")
)

// reason says why the connection has ended: because the client said goodbye; for
// our own reason, if we ended it; else as the network looked.
func (s *session) reason(err error) error {
	if code, ok := s.Goodbye(); ok {
		if code == packets.CodeDisconnectWillMessage.Code {
			return errWithWill
		}
		return errGoodbye
	}
	if cause := s.Cause(); cause != nil {
		return cause
	}
	if s.client != nil && s.client.StopCause() == packets.ErrSessionTakenOver {
		return errTakenOver
	}
	if err == nil {
		return wire.ErrGone
	}
	return err
}

// vanished reports whether the client's will is to be published: because it
// asked for that, or went without saying goodbye and not because we sent it away.
func (s *session) vanished(reason error) bool {
	return reason == errWithWill || s.Cause() == nil && reason != errGoodbye && reason != errTakenOver
}

func (s *session) event(kind ingest.MessageKind, reason string) *ingest.Message {
	return &ingest.Message{Kind: kind, Source: Source, Client: s.client.ID, User: s.identity.Name(), Topic: reason}
}

func (s *session) clientID() string {
	if s.client == nil {
		return ""
	}
	return s.client.ID
}

// Publish takes one message.
func (s *session) Publish(p *wire.Publish) error {
	if s.identity == nil {
		return errNoConnect
	}
	topic, ok := s.topic(p.Topic)
	if !ok {
		return s.refuse(p, &ending{codeBadTopic, fmt.Sprintf("%q is no topic to publish to", clip(string(p.Topic), 200))}, RefusedBadTopic)
	}
	if !s.identity.MayPublish(topic) {
		return s.refuse(p, &ending{codeNotAuthorized, fmt.Sprintf("%s may not publish to %s", s.who(), clip(topic, 200))}, RefusedNotAuthorized)
	}
	if err := s.slowDown(); err != nil {
		return err
	}
	if pause := s.broker.paused.Load(); pause != nil {
		if s.Version() == 5 {
			return s.refuse(p, &ending{codeQuota, pause.reason}, RefusedPaused)
		}
		if err := s.waitOut(pause); err != nil {
			return err
		}
	}
	s.message = ingest.Message{
		Kind:     ingest.Publish,
		Source:   Source,
		Client:   s.client.ID,
		User:     s.identity.Name(),
		Topic:    topic,
		Payload:  p.Payload,
		QoS:      p.QoS,
		Retained: p.Retained,
		Dup:      p.Dup,
		PacketID: p.PacketID,
	}
	return s.broker.o.Receiver.Submit(s.Context(), &s.message, s.Acker(p.QoS))
}

// TooBig refuses a message and ends the connection.
func (s *session) TooBig(p *wire.Publish, size int) error {
	if s.identity == nil {
		return errNoConnect
	}
	why := &ending{codeTooBig, fmt.Sprintf("a message of %d bytes is too big; at most %d are taken", size, s.broker.o.MaxPayload)}
	s.count(p, why, RefusedTooBig)
	return why
}

// refuse turns a message away. MQTT 5 has an answer for that; to an older
// client only the closed connection says that its message was not taken.
func (s *session) refuse(p *wire.Publish, why *ending, reason string) error {
	s.count(p, why, reason)
	if s.Version() != 5 {
		return why
	}
	s.Answer(p, why.code)
	return nil
}

// count books and remembers a refused message.
func (s *session) count(p *wire.Publish, why *ending, reason string) {
	s.broker.o.Receiver.Refuse(Source, reason)
	s.broker.refusals.add(s.refusal(Publish, reason, string(p.Topic), why.words))
}

func (s *session) refusal(action Action, code, topic, reason string) Refusal {
	f := Refusal{
		Time: time.Now(), Remote: s.RemoteAddr().String(), Client: s.clientID(),
		Action: action, Topic: topic, Code: code, Reason: reason,
	}
	if s.client != nil {
		f.User = string(s.client.Properties.Username)
	}
	return f
}

func (s *session) who() string {
	if name := s.identity.Name(); name != "" {
		return name
	}
	return "an anonymous client"
}

// waitOut waits for the end of a pause.
func (s *session) waitOut(p *pause) error {
	select {
	case <-p.over:
		return nil
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

// topic returns a topic name as a string, the same one each time, so that a
// client's usual topics cost no allocation.
func (s *session) topic(name []byte) (string, bool) {
	const usual, short = 1024, 256
	if t, ok := s.topics[string(name)]; ok {
		return t, true
	}
	if !validTopic(name) {
		return "", false
	}
	t := string(name)
	if len(s.topics) >= usual {
		clear(s.topics)
	}
	if len(t) <= short {
		s.topics[t] = t
	}
	return t, true
}

// validTopic reports whether name is a topic name [MQTT-4.7].
func validTopic(name []byte) bool {
	return len(name) > 0 && utf8.Valid(name) && !bytes.ContainsAny(name, "+#\x00")
}

// Farewell tells an MQTT 5 client why its connection is closed.
func (s *session) Farewell(err error) []byte {
	if s.Version() != 5 || s.identity == nil {
		return nil
	}
	var e *ending
	if !errors.As(err, &e) {
		e = &ending{codeMalformed, err.Error()}
	}
	return disconnectPacket(e.code, e.words)
}

// disconnectPacket encodes an MQTT 5 DISCONNECT.
func disconnectPacket(code byte, words string) []byte {
	const reasonString = 0x1f
	words = clip(words, 100)
	properties := append([]byte{reasonString, 0, byte(len(words))}, words...)
	body := append([]byte{code, byte(len(properties))}, properties...)
	return append([]byte{0xe0, byte(len(body))}, body...)
}
