package console

import (
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"fengsui/rules/alarms"
)

// builtPage is the test's page as an embedded one would be held.
func builtPage(t testing.TB) *Page {
	t.Helper()
	p := testPage(t)
	built := &Page{Build: p.Build, files: map[string]*asset{}}
	for _, name := range []string{"index.html", "main.js", buildFile} {
		text, err := fs.ReadFile(p.dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if built.files["/"+name], err = newAsset(name, text); err != nil {
			t.Fatal(err)
		}
	}
	return built
}

func TestPage(t *testing.T) {
	for name, p := range map[string]*Page{"built": builtPage(t), "folder": testPage(t)} {
		t.Run(name, func(t *testing.T) {
			if p.Build != "3f2a9c1d" {
				t.Errorf("build is %q", p.Build)
			}
			get := func(path string, headers ...string) *http.Response {
				r := httptest.NewRequest("GET", path, nil)
				for i := 0; i+1 < len(headers); i += 2 {
					r.Header.Set(headers[i], headers[i+1])
				}
				w := httptest.NewRecorder()
				p.ServeHTTP(w, r)
				return w.Result()
			}
			text := func(r *http.Response) string {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			for _, path := range []string{"/", "/index.html", "/a/A123", "/anything"} {
				if r := get(path); r.StatusCode != 200 || !strings.Contains(text(r), "<title>page") || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
					t.Errorf("%s: %d %s", path, r.StatusCode, r.Header.Get("Content-Type"))
				}
			}
			if r := get("/BUILD"); text(r) != "3f2a9c1d\n" {
				t.Error("BUILD is not served")
			}
			for _, path := range []string{"/other.js", "/../people.go", "/%2e%2e/people.go", "/favicon.ico"} {
				if r := get(path); r.StatusCode != 404 {
					t.Errorf("%s: %d", path, r.StatusCode)
				}
			}
			r := get("/main.js", "Accept-Encoding", "br, gzip")
			z, err := gzip.NewReader(r.Body)
			if err != nil || r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("Vary") != "Accept-Encoding" {
				t.Fatalf("%v %v", err, r.Header)
			}
			if b, err := io.ReadAll(z); err != nil || !strings.HasPrefix(string(b), "let a") {
				t.Errorf("%v %s", err, b)
			}
			if again := get("/main.js", "If-None-Match", r.Header.Get("ETag")); again.StatusCode != 304 || text(again) != "" {
				t.Errorf("with its ETag: %d", again.StatusCode)
			}
			if plain := get("/main.js"); plain.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(text(plain), "let a") {
				t.Error("compressed though not asked for")
			}
		})
	}
}

// TestUnbuiltPage: a gateway that was built without the page says how to build
// it; the rest works.
func TestUnbuiltPage(t *testing.T) {
	r := startRig(t, func(o *Options) { o.Page = &Page{Build: "unbuilt", files: map[string]*asset{}} })
	status, body := r.call("GET", "/", "", "")
	if status != 503 || !strings.Contains(body, "go generate ./...") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := r.call("GET", "/healthz", "", ""); status != 200 {
		t.Errorf("healthz: %d", status)
	}
	if _, err := FolderPage(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there")
	}
	if p, err := EmbeddedPage(); err != nil || p.Build == "" {
		t.Errorf("embedded: %v", err)
	}
}

// TestHeaders: every answer carries what keeps a browser from doing more than
// the page needs.
func TestHeaders(t *testing.T) {
	r := startRig(t, nil)
	for _, path := range []string{"/", "/main.js", "/help", "/api/v1/alarms", "/healthz", "/nowhere.js"} {
		_, _, h := r.callFull("GET", path, "", "")
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q lacks %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s: policy %q lets too much in", path, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, h)
		}
		if strings.HasPrefix(path, "/api/") && h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
	if _, body := r.call("GET", "/help", "", ""); !strings.Contains(body, "v1/{site}/{device}/telemetry") || strings.Contains(body, "style=") || strings.Contains(body, "<script") {
		t.Error("help is not what it should be")
	}
	if status, _ := r.call("POST", "/", "", ""); status != 405 {
		t.Errorf("POST /: %d", status)
	}
}

func TestMetricsDoor(t *testing.T) {
	r := startRig(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fengsui_up 1\n")) })
		o.MetricsToken = "scraper-token"
	})
	viewer := r.person("li", Viewer)
	for _, c := range []struct {
		name, remote string
		headers      []string
		status       int
	}{
		{"this machine", "127.0.0.1:5", nil, 200},
		{"this machine, v6", "[::1]:5", nil, 200},
		{"through a proxy here", "127.0.0.1:5", []string{"X-Forwarded-For", "192.0.2.7"}, 401},
		{"elsewhere", "192.0.2.7:5", nil, 401},
		{"elsewhere, token", "192.0.2.7:5", []string{"Authorization", "Bearer scraper-token"}, 200},
		{"elsewhere, a person's token", "192.0.2.7:5", []string{"Authorization", "Bearer " + viewer}, 200},
		{"wrong token", "127.0.0.1:5", []string{"Authorization", "Bearer wrong"}, 401},
	} {
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Host, req.RemoteAddr = "localhost:8080", c.remote
		for i := 0; i+1 < len(c.headers); i += 2 {
			req.Header.Set(c.headers[i], c.headers[i+1])
		}
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		if w.Code != c.status {
			t.Errorf("%s: %d", c.name, w.Code)
		}
	}
	for host, status := range map[string]int{"127.0.0.1:8080": 200, "[::1]:8080": 200, "localhost": 200, "evil.example:8080": 401, "": 401} {
		req := httptest.NewRequest("GET", "/metrics", nil)
		req.Host, req.RemoteAddr = host, "127.0.0.1:5"
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, req)
		if w.Code != status {
			t.Errorf("as %q: %d", host, w.Code)
		}
	}
	r2 := startRig(t, nil)
	if status, body := r2.call("GET", "/metrics", "", ""); status != 404 || errorCode(t, body) != "not_found" {
		t.Errorf("no metrics: %d %s", status, body)
	}
}

// TestStarting: before the alarms are known nobody is told that there are none.
func TestStarting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) { o.Hub.Alarms.(*memoryLog).fail(errors.New("disk")) })
		token := r.person("li", Viewer)
		for _, path := range []string{"/alarms", "/alarms/x", "/alarms/x/events", "/sites", "/devices", "/events"} {
			status, body, header := r.callFull("GET", "/api/v1"+path, token, "")
			if status != 503 || errorCode(t, body) != "starting" || header.Get("Retry-After") != "1" {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
		b := r.browse(token)
		defer b.leave()
		time.Sleep(2 * time.Second)
		if _, _, list := b.look(); b.page.epoch != "" || len(list) != 0 || len(b.page.notes) != 0 {
			t.Errorf("the page was told %v", b.page.notes)
		}
		r.alarms.fail(nil)
		time.Sleep(2 * time.Second)
		if epoch, _, _ := b.look(); epoch != "k3f9" {
			t.Errorf("the page is at %q", epoch)
		}
	})
}

func TestReady(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		because := errors.New("the judge is 12,000 messages behind")
		r := startRig(t, func(o *Options) {
			o.Ready = func() error {
				mu.Lock()
				defer mu.Unlock()
				return because
			}
		})
		time.Sleep(time.Second)
		if status, body := r.call("GET", "/readyz", "", ""); status != 503 || !strings.Contains(body, "12,000") {
			t.Errorf("%d %s", status, body)
		}
		mu.Lock()
		because = nil
		mu.Unlock()
		if status, body := r.call("GET", "/readyz", "", ""); status != 200 {
			t.Errorf("%d %s", status, body)
		}
	})
}

// serverOptions are those of a console on a real port.
func serverOptions(t testing.TB) Options {
	t.Helper()
	people, err := OpenPeople(t.Context(), PeopleOptions{Bucket: newMemoryBucket(), AdminToken: adminToken, Cost: 4})
	if err != nil {
		t.Fatal(err)
	}
	log := newMemoryLog("k3f9")
	return Options{
		Listen: "127.0.0.1:0", People: people, Commander: newJudge(log), Directory: newDirectory(t, 1), Page: testPage(t),
		Hub: HubOptions{Alarms: log, Health: func() Health { return Health{CanaryTime: alarms.Time(time.Now().UnixMilli())} }},
	}
}

// TestRun: on a real port; when it stops, streams are told and Run returns.
func TestRun(t *testing.T) {
	s, err := NewServer(serverOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addr()+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteJSON(map[string]any{"hello": map[string]any{"token": adminToken}}); err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.ReadMessage(); err != nil || !strings.Contains(string(text), `"role":"admin"`) {
		t.Fatalf("%s %v", text, err)
	}
	cancel()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
	if !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("the stream ended with %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := serverOptions(t)
	o.Listen = l.Addr().String()
	_, err = NewServer(o)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "http.listen") || !strings.Contains(err.Error(), o.Listen) {
		t.Errorf("error is %v", err)
	}
	o.Listen = "nonsense"
	if _, err = NewServer(o); err == nil || !strings.Contains(err.Error(), "http.listen") {
		t.Errorf("error is %v", err)
	}
	if _, err = NewServer(Options{}); err == nil || !strings.Contains(err.Error(), "required") {
		t.Errorf("error is %v", err)
	}
	o.Listen, o.Origins = "", []string{"console.example"}
	if _, err = NewServer(o); err == nil || !strings.Contains(err.Error(), "https://host") {
		t.Errorf("error is %v", err)
	}
}

// TestTLS: with a certificate the cookie is Secure, and the stream works.
func TestTLS(t *testing.T) {
	o := serverOptions(t)
	o.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	trust := &tls.Config{InsecureSkipVerify: true}
	transport := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).Post("https://"+s.Addr()+"/api/v1/session", "application/json", strings.NewReader(`{"token":"`+adminToken+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	cookie := res.Header.Get("Set-Cookie")
	if !strings.Contains(cookie, "Secure") || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("cookie %q, headers %v", cookie, res.Header)
	}
	value, _, _ := strings.Cut(cookie, ";")
	conn, _, err := (&websocket.Dialer{TLSClientConfig: trust}).Dial("wss://"+s.Addr()+"/api/v1/stream", http.Header{"Cookie": {value}, "Origin": {"https://" + s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"hello":{}}`)); err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.ReadMessage(); err != nil || !strings.Contains(string(text), `"hello"`) {
		t.Errorf("%s %v", text, err)
	}
	conn.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}
