package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"fengsui/ingest"
	"fengsui/ingest/broker"
)

func pahoClient(t *testing.T, url string, roots *x509.CertPool) paho.Client {
	t.Helper()
	o := paho.NewClientOptions().AddBroker(url).SetClientID("paho").SetUsername("s1").SetPassword("secret").
		SetAutoReconnect(false).SetTLSConfig(&tls.Config{RootCAs: roots})
	c := paho.NewClient(o)
	await(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(250) })
	return c
}

func await(t *testing.T, token paho.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("no answer from the broker")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

func TestPahoPublishesThousandsAtOnce(t *testing.T) {
	const n = 5000
	g := start(t, broker.Options{Authorizer: owners{}})
	c := pahoClient(t, "tcp://"+g.address(), nil)
	var tokens []paho.Token
	for i := range n {
		tokens = append(tokens, c.Publish("v1/s1/d/telemetry", byte(i%3), false, strconv.Itoa(i)))
	}
	for _, token := range tokens {
		await(t, token)
	}
	next := 0
	for _, m := range g.log.await(t, "all of them", func(ms []ingest.Message) bool { return len(ms) >= n+2 }) {
		if m.Kind != ingest.Publish {
			continue
		}
		if string(m.Payload) != strconv.Itoa(next) {
			t.Fatalf("message %s stands where %d is due", m.Payload, next)
		}
		next++
	}
	if s := g.stats(); s.Kept != n {
		t.Errorf("books: %+v", s)
	}
}

func TestPahoIsDeliveredFeedback(t *testing.T) {
	g := start(t, broker.Options{Authorizer: owners{}})
	c := pahoClient(t, "tcp://"+g.address(), nil)
	got := make(chan string, 1)
	await(t, c.Subscribe("v1/s1/+/feedback", 1, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) }))
	if err := g.Deliver("v1/s1/d/feedback", []byte("unknown_field"), false); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-got:
		if s != "unknown_field" {
			t.Errorf("delivered %q", s)
		}
	case <-time.After(patience):
		t.Error("nothing is delivered")
	}
}

func TestTLS(t *testing.T) {
	certificate, roots := selfSigned(t)
	g := start(t, broker.Options{Authorizer: owners{}, TLSListen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}})
	c := pahoClient(t, "ssl://"+g.TLSAddr().String(), roots)
	await(t, c.Publish("v1/s1/d/telemetry", 1, false, "over TLS"))
	plain := rawDeviceAt(t, g.TLSAddr().String())
	plain.send(hello{client: "plain", version: 4}.packet())
	plain.expectEnd(0x20)
	if f := g.awaitRefusals(t, 1); f[0].Remote != plain.LocalAddr().String() {
		t.Errorf("a client without TLS is remembered as %+v", f)
	}
	g.stop() // says goodbye to the client over TLS as well
	if s := g.stats(); s.Kept != 1 {
		t.Errorf("books: %+v", s)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
