package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fengsui/rules/alarms"
	"fengsui/sinks/influx/influxtest"
)

// TestDemo: one command and, in seconds, an alarm on the screen; the line it
// prints for newcomers raises another; with -influx both end in InfluxDB.
func TestDemo(t *testing.T) {
	influx := influxtest.Start(t)
	g := newGateway(t, "", "")
	t.Setenv("INFLUX_TOKEN", influx.Token)
	g.start("demo", "-http", g.http, "-mqtt", g.mqtt, "-influx", influx.URL, "-influx-org", influx.Org, "-influx-bucket", influx.Bucket)
	g.waitAlarm("the first alarm of the story", func(a *alarms.Alarm) bool { return a.Kind == "combustible_gas" && a.Site != "newcomer" })

	lines := regexp.MustCompile(`mosquitto_pub .* -t (\S+) -m '(.*)'`).FindAllStringSubmatch(g.output.String(), -1)
	if len(lines) != 5 {
		t.Fatalf("the demo shows %d lines for newcomers, want one for each kind:\n%s", len(lines), g.output)
	}
	for _, line := range lines {
		device := strings.Split(line[1], "/")[2]
		pub(t, g.mqtt, line[1], line[2])
		g.waitAlarm("an alarm of the newcomer's "+device, func(a *alarms.Alarm) bool { return a.Site == "newcomer" && a.Device == device })
	}
	g.eventually("the newcomer's reading in InfluxDB", func() error {
		for _, p := range influx.Points(t, influx.Bucket, "combustible_gas") {
			if p["site"] == "newcomer" {
				return nil
			}
		}
		return fmt.Errorf("not there")
	})
	if _, err := os.Stat(filepath.Join(g.dir, "data")); err == nil {
		t.Error("the demo left data in the folder it was started in")
	}
	g.stop()
}

// TestDemoStaysOnThisMachine: it lets anonymous devices in, so nobody else may
// reach it.
func TestDemoStaysOnThisMachine(t *testing.T) {
	for _, address := range []string{"0.0.0.0:1883", ":1883", "192.0.2.1:1883", "nonsense"} {
		if got, err := loopback(address); err == nil {
			t.Errorf("the demo would listen on %q for %q", got, address)
		}
	}
}
