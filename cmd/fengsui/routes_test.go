package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// routedGateway is one with the shipped examples of these foreign formats.
func routedGateway(t *testing.T, registered string, names ...string) *gateway {
	t.Helper()
	g := newGateway(t, registered, "routes: ["+strings.Join(names, ", ")+"]\n")
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../../configs/routes", name))
		if err != nil {
			t.Fatal(err)
		}
		g.write(name, string(text))
	}
	return g
}

// TestForeignFormats: an edge gateway speaks for all devices of its site in one
// message of a foreign format, and for no other's; what is wrong with one of
// them is told to that one.
func TestForeignFormats(t *testing.T) {
	g := routedGateway(t, siteYAML(t, "plant", "pw",
		"id: RQ-0031, kind: combustible_gas", "id: YD-1204, kind: electrical_fire", "id: SK00EA0D1307986, kind: slope", "id: meter, kind: electricity_meter",
	), "thingsboard.yaml", "cigem.yaml", "tasmota.yaml")
	g.start()
	edge := connect(t, g.mqtt, "edge", "plant", "pw")
	told := listen(t, edge, "v1/plant/+/feedback")
	now := time.Now().UnixMilli()

	publish(t, edge, "v1/gateway/telemetry", fmt.Sprintf(`{"RQ-0031":[{"ts":%d,"values":{"gas_lel_pct":62.5}}],"YD-1204":[{"ts":%d,"values":{"residual_current_ma":31,"cabel_temp_1_c":41}}],"elsewhere":[{"ts":%d,"values":{"gas_lel_pct":62.5}}]}`, now, now, now))
	g.waitAlarm("the alarm of one of its devices", func(a *alarms.Alarm) bool { return a.Device == "RQ-0031" && a.Level == rules.Red })
	for m := range told {
		if m.Code == "unknown_field" && m.Hint == "cable_temp_1_c" {
			break
		}
	}
	publish(t, edge, "$dp", fmt.Sprintf(`{"SK00EA0D1307986":{"L1_LF_1":{%q:12.86}}}`, time.UnixMilli(now).UTC().Format("2006-01-02T15:04:05.000Z")))
	publish(t, edge, "tele/meter/SENSOR", `{"ENERGY":{"Voltage":[231,229,230]}}`)
	for device, want := range map[string]string{"YD-1204": "residual_current_ma=31", "SK00EA0D1307986": "crack_mm=12.86", "meter": "voltage_b_v=229"} {
		g.eventually("the readings of "+device, func() error {
			var view struct {
				Online bool
				Values []struct {
					Field string
					Value float64
				}
			}
			g.get("/api/v1/devices/plant/"+device, &view)
			for _, v := range view.Values {
				if fmt.Sprintf("%s=%v", v.Field, v.Value) == want && view.Online {
					return nil
				}
			}
			return fmt.Errorf("%+v", view)
		})
	}
	g.eventually("the device nobody knows is in quarantine", func() error {
		var list struct {
			Quarantine []struct{ Code, Detail string }
		}
		g.get("/api/v1/quarantine", &list)
		for _, r := range list.Quarantine {
			if r.Code == "unknown_device" && strings.Contains(r.Detail, "elsewhere") {
				return nil
			}
		}
		return fmt.Errorf("%+v", list)
	})
	publish(t, edge, "tele/meter/LWT", "Offline")
	g.eventually("the last will of a foreign format", func() error {
		var view struct{ Online bool }
		if g.get("/api/v1/devices/plant/meter", &view); view.Online {
			return fmt.Errorf("still online")
		}
		return nil
	})
	var e devices.Explanation
	ask := map[string]any{"topic": "tele/meter/SENSOR", "user": "plant", "payload": `{"ENERGY":{"Voltage":[231,"x",230]}}`}
	if _, err := g.request("POST", "/api/v1/decode", ask, &e); err != nil || e.Class != "accepted" || len(e.Samples) != 1 || len(e.Rejections) != 1 || e.Rejections[0].Byte != 27 {
		t.Errorf("the API explains %+v: %v", e, err)
	}
	g.balanced()
	g.stop()
}

// TestOnlyOneselfUnderForeignTopics: a foreign topic is open to every credential,
// but believed about its own device only.
func TestOnlyOneselfUnderForeignTopics(t *testing.T) {
	g := routedGateway(t, siteYAML(t, "plant", "pw", "id: RQ-0031, kind: combustible_gas", "id: RQ-0032, kind: combustible_gas"), "thingsboard.yaml")
	g.start()
	_, out, errs := g.cli("", "device", "password", "-config", g.config(), "plant", "RQ-0032")
	password := fieldAfter(out, "MQTT password")
	if password == "" {
		t.Fatalf("no password: %s%s", out, errs)
	}
	own := connect(t, g.mqtt, "own", "plant/RQ-0032", password)
	publish(t, own, "v1/gateway/telemetry", `{"RQ-0031":[{"values":{"gas_lel_pct":62.5}}]}`)
	publish(t, own, "v1/devices/me/telemetry", `{"values":{"gas_lel_pct":62.5}}`)
	g.waitAlarm("its own alarm", func(a *alarms.Alarm) bool { return a.Device == "RQ-0032" && a.Level == rules.Red })
	for _, a := range g.alarms("all") {
		if a.Device == "RQ-0031" && a.Level == rules.Red {
			t.Error("one device raised the alarm of another")
		}
	}
	if n := g.metric("fengsui_messages_quarantined_total", `reason="foreign_device"`); n != 1 {
		t.Errorf("%v messages were quarantined for speaking of another device, want 1", n)
	}
	g.balanced()
	g.stop()
}

// TestRouteMistakesStopTheStart: a route that cannot be read is found by check
// and before anything is received.
func TestRouteMistakesStopTheStart(t *testing.T) {
	g := newGateway(t, siteYAML(t, "plant", "pw", "id: a, kind: combustible_gas"), "routes: [mine.yaml]\n")
	g.write("mine.yaml", "format: {zh: 试, en: test}\nroutes:\n  - topic: up/{device}\n    values:\n      - {path: v, field: gas_lel}\n")
	status, out, errs := g.cli("", "check", "-config", g.config())
	if status != 1 || !strings.Contains(out, "mine.yaml\n") || !strings.Contains(out, "5:26") || !strings.Contains(out, `no kind has a field "gas_lel"`) {
		t.Errorf("check says %d: %s%s", status, out, errs)
	}
}

// TestForeignFormatThroughABroker: a broker's foreign topics are subscribed to by
// themselves; whose they are the route says, since no credential does.
func TestForeignFormatThroughABroker(t *testing.T) {
	broker := startMosquitto(t)
	g := newGateway(t, siteYAML(t, "plant", "pw", "id: meter, kind: electricity_meter"),
		fmt.Sprintf("routes: [mine.yaml]\nbrokers:\n  - {name: county, url: \"tcp://%s\"}\n", broker.address))
	g.write("mine.yaml", "format: {zh: 试, en: test}\nroutes:\n  - topic: tele/{device}/SENSOR\n    sources: [county]\n    site: plant\n    values:\n      - {path: U, field: voltage_a_v, unit: mV}\n")
	g.start()
	pub(t, broker.address, "tele/meter/SENSOR", `{"U":231400}`)
	g.eventually("the reading", func() error {
		var view struct{ Values []struct{ Value float64 } }
		if g.get("/api/v1/devices/plant/meter", &view); len(view.Values) != 1 || view.Values[0].Value != 231.4 {
			return fmt.Errorf("%+v", view)
		}
		return nil
	})
	g.balanced()
	g.stop()
}
