package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/rules"
)

// TestTLS walks as an operator would: make certificates, name them in the config,
// give the authority's to device and browser.
func TestTLS(t *testing.T) {
	secure := freeAddress(t)
	_, port, _ := net.SplitHostPort(secure)
	g := newGateway(t, siteYAML(t, "s", "pw", "id: d, kind: combustible_gas, state: in_service"),
		"tls: {cert_file: tls/server.crt, key_file: tls/server.key}\n")
	plain, overTLS := fmt.Sprintf("mqtt: {listen: %q,", g.mqtt), fmt.Sprintf("mqtt: {listen: \"\", tls_listen: %q,", secure)
	g.write("fengsui.yaml", strings.Replace(readFile(t, g.config()), plain, overTLS, 1))
	folder := filepath.Join(g.dir, "tls")
	if status, said, why := g.cli("", "cert", "-dir", folder, "localhost", "127.0.0.1"); status != 0 || !strings.Contains(said, "SHA-256") || !strings.Contains(said, "cert_file") {
		t.Errorf("fengsui cert: %d\n%s%s", status, said, why)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(readFile(t, filepath.Join(folder, caFile)))) {
		t.Fatal("no certificate in the authority's file")
	}
	trust := &tls.Config{RootCAs: roots}
	g.scheme, g.client = "https://", &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	g.start()

	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("ssl://localhost:" + port).SetClientID("d").SetUsername("s").SetPassword("pw").
		SetTLSConfig(trust).SetAutoReconnect(false))
	settle := func(what string, token mqtt.Token) {
		t.Helper()
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("%s over TLS: %v", what, token.Error())
		}
	}
	settle("connect", c.Connect())
	settle("publish", c.Publish("v1/s/d/telemetry", 1, false, `{"values":{"gas_lel_pct":60}}`))
	c.Disconnect(100)
	g.eventually("the alarm stands", func() error {
		if all := g.alarms("active"); len(all) != 1 || all[0].Level != rules.Red {
			return fmt.Errorf("alarms: %+v", all)
		}
		return nil
	})
	if conn, err := net.Dial("tcp", g.mqtt); err == nil {
		conn.Close()
		t.Error("the plain intake listens, though it was switched off")
	}
	if status, said, why := g.cli("", "device", "list", "-config", g.config()); status != 0 || !strings.Contains(said, "combustible_gas") {
		t.Errorf("fengsui device list over TLS: %d\n%s%s", status, said, why)
	}
	if resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("https://" + g.http + "/readyz"); err == nil {
		resp.Body.Close()
		t.Error("a stranger trusts the certificate")
	}
	g.stop()
}

// TestCertificateIsRenewed: files that change are taken up, files that do not fit
// are not.
func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	make := func(args ...string) {
		var out, err bytes.Buffer
		if status := execute(t.Context(), terminal{nil, &out, &err}, append([]string{"cert", "-dir", dir}, args...)); status != 0 {
			t.Fatalf("fengsui cert: %s", err.String())
		}
	}
	make("-key", "rsa", "first.example")
	var log bytes.Buffer
	c, err := loadCertificate(&TLSConfig{CertFile: filepath.Join(dir, serverFile), KeyFile: filepath.Join(dir, serverKeyFile)}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		c.checked = time.Time{} // as if the time between two looks had gone by
		return c.current().Leaf.Subject.CommonName
	}
	authority := readFile(t, filepath.Join(dir, caFile))
	make("-days", "3", "second.example")
	if readFile(t, filepath.Join(dir, caFile)) != authority {
		t.Error("the authority was made anew: devices that trust the old one are locked out")
	}
	if got := name(); got != "second.example" {
		t.Errorf("after the renewal the certificate is that of %s", got)
	}
	if why := c.trouble(time.Now()); !strings.Contains(why, "ends on") {
		t.Errorf("three days before its end: %q", why)
	}
	if why := c.trouble(time.Now().AddDate(0, 0, 4)); !strings.Contains(why, "ended on") {
		t.Errorf("after its end: %q", why)
	}
	if err := os.WriteFile(c.CertFile, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "second.example" || !strings.Contains(log.String(), "stays in force") {
		t.Errorf("with a broken file the certificate is that of %s; the log says %s", got, log.String())
	}
	var none *certificate
	if none.config() != nil || none.trouble(time.Now()) != "" {
		t.Error("without a certificate there is something to say")
	}
}

// TestCertificateErrors: each says what is wrong, where, and what to do.
func TestCertificateErrors(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	_, err := loadCertificate(&TLSConfig{CertFile: path("none"), KeyFile: path("none")}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "fengsui cert") || !strings.Contains(err.Error(), path("none")) {
		t.Errorf("missing file: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(path(name), []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = loadCertificate(&TLSConfig{CertFile: path("a"), KeyFile: path("b")}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "tls.cert_file") {
		t.Errorf("no PEM: %v", err)
	}
	if err := os.WriteFile(path(caFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-dir", dir}, {"-days", "0"}, {"-dir", t.TempDir(), "-key", "dsa"}} {
		var out, text bytes.Buffer
		if status := execute(t.Context(), terminal{nil, &out, &text}, append([]string{"cert"}, args...)); status != 1 || text.Len() == 0 {
			t.Errorf("cert %v: status %d, %s", args, status, text.String())
		}
	}
}
