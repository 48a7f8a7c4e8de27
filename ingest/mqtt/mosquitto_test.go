package mqtt_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"fengsui/ingest"
	"fengsui/ingest/mqtt"
)

func TestNothingAcknowledgedIsLostOverBrokerRestarts(t *testing.T) {
	m := startMosquitto(t)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, _ := run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")

	var acknowledged []string
	publish := func(n int) {
		p := newPublisher(t, m.address)
		for range n {
			payload := fmt.Sprint(len(acknowledged))
			p.mustPublish("v1/s/d/telemetry", payload)
			acknowledged = append(acknowledged, payload)
		}
	}
	for round := 1; round <= 3; round++ {
		publish(300)
		m.end(syscall.SIGTERM) // most of them not yet delivered
		in.log.awaitLines(t, round, "down county: ")
		m.start()
		publish(100) // the source is away: the broker keeps them in its session
		in.log.awaitLines(t, round+1, "up county")
	}
	in.log.await(t, "all that was acknowledged", func(ms []ingest.Message) bool {
		kept := payloads(ms)
		for _, p := range acknowledged {
			if kept[p] == 0 {
				return false
			}
		}
		return true
	})
	if st := s.Status(); !st.Connected || st.Connects != 4 {
		t.Errorf("status: %+v", st)
	}
}

func TestReconnectsAfterEachLoss(t *testing.T) {
	m := startMosquitto(t)
	c := newCutter(t, m.address)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, _ := run(t, mqtt.Options{URL: "tcp://" + c.Addr().String(), Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")
	for round := 2; round <= 4; round++ {
		began := time.Now()
		c.cut()
		in.log.awaitLines(t, round, "up county")
		t.Logf("cut to up again: %v", time.Since(began).Round(time.Millisecond))
	}
	began := time.Now()
	m.end(syscall.SIGKILL)
	in.log.awaitLines(t, 4, "down county: ")
	for range 3 {
		failed := s.Status().LastErrorAt
		eventually(t, "another attempt", func() bool { return s.Status().LastErrorAt != failed })
	}
	m.start()
	back := time.Now()
	in.log.awaitLines(t, 5, "up county")
	t.Logf("broker killed for %v; up again %v after it was back", back.Sub(began).Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
}

// A message whose acknowledgement was lost with the connection is delivered
// again, kept again and acknowledged again: otherwise the broker's window of
// unacknowledged messages, here 5, fills up and it delivers nothing any more.
func TestRedeliveriesDoNotFillTheBrokersWindow(t *testing.T) {
	m := startMosquitto(t, "max_inflight_messages 5")
	c := newCutter(t, m.address)
	log := &memoryLog{gate: make(chan error)}
	in := newIntake(t, ingest.ReceiverOptions{}, log)
	s, _ := run(t, mqtt.Options{URL: "tcp://" + c.Addr().String(), Receiver: in.Receiver})
	log.gate <- nil // SourceUp
	p := newPublisher(t, m.address)
	const n = 100
	go func() {
		for i := range n {
			p.mustPublish("v1/s/d/telemetry", fmt.Sprint(i))
		}
	}()
	eventually(t, "the window is full and nothing on disk", func() bool { return in.Stats()["county"].InFlight == 5 })
	c.cut()
	eventually(t, "the cut is noticed", func() bool { return !s.Status().Connected })
	close(log.gate)
	ms := in.log.await(t, "all messages", func(ms []ingest.Message) bool { return len(payloads(ms)) == n })
	twice := 0
	for _, k := range payloads(ms) {
		if k > 1 {
			twice++
		}
	}
	if got := s.Status().Redelivered; twice == 0 || got < uint64(twice) {
		t.Errorf("%d messages were kept twice, %d counted as redelivered; the test wants some", twice, got)
	}
}

func TestFailedAppendLeavesTheMessagesWithTheBroker(t *testing.T) {
	m := startMosquitto(t)
	log := &memoryLog{gate: make(chan error)}
	in := &intake{ingest.NewReceiver(ingest.ReceiverOptions{Log: log}), log}
	failed := in.run(t)
	run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver})
	log.gate <- nil // SourceUp
	newPublisher(t, m.address).mustPublish("v1/s/d/telemetry", "survives")
	eventually(t, "the message is taken", func() bool { return in.Stats()["county"].InFlight == 1 })
	log.gate <- errDisk
	if err := <-failed; err != errDisk {
		t.Fatalf("the Receiver ended with %v", err)
	}
	if got := payloads(log.all()); len(got) != 0 {
		t.Fatalf("kept %v although the log failed", got)
	}
	in.run(t) // the disk is back
	close(log.gate)
	in.log.awaitLines(t, 1, "publish v1/s/d/telemetry survives")
}

func TestOverrunLeavesTheMessagesWithTheBroker(t *testing.T) {
	m := startMosquitto(t)
	log := &memoryLog{gate: make(chan error)}
	in := newIntake(t, ingest.ReceiverOptions{MaxPending: 2000}, log)
	s, _ := run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver, MaxWait: 50 * time.Millisecond})
	log.gate <- nil // SourceUp
	p := newPublisher(t, m.address)
	for i := range 10 {
		p.mustPublish("v1/s/d/telemetry", fmt.Sprintf("%d%s", i, strings.Repeat("x", 500)))
	}
	eventually(t, "the connection is given up", func() bool { return strings.Contains(s.Status().LastError, "the disk does not keep up") })
	close(log.gate)
	in.log.await(t, "all messages", func(ms []ingest.Message) bool { return len(payloads(ms)) == 10 })
}

// A pause takes the source off its broker, which keeps what comes meanwhile. It
// is down for a reason of ours, and a broker that is gone afterwards is news.
func TestPauseLeavesTheMessagesWithTheBroker(t *testing.T) {
	m := startMosquitto(t)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, _ := run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")
	s.Pause()
	s.Pause() // is one
	in.log.awaitLines(t, 1, "down county: "+ingest.Paused)
	newPublisher(t, m.address).mustPublish("v1/s/d/telemetry", "waits")
	if got := payloads(in.log.all()); len(got) != 0 {
		t.Errorf("taken during the pause: %v", got)
	}
	s.Resume()
	in.log.awaitLines(t, 2, "up county")
	in.log.awaitLines(t, 1, "publish v1/s/d/telemetry waits")

	s.Pause()
	in.log.awaitLines(t, 2, "down county: "+ingest.Paused)
	m.end(syscall.SIGKILL)
	s.Resume()
	in.log.await(t, "the broker is told to be down", func(ms []ingest.Message) bool { return count(ms, "down county: ") == 3 })
	s.Resume() // ends nothing
}

func TestTooBigIsRefusedOnceAndForAll(t *testing.T) {
	m := startMosquitto(t, "max_inflight_messages 1")
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")
	p := newPublisher(t, m.address)
	p.mustPublish("v1/s/d/telemetry", strings.Repeat("x", 3<<20))
	p.mustPublish("v1/s/d/telemetry", "next") // the window of one is free again
	in.log.awaitLines(t, 1, "publish v1/s/d/telemetry next")
	eventually(t, "the books say so", func() bool {
		st := in.Stats()["county"]
		return st.Received == 2 && st.Kept == 1 && st.Refused[mqtt.RefusedTooBig] == 1
	})
}

func TestRetainedFloodArrives(t *testing.T) {
	const n = 2000
	m := startMosquitto(t)
	p := newPublisher(t, m.address)
	for i := range n {
		if _, err := p.Write(packet(0x31, append(text(fmt.Sprintf("v1/s/d%d/telemetry", i)), "last known"...))); err != nil {
			t.Fatal(err)
		}
	}
	p.mustPublish("v1/end", "") // all are read
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver})
	ms := in.log.await(t, "all retained messages", func(ms []ingest.Message) bool { return count(ms, "publish v1/s/d") == n })
	for _, msg := range ms {
		if msg.Kind == ingest.Publish && !msg.Retained {
			t.Fatalf("%s is not marked as retained", line(msg))
		}
	}
}

func TestSharedSubscriptionDividesTheMessages(t *testing.T) {
	const n = 200
	m := startMosquitto(t)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	for _, name := range []string{"county-1", "county-2"} {
		run(t, mqtt.Options{Name: name, URL: m.url(), Receiver: in.Receiver, Share: "fengsui"})
		in.log.awaitLines(t, 1, "up "+name)
	}
	p := newPublisher(t, m.address)
	for i := range n {
		p.mustPublish("v1/s/d/telemetry", fmt.Sprint(i))
	}
	ms := in.log.await(t, "all messages", func(ms []ingest.Message) bool { return len(payloads(ms)) == n })
	for payload, k := range payloads(ms) {
		if k != 1 {
			t.Errorf("message %s was kept %d times", payload, k)
		}
	}
	one, two := in.Stats()["county-1"].Received, in.Stats()["county-2"].Received
	if one == 0 || two == 0 || one+two != n {
		t.Errorf("the two got %d and %d of %d", one, two, n)
	}
}

func TestFrozenBrokerIsDown(t *testing.T) {
	m := startMosquitto(t)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver, KeepAlive: time.Second})
	in.log.awaitLines(t, 1, "up county")
	m.signal(syscall.SIGSTOP)
	in.log.awaitLines(t, 1, "down county: pingresp not received")
	m.signal(syscall.SIGCONT)
	in.log.awaitLines(t, 2, "up county")
}

func TestClientIDUsedTwiceIsSuspected(t *testing.T) {
	m := startMosquitto(t)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver, ClientID: "same"})
	in.log.awaitLines(t, 1, "up county")
	other := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	_, stop := run(t, mqtt.Options{URL: m.url(), Receiver: other.Receiver, ClientID: "same"})
	in.log.await(t, "the suspicion", func(ms []ingest.Message) bool {
		return count(ms, "down county: the connection was closed without a DISCONNECT") > 0 &&
			strings.Contains(strings.Join(lines(ms), "\n"), `does another client use the client id "same"?`)
	})
	stop()
}

func TestTLSWithACertificateOfOurOwn(t *testing.T) {
	dir := t.TempDir()
	certificate, key := selfSigned(t, dir)
	m := startMosquitto(t, "cafile "+certificate, "certfile "+certificate, "keyfile "+key)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	url := "ssl://" + m.address
	run(t, mqtt.Options{Name: "distrusts", URL: url, Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "down distrusts: connect to "+url+": network Error : tls: failed to verify certificate")
	run(t, mqtt.Options{Name: "trusts", URL: url, Receiver: in.Receiver, CAFile: certificate})
	in.log.awaitLines(t, 1, "up trusts")
}

func TestUpAndDownFrameTheMessages(t *testing.T) {
	m := startMosquitto(t)
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	_, stop := run(t, mqtt.Options{URL: m.url(), Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")
	newPublisher(t, m.address).mustPublish("v1/s/d/status", "online")
	in.log.awaitLines(t, 1, "publish v1/s/d/status online")
	stop()
	in.log.awaitLines(t, 1, "down county")
	want := []string{"up county", "publish v1/s/d/status online", "down county: the gateway is stopping"}
	if got := lines(in.log.all()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the log holds %q, want %q", got, want)
	}
}
