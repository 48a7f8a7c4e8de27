package devices

import (
	"math"
	"strings"
	"testing"
)

// TestRouteMistakes: every mistake is told with its place and what was meant.
func TestRouteMistakes(t *testing.T) {
	kinds := shippedKinds(t)
	const head = "routes:\n  - topic: up/{device}\n"
	for _, c := range []struct{ name, text, want string }{
		{"typo", head + "    valuess: []\n", `r.yaml:3:5: unknown key "valuess", did you mean "values"?`},
		{"no routes", "format: {zh: 试, en: test}\n", "the file has no routes"},
		{"no values", "routes:\n  - topic: up\n", "the route leads to no values"},
		{"unknown field", head + "    values:\n      - {path: v, field: voltage_a}\n", `r.yaml:4:26: no kind has a field "voltage_a", did you mean "voltage_a_v"?`},
		{"in a table", head + "    values:\n      - path: \"{field}\"\n        names: {Ua: voltage_a}\n", `no kind has a field "voltage_a"`},
		{"bad path", head + "    values:\n      - {path: \"a..b\", field: voltage_a_v}\n", `r.yaml:4:16: path "a..b": letter 3: a key is missing`},
		{"wandering path", head + "    time: {paths: [\"a[]\"]}\n    values: [{path: v, field: voltage_a_v}]\n", "may lead to many places"},
		{"wrong unit", head + "    values: [{path: v, field: voltage_a_v, unit: mA}]\n", "mA cannot become V, want one of: V, kV, mV"},
		{"unknown unit", head + "    values: [{path: v, field: voltage_a_v, unit: volts}]\n", `unknown unit "volts"`},
		{"ppm to mg", head + "    values: [{path: v, field: co_ppm, unit: mg/m³}]\n", "cannot become ppm"},
		{"no field", head + "    values: [{path: v}]\n", "which field is this?"},
		{"names without capture", head + "    values: [{path: v, names: {a: voltage_a_v}}]\n", "captures {field}"},
		{"nothing captured", head + "    site: \"{area}\"\n    values: [{path: v, field: voltage_a_v}]\n", "nothing captures {area}"},
		{"bad topic", "routes:\n  - topic: up/#/x\n    values: [{path: v, field: voltage_a_v}]\n", "# may only be the last level"},
		{"half a capture", "routes:\n  - topic: up/a{device}\n    values: [{path: v, field: voltage_a_v}]\n", "a capture is a whole level"},
		{"house topic", "routes:\n  - topic: v1/{site}/{device}/telemetry\n    values: [{path: v, field: voltage_a_v}]\n", "never routed"},
		{"zone", head + "    time: {zone: Beijing}\n    values: [{path: v, field: voltage_a_v}]\n", `zone "Beijing" is unknown`},
		{"format", head + "    time: {formats: [iso]}\n    values: [{path: v, field: voltage_a_v}]\n", `time format "iso"`},
		{"lies", head + "    time: {tz_lies: 8h}\n    values: [{path: v, field: voltage_a_v}]\n", `offset "8h"`},
		{"quality", head + "    quality: {ok: fine}\n    values: [{path: v, field: voltage_a_v}]\n", `unknown quality "fine"`},
		{"bit", head + "    values: [{path: v, bits: {x: breaker_on}}]\n", `bit "x"`},
		{"bits", head + "    values: [{path: v, bits: {5-2: breaker_on}}]\n", `bit "5-2"`},
		{"split", head + "    values: [{path: v, split: \",\"}]\n", "split and parts belong together"},
		{"counter", head + "    values: [{path: v, field: energy_import_kwh, counter: {as: sum}}]\n", `unknown word "sum", want total or increment`},
		{"codec", head + "    codec: xml\n", `unknown codec "xml"`},
		{"status", head + "    status: {online: [], offline: []}\n", "status knows no words"},
		{"ratio", head + "    values: [{path: v, field: voltage_a_v, ct: 0}]\n", "want a ratio above 0"},
		{"two names", head + "    device: {from: a, path: b}\n    values: [{path: v, field: voltage_a_v}]\n", "want either a text"},
		{"history", head + "    history: {path: x, is: []}\n    values: [{path: v, field: voltage_a_v}]\n", "want a path and the words"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseRoutes([]RouteText{{"r.yaml", []byte(c.text)}}, kinds)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "r.yaml:") {
				t.Errorf("%v\nwant it to say %q", err, c.want)
			}
		})
	}
}

// TestConvert: a unit there and back is the same number, and every field's unit
// that has others can be converted into.
func TestConvert(t *testing.T) {
	for from, a := range measures {
		for to, b := range measures {
			scale, offset, err := convert(from, to)
			if (err == nil) != (a.quantity == b.quantity) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if err != nil {
				continue
			}
			back, shift, err := convert(to, from)
			if err != nil || math.Abs((12.6*scale+offset)*back+shift-12.6) > 1e-9 {
				t.Errorf("12.6 %s to %s and back is %v: %v", from, to, (12.6*scale+offset)*back+shift, err)
			}
		}
	}
	for _, c := range []struct {
		from, to string
		n, want  float64
	}{{"°F", "°C", 32, 0}, {"K", "°C", 273.15, 0}, {"MPa", "kPa", 0.1, 100}, {"m³/h", "L/s", 3.6, 1}, {"ratio", "%", 0.5, 50}, {"g", "mg", 1, 1000}} {
		if scale, offset, err := convert(c.from, c.to); err != nil || math.Abs(c.n*scale+offset-c.want) > 1e-9 {
			t.Errorf("%v %s is %v %s: %v", c.n, c.from, c.n*scale+offset, c.to, err)
		}
	}
}
