package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	smallBuffer = 4 << 10  // of a connection that is mostly quiet
	largeBuffer = 64 << 10 // of one that is not

	// maxControl bounds every packet but PUBLISH. The libraries allocate what a
	// packet claims to be long, even before its sender has said who it is.
	maxControl = 64 << 10

	// maxTopic is the longest beginning of a PUBLISH that is kept of one whose
	// payload is too big.
	maxTopic = 2 + 0xffff + 2
)

// Handler is told of the publishes of one connection, in the order in which
// they came, by the goroutine that reads the connection.
//
// A message of QoS 1 or 2 must be answered once: by [Conn.Kept], which may be
// called later and from anywhere, or at once by [Conn.Answer]. An error ends
// the connection, in good order, and is what [Conn.Read] returns.
type Handler interface {
	Publish(p *Publish) error

	// TooBig is called for a PUBLISH of more than Options.MaxPacket bytes. It
	// has no payload. Without an error the packet is skipped.
	TooBig(p *Publish, size int) error

	// Farewell returns what is to be written before the connection is closed
	// because of err; nothing if nil.
	Farewell(err error) []byte
}

// Options of a [Conn].
type Options struct {
	Handler Handler

	// MaxPacket bounds what follows the fixed header of a PUBLISH.
	MaxPacket int

	// Control, if set, is asked about each packet that is to be handed through,
	// by its type and the length of what follows its fixed header. An error ends
	// the connection.
	Control func(kind byte, length int) error

	// WriteTimeout is how long the other side may leave what we write unread
	// before it is dropped. Default 5 s.
	WriteTimeout time.Duration

	// Grace is how long a connection that is ended in good order may take to
	// get its last acknowledgements and to close its side. Default 1 s.
	Grace time.Duration
}

// Conn is a connection whose Read skips what its Handler takes.
//
// One goroutine reads. Write, the answers, Interrupt, Kill and Close may be
// called by any.
type Conn struct {
	net.Conn
	o       Options
	version byte // of the protocol; set before the first PUBLISH is read
	answers answers
	ctx     context.Context
	cancel  context.CancelFunc

	// Owned by the goroutine that reads.
	buf   []byte
	r, w  int // buf[r:w] is received and not yet consumed
	pass  int // bytes of the current packet that are still to be handed through
	quiet int // reads in a row that a small buffer would have held
	pub   Publish
	bye   *byte // the reason of a DISCONNECT, once there was one
	left  error // set when the connection has ended

	writing sync.Mutex // one write, with its deadline, at a time

	deadline    sync.Mutex // guards the read deadline and the three below
	idle        time.Duration
	refreshed   time.Time
	interrupted bool

	cause  atomic.Pointer[error] // why we ended the connection; nil while we did not
	broken atomic.Pointer[error] // what a write found wrong with the connection
}

// NewConn wraps a connection.
func NewConn(c net.Conn, o Options) *Conn {
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 5 * time.Second
	}
	if o.Grace <= 0 {
		o.Grace = time.Second
	}
	w := &Conn{Conn: c, o: o, version: 4}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Context is done when the connection is to end, so that a handler that waits
// lets go of it.
func (c *Conn) Context() context.Context { return c.ctx }

// SetVersion says which MQTT version the connection speaks: 3, 4 (3.1.1, the
// default) or 5.
func (c *Conn) SetVersion(v byte) { c.version = v }

// Version returns what SetVersion set.
func (c *Conn) Version() byte { return c.version }

// Cause returns why we ended the connection; nil if we did not, but the other
// side or the network.
func (c *Conn) Cause() error {
	if p := c.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// Goodbye returns the reason code of the DISCONNECT that the other side sent; ok
// is false if it sent none. It is for the goroutine that reads.
func (c *Conn) Goodbye() (reason byte, ok bool) {
	if c.bye == nil {
		return 0, false
	}
	return *c.bye, true
}

// Interrupt ends the connection in good order at the next packet: what was
// received is acknowledged when it is on disk, within Grace, then the handler's
// farewell is written. It does not wait for that.
func (c *Conn) Interrupt(err error) {
	c.cause.CompareAndSwap(nil, &err)
	c.cancel()
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.interrupted = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // fails only if it is closed already
}

// Kill ends the connection at once; what was not acknowledged never will be. It
// does not block.
func (c *Conn) Kill(err error) {
	c.cause.CompareAndSwap(nil, &err)
	_ = c.Close()
}

// Close closes the network connection without ceremony. It does not block, not
// even on TLS.
func (c *Conn) Close() error {
	c.cancel()
	c.answers.close()
	if under, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		return under.NetConn().Close()
	}
	return c.Conn.Close()
}

// SetDeadline sets how long the other side may be silent from now on: until t,
// and as long again after each sign of life. The zero time allows any silence.
// Writes have a deadline of their own.
func (c *Conn) SetDeadline(t time.Time) error {
	idle := time.Duration(0)
	if !t.IsZero() {
		idle = max(time.Until(t), 1)
	}
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if idle == 0 && c.idle == 0 {
		return nil
	}
	c.idle = idle
	return c.setReadDeadline(time.Now())
}

// heard moves the read deadline, but not on every packet: a timer costs more
// than a packet.
func (c *Conn) heard() {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.idle == 0 {
		return
	}
	if now := time.Now(); now.Sub(c.refreshed) > c.idle/16 {
		_ = c.setReadDeadline(now) // the read that follows fails as well, and says why
	}
}

func (c *Conn) setReadDeadline(now time.Time) error {
	if c.interrupted {
		return nil
	}
	c.refreshed = now
	if c.idle == 0 {
		return c.Conn.SetReadDeadline(time.Time{})
	}
	return c.Conn.SetReadDeadline(now.Add(c.idle))
}

// Write writes p whole, or closes the connection: the rest of a packet that was
// written in part cannot be sent later.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.Conn.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout)) // the write fails as well
	n, err := c.Conn.Write(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("the other side has not read for %v what it was sent: %w", c.o.WriteTimeout, err)
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		c.broken.CompareAndSwap(nil, &err)
		_ = c.Close()
	}
	return n, err
}

// Read returns bytes of the packets that are not for the Handler, never of two
// packets at once.
func (c *Conn) Read(p []byte) (int, error) {
	if c.left != nil {
		return 0, c.left
	}
	for c.pass == 0 {
		if err := c.next(); err != nil {
			c.left = c.leave(err)
			return 0, c.left
		}
	}
	if err := c.need(1); err != nil {
		c.left = c.leave(err)
		return 0, c.left
	}
	n := copy(p, c.buf[c.r:min(c.w, c.r+c.pass)])
	c.r += n
	c.pass -= n
	return n, nil
}

// next deals with one packet: takes it, or leaves it to be handed through.
func (c *Conn) next() error {
	if err := c.Cause(); err != nil {
		return err
	}
	header, body, err := c.header()
	if err != nil {
		return err
	}
	first := c.buf[c.r]
	switch first >> 4 {
	case typePublish:
		return c.publish(header, body)
	case typePubrel:
		return c.pubrel(header, body)
	default:
		if body > maxControl {
			return malformed("packet of type %d with %d bytes", first>>4, body)
		}
		if c.o.Control != nil {
			if err := c.o.Control(first>>4, body); err != nil {
				return err
			}
		}
		if first>>4 == typeDisconnect {
			if err := c.goodbye(header, body); err != nil {
				return err
			}
		}
		c.pass = header + body
		return nil
	}
}

// goodbye notes that the other side said goodbye, and how.
func (c *Conn) goodbye(header, body int) error {
	c.bye = new(byte)
	if body == 0 {
		return nil
	}
	if err := c.need(header + 1); err != nil {
		return err
	}
	*c.bye = c.buf[c.r+header]
	return nil
}

// header waits for the fixed header of a packet and returns its length and that
// of what follows it.
func (c *Conn) header() (header, body int, err error) {
	for n := 2; ; n++ {
		if err := c.need(n); err != nil {
			return 0, 0, err
		}
		body, size := varint(c.buf[c.r+1 : c.w])
		if size < 0 {
			return 0, 0, malformed("packet length of more than 4 bytes")
		}
		if size > 0 {
			return 1 + size, body, nil
		}
	}
}

func (c *Conn) publish(header, body int) error {
	if body > c.o.MaxPacket {
		return c.tooBig(header, body)
	}
	if err := c.need(header + body); err != nil {
		return err
	}
	packet := c.buf[c.r : c.r+header+body]
	if err := c.pub.parse(packet[0], packet[header:], c.version); err != nil {
		return err
	}
	c.r += header + body
	c.expect()
	if err := c.o.Handler.Publish(&c.pub); err != nil {
		c.waive()
		return err
	}
	return nil
}

// expect notes that the message at hand needs an answer, waive that it will get none.
func (c *Conn) expect() {
	if c.pub.QoS > 0 {
		c.answers.expect()
	}
}

func (c *Conn) waive() {
	if c.pub.QoS > 0 {
		c.answers.waive()
	}
}

// tooBig reads the topic of a PUBLISH that is too big and skips the rest.
func (c *Conn) tooBig(header, body int) error {
	if err := c.need(header + min(body, maxTopic)); err != nil {
		return err
	}
	beginning := c.buf[c.r+header : min(c.w, c.r+header+body)]
	if err := c.pub.parse(c.buf[c.r], beginning, 4); err != nil {
		return err
	}
	c.pub.Payload = nil
	c.expect()
	if err := c.o.Handler.TooBig(&c.pub, body); err != nil {
		c.waive()
		return err
	}
	return c.skip(header + body)
}

func (c *Conn) pubrel(header, body int) error {
	if body < 2 || body > maxControl {
		return malformed("PUBREL with %d bytes", body)
	}
	if err := c.need(header + body); err != nil {
		return err
	}
	c.released([2]byte(c.buf[c.r+header:]))
	c.r += header + body
	return nil
}

func (c *Conn) skip(n int) error {
	for n > 0 {
		if err := c.need(1); err != nil {
			return err
		}
		k := min(n, c.w-c.r)
		c.r += k
		n -= k
	}
	return nil
}

// need waits until n bytes lie in the buffer.
func (c *Conn) need(n int) error {
	for c.w-c.r < n {
		c.room(n)
		c.heard()
		k, err := c.Conn.Read(c.buf[c.w:])
		c.w += k
		c.tune(k)
		if err != nil && c.w-c.r < n {
			return readError(err)
		}
	}
	return nil
}

// room makes room to read more of n bytes. The buffer grows with what has
// arrived, not with what a packet claims to be long.
func (c *Conn) room(n int) {
	if c.r == c.w {
		c.r, c.w = 0, 0
		if len(c.buf) == 0 || len(c.buf) > largeBuffer {
			c.buf = make([]byte, smallBuffer)
		}
	}
	if c.w == len(c.buf) || c.r+n > len(c.buf) {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		c.resize(2 * len(c.buf))
	}
}

func (c *Conn) resize(size int) {
	buf := make([]byte, size)
	c.w = copy(buf, c.buf[c.r:c.w])
	c.r = 0
	c.buf = buf
}

// tune fits the buffer to the traffic: a busy connection reads more at a time,
// one that went quiet gives the memory back.
func (c *Conn) tune(k int) {
	switch {
	case c.w == len(c.buf) && len(c.buf) < largeBuffer:
		c.resize(2 * len(c.buf))
	case k < smallBuffer && c.w-c.r <= smallBuffer:
		if c.quiet++; c.quiet >= 64 && len(c.buf) > smallBuffer {
			c.resize(smallBuffer)
		}
		return
	}
	c.quiet = 0
}

var (
	// ErrGone says that the other side closed the connection without a word.
	ErrGone = errors.New("the connection was closed without a DISCONNECT")
	// ErrSilent says that the other side was silent for longer than its keep-alive allows.
	ErrSilent = errors.New("nothing was heard within the keep-alive time")
)

// lost is an error of the network, after which nobody is there to be told.
type lost struct{ error }

func readError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return lost{ErrGone}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return lost{ErrSilent}
	}
	return lost{err}
}

// leave ends the reading and returns why. If it is we who end the connection,
// the other side gets its acknowledgements and is told, as far as it listens.
func (c *Conn) leave(err error) error {
	c.buf = nil
	if cause := c.Cause(); cause != nil {
		err = cause
	}
	if gone, ok := err.(lost); ok {
		if broken := c.broken.Load(); broken != nil {
			return *broken
		}
		return gone.error
	}
	c.cause.CompareAndSwap(nil, &err)
	if c.answers.closed() {
		return err
	}
	grace := time.NewTimer(c.o.Grace)
	defer grace.Stop()
	c.answers.wait(grace.C)
	if words := c.o.Handler.Farewell(err); len(words) > 0 {
		_, _ = c.Write(words) // a courtesy; the connection ends either way
	}
	c.linger()
	return err
}

// linger closes our side and waits for the other to close its own. Closing at
// once would reset the connection where more is on its way in, and take our
// last words with it.
func (c *Conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.deadline.Lock()
	c.interrupted = true
	_ = c.Conn.SetReadDeadline(time.Now().Add(c.o.Grace)) // the reads fail as well
	c.deadline.Unlock()
	_, _ = io.CopyN(io.Discard, c.Conn, 64<<20) // what it was about to send
}

// Wait closes the connection and returns when nothing of it runs any more.
func (c *Conn) Wait() {
	_ = c.Close() // it may be closed already
	c.answers.wait(nil)
}
