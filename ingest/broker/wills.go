package broker

import (
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"fengsui/ingest"
)

// will is a client's last will, taken out of its CONNECT.
type will struct {
	message ingest.Message
	delay   time.Duration
}

// newWill takes the will out of a CONNECT; nil if it has none.
func newWill(pk *packets.Packet) *will {
	c := &pk.Connect
	if !c.WillFlag {
		return nil
	}
	w := &will{message: ingest.Message{
		Kind:     ingest.Will,
		Source:   Source,
		Topic:    c.WillTopic,
		Payload:  c.WillPayload,
		QoS:      c.WillQos,
		Retained: c.WillRetain,
	}}
	if pk.ProtocolVersion == 5 { // the will is due when the session ends, at the latest
		w.delay = time.Duration(min(c.WillProperties.WillDelayInterval, pk.Properties.SessionExpiryInterval)) * time.Second
	}
	return w
}

// wills are those that wait for their delay.
type wills struct {
	mu      sync.Mutex
	waiting map[string]*delayed // by client id
	running sync.WaitGroup
	stopped bool
}

// delayed is a will that waits.
type delayed struct{ timer *time.Timer }

// publish submits the will of a client that has vanished, now or after its delay.
func (w *wills) publish(s *session) {
	if s.will.delay == 0 {
		s.submitWill()
		return
	}
	id := s.client.ID
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	if w.waiting == nil {
		w.waiting = make(map[string]*delayed)
	}
	w.running.Add(1)
	d := new(delayed)
	w.waiting[id] = d
	d.timer = time.AfterFunc(s.will.delay, func() {
		defer w.running.Done()
		if w.due(id, d) {
			s.submitWill()
		}
	})
}

// due takes a will off the list; false if it was cancelled meanwhile.
func (w *wills) due(id string, d *delayed) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[id] != d {
		return false
	}
	delete(w.waiting, id)
	return true
}

// cancel drops the will of a client that is back in time.
func (w *wills) cancel(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(id)
}

func (w *wills) drop(id string) {
	d := w.waiting[id]
	if d == nil {
		return
	}
	delete(w.waiting, id)
	if d.timer.Stop() {
		w.running.Done()
	}
}

// stop drops all that still wait: their clients may come back after a restart,
// and nobody is heard until then anyway. It returns when none is being submitted.
func (w *wills) stop() {
	w.mu.Lock()
	w.stopped = true
	for id := range w.waiting {
		w.drop(id)
	}
	w.mu.Unlock()
	w.running.Wait()
}

// submitWill submits the will if the client may publish there.
func (s *session) submitWill() {
	m := s.will.message
	if !s.identity.MayPublish(m.Topic) {
		s.broker.o.Receiver.Refuse(Source, RefusedNotAuthorized)
		s.broker.refusals.add(s.refusal(Publish, RefusedNotAuthorized, m.Topic, s.who()+" may not publish its last will to "+m.Topic))
		return
	}
	m.Client, m.User = s.client.ID, s.identity.Name()
	s.broker.report(&m)
}
