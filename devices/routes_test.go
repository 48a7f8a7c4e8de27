package devices

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shippedRoutes are the examples in configs/routes, as an operator would list them.
func shippedRoutes(t testing.TB, kinds []*Kind, names ...string) *Routes {
	t.Helper()
	if len(names) == 0 {
		var err error
		if names, err = filepath.Glob("../configs/routes/*.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	var files []RouteText
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("../configs/routes", filepath.Base(name)))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, RouteText{filepath.Base(name), text})
	}
	routes, err := ParseRoutes(files, kinds)
	if err != nil {
		t.Fatal(err)
	}
	return routes
}

func shippedKinds(t testing.TB) []*Kind {
	t.Helper()
	kinds, err := LoadKinds(os.DirFS("../configs/kinds"))
	if err != nil {
		t.Fatal(err)
	}
	return kinds
}

// fieldRegistry is the registry of the routes' golden file: the devices its vectors name.
func fieldRegistry(t testing.TB, kinds []*Kind) *Registry {
	t.Helper()
	o := RegistryOptions{Kinds: kinds, Sites: []*Site{
		{ID: "canteen", Name: Text{ZH: "示例", EN: "Example"}, Params: map[string]float64{"ct_ratio": 80}},
		{ID: "pond", Name: Text{ZH: "示例库", EN: "Example pond"}},
	}}
	for id, kind := range map[string]string{
		"RQ-0031": "combustible_gas", "YD-1204": "electrical_fire", "SK00EA0D1307986": "slope",
		"shellypro3em-08f9e0e5cf98": "electricity_meter", "meter": "electricity_meter", "gw-000": "electricity_meter",
	} {
		o.Devices = append(o.Devices, DeviceConfig{Site: "canteen", ID: id, Kind: kind})
	}
	o.Devices = append(o.Devices, DeviceConfig{Site: "pond", ID: "TS-0007", Kind: "tailings_pond"})
	r, err := NewRegistry(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var routedMessage = regexp.MustCompile(`^(\S+) ((?:dup |retained |id=\d+ |client=\S+ |user=\S+ |source=\S+ )*)(\S+)(?: (.*))?$`)

// routed reads a line of testdata/routes.txt:
//
//	2022-06-27T06:32:06Z [user=canteen] [client=c] [source=s] topic payload
//
// A payload in quotes is a Go string. Without user= the credential is canteen.
func routed(t testing.TB, line string) Incoming {
	m := routedMessage.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
	if m == nil {
		t.Fatalf("cannot read %q", line)
	}
	at, err := time.Parse(time.RFC3339, m[1])
	if err != nil {
		t.Fatal(err)
	}
	in := Incoming{Position: 1, Received: at.UnixMilli(), Source: "embedded", Client: "c", User: "canteen", Topic: m[3], Payload: []byte(m[4])}
	if s, err := strconv.Unquote(m[4]); err == nil {
		in.Payload = []byte(s)
	}
	for _, mark := range strings.Fields(m[2]) {
		switch name, value, _ := strings.Cut(mark, "="); name {
		case "dup":
			in.Dup = true
		case "retained":
			in.Retained = true
		case "client":
			in.Client = value
		case "user":
			in.User = strings.TrimSuffix(value, "-")
		case "source":
			in.Source = value
		case "id":
			n, _ := strconv.Atoi(value)
			in.PacketID = uint16(n)
		}
	}
	return in
}

// TestRoutesGolden walks testdata/routes.txt: what the shipped routes make of
// messages as they come in the field.
func TestRoutesGolden(t *testing.T) {
	const file = "testdata/routes.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := shippedKinds(t)
	registry, routes := fieldRegistry(t, kinds), shippedRoutes(t, kinds)
	var in *Intake
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "  "):
			continue
		case strings.HasPrefix(line, "== "):
			in = NewIntake(IntakeOptions{Registry: registry, Routes: routes})
		case line != "\n" && line[0] != '#':
			got.WriteString(line)
			got.WriteString(acceptRouted(in, routed(t, line)))
			continue
		}
		got.WriteString(line)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(text), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d: got %q", file, i+1, line)
		}
	}
}

// acceptRouted tells in words what became of a message, with devices and dates.
func acceptRouted(i *Intake, in Incoming) string {
	var d Decoded
	var out Outcome
	i.Decode(in, &d)
	v := i.Accept(&d, &out)
	var b strings.Builder
	b.WriteString("  " + v.Class.String())
	for _, s := range v.Devices {
		b.WriteString(" " + s.Key())
	}
	switch v.Presence {
	case Online:
		b.WriteString(" online")
	case Offline:
		b.WriteString(" offline")
	}
	b.WriteByte('\n')
	for _, r := range v.Readings {
		b.WriteString("  " + r.Device.ID + " at " + time.UnixMilli(r.Time).UTC().Format("2006-01-02T15:04:05.999") + tellFlags(r.Flags))
		for _, x := range r.Values {
			b.WriteString(" " + x.Field.Name + "=" + strconv.FormatFloat(x.Number, 'g', -1, 64))
			if x.Quality != Good {
				b.WriteString("(" + x.Quality.String() + ")")
			}
		}
		b.WriteByte('\n')
	}
	for _, r := range v.Rejections {
		b.WriteString("  " + r.Code + " " + r.Field + ": " + r.Detail + " (" + r.Hint + ")\n")
	}
	return b.String()
}

// TestFilters: a client of a broker asks for what its routes read, once each.
func TestFilters(t *testing.T) {
	kinds := shippedKinds(t)
	text := "routes:\n  - {topic: \"tele/{device}/SENSOR\", sources: [county], values: [{path: v, field: voltage_a_v}]}\n" +
		"  - {topic: \"tele/+/SENSOR\", values: [{path: v, field: voltage_a_v}]}\n  - {topic: v1/gateway/telemetry, values: [{path: v, field: voltage_a_v}]}\n  - {topic: \"a/#\", values: [{path: v, field: voltage_a_v}]}\n"
	routes, err := ParseRoutes([]RouteText{{"r.yaml", []byte(text)}}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(routes.Filters("county"), " "); got != "tele/+/SENSOR a/#" {
		t.Errorf("county asks for %s", got)
	}
	if got := strings.Join(routes.Filters("other"), " "); got != "tele/+/SENSOR a/#" {
		t.Errorf("other asks for %s", got)
	}
	var none *Routes
	if none.Filters("x") != nil {
		t.Error("no routes ask for something")
	}
}

// everything is a route file that uses what the shipped ones leave out.
const everything = `
routes:
  - topic: every/{device}
    skip: 2
    samples: "list[]?(json)"
    device: {from: "{device}", strip: "x-", table: {a: meter}}
    time: {paths: [t, at.t], formats: [auto, "dd.MM.yy HH:mm"], tz_lies: "+08:00"}
    history: {path: mode, is: [old]}
    quality: {ok: good, no: bad}
    sentinels: [-999]
    nothing: ["--"]
    values:
      - {path: "c[0]?.n", field: energy_import_kwh, scale: 0.1, counter: {rollover: 65536}}
      - {path: "c[quality=q,time=t].i", field: energy_export_kwh, counter: {as: increment}}
      - {path: v, field: voltage_a_v, pt: {param: ct_ratio}, zero_is_fault: true}
      - {path: "{device}.{time}.w", split: "|", parts: ["", voltage_b_v, ""]}
      - {path: "hex", field: voltage_c_v, hex: true}
      - {path: flags, bits: {"0": breaker_on, "4-7": energy_import_kwh}}
      - {path: word, field: breaker_on, words: {"on": 1, "off": 0}}
      - path: "s(senml)"
        names: {"": voltage_a_v, n: {field: current_a_a, unit: mA, ct: 3, device: gw-000}}
      - {path: "faults.{field,quality=q}", fault: true, nothing: ["0"]}
  - {topic: "word/{device}", status: {path: s.w, online: ["1"], offline: ["0"]}}
  - {topic: "own/{device}", codec: house}
`

// FuzzRoutes: no payload under any foreign topic trips a route; what comes out
// is finite, of a device the credential covers, and in the books.
func FuzzRoutes(f *testing.F) {
	kinds := shippedKinds(f)
	registry, routes := fieldRegistry(f, kinds), shippedRoutes(f, kinds)
	more, err := ParseRoutes([]RouteText{{"everything.yaml", []byte(everything)}}, kinds)
	if err != nil {
		f.Fatal(err)
	}
	routes.list = append(routes.list, more.list...)
	f.Add("every/x-a", []byte(`xx{"list":["{\"t\":1656311525,\"at\":{\"t\":\"27.06.22 14:32\"},\"mode\":\"old\",\"c\":[{\"n\":65535,\"i\":1,\"q\":\"ok\",\"t\":3},{\"i\":2,\"q\":\"?\"}],\"v\":0,\"gw-000\":{\"1656311525\":{\"w\":\"1|2\"}},\"hex\":\"0xff\",\"flags\":255,\"word\":\"on\",\"s\":[{\"bn\":\"x\",\"bt\":1,\"v\":2},{\"n\":\"n\",\"t\":-5,\"vb\":true}],\"faults\":{\"a\":{\"q\":\"no\"},\"b\":7}}"]}`))
	f.Add("word/meter", []byte(`{"s":{"w":1}}`))
	f.Add("own/meter", []byte(`{"ts":1656311525000,"values":{"voltage_a_v":231.4}}`))
	text, err := os.ReadFile("testdata/routes.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > 0 && line[0] == '2' {
			in := routed(f, line)
			f.Add(in.Topic, in.Payload)
		}
	}
	intake := NewIntake(IntakeOptions{Registry: registry, Routes: routes})
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		var d Decoded
		var out Outcome
		in := Incoming{Received: 1656311526000, Source: "embedded", Client: "c", User: "canteen", Topic: topic, Payload: payload}
		intake.Decode(in, &d)
		v := intake.Accept(&d, &out)
		if out.Accepted+out.Duplicates+out.Quarantined != 1 || v.Class == Quarantined && len(v.Rejections) == 0 {
			t.Fatalf("%+v", out)
		}
		for _, r := range v.Readings {
			if r.Device.Site.ID != "canteen" {
				t.Errorf("the credential of canteen spoke for %s", r.Device.Key())
			}
			for _, x := range r.Values {
				if math.IsNaN(x.Number) || math.IsInf(x.Number, 0) {
					t.Errorf("%s is %v", x.Field.Name, x.Number)
				}
			}
		}
		for _, r := range v.Rejections {
			if r.Code == CodeGatewayFault {
				t.Error(r.Detail)
			}
			if r.Byte < 0 || r.Byte > 4*len(payload)+1 {
				t.Errorf("byte %d of %d: %+v", r.Byte, len(payload), r)
			}
		}
		Explain(registry, routes, in)
	})
}

// FuzzParseRoutes: no file of routes trips the reader of them.
func FuzzParseRoutes(f *testing.F) {
	kinds := shippedKinds(f)
	names, err := filepath.Glob("../configs/routes/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		routes, err := ParseRoutes([]RouteText{{"r.yaml", text}}, kinds)
		if err == nil && len(routes.All()) == 0 {
			t.Error("no routes and no complaint")
		}
	})
}

// BenchmarkRoute is a message of a foreign format beside one of the house's.
func BenchmarkRoute(b *testing.B) {
	kinds := shippedKinds(b)
	i := NewIntake(IntakeOptions{Registry: fieldRegistry(b, kinds), Routes: shippedRoutes(b, kinds)})
	in := Incoming{Received: 1656311526000, Source: "embedded", User: "canteen", Topic: "v1/gateway/telemetry",
		Payload: []byte(`{"YD-1204":[{"ts":1656311525000,"values":{"residual_current_ma":312,"cable_temp_1_c":47.5,"cable_temp_2_c":40.5,"cable_temp_3_c":41.5,"ambient_temp_c":31.2}}]}`)}
	var d Decoded
	b.SetBytes(int64(len(in.Payload)))
	b.ReportAllocs()
	for b.Loop() {
		i.Decode(in, &d)
	}
}
