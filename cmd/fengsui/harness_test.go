package main

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fengsui/rules/alarms"
)

// buildFolder holds the binary for the time of the tests.
var buildFolder string

func TestMain(m *testing.M) {
	var err error
	if buildFolder, err = os.MkdirTemp("", "fengsui-test"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(buildFolder)
	os.Exit(status)
}

// built builds the real thing once for all tests of the package.
var built = sync.OnceValues(func() (string, error) {
	name := filepath.Join(buildFolder, "fengsui")
	out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, nil
})

// gateway is a running binary, seen from outside.
type gateway struct {
	t      *testing.T
	dir    string
	http   string // host:port
	client *http.Client
	scheme string
	mqtt   string
	token  string
	cmd    *exec.Cmd
	output *lockedBuffer
	ended  chan struct{}

	patience time.Duration
}

// newGateway writes a config with free ports; extra is appended to it.
func newGateway(t *testing.T, devices, extra string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), http: freeAddress(t), client: http.DefaultClient, scheme: "http://", mqtt: freeAddress(t), patience: 30 * time.Second, token: "test-token-" + cryptorand.Text()}
	g.write("devices.yaml", devices)
	if !strings.Contains(extra, "disk:") { // how full this machine's disk is must not matter
		extra += "disk: {warn_percent: 99, alarm_percent: 100, floor_bytes: 1}\n"
	}
	g.write("fengsui.yaml", fmt.Sprintf("data: data\nhttp: {listen: %q}\nmqtt: {listen: %q, quota: {messages: 0}}\ndevices: devices.yaml\nlog: info\n%s", g.http, g.mqtt, extra))
	return g
}

func (g *gateway) write(name, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// start runs the binary and waits until it is ready.
func (g *gateway) start(args ...string) {
	g.t.Helper()
	g.launch(args...)
	g.waitReady()
}

// launch runs the binary.
func (g *gateway) launch(args ...string) {
	g.t.Helper()
	name, err := built()
	if err != nil {
		g.t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"run", "-config", filepath.Join(g.dir, "fengsui.yaml")}
	}
	g.output = &lockedBuffer{}
	g.cmd = exec.Command(name, args...)
	g.cmd.Dir = g.dir
	g.cmd.Env = append(os.Environ(), "FENGSUI_ADMIN_TOKEN="+g.token, "GOTRACEBACK=crash")
	g.cmd.Stdout, g.cmd.Stderr = g.output, g.output
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { cmd.Wait(); close(ended) }(g.cmd, g.ended)
	g.t.Cleanup(g.kill)
}

func (g *gateway) waitReady() {
	g.t.Helper()
	g.eventually("the gateway is ready", func() error {
		select {
		case <-g.ended:
			g.t.Fatalf("the gateway ended:\n%s", g.output)
		default:
		}
		resp, err := g.client.Get(g.scheme + g.http + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("readyz %d: %s", resp.StatusCode, body)
		}
		return nil
	})
}

// kill is kill -9, as by a power cut of the process.
func (g *gateway) kill() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Kill()
	g.cmd.Process.Signal(syscall.SIGCONT)
	<-g.ended
	if g.t.Failed() {
		g.t.Logf("gateway's output:\n%s", g.output.tail(200000))
	}
	g.cmd = nil
}

// stop ends it as an operator does.
func (g *gateway) stop() {
	g.t.Helper()
	g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.ended:
	case <-time.After(30 * time.Second):
		g.t.Errorf("the gateway did not stop within 30 s:\n%s", g.output.tail(6000))
		g.cmd.Process.Signal(syscall.SIGQUIT)
		<-g.ended
		g.t.Fatalf("%s", g.output.tail(20000))
	}
	g.cmd = nil
}

// request calls the API as admin and decodes the answer into out if it is not nil.
func (g *gateway) request(method, path string, body, out any) (int, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, g.scheme+g.http+path, reader)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+g.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	if s, ok := out.(*string); ok {
		*s = string(text)
		return resp.StatusCode, nil
	}
	if out != nil {
		return resp.StatusCode, json.Unmarshal(text, out)
	}
	return resp.StatusCode, nil
}

func (g *gateway) get(path string, out any) {
	g.t.Helper()
	if _, err := g.request("GET", path, nil, out); err != nil {
		g.t.Fatal(err)
	}
}

// alarms lists alarms by state: active, closed or all.
func (g *gateway) alarms(state string) []alarms.Alarm {
	g.t.Helper()
	var all []alarms.Alarm
	for after := ""; ; {
		var page struct {
			Alarms []alarms.Alarm `json:"alarms"`
			Next   string         `json:"next"`
		}
		g.get("/api/v1/alarms?limit=500&state="+state+"&after="+after, &page)
		all = append(all, page.Alarms...)
		if after = page.Next; after == "" {
			return all
		}
	}
}

// waitAlarm waits for an alarm that f accepts and returns it.
func (g *gateway) waitAlarm(what string, f func(a *alarms.Alarm) bool) alarms.Alarm {
	g.t.Helper()
	var found alarms.Alarm
	g.eventually(what, func() error {
		all := g.alarms("all")
		for _, a := range all {
			if f(&a) {
				found = a
				return nil
			}
		}
		return fmt.Errorf("no such alarm among %d", len(all))
	})
	return found
}

// metric sums the samples of a metric whose line contains all the parts.
func (g *gateway) metric(name string, parts ...string) float64 {
	g.t.Helper()
	var text string
	g.get("/metrics", &text)
	sum := 0.0
	for _, line := range strings.Split(text, "\n") {
		series, value, _ := strings.Cut(line, " ")
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		wanted := true
		for _, p := range parts {
			wanted = wanted && strings.Contains(series, p)
		}
		if wanted {
			var v float64
			fmt.Sscan(value, &v)
			sum += v
		}
	}
	return sum
}

// eventually asks until f is content; its patience is far beyond what that needs.
func (g *gateway) eventually(what string, f func() error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), g.patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			g.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines tell where it hangs
			<-g.ended
			g.t.Fatalf("%s: not within 30 s: %v", what, err)
		}
	}
}

// freeAddress picks a free loopback port below the range the kernel hands out,
// so that it stays free while a gateway is restarted on it.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port found")
	return ""
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) tail(n int) string {
	s := b.String()
	return s[max(0, len(s)-n):]
}

// needReal skips a test whose real part is missing, or fails it where nothing
// may be missing.
func needReal(t *testing.T, found bool, what string) {
	t.Helper()
	if found {
		return
	}
	if os.Getenv("FENGSUI_REAL") != "" {
		t.Fatalf("FENGSUI_REAL is set and %s is missing", what)
	}
	t.Skipf("%s is missing; install it, or set FENGSUI_REAL=1 to make this a failure", what)
}

// fieldAfter is the word behind a label in a command's output.
func fieldAfter(out, label string) string {
	_, rest, _ := strings.Cut(out, label)
	if words := strings.Fields(rest); len(words) > 0 {
		return words[0]
	}
	return ""
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cookies keeps whatever it is given: one host is all a test talks to.
type cookies struct{ kept []*http.Cookie }

func (c *cookies) SetCookies(_ *url.URL, set []*http.Cookie) { c.kept = append(c.kept, set...) }
func (c *cookies) Cookies(*url.URL) []*http.Cookie           { return c.kept }
