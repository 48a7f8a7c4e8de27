package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"fengsui/rules"
	"fengsui/rules/alarms"
	"fengsui/sinks"
)

var update = flag.Bool("update", false, "write testdata anew")

// example has a value of its own in every place, so that a mix-up shows.
func example() Options {
	return Options{
		Version: "1.2.3", Commit: "abc1234",
		SourceNames:       []string{"embedded", "county"},
		RefusedReasons:    []string{"too_large", "disk_full"},
		QuarantineReasons: []string{"bad_json", "unknown_device"},
		Door: func() Door {
			return Door{
				Sources: []Source{
					{Name: "embedded", Up: true, Received: 100, Kept: 90, Refused: map[string]uint64{"too_large": 7, "made_up": 1, "made_up_too": 1}},
					{Name: "county", Received: 20, Kept: 20},
					{Name: "stray", Up: true, Received: 3, Kept: 2},
					{Name: "stray2", Up: true, Received: 4, Kept: 3},
				},
				InFlight: 2, Residue: -1,
			}
		},
		Books: func() Books {
			return Books{Accepted: 80, Duplicate: 5, Quarantined: map[string]uint64{"bad_json": 6, "x": 1, "y": 2}, Backlog: 16, Residue: 3}
		},
		Judge: func() Judge {
			return Judge{Good: 70, Suspect: 8, Bad: 9, Armed: 40, NotArmed: 4,
				Events: map[alarms.EventType]uint64{alarms.Raised: 11, alarms.Cleared: 10, "invented": 1}}
		},
		Alarms: func() []AlarmCount {
			return []AlarmCount{{rules.Red, alarms.ActiveUnacked, 2}, {rules.Red, alarms.ActiveUnacked, 1}, {rules.Fault, alarms.ClearedUnacked, 5}}
		},
		Sinks: func() []sinks.Status {
			return []sinks.Status{{Sink: "influx", LagEntries: 12, LagUnits: 120, Lag: 1500 * time.Millisecond, ETA: 90 * time.Second, Written: 900, Sent: 16, Outdated: 17, Errors: 13, Lost: 14, Rejected: 15, Stopped: "wrong token"}}
		},
		Logs: func() []LogSize { return []LogSize{{"input", 1 << 20}, {"alarms", 1 << 10}} },
		Disk: func() Disk {
			return Disk{Free: 1 << 33, Size: 1 << 35, Floor: 1 << 30, LogsUsed: 0.25, Paused: true}
		},
		ClockOffset: func() time.Duration { return -90 * time.Minute },
		Consoles:    func() int { return 6 },
		Canary:      func() time.Duration { return 250 * time.Millisecond },
	}
}

func observed(o Options) *Metrics {
	m := New(o)
	m.Synced(3 * time.Millisecond)
	m.Kept(1000, 4*time.Millisecond)
	m.Judged(2, 40*time.Millisecond)
	m.Sent(1, 2*time.Minute)
	return m
}

func gather(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

// value finds a series by its labels, written as in the exposition format.
func value(t *testing.T, m *Metrics, name, labels string) float64 {
	t.Helper()
	for _, s := range gather(t, m)[name].GetMetric() {
		if labelsOf(s) == labels {
			return s.GetCounter().GetValue() + s.GetGauge().GetValue()
		}
	}
	t.Errorf("no series %s{%s}", name, labels)
	return 0
}

func labelsOf(s *dto.Metric) string {
	var pairs []string
	for _, l := range s.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	return strings.Join(pairs, ",")
}

// TestNames holds the names, labels and help of every metric: dashboards and
// alert rules outside are built on them.
func TestNames(t *testing.T) {
	var list []string
	for name, f := range gather(t, observed(example())) {
		if !strings.HasPrefix(name, "fengsui_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		list = append(list, fmt.Sprintf("%s{%s} %s\n    %s\n", name, strings.Join(labels, ","), strings.ToLower(f.GetType().String()), f.GetHelp()))
	}
	slices.Sort(list)
	got := []byte(strings.Join(list, ""))
	const path = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("metrics differ from %s (run with -update if that is meant):\n%s", path, got)
	}
}

func TestValues(t *testing.T) {
	m := observed(example())
	for _, c := range []struct {
		name, labels string
		want         float64
	}{
		{"fengsui_messages_received_total", `source="embedded"`, 100},
		{"fengsui_messages_received_total", `source="other"`, 7},
		{"fengsui_messages_kept_total", `source="county"`, 20},
		{"fengsui_messages_refused_total", `reason="too_large",source="embedded"`, 7},
		{"fengsui_messages_refused_total", `reason="other",source="embedded"`, 2},
		{"fengsui_messages_refused_total", `reason="disk_full",source="county"`, 0},
		{"fengsui_messages_in_flight", ``, 2},
		{"fengsui_source_up", `source="embedded"`, 1},
		{"fengsui_source_up", `source="county"`, 0},
		{"fengsui_messages_accepted_total", ``, 80},
		{"fengsui_messages_duplicate_total", ``, 5},
		{"fengsui_messages_quarantined_total", `reason="bad_json"`, 6},
		{"fengsui_messages_quarantined_total", `reason="unknown_device"`, 0},
		{"fengsui_messages_quarantined_total", `reason="other"`, 3},
		{"fengsui_messages_backlog", ``, 16},
		{"fengsui_books_residue", `line="door"`, -1},
		{"fengsui_books_residue", `line="log"`, 3},
		{"fengsui_readings_total", `quality="suspect"`, 8},
		{"fengsui_rules_armed", ``, 40},
		{"fengsui_rules_not_armed", ``, 4},
		{"fengsui_alarms", `level="red",state="active_unacked"`, 3},
		{"fengsui_alarms", `level="fault",state="cleared_unacked"`, 5},
		{"fengsui_alarms", `level="blue",state="active_acked"`, 0},
		{"fengsui_alarm_events_total", `type="raised"`, 11},
		{"fengsui_alarm_events_total", `type="other"`, 1},
		{"fengsui_sink_lag_entries", `sink="influx"`, 12},
		{"fengsui_sink_lag_seconds", `sink="influx"`, 1.5},
		{"fengsui_sink_lag_units", `sink="influx"`, 120},
		{"fengsui_sink_catch_up_seconds", `sink="influx"`, 90},
		{"fengsui_sink_written_total", `sink="influx"`, 900},
		{"fengsui_sink_sent_total", `sink="influx"`, 16},
		{"fengsui_sink_outdated_total", `sink="influx"`, 17},
		{"fengsui_sink_errors_total", `sink="influx"`, 13},
		{"fengsui_sink_lost_entries_total", `sink="influx"`, 14},
		{"fengsui_sink_rejected_total", `sink="influx"`, 15},
		{"fengsui_sink_stopped", `sink="influx"`, 1},
		{"fengsui_log_bytes", `log="input"`, 1 << 20},
		{"fengsui_disk_free_bytes", ``, 1 << 33},
		{"fengsui_disk_size_bytes", ``, 1 << 35},
		{"fengsui_disk_floor_bytes", ``, 1 << 30},
		{"fengsui_logs_used_ratio", ``, 0.25},
		{"fengsui_intake_paused", ``, 1},
		{"fengsui_clock_offset_seconds", ``, -5400},
		{"fengsui_consoles_connected", ``, 6},
		{"fengsui_canary_age_seconds", ``, 0.25},
	} {
		if got := value(t, m, c.name, c.labels); got != c.want {
			t.Errorf("%s{%s} = %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if series := gather(t, m)["fengsui_source_up"].GetMetric(); len(series) != 2 {
		t.Errorf("source_up has %d series, want those of the two known sources", len(series))
	}
}

func TestHistogramsCountEveryMessageOfABatch(t *testing.T) {
	families := gather(t, observed(example()))
	for _, c := range []struct {
		stage string
		count uint64
		sum   float64
		below map[float64]uint64
	}{
		{"kept", 1000, 4, map[float64]uint64{0.0025: 0, 0.005: 1000, 60: 1000}},
		{"judged", 2, 0.08, map[float64]uint64{0.025: 0, 0.05: 2}},
		{"sent", 1, 120, map[float64]uint64{60: 0}},
	} {
		var h *dto.Histogram
		for _, s := range families["fengsui_stage_seconds"].GetMetric() {
			if labelsOf(s) == fmt.Sprintf("stage=%q", c.stage) {
				h = s.GetHistogram()
			}
		}
		if h.GetSampleCount() != c.count || h.GetSampleSum() != c.sum {
			t.Errorf("%s: %d observations, %v s; want %d, %v", c.stage, h.GetSampleCount(), h.GetSampleSum(), c.count, c.sum)
		}
		for _, b := range h.GetBucket() {
			if want, ok := c.below[b.GetUpperBound()]; ok && b.GetCumulativeCount() != want {
				t.Errorf("%s: %d up to %v s, want %d", c.stage, b.GetCumulativeCount(), b.GetUpperBound(), want)
			}
		}
	}
}

// TestHungOwnerDoesNotPileUpScrapes lets a snapshot hang: scrapers beyond the
// limit are turned away at once.
func TestHungOwnerDoesNotPileUpScrapes(t *testing.T) {
	o := example()
	var entered sync.WaitGroup
	entered.Add(maxScrapes)
	release := make(chan struct{})
	o.Consoles = func() int { entered.Done(); <-release; return 0 }
	server := httptest.NewServer(New(o).Handler())
	defer server.Close()
	var scrapes sync.WaitGroup
	for range maxScrapes {
		scrapes.Go(func() {
			resp, err := http.Get(server.URL)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		})
	}
	entered.Wait()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("scrape beyond the limit got %d, want 503", resp.StatusCode)
	}
	close(release)
	scrapes.Wait()
}
