package broker

import (
	"container/list"
	"errors"
	"net"
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

// Further codes of refusals, of what is no message: connections that are let in
// get their code from the [Authorizer], by a [Denial].
const (
	RefusedDenied     = "denied"      // the Authorizer gave no code
	RefusedBadConnect = "bad_connect" // not MQTT, or not within the time
	RefusedNotOurs    = "not_ours"    // a subscription nobody may make here
	RefusedQuota      = "quota"       // more connections than allowed, or more messages, which are taken more slowly
)

// Action is what a client wanted to do.
type Action string

const (
	Connect   Action = "connect"
	Publish   Action = "publish"
	Subscribe Action = "subscribe"
)

// Refusal is something a client asked for and did not get, for the installer
// who wonders why. Repetitions of the same are one refusal with a count.
type Refusal struct {
	First, Time time.Time // of the first and the last time
	Remote      string    // address and port, of the last time
	Client      string
	User        string // as the client said, whether or not it was true
	Action      Action
	Topic       string // published or subscribed to; empty for a connection
	Code        string
	Reason      string // in words
	Count       int
}

// sameness is what makes two refusals the same.
type sameness struct {
	host, client, user, code string
	action                   Action
	what                     string // topic; of connections the reason, which has few forms
}

// refusals remembers the latest ones. What a client says is hostile until it has
// proved who it is, so everything here is bounded, and who makes up ever new
// names pushes out only refusals of the same address: of those remembered, the
// address with the most of them loses its oldest.
type refusals struct {
	mu     sync.Mutex
	rows   map[sameness]*list.Element
	order  list.List      // of *Refusal, the last one refused in front
	byHost map[string]int // how many there are of each address
}

const refusalsKept = 256

func (r *refusals) add(f Refusal) {
	f.Client, f.User, f.Topic, f.Reason = clip(f.Client, 64), clip(f.User, 130), clip(f.Topic, 300), clip(f.Reason, 300)
	if f.Code == RefusedPaused {
		f.Client, f.User, f.Topic, f.Remote = "", "", "", "" // it is about nobody in particular
	}
	key := f.sameness()
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.rows[key]; e != nil {
		was := e.Value.(*Refusal)
		f.First, f.Count = was.First, was.Count+1
		*was = f
		r.order.MoveToFront(e)
		return
	}
	if r.rows == nil {
		r.rows, r.byHost = map[sameness]*list.Element{}, map[string]int{}
	}
	if len(r.rows) >= refusalsKept {
		r.forgetOne()
	}
	f.First, f.Count = f.Time, 1
	r.rows[key] = r.order.PushFront(&f)
	r.byHost[key.host]++
}

func (f *Refusal) sameness() sameness {
	host, _, err := net.SplitHostPort(f.Remote)
	if err != nil {
		host = f.Remote
	}
	what := f.Topic
	if f.Action == Connect {
		what = f.Reason
	}
	return sameness{host, f.Client, f.User, f.Code, f.Action, what}
}

// forgetOne drops the oldest refusal of the address with the most of them.
func (r *refusals) forgetOne() {
	most := 0
	for _, n := range r.byHost {
		most = max(most, n)
	}
	for e := r.order.Back(); e != nil; e = e.Prev() {
		key := e.Value.(*Refusal).sameness()
		if r.byHost[key.host] < most {
			continue
		}
		r.order.Remove(e)
		delete(r.rows, key)
		if r.byHost[key.host]--; r.byHost[key.host] == 0 {
			delete(r.byHost, key.host)
		}
		return
	}
}

// clip shortens what a client said to so many bytes of valid text of its own,
// which does not keep the packet it came in.
func clip(s string, most int) string {
	return strings.Clone(strings.ToValidUTF8(s[:min(len(s), most)], ""))
}

// all returns the refusals remembered, the last one refused first.
func (r *refusals) all() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Refusal, 0, len(r.rows))
	for e := r.order.Front(); e != nil; e = e.Next() {
		out = append(out, *e.Value.(*Refusal))
	}
	return out
}

// codeOf is the word for why a connection was not let in.
func codeOf(err error) string {
	var d *Denial
	if errors.As(err, &d) {
		return d.Code
	}
	return RefusedDenied
}
