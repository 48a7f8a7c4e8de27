package broker

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Quota is what one credential may take of the intake, so that none can take it
// from the others. Whoever sends faster is read more slowly, and loses nothing.
type Quota struct {
	Messages    int // a second, after ten seconds' worth at once; 0: no limit
	Connections int // at a time; 0: no limit
}

// burst is how long a credential may send faster than its quota: a device that
// was away has something to catch up with.
const burst = 10 * time.Second

// stride is how many messages a session takes between two looks at the clock.
const stride = 16

// allowance is the quota of one credential, shared by its connections.
type allowance struct {
	name string
	open int // connections; guarded by Broker.mu
	// spent is the time, Unix ns, up to which its messages have used what it is
	// allowed: now, where it sends at its quota.
	spent atomic.Int64
}

// allow counts a connection of the credential. Broker.mu is held.
func (b *Broker) allow(name string) (*allowance, error) {
	if name == "" { // guests of the demo have nothing in common
		return nil, nil
	}
	a := b.allowances[name]
	if a == nil {
		a = &allowance{name: name}
		b.allowances[name] = a
	}
	if most := b.o.Quota.Connections; most > 0 && a.open >= most {
		return nil, &Denial{Code: RefusedQuota, Err: fmt.Errorf("%s has %d connections already, which is its quota", name, most)}
	}
	a.open++
	return a, nil
}

// release takes a connection back. Broker.mu is held.
func (b *Broker) release(a *allowance) {
	if a == nil {
		return
	}
	if a.open--; a.open == 0 {
		delete(b.allowances, a.name)
	}
}

// spend books messages and says how long to wait before the next.
func (a *allowance) spend(messages, perSecond int, now time.Time) time.Duration {
	cost := int64(messages) * int64(time.Second) / int64(perSecond)
	for {
		was := a.spent.Load()
		is := max(was, now.UnixNano()) + cost
		if a.spent.CompareAndSwap(was, is) {
			return time.Duration(is-now.UnixNano()) - burst
		}
	}
}

// slowDown waits where the credential sends more than its quota.
func (s *session) slowDown() error {
	perSecond := s.broker.o.Quota.Messages
	if perSecond == 0 || s.allowance == nil {
		return nil
	}
	if s.taken++; s.taken < stride {
		return nil
	}
	s.taken = 0
	wait := s.allowance.spend(stride, perSecond, time.Now())
	if wait <= 0 {
		return nil
	}
	s.broker.refusals.add(s.refusal(Publish, RefusedQuota, "", fmt.Sprintf("%s sends more than its quota of %d messages a second; it is read more slowly, nothing is lost", s.who(), perSecond)))
	select {
	case <-time.After(wait):
		return nil
	case <-s.Context().Done():
		return s.Context().Err()
	}
}
