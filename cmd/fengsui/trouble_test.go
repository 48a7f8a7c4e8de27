package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"fengsui/rules/alarms"
)

// TestARefusedTokenIsAnAlarm: an InfluxDB that refuses the token stops the sink,
// and somebody is told; devices and alarms go on, and a restart tells it no
// second time. When the token file is put right it goes on by itself.
func TestARefusedTokenIsAnAlarm(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") == "Token valid" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":"unauthorized","message":"unauthorized access"}`)
	}))
	defer server.Close()
	g := newGateway(t, siteYAML(t, "canteen", "pw", "id: gas-01, kind: combustible_gas, state: in_service"),
		fmt.Sprintf("influx: {url: %q, org: o, bucket: b, token_file: influx.token}\n", server.URL))
	g.write("influx.token", "a token that was revoked")
	g.start()
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", `{"values":{"gas_lel_pct":70}}`, "-u", "canteen", "-P", "pw")
	g.waitAlarm("the gas alarm, while the sink stands", func(a *alarms.Alarm) bool { return a.Device == "gas-01" })
	trouble := g.waitAlarm("the stopped sink", func(a *alarms.Alarm) bool { return a.Rule == "gateway_trouble" && a.Device == "sink influx" })
	if trouble.State != alarms.ActiveUnacked || trouble.Site != "gateway" {
		t.Errorf("the trouble is %+v", trouble)
	}
	if asked.Load() == 0 {
		t.Error("nothing was written to InfluxDB at all")
	}
	g.kill()
	g.start()
	g.eventually("the sink is stopped again", func() error {
		if asked.Load() < 3 {
			return fmt.Errorf("asked %d times", asked.Load())
		}
		return nil
	})
	for _, e := range g.events() {
		if e.Alarm.ID == trouble.ID && e.Type != alarms.Raised {
			t.Errorf("after a restart the alarm log tells of the same trouble: %s", e.Type)
		}
	}
	g.write("influx.token", "valid\n")
	g.waitAlarm("the end of the trouble, without anybody's help", func(a *alarms.Alarm) bool {
		return a.ID == trouble.ID && a.State == alarms.ClearedUnacked
	})
	g.eventually("everything that waited in InfluxDB", func() error {
		if lag := g.metric("fengsui_sink_lag_entries"); lag != 0 {
			return fmt.Errorf("%v entries behind", lag)
		}
		return nil
	})
	g.stop()
}
