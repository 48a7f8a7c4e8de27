package wire

import (
	"sync"
	"time"

	"fengsui/ingest"
)

// answers are the acknowledgements of one connection. They leave in the order
// in which the messages came [MQTT-4.6.0-2], although some are given at once
// and some only after a sync. A goroutine writes them, which runs only while
// there are any: ten thousand quiet connections cost none.
type answers struct {
	mu       sync.Mutex
	ready    []byte // to be written
	spare    []byte // what was written last, for reuse
	writing  bool   // the goroutine runs
	ended    bool   // nothing can be written any more
	expected int    // messages that need an answer
	given    int    // how many of them, counted from the first, have one
	held     []held // answers given before their turn
	settled  chan struct{}
}

// held is an answer that waits for those before it.
type held struct {
	turn  int // of the message: the first is 1
	bytes [5]byte
	n     int
}

// Kept acknowledges a message of QoS 1. Messages must be acknowledged in the
// order in which they were handed out.
func (c *Conn) Kept(packetID uint16) { c.acknowledge(typePuback<<4, packetID) }

// Failed drops the connection, so that the sender sends the message again.
func (c *Conn) Failed(_ uint16, err error) { c.Kill(err) }

// exactlyOnce acknowledges messages of QoS 2.
type exactlyOnce Conn

func (e *exactlyOnce) Kept(packetID uint16) { (*Conn)(e).acknowledge(typePubrec<<4, packetID) }

func (e *exactlyOnce) Failed(packetID uint16, err error) { (*Conn)(e).Failed(packetID, err) }

// Acker returns who is to be told of a message of the given QoS: nobody at 0.
func (c *Conn) Acker(qos byte) ingest.Acker {
	switch qos {
	case 0:
		return nil
	case 1:
		return c
	}
	return (*exactlyOnce)(c)
}

func (c *Conn) acknowledge(first byte, id uint16) {
	c.answer(func(a *answers) {
		a.ready = append(a.ready, first, 2, byte(id>>8), byte(id))
		a.given++
		a.release()
	})
}

// Answer acknowledges the message at hand at once instead of keeping it, with a
// reason code that MQTT 5 clients are told; 0 is success.
func (c *Conn) Answer(p *Publish, reason byte) {
	if p.QoS == 0 {
		return
	}
	h := held{bytes: [5]byte{typePuback << 4, 2, byte(p.PacketID >> 8), byte(p.PacketID)}, n: 4}
	if p.QoS == 2 {
		h.bytes[0] = typePubrec << 4
	}
	if reason != 0 && c.version == 5 {
		h.bytes[1], h.bytes[4], h.n = 3, reason, 5
	}
	c.answer(func(a *answers) {
		h.turn = a.expected
		a.held = append(a.held, h)
		a.release()
	})
}

// released answers a PUBREL. It has no turn: the message is acknowledged.
func (c *Conn) released(id [2]byte) {
	c.answer(func(a *answers) { a.ready = append(a.ready, typePubcomp<<4, 2, id[0], id[1]) })
}

// answer changes the answers and sees to it that they are written.
func (c *Conn) answer(change func(*answers)) {
	a := &c.answers
	a.mu.Lock()
	change(a)
	start := len(a.ready) > 0 && !a.writing && !a.ended
	if start {
		a.writing = true
	}
	a.mu.Unlock()
	if start {
		go c.writeAnswers()
	}
}

func (c *Conn) writeAnswers() {
	for out := c.answers.next(nil); out != nil; out = c.answers.next(out) {
		_, _ = c.Write(out) // an error has ended the connection, and with it the answers
	}
}

// next returns what is to be written, taking back what was; nil when there is
// nothing and the goroutine must end.
func (a *answers) next(written []byte) []byte {
	const keep = 4 << 10
	a.mu.Lock()
	defer a.mu.Unlock()
	if cap(written) <= keep {
		a.spare = written[:0]
	}
	if len(a.ready) == 0 || a.ended {
		a.writing = false
		a.settle()
		return nil
	}
	out := a.ready
	a.ready, a.spare = a.spare, nil
	return out
}

// release lets held answers go whose turn has come.
func (a *answers) release() {
	for len(a.held) > 0 && a.held[0].turn == a.given+1 {
		a.ready = append(a.ready, a.held[0].bytes[:a.held[0].n]...)
		a.held = a.held[1:]
		a.given++
	}
}

// expect counts a message that needs an answer; waive takes that back.
func (a *answers) expect() { a.count(+1) }
func (a *answers) waive()  { a.count(-1) }

func (a *answers) count(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expected += n
}

// close gives up on what was not written.
func (a *answers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	a.settle()
}

func (a *answers) closed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// settle wakes whoever waits for there to be nothing to do: all answers given
// and written, or given up. The lock is held.
func (a *answers) settle() bool {
	if a.writing || !a.ended && (a.given < a.expected || len(a.ready) > 0) {
		return false
	}
	if a.settled != nil {
		close(a.settled)
		a.settled = nil
	}
	return true
}

// wait waits until there is nothing to do, or until the limit, if there is one.
func (a *answers) wait(limit <-chan time.Time) {
	a.mu.Lock()
	if a.settle() {
		a.mu.Unlock()
		return
	}
	settled := make(chan struct{})
	a.settled = settled
	a.mu.Unlock()
	select {
	case <-settled:
	case <-limit:
	}
}
