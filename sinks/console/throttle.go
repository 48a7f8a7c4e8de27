package console

import (
	"net/netip"
	"sync"
	"time"
)

// throttle slows down whoever guesses passwords or tokens. Every wrong try costs
// one of a small stock, which fills up again with time: of the address, of the
// name, and of the two together.
type throttle struct {
	now func() time.Time

	mu     sync.Mutex
	stocks map[string]*stock
}

type stock struct {
	left float64
	at   time.Time
}

// allowance is how many tries a stock holds, and how long one takes to come back.
type allowance struct {
	tries int
	every time.Duration
}

// The name alone has the largest stock, so that somebody who guesses at a name
// from many places slows its owner down late.
var (
	perAddress = allowance{20, 10 * time.Second}
	perPair    = allowance{5, 30 * time.Second}
	perName    = allowance{50, 10 * time.Second}
)

// maxStocks bounds the memory that strangers can make us spend.
const maxStocks = 10_000

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, stocks: map[string]*stock{}}
}

// try takes one try of an address at a name. It returns how long to wait when
// there is none left, and otherwise a function that gives the try back: to be
// called when it was right.
func (t *throttle) try(address, name string) (wait time.Duration, right func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	address = network(address)
	wants := []struct {
		key string
		allowance
	}{{"a " + address, perAddress}}
	if name != "" {
		wants = append(wants, struct {
			key string
			allowance
		}{"p " + address + " " + name, perPair}, struct {
			key string
			allowance
		}{"n " + name, perName})
	}
	for _, w := range wants {
		if s := t.stock(w.key, w.allowance); s.left < 1 {
			wait = max(wait, time.Duration((1-s.left)*float64(w.every)))
		}
	}
	if wait > 0 {
		return wait, nil
	}
	for _, w := range wants {
		t.stock(w.key, w.allowance).left--
	}
	return 0, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, w := range wants {
			s := t.stock(w.key, w.allowance)
			s.left = min(s.left+1, float64(w.tries))
		}
	}
}

// stock is what is left now; the lock is held.
func (t *throttle) stock(key string, a allowance) *stock {
	now := t.now()
	s := t.stocks[key]
	if s == nil {
		t.makeRoom(now)
		s = &stock{left: float64(a.tries), at: now}
		t.stocks[key] = s
	}
	s.left = min(float64(a.tries), s.left+now.Sub(s.at).Seconds()/a.every.Seconds())
	s.at = now
	return s
}

// makeRoom forgets stocks that have filled up again since, and, should that not
// be enough, any; a tenth at a time, since it looks at all of them.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.stocks) < maxStocks {
		return
	}
	longest := max(time.Duration(perAddress.tries)*perAddress.every, time.Duration(perName.tries)*perName.every)
	for key, s := range t.stocks {
		if now.Sub(s.at) > longest {
			delete(t.stocks, key)
		}
	}
	for key := range t.stocks {
		if len(t.stocks) < maxStocks*9/10 {
			return
		}
		delete(t.stocks, key)
	}
}

// network is what one attacker has: an IPv4 address, or an IPv6 /64.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
