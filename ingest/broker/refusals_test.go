package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func refused(n int, remote, client, topic string) Refusal {
	return Refusal{Time: time.Unix(int64(n), 0), Remote: remote, Client: client, User: "s/d", Action: Publish, Topic: topic, Code: RefusedNotAuthorized, Reason: "no"}
}

// TestRefusalsFold: the same again is one refusal with a count, whatever port it
// came from; anything else is another.
func TestRefusalsFold(t *testing.T) {
	var r refusals
	r.add(refused(1, "192.0.2.1:1", "c", "a"))
	r.add(refused(2, "192.0.2.1:1", "c", "b"))
	r.add(refused(3, "192.0.2.1:2", "c", "a"))
	r.add(refused(4, "192.0.2.2:1", "c", "a"))
	var got []string
	for _, f := range r.all() {
		got = append(got, fmt.Sprint(f.Remote, f.Topic, f.Count, f.First.Unix(), f.Time.Unix()))
	}
	want := "[192.0.2.2:1a1 4 4 192.0.2.1:2a2 1 3 192.0.2.1:1b1 2 2]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// TestRefusalsUnderFlood: one address that makes up a new name each time pushes
// out only itself, and no memory grows.
func TestRefusalsUnderFlood(t *testing.T) {
	var r refusals
	for n := range 100 {
		r.add(refused(n, fmt.Sprintf("192.0.2.%d:1", n), "installer", "a"))
	}
	long := strings.Repeat("x", 60_000)
	for n := range 10_000 {
		r.add(refused(n, "198.51.100.7:9", fmt.Sprint("liar ", n, long), fmt.Sprint(n, long)))
	}
	installers := 0
	for _, f := range r.all() {
		if f.Client == "installer" {
			installers++
		}
		if len(f.Client) > 64 || len(f.Topic) > 300 {
			t.Fatalf("a client's words are kept whole: %d and %d bytes", len(f.Client), len(f.Topic))
		}
	}
	if n := len(r.all()); n != refusalsKept || len(r.rows) != refusalsKept || r.order.Len() != refusalsKept || len(r.byHost) != 101 {
		t.Errorf("%d remembered, %d rows, %d in order, %d addresses", n, len(r.rows), r.order.Len(), len(r.byHost))
	}
	if installers != 100 {
		t.Errorf("%d of 100 installers' refusals are left", installers)
	}
}

// TestRefusalsWhilePaused: a pause is one refusal for all, not one for each of
// thousands of devices.
func TestRefusalsWhilePaused(t *testing.T) {
	var r refusals
	for n := range 500 {
		f := refused(n, fmt.Sprintf("192.0.2.%d:1", n%250), fmt.Sprint(n), "a")
		f.Code = RefusedPaused
		r.add(f)
	}
	if all := r.all(); len(all) != 1 || all[0].Count != 500 || all[0].Client != "" {
		t.Errorf("remembered %+v", all)
	}
}

// TestClipLetsGo: what is remembered does not keep the whole packet it came in.
func TestClipLetsGo(t *testing.T) {
	packet := strings.Repeat("x", 60_000)
	short := clip(packet, 10)
	if unsafe.StringData(short) == unsafe.StringData(packet) {
		t.Error("the clipped text lies in the packet")
	}
}
