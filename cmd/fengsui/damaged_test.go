package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fengsui/rules/alarms"
)

// TestDamagedLogs: a bit of the disk flips while the gateway is down. It goes on
// with what is intact, its books balance, and an alarm names what is not.
func TestDamagedLogs(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", "id: d, kind: combustible_gas, state: in_service"), "")
	g.start()
	if status, _, errs := g.cli("", "device", "add", "-config", g.config(), "-kind", "combustible_gas", "s", "added"); status != 0 {
		t.Fatal(errs)
	}
	c := connect(t, g.mqtt, "d", "s", "pw")
	publishNumbered(t, c, 0, 100)
	for _, payload := range []string{`{"seq":1001,"values":{"gas_lel_pct":70}}`, `{"seq":1002,"values":{"gas_lel_pct":0.5}}`} {
		if token := c.Publish("v1/s/d/telemetry", 1, false, payload); token.Wait() && token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	c.Disconnect(0)
	g.waitAlarm("an alarm on record", func(a *alarms.Alarm) bool { return a.Device == "d" })
	g.balanced()
	g.stop() // with a snapshot
	g.start()
	c = connect(t, g.mqtt, "d", "s", "pw")
	publishNumbered(t, c, 1500, 1520)
	if token := c.Publish("v1/s/d/telemetry", 1, false, `{"seq":1700,"values":{"gas_lel_pct":70}}`); token.Wait() && token.Error() != nil {
		t.Fatal(token.Error())
	}
	c.Disconnect(0)
	g.balanced()
	g.waitAlarm("the alarm again", func(a *alarms.Alarm) bool { return a.Device == "d" && a.State == alarms.ActiveUnacked })
	g.kill()
	sound := t.TempDir()
	if err := os.CopyFS(sound, os.DirFS(g.data())); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		stream, named string  // nothing named: it is judged again
		at            float64 // of its newest block
	}{
		{"input-1", "log input", 0.5},
		{"input-1", "log input", 0.99},
		{"readings-1", "log readings", 0.5},
		{"readings-1", "", 0.99},
		{"alarms", "log alarms", 0.3},
		{"alarms", "", 0.99},
		{"KV_registry", "bucket registry", 0.7},
		{"KV_landmarks", "bucket landmarks", 0.5},
	} {
		t.Run(tt.stream, func(t *testing.T) {
			defer func(was *testing.T) { g.t = was }(g.t)
			g.t = t
			if err := os.RemoveAll(g.data()); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(g.data(), os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			blocks, err := filepath.Glob(filepath.Join(g.data(), "jetstream", "$G", "streams", tt.stream, "msgs", "*.blk"))
			if err != nil || len(blocks) == 0 {
				t.Fatal(blocks, err)
			}
			block := blocks[len(blocks)-1]
			bytes := []byte(readFile(t, block))
			bytes[int(float64(len(bytes))*tt.at)] ^= 4
			if err := os.WriteFile(block, bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			g.start()
			c := connect(t, g.mqtt, "d", "s", "pw")
			publishNumbered(t, c, 2000, 2010)
			c.Disconnect(0)
			g.balanced()
			g.waitAlarm("the alarm that stands", func(a *alarms.Alarm) bool { return a.Device == "d" && a.State == alarms.ActiveUnacked })
			if tt.named == "" {
				g.kill()
				return
			}
			a := g.waitAlarm("what is damaged", func(a *alarms.Alarm) bool { return a.Rule == "gateway_trouble" && a.Device == "logs" })
			for _, e := range g.events() {
				if e.Alarm.ID == a.ID && (!strings.Contains(e.Note, tt.named) || !strings.Contains(e.Note, "数据文件有损坏")) {
					t.Errorf("the alarm says %q", e.Note)
				}
			}
			if !strings.Contains(g.output.String(), tt.named) {
				t.Errorf("nothing names the %s", tt.named)
			}
			g.kill()
		})
	}
}
