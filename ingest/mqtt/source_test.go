package mqtt_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fengsui/ingest"
	"fengsui/ingest/mqtt"
)

func TestMessagesBeforeTheSubscriptionIsAnsweredAreTaken(t *testing.T) {
	acks := make(chan string, 10)
	url := fakeBroker(t, func(c *fakeConn) {
		c.next()
		// A session that was kept: messages come with the CONNACK.
		c.send(slices.Concat([]byte{0x20, 2, 1, 0},
			packet(0x32, slices.Concat(text("v1/a"), []byte{0, 7}, []byte("one"))),
			packet(0x3c, slices.Concat(text("v1/a"), []byte{0, 8}, []byte("two"))),
			packet(0x30, slices.Concat(text("v1/a"), []byte("zero"))))...)
		for first, body := c.next(); first != 0; first, body = c.next() {
			switch first {
			case 0x82:
				c.send(0x90, 3, body[0], body[1], 1)
			case 0x50:
				c.send(0x62, 2, body[0], body[1])
			}
			acks <- fmt.Sprintf("%x %x", first, body[:min(2, len(body))])
		}
	})
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, stop := run(t, mqtt.Options{URL: url, Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")
	in.log.awaitLines(t, 1, "publish v1/a zero")
	var got []string
	for range 4 {
		got = append(got, <-acks)
	}
	slices.Sort(got)
	if want := []string{"40 0007", "50 0008", "70 0008", "82 0001"}; !slices.Equal(got, want) {
		t.Errorf("the broker got %q, want %q", got, want)
	}
	if st := s.Status(); !st.Connected || st.Connects != 1 || st.Redelivered != 1 || len(st.Problems) != 0 {
		t.Errorf("status: %+v", st)
	}
	stop()
	if got := <-acks; got != "e0 " {
		t.Errorf("at the end the broker got %q, want a DISCONNECT", got)
	}
}

func TestNothingIsAcknowledgedBeforeItIsOnDisk(t *testing.T) {
	acks := make(chan byte, 10)
	sent := make(chan struct{})
	url := fakeBroker(t, func(c *fakeConn) {
		c.accept(1)
		c.send(packet(0x32, slices.Concat(text("v1/a"), []byte{0, 7}, []byte("one")))...)
		close(sent)
		for first, _ := c.next(); first != 0; first, _ = c.next() {
			acks <- first
		}
	})
	log := &memoryLog{gate: make(chan error)}
	in := newIntake(t, ingest.ReceiverOptions{}, log)
	_, stop := run(t, mqtt.Options{URL: url, Receiver: in.Receiver})
	<-sent
	eventually(t, "the message is taken", func() bool { return in.Stats()["county"].InFlight == 1 })
	if len(acks) > 0 {
		t.Error("acknowledged before it is on disk")
	}
	close(log.gate)
	if first := <-acks; first != 0x40 {
		t.Errorf("the broker got %x, want the PUBACK", first)
	}
	stop()
}

func TestRefusedSubscriptions(t *testing.T) {
	url := fakeBroker(t, func(c *fakeConn) {
		c.accept(0x80)
		for first, _ := c.next(); first != 0; first, _ = c.next() {
		}
	})
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, _ := run(t, mqtt.Options{URL: url, Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "down county: the broker refuses the subscription to v1/#: allow it in its access control")
	if st := s.Status(); st.Connected || !strings.Contains(st.LastError, "refuses the subscription") || st.LastErrorAt.IsZero() {
		t.Errorf("status: %+v", st)
	}
}

func TestWeakerSubscriptionsAreProblems(t *testing.T) {
	url := fakeBroker(t, func(c *fakeConn) {
		_, _ = c.next()
		c.send(0x20, 2, 0, 0)
		_, body := c.next()
		answer := body[:2:2]
		for rest := body[2:]; len(rest) > 0; {
			n := 2 + int(rest[1])
			granted := byte(1)
			switch string(rest[2:n]) {
			case "weak":
				granted = 0
			case "forbidden":
				granted = 0x80
			}
			answer = append(answer, granted)
			rest = rest[n+1:]
		}
		c.send(packet(0x90, answer)...)
		for first, _ := c.next(); first != 0; first, _ = c.next() {
		}
	})
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, _ := run(t, mqtt.Options{URL: url, Receiver: in.Receiver, Topics: []mqtt.Topic{{"good", 1}, {"weak", 1}, {"forbidden", 1}}})
	in.log.awaitLines(t, 1, "up county")
	want := []string{
		"the broker grants weak at QoS 0 instead of 1: messages may be lost on the way",
		"the broker refuses the subscription to forbidden: allow it in its access control",
	}
	if got := s.Status().Problems; !slices.Equal(got, want) {
		t.Errorf("problems: %q, want %q", got, want)
	}
}

// The client library panics on an answer to more subscriptions than were made.
func TestAnswerToOtherSubscriptionsEndsTheConnection(t *testing.T) {
	url := fakeBroker(t, func(c *fakeConn) {
		c.accept(1, 1, 1)
		c.next()
	})
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	run(t, mqtt.Options{URL: url, Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "down county: subscribe: malformed MQTT packet: SUBACK of 5 bytes, want 3")
}

func TestBrokerThatIsNotThere(t *testing.T) {
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, stop := run(t, mqtt.Options{URL: fmt.Sprint("tcp://127.0.0.1:", freePort(t)), Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "down county: connect to tcp://127.0.0.1:")
	if st := s.Status(); st.Connected || !strings.Contains(st.LastError, "connection refused") {
		t.Errorf("status: %+v", st)
	}
	first := s.Status().LastErrorAt
	eventually(t, "another attempt", func() bool { return s.Status().LastErrorAt != first })
	stop()
	if got := lines(in.log.all()); len(got) != 1 {
		t.Errorf("the log holds %q, want one down for all attempts", got)
	}
}

func TestPasswordComesFromItsFileAndIsNotLogged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("tiger\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hellos := make(chan string, 10)
	url := fakeBroker(t, func(c *fakeConn) {
		_, body := c.next()
		hellos <- string(body)
		c.send(0x20, 2, 0, 4) // bad user name or password
	})
	var out lockedBuffer
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, stop := run(t, mqtt.Options{URL: url, Receiver: in.Receiver, Username: "scott", PasswordFile: file,
		Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if hello := <-hellos; !strings.HasSuffix(hello, "\x00\x05scott\x00\x05tiger") {
		t.Errorf("CONNECT %q does not end with user and password", hello)
	}
	if err := os.WriteFile(file, []byte("lion\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for hello := range hellos {
		if strings.HasSuffix(hello, "\x00\x04lion") {
			break // read again at each connect
		}
	}
	in.log.awaitLines(t, 1, "down county: connect to "+url+": bad user name or password")
	stop()
	if logged := out.String() + fmt.Sprint(s.Status(), in.log.all()); strings.Contains(logged, "tiger") || strings.Contains(logged, "lion") {
		t.Errorf("a password is logged: %s", logged)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMissingFilesAreSaid(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    mqtt.Options
		want string
	}{
		{mqtt.Options{URL: "tcp://127.0.0.1:1", Username: "u", PasswordFile: "/nowhere/password"}, "read the password: open /nowhere/password"},
		{mqtt.Options{URL: "ssl://127.0.0.1:1", CAFile: "/nowhere/ca.pem"}, "read the certificates to trust: open /nowhere/ca.pem"},
		{mqtt.Options{URL: "ssl://127.0.0.1:1", CAFile: empty}, "there is no certificate in " + empty},
	} {
		in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
		c.o.Receiver = in.Receiver
		_, stop := run(t, c.o)
		in.log.awaitLines(t, 1, "down county: "+c.want)
		stop()
	}
}

func TestOptionsSayWhatIsWrong(t *testing.T) {
	r := ingest.NewReceiver(ingest.ReceiverOptions{})
	good := mqtt.Options{Name: "county", URL: "tcp://host", Topics: []mqtt.Topic{{"v1/#", 1}}, Receiver: r}
	if _, err := mqtt.New(good); err != nil {
		t.Errorf("good options: %v", err)
	}
	for _, c := range []struct {
		change func(o *mqtt.Options)
		want   string
	}{
		{func(o *mqtt.Options) { o.Name = "" }, "name is missing"},
		{func(o *mqtt.Options) { o.Name = "embedded" }, `name "embedded" is taken`},
		{func(o *mqtt.Options) { o.URL = "host:1883" }, "like tcp://host:1883"},
		{func(o *mqtt.Options) { o.URL = "http://host" }, "want tcp://"},
		{func(o *mqtt.Options) { o.URL = "tcp://" }, "and a host"},
		{func(o *mqtt.Options) { o.URL = "tcp://a b" }, "write it like"},
		{func(o *mqtt.Options) { o.URL = "tcp://scott:tiger@host" }, "use username and password_file"},
		{func(o *mqtt.Options) { o.Topics = nil }, "topics are missing"},
		{func(o *mqtt.Options) { o.Topics[0].QoS = 3 }, "QoS 3 does not exist"},
		{func(o *mqtt.Options) { o.Topics[0].Filter = "" }, "is empty"},
		{func(o *mqtt.Options) { o.Topics[0].Filter = "v1#" }, "stand alone"},
		{func(o *mqtt.Options) { o.Topics[0].Filter = "#/v1" }, "last level"},
		{func(o *mqtt.Options) { o.Topics[0].Filter = "$share/g/v1" }, "under share instead"},
		{func(o *mqtt.Options) { o.Share = "a/b" }, "has no /"},
		{func(o *mqtt.Options) { o.PasswordFile = "f" }, "username is missing"},
		{func(o *mqtt.Options) { o.MaxPayload = 5 << 20 }, "want at most 4194304"},
		{func(o *mqtt.Options) { o.Receiver = nil }, "no receiver"},
	} {
		o := good
		o.Topics = slices.Clone(o.Topics)
		c.change(&o)
		_, err := mqtt.New(o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New says %v, want %q", err, c.want)
		} else if strings.Contains(err.Error(), "tiger") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

func TestStopWhileConnecting(t *testing.T) {
	dialled := make(chan struct{}, 1)
	url := fakeBroker(t, func(c *fakeConn) {
		dialled <- struct{}{}
		c.next()
		c.next() // never answers; returns when the client is gone
	})
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	_, stop := run(t, mqtt.Options{URL: url, Receiver: in.Receiver})
	<-dialled
	began := time.Now()
	stop()
	if took := time.Since(began); took > patience {
		t.Errorf("stopping took %v", took)
	}
}
