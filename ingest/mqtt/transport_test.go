package mqtt_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	server "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"fengsui/ingest"
	"fengsui/ingest/mqtt"
)

// everybody lets everybody do everything.
type everybody struct{ server.HookBase }

func (*everybody) ID() string { return "everybody" }
func (*everybody) Provides(b byte) bool {
	return b == server.OnConnectAuthenticate || b == server.OnACLCheck
}

func (*everybody) OnConnectAuthenticate(*server.Client, packets.Packet) bool { return true }
func (*everybody) OnACLCheck(*server.Client, string, bool) bool              { return true }

func TestWebsocket(t *testing.T) {
	b := server.New(&server.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := b.AddHook(new(everybody), nil); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprint("127.0.0.1:", freePort(t))
	if err := b.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws", Address: address})); err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(); err != nil {
		t.Fatal(err)
	}
	in := newIntake(t, ingest.ReceiverOptions{}, new(memoryLog))
	s, stop := run(t, mqtt.Options{URL: "ws://" + address + "/mqtt", Receiver: in.Receiver})
	in.log.awaitLines(t, 1, "up county")
	const n = 100
	for i := range n {
		if err := b.Publish("v1/s/d/telemetry", fmt.Append(nil, i), false, 1); err != nil {
			t.Fatal(err)
		}
	}
	in.log.await(t, "all messages", func(ms []ingest.Message) bool { return len(payloads(ms)) == n })
	if st := s.Status(); !st.Connected {
		t.Errorf("status: %+v", st)
	}
	stop()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T, dir string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("broker.pem", "CERTIFICATE", der), write("broker.key", "PRIVATE KEY", pkcs8)
}
