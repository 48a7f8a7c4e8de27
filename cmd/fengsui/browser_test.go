package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fengsui/rules/alarms"
)

const web = "../../sinks/console/web"

// browser is a real Chromium with the page of a running gateway in it.
type browser struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

func (g *gateway) browser() *browser {
	g.t.Helper()
	return g.browserAt(g.http)
}

// browserAt opens the page through another address that leads to the gateway.
func (g *gateway) browserAt(address string) *browser {
	g.t.Helper()
	chromium := "/usr/bin/chromium"
	if path := os.Getenv("CHROMIUM"); path != "" {
		chromium = path
	}
	_, err := os.Stat(chromium)
	needReal(g.t, err == nil, "chromium")
	_, err = os.Stat(filepath.Join(web, "node_modules", "playwright-core"))
	needReal(g.t, err == nil, "playwright-core (go generate ./... installs it)")
	cmd := exec.Command("node", "e2e/console.mjs")
	cmd.Dir = web
	cmd.Env = append(os.Environ(), "BASE_URL=http://"+address, "API_URL=http://"+g.http, "TOKEN="+g.token, fmt.Sprint("PID=", g.cmd.Process.Pid), "CHROMIUM="+chromium)
	cmd.Stderr = g.output
	in, err := cmd.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { in.Close(); cmd.Wait() })
	b := &browser{t: g.t, in: in, out: bufio.NewScanner(out)}
	b.expect("READY")
	return b
}

// do tells the browser what to do and returns how many ms it took.
func (b *browser) do(command, answer string) int {
	b.t.Helper()
	if _, err := fmt.Fprintln(b.in, command); err != nil {
		b.t.Fatal(err)
	}
	return b.expect(answer)
}

func (b *browser) expect(answer string) int {
	b.t.Helper()
	for b.out.Scan() {
		word, rest, _ := strings.Cut(b.out.Text(), " ")
		switch word {
		case answer:
			ms, _ := strconv.ParseFloat(rest, 64)
			b.t.Logf("%s %s", word, rest)
			return int(ms)
		case "FAILED":
			b.t.Fatalf("waiting for %s the browser says: %s", answer, rest)
		}
	}
	b.t.Fatalf("the browser ended before %s", answer)
	return 0
}

// TestTheScreen: in a real browser a new alarm appears, is acknowledged, and the
// screen goes blind within 3 s when the gateway stops answering.
func TestTheScreen(t *testing.T) {
	g := newGateway(t, siteYAML(t, "canteen", "pw", "id: gas-01, kind: combustible_gas, state: in_service"), "")
	g.start()
	b := g.browser()
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", `{"values":{"gas_lel_pct":64}}`, "-u", "canteen", "-P", "pw")
	b.do("alarm canteen gas-01", "ALARM_SHOWN")
	b.do("ack canteen gas-01", "ACKED")
	g.waitAlarm("acknowledged at the gateway too", func(a *alarms.Alarm) bool { return a.Device == "gas-01" && a.State == alarms.ActiveAcked })
	// Promise 8: blind within 3 s of the last sign of life; a heartbeat may have
	// just come in when it froze, and the page looks four times a second.
	if ms := b.do("freeze", "BLIND"); ms > 3500 {
		t.Errorf("the screen said that it is blind after %d ms", ms)
	}
	b.do("thaw", "RECOVERED")
}
