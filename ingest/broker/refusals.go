package broker

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Reasons under which messages are refused at the door.
const (
	RefusedNotAuthorized = "not_authorized" // the client may not publish to this topic
	RefusedTooBig        = "too_big"
	RefusedBadTopic      = "bad_topic" // no valid topic name
	RefusedPaused        = "paused"    // see Broker.Pause
)

// Refusal is one thing a client asked for and did not get, for the installer
// who wonders why.
type Refusal struct {
	Time   time.Time
	Remote string
	Client string
	User   string // as the client said, whether or not it was true
	Topic  string // published or subscribed to; empty for a refused connection
	Reason string // in words
}

// refusals remembers the latest ones.
type refusals struct {
	mu   sync.Mutex
	ring []Refusal
	next int
}

const refusalsKept = 100

func (r *refusals) add(f Refusal) {
	f.Topic, f.Reason = clip(f.Topic, 300), clip(f.Reason, 300)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < refusalsKept {
		r.ring = append(r.ring, f)
		return
	}
	r.ring[r.next] = f
	r.next = (r.next + 1) % refusalsKept
}

// clip shortens what a client said to so many bytes of valid text.
func clip(s string, most int) string {
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// all returns the refusals remembered, newest first.
func (r *refusals) all() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := append(slices.Clone(r.ring[r.next:]), r.ring[:r.next]...)
	slices.Reverse(out)
	return out
}
