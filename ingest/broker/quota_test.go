package broker_test

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/ingest/broker"
)

// TestQuotaSlowsOnlyTheCredentialThatIsOverIt: two connections of one credential
// share its quota; nothing of theirs is lost, and nobody else waits for them.
func TestQuotaSlowsOnlyTheCredentialThatIsOverIt(t *testing.T) {
	const perSecond, each = 1600, 8800 // together ten seconds' worth, which is free, and one more
	g := start(t, broker.Options{Authorizer: owners{}, Quota: broker.Quota{Messages: perSecond}})
	began := time.Now()
	greedy := []*device{
		connect(t, g.address(), hello{client: "a", user: "s1", password: "secret"}),
		connect(t, g.address(), hello{client: "b", user: "s1", password: "secret"}),
	}
	for _, d := range greedy {
		all := slices.Repeat(d.publish("v1/s1/d/telemetry", 0, 0, "x"), each-1)
		d.send(all, d.publish("v1/s1/d/telemetry", 1, 7, "last"))
	}
	other := connect(t, g.address(), hello{client: "c", user: "s2", password: "secret"})
	other.send(other.publish("v1/s2/d/telemetry", 1, 1, "urgent"))
	other.expect(0x40, 2, 0, 1)
	for _, d := range greedy {
		d.expect(0x40, 2, 0, 7)
	}
	if took := time.Since(began); took < time.Second*9/10 {
		t.Errorf("a second's worth over the quota took %v", took)
	}
	if s := g.stats(); s.Kept != 2*each+1 {
		t.Errorf("of %d messages %d were kept", 2*each+1, s.Kept)
	}
	f := g.awaitRefusals(t, 1)[0]
	if f.Code != broker.RefusedQuota || f.User != "s1" || !strings.Contains(f.Reason, "nothing is lost") {
		t.Errorf("remembered as %+v", f)
	}
}

func TestQuotaOfConnections(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}, Quota: broker.Quota{Connections: 1}})
	first := connect(t, g.address(), hello{client: "a", user: "s1", password: "secret"})
	second := dial(t, g.address(), hello{client: "b", user: "s1", password: "secret"})
	second.expectEnd(0)
	if f := g.awaitRefusals(t, 1)[0]; f.Code != broker.RefusedQuota || f.Action != broker.Connect || !strings.Contains(f.Reason, "1 connections already") {
		t.Errorf("remembered as %+v", f)
	}
	third := dial(t, g.address(), hello{client: "b", user: "s1", password: "secret", version: 5})
	if first, body := third.read(); first != 0x20 || body[1] != 0x97 || !bytes.Contains(body, []byte("which is its quota")) {
		t.Errorf("CONNACK over the quota: %x %x", first, body)
	}
	connect(t, g.address(), hello{client: "c", user: "s2", password: "secret"})
	first.goodbye()
	for deadline := time.Now().Add(patience); g.Connected() > 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the client that said goodbye is still counted")
		}
	}
	connect(t, g.address(), hello{client: "d", user: "s1", password: "secret"})
}
