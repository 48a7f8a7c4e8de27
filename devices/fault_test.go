package devices

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"fengsui/devices/codec"
)

// trippingRegistry is the county, with a field that trips who reads it.
func trippingRegistry(t *testing.T) *Registry {
	r := county(t)
	gas, _ := r.DeviceByKey("canteen/gas-1")
	gas.Kind.byName["trips"] = nil
	return r
}

// trippingRoutes lead to flags whose last bit comes before their first.
func trippingRoutes(t *testing.T, r *Registry) *Routes {
	gas, _ := r.DeviceByKey("canteen/gas-1")
	text := "routes:\n  - {topic: \"up/{device}\", site: canteen, values: [{path: v, field: gas_lel_pct}, {path: flags, bits: {\"3\": valve_state}}]}\n"
	routes, err := ParseRoutes([]RouteText{{"r.yaml", []byte(text)}}, []*Kind{gas.Kind})
	if err != nil {
		t.Fatal(err)
	}
	routes.list[0].mapping.Values[1].Item.Bits = []codec.Bits{{From: 5, To: 1, Field: "valve_state"}}
	return routes
}

// TestAFaultOfOursCostsItsMessage: what trips a decoder is quarantined, with
// nothing of it kept, and all others are read as if it had never come; the log
// names it once a format.
func TestAFaultOfOursCostsItsMessage(t *testing.T) {
	r := trippingRegistry(t)
	routes := trippingRoutes(t, r)
	good := func(n int64) Incoming {
		at := day.UnixMilli() + n*second
		return Incoming{Received: at, PacketID: uint16(n + 1), Client: "c", Topic: "v1/canteen/gas-1/telemetry", Payload: fmt.Appendf(nil, `{"ts":%d,"values":{"gas_lel_pct":%d}}`, at, n)}
	}
	for name, c := range map[string]struct{ topic, payload, device string }{
		"house":         {"v1/canteen/gas-1/telemetry", `{"values":{"trips":1}}`, "canteen/gas-1"},
		"house, midway": {"v1/canteen/gas-1/telemetry", `[{"ts":1782541925000,"values":{"gas_lel_pct":70}},{"values":{"trips":1}}]`, "canteen/gas-1"},
		"route":         {"up/gas-1", `{"v":70,"flags":8}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			with := NewIntake(IntakeOptions{Registry: r, Routes: routes, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			without := NewIntake(IntakeOptions{Registry: r, Routes: routes})
			var d Decoded
			for n := range int64(6) {
				in := good(n)
				trips := in
				trips.Topic, trips.Payload = c.topic, []byte(c.payload)
				v, out := take(with, &d, trips)
				if v.Class != Quarantined || v.Spoke || v.Presence != NoPresence || len(out.Readings) > 0 || len(out.Rejections) != 1 || out.Quarantined != 1 || out.Accepted > 0 {
					t.Fatalf("%+v", out)
				}
				if x := out.Rejections[0]; x.Code != CodeGatewayFault || !x.Whole || x.Device != c.device || !strings.Contains(x.Detail, "runtime error") {
					t.Fatalf("%+v", x)
				}
				if v, _ := take(with, &d, in); v.Class != Accepted || len(v.Readings) != 1 || len(v.Readings[0].Values) != 1 {
					t.Fatalf("the message behind it: %+v", v)
				}
				take(without, &d, in)
			}
			if told := log.String(); strings.Count(told, "\n") != 1 || !strings.Contains(told, "goroutine") || !strings.Contains(told, c.topic) {
				t.Errorf("the log says %s", told)
			}
			got, _ := with.Snapshot()
			if want, _ := without.Snapshot(); !bytes.Equal(got, want) {
				t.Error("it left a trace in the intake")
			}
			in := good(9)
			in.Topic, in.Payload = c.topic, []byte(c.payload)
			if e := Explain(r, routes, in); e.Class != "quarantined" || e.Rejections[0].Code != CodeGatewayFault {
				t.Errorf("explained as %+v", e)
			}
		})
	}
}

// TestAFaultBehindDecodingCostsItsMessage: what trips the intake over what it
// holds of a device is quarantined as well; the device begins anew.
func TestAFaultBehindDecodingCostsItsMessage(t *testing.T) {
	i := NewIntake(IntakeOptions{Registry: county(t)})
	var d Decoded
	var out Outcome
	pond := hot
	pond.Payload = bytes.Clone(hot.Payload)
	gas := Incoming{Received: hot.Received, PacketID: 3, Client: "c", Topic: "v1/canteen/gas-1/telemetry", Payload: fmt.Appendf(nil, `[{"ts":%d,"values":{"gas_lel_pct":1}},{"ts":%d,"values":{"gas_lel_pct":2}}]`, hot.Received-second, hot.Received)}
	i.Decode(pond, &d)
	i.Accept(&d, &out)
	want, _ := i.Snapshot()
	device, _ := i.registry.Load().DeviceByKey("canteen/gas-1")
	i.devices[device.index].seen = ring{prints: make([]uint64, seenMost), next: seenMost} // behind the ring's end
	i.Decode(gas, &d)
	v := i.Accept(&d, &out)
	if v.Class != Quarantined || len(v.Readings) > 0 || len(v.Rejections) != 1 || v.Rejections[0].Code != CodeGatewayFault || !v.Rejections[0].Whole {
		t.Fatalf("%+v", v)
	}
	if out.Accepted != 1 || out.Quarantined != 1 || len(out.Readings) != 1 {
		t.Fatalf("the books: %+v", out)
	}
	if got, _ := i.Snapshot(); !bytes.Equal(got, want) {
		t.Error("half of it is held")
	}
	if v, _ := take(i, &d, gas); v.Class != Accepted || len(v.Readings) != 2 {
		t.Errorf("replayed: %+v", v)
	}
}
