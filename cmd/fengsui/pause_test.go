package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fengsui/rules/alarms"
	"fengsui/sinks/console"
)

// TestNoSilenceStormAfterAPause stops the gateway and starts it again two hours
// later by its clock: nobody was silent, the gateway was deaf.
func TestNoSilenceStormAfterAPause(t *testing.T) {
	const count = 30
	var lines []string
	for i := range count {
		lines = append(lines, fmt.Sprintf("id: d%02d, kind: combustible_gas, state: in_service", i))
	}
	g := newGateway(t, siteYAML(t, "s", "pw", lines...), "")
	g.inProcess(time.Now, func() {
		c := connect(t, g.mqtt, "all", "s", "pw")
		for i := range count {
			token := c.Publish(fmt.Sprintf("v1/s/d%02d/telemetry", i), 1, false, `{"values":{"gas_lel_pct":0.5}}`)
			if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
				t.Fatal(token.Error())
			}
		}
		g.balanced()
	})
	g.inProcess(func() time.Time { return time.Now().Add(2 * time.Hour) }, func() {
		// Several canaries have driven the judge's clock when the third is seen.
		for range 3 {
			seen := g.canaryTime()
			g.eventually("another canary", func() error {
				if g.canaryTime() == seen {
					return fmt.Errorf("still %d", seen)
				}
				return nil
			})
		}
		if list := g.alarms("all"); len(list) != 0 {
			t.Errorf("%d alarms after a pause of two hours, the first: %+v", len(list), list[0])
		}
		if age := g.metric("fengsui_canary_age_seconds"); age > 3600 {
			t.Errorf("the canary is %v s old by the gateway's own clock", age)
		}
	})
}

// inProcess runs the gateway in this process, by a wall clock of the test's own.
func (g *gateway) inProcess(wall func() time.Time, while func()) {
	g.t.Helper()
	cfg, err := loadConfig(g.config())
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(g.t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	g.output = &lockedBuffer{}
	go func() {
		ended <- runApp(ctx, appOptions{
			Config: cfg, AdminToken: g.token, Wall: wall,
			Logger: newLogger(g.output, "info"), Ready: func(addresses) { close(ready) },
		})
	}()
	select {
	case <-ready:
		g.ended = make(chan struct{})
		g.waitReady()
	case err := <-ended:
		g.t.Fatalf("the gateway ended: %v\n%s", err, g.output)
	}
	while()
	cancel()
	if err := <-ended; err != nil {
		g.t.Fatalf("the gateway ended: %v\n%s", err, g.output)
	}
}

// canaryTime is when the newest canary that was judged had been received.
func (g *gateway) canaryTime() alarms.Time { return g.health().CanaryTime }

// health is the newest frame of it.
func (g *gateway) health() (h console.Health) {
	g.t.Helper()
	var page struct {
		Frames []struct{ H *console.Health }
	}
	g.get("/api/v1/events?wait=0", &page)
	for _, f := range page.Frames {
		if f.H != nil {
			h = *f.H
		}
	}
	return h
}

// TestSnapshotIsOnlyAShortcut: with a sound snapshot or without, damaged or of
// another version, the gateway comes to the same books.
func TestSnapshotIsOnlyAShortcut(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", "id: d, kind: combustible_gas, state: in_service"), "")
	g.start()
	c := connect(t, g.mqtt, "d", "s", "pw")
	for i := range 200 {
		token := c.Publish("v1/s/d/telemetry", 1, false, fmt.Sprintf(`{"seq":%d,"values":{"gas_lel_pct":0.5}}`, i+1))
		if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	g.balanced()
	g.stop() // writes a snapshot
	path := filepath.Join(g.dir, "data", "snapshot")
	sound := []byte(readFile(t, path))
	foreign := slices.Concat((&snapshot{Position: 3, Total: 2, Engine: []byte("of another version")}).encode()...)
	flipped := bytes.Clone(sound)
	flipped[len(flipped)/2] ^= 1
	for name, data := range map[string][]byte{"sound": sound, "flipped": flipped, "foreign": foreign, "empty": nil} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		g.start()
		g.balanced()
		if n := g.metric("fengsui_messages_accepted_total"); n != 200 {
			t.Errorf("%s: %v messages accepted after the restart, want 200", name, n)
		}
		if said := strings.Contains(g.output.String(), "not using the snapshot"); said != (name != "sound") {
			t.Errorf("%s: the gateway says that it does not use the snapshot: %v", name, said)
		}
		g.kill()
	}
}
