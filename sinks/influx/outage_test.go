package influx

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fengsui/sinks"
)

var outage = flag.Int("outage", 100_000, "readings that come while InfluxDB is gone")

// TestAnOutageCostsNoMemory: InfluxDB is gone while readings come in; however
// many, the gateway's memory does not grow with them, and afterwards every one
// is written. A million: -outage 1000000 -v.
func TestAnOutageCostsNoMemory(t *testing.T) {
	const meters = 1000
	var gone atomic.Bool
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone.Load() {
			reset(w, "")
			return
		}
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer edge.Close()
	server, err := New(Options{URL: edge.URL, Org: "o", Bucket: "b", Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	store, log := openLog(t)
	cursor, err := store.Cursor(t.Context(), "readings/influx")
	if err != nil {
		t.Fatal(err)
	}
	r := sinks.NewRunner(sinks.RunnerOptions{Sink: server.Readings(), Log: log, Cursor: cursor, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	until := func(what string, done func(s sinks.Status) bool) sinks.Status {
		for deadline := time.Now().Add(5 * time.Minute); !done(r.Status()); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v", what, r.Status())
			}
		}
		return r.Status()
	}

	plant, second := newSite(meters, time.Now().Add(-24*time.Hour)), 0
	report := func(when string) uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t.Logf("%-28s heap %3d MB, resident %s", when, m.HeapAlloc>>20, resident(t))
		return m.HeapAlloc
	}
	grow := func(readings int) {
		for range readings / meters {
			appendEntry(t, log, plant.entry(second))
			second++
		}
	}
	grow(20_000)
	until("the head", func(s sinks.Status) bool { return s.LagEntries == 0 && s.Written == 20_000 })
	before := report("before")

	gone.Store(true)
	grow(*outage / 10)
	until("the fault", func(s sinks.Status) bool { return s.Errors > 0 })
	early := report(fmt.Sprintf("gone, %d readings behind", *outage/10))
	grow(*outage - *outage/10)
	s := until("the fault", func(s sinks.Status) bool { return s.LagUnits == uint64(*outage) })
	late := report(fmt.Sprintf("gone, %d readings behind", s.LagUnits))

	gone.Store(false)
	begun := time.Now()
	half := until("half way", func(s sinks.Status) bool { return s.LagUnits < uint64(*outage/2) })
	during := report("catching up")
	until("the head", func(s sinks.Status) bool { return s.LagEntries == 0 })
	t.Logf("caught up in %v; half way: %.0f readings/s, left %v", time.Since(begun).Round(time.Millisecond), half.Rate, half.ETA.Round(time.Millisecond))
	after := report("afterwards")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := server.Stats().Accepted; got != uint64(second*meters) {
		t.Errorf("%d lines were accepted, want %d", got, second*meters)
	}
	const room = 48 << 20 // two batches, the requests made of one, and the log's own buffers
	for when, heap := range map[string]uint64{"early": early, "late": late, "during": during, "after": after} {
		if heap > before+room {
			t.Errorf("%s: the heap grew from %d to %d MB", when, before>>20, heap>>20)
		}
	}
}

func resident(t testing.TB) string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Log("no VmRSS")
	return "unknown"
}
