package main

import (
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"fengsui/rules/alarms"
)

var outage = flag.Int("outage", 20_000, "messages that come while InfluxDB is gone")

// gatedInflux takes lines when the test lets it.
type gatedInflux struct {
	*httptest.Server
	gate chan struct{} // one request is answered for each

	mu    sync.Mutex
	gone  bool // connections are cut
	lines map[string]bool
}

func newGatedInflux(t *testing.T) *gatedInflux {
	f := &gatedInflux{gate: make(chan struct{}), gone: true, lines: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *gatedInflux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	gone := f.gone
	f.mu.Unlock()
	if gone {
		panic(http.ErrAbortHandler)
	}
	zipped, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	text, _ := io.ReadAll(zipped)
	select {
	case <-f.gate:
	case <-r.Context().Done():
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "electrical_fire,") {
			f.lines[line] = true
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *gatedInflux) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = false
}

func (f *gatedInflux) stored() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.lines)
}

// TestInfluxAwayHarmsNobody: InfluxDB is gone, then slow to catch up; alarms are
// on screen all the while, memory stays where it was, the way left is told, and
// in the end every reading is there. A million: -outage 1000000 -v.
func TestInfluxAwayHarmsNobody(t *testing.T) {
	influx := newGatedInflux(t)
	const detectors = 8
	lines := []string{"id: cable-01, kind: electrical_fire, state: in_service"}
	for i := range detectors {
		lines = append(lines, fmt.Sprintf("id: gas-%02d, kind: combustible_gas, state: in_service", i))
	}
	g := newGateway(t, siteYAML(t, "canteen", "pw", lines...),
		fmt.Sprintf("influx: {url: %q, org: o, bucket: b, token_file: influx.token}\n", influx.URL))
	g.write("influx.token", "t")
	g.start()
	c := connect(t, g.mqtt, "bulk", "canteen", "pw")
	start := time.Now().Add(-20 * time.Minute).UnixMilli()
	flood := func(from, to int) {
		var tokens []mqtt.Token
		for i := from; i < to; i++ {
			payload := fmt.Sprintf(`{"ts":%d,"seq":%d,"values":{"residual_current_ma":%d}}`, start+int64(i), i+1, 30+i%5)
			tokens = append(tokens, c.Publish("v1/canteen/cable-01/telemetry", 1, false, payload))
			if len(tokens) == 1000 || i == to-1 {
				for _, token := range tokens {
					if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
						t.Fatalf("bulk publish: %v", token.Error())
					}
				}
				tokens = tokens[:0]
			}
		}
	}
	flood(0, 1000)
	before := g.resident()
	flood(1000, *outage)
	g.eventually("everything waits in the log", func() error {
		if lag := g.metric("fengsui_sink_lag_units", `sink="influx"`); lag < float64(*outage) {
			return fmt.Errorf("%v readings behind", lag)
		}
		return nil
	})
	late := g.resident()
	t.Logf("resident: %d MB with 1,000 readings behind, %d MB with %d", before>>20, late>>20, *outage)
	if late > before+128<<20 {
		t.Errorf("memory grew from %d to %d MB", before>>20, late>>20)
	}

	screen := g.screen()
	influx.back()
	seconds := 0.0
	for i := range detectors {
		sent := time.Now()
		pub := c.Publish(fmt.Sprintf("v1/canteen/gas-%02d/telemetry", i), 1, false, `{"values":{"gas_lel_pct":70}}`)
		screen.event("an alarm while InfluxDB catches up", func(e *alarms.Event) bool {
			return e.Type == alarms.Raised && e.Alarm.Device == fmt.Sprintf("gas-%02d", i)
		})
		took := time.Since(sent)
		pub.Wait()
		t.Logf("publish → screen %v, %v readings behind", took.Round(100*time.Microsecond), g.metric("fengsui_sink_lag_units", `sink="influx"`))
		if i < 2 && g.metric("fengsui_sink_lag_entries", `sink="influx"`) == 0 {
			t.Error("there is nothing to catch up with any more")
		}
		select {
		case influx.gate <- struct{}{}:
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is written to InfluxDB")
		}
		seconds = max(seconds, g.metric("fengsui_sink_catch_up_seconds", `sink="influx"`))
	}
	if seconds == 0 {
		t.Error("the time to catch up was never told")
	}
	close(influx.gate)
	g.eventually("every reading in InfluxDB", func() error {
		if n := influx.stored(); n != *outage {
			return fmt.Errorf("%d readings", n)
		}
		if left := g.metric("fengsui_sink_catch_up_seconds", `sink="influx"`); left != 0 {
			return fmt.Errorf("%v s left", left)
		}
		return nil
	})
	t.Logf("resident afterwards: %d MB", g.resident()>>20)
	g.balanced()
	g.stop()
}

// resident is the memory of the gateway.
func (g *gateway) resident() int {
	g.t.Helper()
	text := readFile(g.t, fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	var kb int
	if _, err := fmt.Sscan(fieldAfter(text, "VmRSS:"), &kb); err != nil {
		g.t.Fatal(err)
	}
	return kb << 10
}
