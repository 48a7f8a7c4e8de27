package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"fengsui/rules/alarms"
)

// Close codes of the stream.
const (
	closeBadFrame = 4400
	closeSignIn   = 4401
	closeSlow     = 4408
	closeFull     = 4409
)

const stopping = "the gateway is stopping"

const (
	helloWait = 10 * time.Second // for the first frame of the page
	goneAfter = 25 * time.Second // without a frame or a pong from the page
	pingEvery = 10 * time.Second
	// snapshotDeflate is how hard a snapshot is compressed: once, for everybody.
	snapshotDeflate = 6
	batch           = 64 // events written before health and values have a turn
	closeWait       = time.Second
	// unproven sockets have not shown who they are: at most this many at a time.
	maxUnproven = 100
)

// socket is one console on a websocket: a cursor over the events. Its writer
// goroutine alone writes frames and owns at, health, tick and watch; its reader
// hands on what the page says.
type socket struct {
	*listener
	hub     *Hub
	conn    *websocket.Conn
	doors   doors
	address string
	id      string
	since   time.Time

	hellos  chan clientHello // the newest hello not yet answered
	watches chan []string
	refusal atomic.Pointer[refusal]

	mu   sync.Mutex // guards what the page said of itself
	who  Identity
	page pageState

	at   atomic.Uint64 // the last event written
	live atomic.Bool   // it has caught up once since its last hello

	place  place
	health uint64
	tick   uint64
	watch  []string
	frames []*frame
}

// doors is who says who somebody is.
type doors interface {
	// Token finds who holds a token; address is where it came from.
	Token(address, token string) (Identity, error)
	// Current looks again whether somebody is still let in, and in which role.
	Current(Identity) (Identity, bool)
}

// pageState is what a page says of itself.
type pageState struct {
	mode, build    string
	sound, visible bool
	seen           uint64
}

// refusal is why a socket is being closed by the gateway.
type refusal struct {
	code   int
	reason string
}

func (r *refusal) Error() string { return r.reason }

// open turns a request into a socket. who may be nobody yet: then the first
// frame must carry a token.
func (h *Hub) open(w http.ResponseWriter, r *http.Request, who Identity, d doors, upgrader *websocket.Upgrader) {
	if !h.admits(who) {
		fail(w, http.StatusServiceUnavailable, "too_many_consoles", "too many consoles are connected; close some, or raise the limit")
		return
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	_ = conn.SetCompressionLevel(snapshotDeflate) // no level that there is not
	s := &socket{
		listener: &listener{wake: make(chan struct{}, 1)},
		hub:      h, conn: conn, doors: d, who: who,
		address: remoteHost(r), since: h.o.Now(),
		hellos: make(chan clientHello, 1), watches: make(chan []string, 1),
	}
	if !h.join(s) {
		s.hangUp(websocket.CloseGoingAway, stopping)
		return
	}
	ctx, gone := context.WithCancel(context.WithoutCancel(r.Context()))
	go func() {
		defer h.running.Done()
		defer gone()
		s.read()
	}()
	go func() {
		defer h.running.Done()
		s.serve(ctx)
	}()
}

// admits reports whether there is room for one more.
func (h *Hub) admits(who Identity) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(h.sockets) >= h.o.MaxConsoles {
		return false
	}
	if who.Name != "" {
		return true
	}
	unproven := 0
	for s := range h.sockets {
		if s.identity().Name == "" {
			unproven++
		}
	}
	return unproven < maxUnproven
}

// join registers a socket and its two goroutines.
func (h *Hub) join(s *socket) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.joined++
	s.id = fmt.Sprintf("c%d", h.joined)
	h.sockets[s] = struct{}{}
	h.listeners[s.listener] = struct{}{}
	h.running.Add(2)
	return true
}

func (h *Hub) leave(s *socket) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sockets, s)
	delete(h.listeners, s.listener)
}

// closeSockets tells every socket that the gateway is going away.
func (h *Hub) closeSockets() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	for s := range h.sockets {
		s.refuse(websocket.CloseGoingAway, stopping)
	}
}

func (s *socket) identity() Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.who
}

// refuse makes the writer close the socket; the first reason counts.
func (s *socket) refuse(code int, reason string) {
	s.refusal.CompareAndSwap(nil, &refusal{code, reason})
	s.nudge()
}

// hangUp says why and closes; a page that does not read is not waited for.
func (s *socket) hangUp(code int, reason string) {
	if len(reason) > 120 {
		reason = reason[:120]
	}
	text := websocket.FormatCloseMessage(code, strings.ToValidUTF8(reason, ""))
	// Best effort: the page may be gone, and then there is nobody to tell.
	_ = s.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(closeWait))
	_ = s.conn.Close()
}

// read takes the frames of the page until the connection ends.
func (s *socket) read() {
	s.conn.SetReadLimit(maxClientFrame)
	s.extend()
	s.conn.SetPongHandler(func(string) error { s.extend(); return nil })
	for {
		kind, text, err := s.readFrame()
		if err != nil {
			return
		}
		s.extend()
		if kind != websocket.TextMessage {
			s.refuse(closeBadFrame, "frames are text")
			return
		}
		f, err := parseClientFrame(text)
		if err != nil {
			s.refuse(closeBadFrame, err.Error())
			return
		}
		if err := s.heed(f); err != nil {
			return
		}
	}
}

// readFrame bounds what a frame may become: the connection's own limit counts
// what came over the wire, and that may be compressed.
func (s *socket) readFrame() (kind int, text []byte, err error) {
	kind, r, err := s.conn.NextReader()
	if err != nil {
		return kind, nil, err
	}
	text, err = io.ReadAll(io.LimitReader(r, maxClientFrame+1))
	if err == nil && len(text) > maxClientFrame {
		s.refuse(closeBadFrame, "the frame is too large")
		err = websocket.ErrReadLimit
	}
	return kind, text, err
}

// extend gives the page more time; on a connection that failed meanwhile the
// next read ends it.
func (s *socket) extend() { _ = s.conn.SetReadDeadline(time.Now().Add(goneAfter)) }

// heed acts on one frame of the page.
func (s *socket) heed(f clientFrame) error {
	switch {
	case f.Hello != nil:
		if err := s.identify(f.Hello.Token); err != nil {
			s.refuse(closeSignIn, err.Error())
			return err
		}
		s.greeted(f.Hello)
		replace(s.hellos, *f.Hello)
	case f.Watch != nil:
		replace(s.watches, f.Watch)
	case f.Seen != nil:
		s.saw(f.Seen)
		return nil
	}
	s.nudge()
	return nil
}

// replace puts the newest value into a channel of one.
func replace[T any](c chan T, v T) {
	for {
		select {
		case c <- v:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// identify lets in who came without a cookie but with a token.
func (s *socket) identify(token string) error {
	if s.identity().Name != "" {
		return nil
	}
	if token == "" {
		return errors.New("sign in first")
	}
	who, err := s.doors.Token(s.address, token)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.who = who
	s.mu.Unlock()
	return nil
}

func (s *socket) greeted(hello *clientHello) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page.mode, s.page.build, s.page.sound, s.page.visible = hello.Mode, hello.Build, hello.Sound, hello.Visible
}

// saw takes down how far the page is, and for how long the event took there.
func (s *socket) saw(seen *clientSeen) {
	s.mu.Lock()
	if seen.Visible != nil {
		s.page.visible = *seen.Visible
	}
	if seen.Sound != nil {
		s.page.sound = *seen.Sound
	}
	before, visible := s.page.seen, s.page.visible
	at := s.at.Load()
	news := seen.Seen > before && seen.Seen <= at
	if seen.Seen <= at {
		s.page.seen = seen.Seen
	}
	s.mu.Unlock()
	if !news {
		return
	}
	s.hub.mu.RLock()
	f := s.hub.ring.find(seen.Seen)
	s.hub.mu.RUnlock()
	if f != nil && s.live.Load() {
		s.hub.o.OnSeen(s.hub.o.Now().Sub(f.at), visible)
	}
}

// serve writes to the page until one of the two ends it; ctx ends when the
// reader does.
func (s *socket) serve(ctx context.Context) {
	err := s.write(ctx)
	var r *refusal
	if errors.As(err, &r) {
		s.hub.o.Logger.Info("console closed", "console", s.id, "user", s.identity().Name, "address", s.address, "code", r.code, "reason", r.reason)
		s.hangUp(r.code, r.reason)
	} else {
		s.hub.o.Logger.Debug("console gone", "console", s.id, "address", s.address, "error", err)
		_ = s.conn.Close() // after a write error nothing more can be said on it
	}
	<-ctx.Done()
	s.hub.leave(s)
}

// write is the life of a socket: wait for a hello, then send what is new.
func (s *socket) write(ctx context.Context) error {
	hello := time.NewTimer(helloWait)
	defer hello.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	var watches chan []string // nothing is shown before the hello
	for {
		if r := s.refusal.Load(); r != nil {
			return r
		}
		if watches != nil {
			if err := s.step(ctx); err != nil {
				return err
			}
		}
		select {
		case h := <-s.hellos:
			hello.Stop()
			if err := s.begin(ctx, h); err != nil {
				return err
			}
			watches = s.watches
			s.nudge()
		case w := <-watches:
			if err := s.startWatching(w); err != nil {
				return err
			}
		case <-s.wake:
		case <-hello.C:
			return &refusal{closeBadFrame, "no hello came"}
		case <-ping.C:
			if err := s.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(s.hub.o.WriteWait)); err != nil {
				return fmt.Errorf("ping: %w", err)
			}
		case <-ctx.Done():
			if r := s.refusal.Load(); r != nil {
				return r
			}
			return errors.New("the page has gone")
		}
	}
}

// begin answers a hello: resume, or snapshot.
func (s *socket) begin(ctx context.Context, hello clientHello) error {
	select {
	case <-s.hub.loaded:
	case <-s.hub.ended:
		return &refusal{websocket.CloseGoingAway, stopping}
	case <-ctx.Done():
		return ctx.Err()
	}
	st, err := s.hub.begin(hello.Epoch, hello.Seq, uint64(s.hub.o.Events))
	if err != nil {
		return err
	}
	return s.start(ctx, st)
}

// start tells the page where it stands and puts the cursor there.
func (s *socket) start(ctx context.Context, st start) error {
	who := s.identity()
	hello := serverHello{
		Epoch: st.epoch, Seq: st.head, Time: alarms.Time(s.hub.o.Now().UnixMilli()),
		Build: s.hub.o.Build, User: who.Name, Role: who.Role,
	}
	if st.resume { // make sure of the first event before promising it
		var err error
		if s.frames, err = s.next(ctx, st.place); errors.Is(err, errAnew) {
			if st, err = s.hub.anew(); err != nil {
				return err
			}
			hello.Epoch, hello.Seq = st.epoch, st.head
		} else if err != nil {
			return err
		}
	}
	if err := s.sendValue("hello", hello); err != nil {
		return err
	}
	if st.resume {
		if err := s.sendValue("resume", span{From: st.seq + 1, To: st.head}); err != nil {
			return err
		}
	}
	for _, f := range st.frames {
		if err := s.send(f); err != nil {
			return err
		}
	}
	s.place = st.place
	s.at.Store(st.seq)
	s.live.Store(false)
	s.health, s.tick = 0, 0
	return nil
}

// next gives the events after a place, from the ring or, for who is further
// back, from the log.
func (s *socket) next(ctx context.Context, at place) ([]*frame, error) {
	frames, err := s.hub.after(at, batch, s.frames[:0])
	if errors.Is(err, errOlder) {
		return s.hub.replay(ctx, at, batch)
	}
	return frames, err
}

// step sends some of what is new; while there is more it wakes itself.
func (s *socket) step(ctx context.Context) error {
	if s.tooFarBehind() {
		s.hub.count(func(st *Stats) { st.Slow++ })
		return &refusal{closeSlow, "slow"}
	}
	var err error
	s.frames, err = s.next(ctx, s.place)
	if errors.Is(err, errAnew) {
		st, err := s.hub.anew()
		if err != nil {
			return err
		}
		s.nudge()
		return s.start(ctx, st)
	}
	if err != nil {
		return err
	}
	for _, f := range s.frames {
		s.at.Store(f.seq)
		if err := s.send(f); err != nil {
			return err
		}
		s.place.seq = f.seq
	}
	if len(s.frames) > 0 {
		s.nudge()
	} else {
		s.live.Store(true)
	}
	clear(s.frames) // how long events are held is the ring's to decide
	return s.sendState()
}

// tooFarBehind is true for a socket that had caught up and does not keep up.
func (s *socket) tooFarBehind() bool {
	if !s.live.Load() {
		return false
	}
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	return s.place.life == s.hub.life && s.hub.seq-s.place.seq > uint64(s.hub.o.MaxBehind)
}

// sendState sends health and values, of which only the newest counts.
func (s *socket) sendState() error {
	s.hub.mu.RLock()
	health, beat := s.hub.healthNow, s.hub.beat
	s.hub.mu.RUnlock()
	if health != nil && beat != s.health {
		s.health = beat
		if err := s.stillLetIn(); err != nil {
			return err
		}
		if err := s.send(health); err != nil {
			return err
		}
	}
	frames, tick := s.hub.values.news(s.tick, s.watch)
	s.tick = tick
	for _, f := range frames {
		if err := s.send(f); err != nil {
			return err
		}
	}
	return nil
}

// stillLetIn closes the socket of who was signed out meanwhile.
func (s *socket) stillLetIn() error {
	who, ok := s.doors.Current(s.identity())
	if !ok {
		return &refusal{closeSignIn, "signed out"}
	}
	s.mu.Lock()
	s.who = who
	s.mu.Unlock()
	return nil
}

func (s *socket) startWatching(watch []string) error {
	fresh := slices.DeleteFunc(slices.Clone(watch), func(key string) bool { return slices.Contains(s.watch, key) })
	s.watch = watch
	if f := s.hub.values.all(fresh); f != nil {
		return s.send(f)
	}
	return nil
}

func (s *socket) sendValue(key string, value any) error {
	f, err := newFrame(key, value)
	if err != nil {
		return err
	}
	return s.send(f)
}

// send writes one frame. After an error the socket is lost: half a frame may be
// on the wire.
func (s *socket) send(f *frame) error {
	m, err := f.message()
	if err != nil {
		return fmt.Errorf("prepare a frame: %w", err)
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.hub.o.WriteWait)); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	// Events are small and many: compressing them costs more than they weigh.
	s.conn.EnableWriteCompression(f.large)
	if err := s.conn.WritePreparedMessage(m); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}
