package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make(latencies, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	rand.Shuffle(len(hundred), func(i, j int) { hundred[i], hundred[j] = hundred[j], hundred[i] })
	tests := []struct {
		of   latencies
		p    float64
		want time.Duration
	}{
		{nil, 99, 0},
		{latencies{7}, 0, 7},
		{latencies{7}, 50, 7},
		{latencies{7}, 100, 7},
		{latencies{2, 1}, 50, 1},
		{latencies{2, 1}, 51, 2},
		{hundred, 0, 1},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 99.5, 100},
		{hundred, 100, 100},
	}
	for _, test := range tests {
		if got := test.of.percentile(test.p); got != test.want {
			t.Errorf("p%v of %d = %d, want %d", test.p, len(test.of), got, test.want)
		}
	}
}

func TestParseCPU(t *testing.T) {
	stat := "4242 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 8 0 12345"
	got, err := parseCPU([]byte(stat))
	if err != nil || got != 1750*time.Millisecond {
		t.Errorf("%v, %v; want 1.75s", got, err)
	}
	for _, bad := range []string{"", "4242 (x) S 1 2", "no name"} {
		if _, err := parseCPU([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Skipf("no /proc here: %v", err)
	}
	if _, err := parseCPU(own); err != nil {
		t.Errorf("own stat: %v", err)
	}
}

func TestParseKB(t *testing.T) {
	status := "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n"
	if got, err := parseKB([]byte(status), "VmRSS:"); err != nil || got != 1<<20 {
		t.Errorf("VmRSS %d, %v; want 1 MiB", got, err)
	}
	if _, err := parseKB([]byte(status), "VmSwap:"); err == nil {
		t.Error("a missing key was found")
	}
}

func TestReportIsATable(t *testing.T) {
	r := &report{
		options: options{Sites: 20, DevicesEach: 50, QoS: 1, Messages: 1000, Rounds: 3},
		contenders: []*contender{{who: "fengsui", rounds: []cost{
			{1000, 6 * time.Millisecond, 187_432}, {1000, 4 * time.Millisecond, 99_000}, {1000, 5 * time.Millisecond, 292_001},
		}}},
		calm: []calmPhase{{
			rate: 1000, cpu: time.Second, lasted: 10 * time.Second,
			acked: latencies{time.Millisecond}, screen: latencies{2 * time.Millisecond, 4 * time.Millisecond},
		}},
		startFull: 450 * time.Millisecond,
	}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 5.0 (4.0–6.0) | 187,000 (99,000–292,000) |",
		"| publish → screen (websocket) at 1,000 messages/s | 2.0 ms | 4.0 ms | 4.0 ms | 2 |",
		"| 10 %, 0 MB |",
		"| 450 ms |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
}
