package main

import (
	"fmt"
	"strings"
	"testing"

	"fengsui/rules/alarms"
)

// TestReplay: what came before its device was registered is taken once it is:
// as history that wakes nobody, once, with books that balance, and a crash
// behind it changes nothing.
func TestReplay(t *testing.T) {
	g := newGateway(t, siteYAML(t, "canteen", "pw"), "history_after: 1ms\n")
	g.start()
	for n := range 3 {
		pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", fmt.Sprintf(`{"values":{"gas_lel_pct":%d}}`, 60+n), "-u", "canteen", "-P", "pw")
	}
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", `{"values":`, "-u", "canteen", "-P", "pw")
	pub(t, g.mqtt, "v1/canteen/gas-02/telemetry", `{"values":{"gas_lel_pct":1}}`, "-u", "canteen", "-P", "pw")
	quarantine := func(want ...string) {
		t.Helper()
		g.eventually(fmt.Sprintf("the quarantine lists %q", want), func() error {
			_, out, errs := g.cli("", "quarantine", "list", "-config", g.config(), "-site", "canteen", "-code", "unknown_device")
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) != len(want)+1 {
				return fmt.Errorf("it lists\n%s%s", out, errs)
			}
			for i, w := range want {
				if got := strings.Join(strings.Fields(lines[i+1]), " "); !strings.HasPrefix(got, w) {
					return fmt.Errorf("it lists\n%s", out)
				}
			}
			return nil
		})
	}
	quarantine("4 unknown_device v1/canteen/gas-01/telemetry", "1 unknown_device v1/canteen/gas-02/telemetry")
	if status, _, errs := g.cli("", "device", "add", "-config", g.config(), "-kind", "combustible_gas", "canteen", "gas-01"); status != 0 {
		t.Fatal(errs)
	}
	replay := func(want string) {
		t.Helper()
		status, out, errs := g.cli("", "quarantine", "replay", "-config", g.config(), "-site", "canteen")
		if status != 0 || strings.Join(strings.Fields(out), " ") != want {
			t.Fatalf("replay: %d %s%s, want %s", status, out, errs, want)
		}
	}
	balanced := func() {
		t.Helper()
		kept, accepted, quarantined := g.metric("fengsui_messages_kept_total"), g.metric("fengsui_messages_accepted_total"), g.metric("fengsui_messages_quarantined_total")
		if accepted != 0 || quarantined != 5 || kept > 5 || g.metric("fengsui_messages_residue") != 0 {
			t.Errorf("the books: kept %v, accepted %v, quarantined %v", kept, accepted, quarantined)
		}
	}
	replay("3 taken, 0 had nothing new, 0 were replayed before still in quarantine: bad_json 1, unknown_device 1")
	balanced()
	if n := g.metric("fengsui_messages_replayed_total", `result="accepted"`); n != 3 {
		t.Errorf("%v messages are counted as taken by a replay", n)
	}
	a := g.waitAlarm("what was measured then stands on the screen", func(a *alarms.Alarm) bool { return a.Device == "gas-01" })
	if !strings.Contains(strings.Join(a.Flags, " "), "backfill") {
		t.Errorf("a replayed reading is no history: %v", a.Flags)
	}
	g.eventually("the history is a sink as the others are", func() error {
		if n := g.metric("fengsui_sink_written_total", `sink="history"`); n < 3 {
			return fmt.Errorf("it took %v readings", n)
		}
		if sinks := g.health().Sinks; len(sinks) != 1 || sinks[0].Name != "history" {
			return fmt.Errorf("the health frame tells of %+v", sinks)
		}
		return nil
	})
	quarantine("1 unknown_device v1/canteen/gas-02/telemetry", "1 unknown_device v1/canteen/gas-01/telemetry")
	replay("0 taken, 0 had nothing new, 3 were replayed before still in quarantine: bad_json 1, unknown_device 1")

	g.kill()
	g.start()
	replay("0 taken, 0 had nothing new, 3 were replayed before still in quarantine: bad_json 1, unknown_device 1")
	balanced()
}
