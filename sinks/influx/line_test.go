package influx

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	protocol "github.com/influxdata/line-protocol"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// reading of a device; values are added by with.
func reading(area, site, device, kind string) *devices.Reading {
	return &devices.Reading{
		Time: 1782541925123,
		Device: &devices.Device{
			ID:   device,
			Kind: &devices.Kind{ID: kind},
			Site: &devices.Site{ID: site, Area: area},
		},
	}
}

func with(r *devices.Reading, values ...devices.Value) *devices.Reading {
	r.Values = append(r.Values, values...)
	return r
}

func value(field string, v float64, q devices.Quality) devices.Value {
	return devices.Value{Field: &devices.Field{Name: field}, Number: v, Quality: q}
}

func TestReadingLines(t *testing.T) {
	clock := with(reading("", "p", "d", "k"), value("a", 1, devices.Good))
	clock.Flags = devices.ClockSuspect
	for _, c := range []struct {
		name string
		r    *devices.Reading
		want string
	}{
		{"all good",
			with(reading("东区", "plant-1", "gas-01", "combustible_gas"), value("gas_lel_pct", 12.6, devices.Good), value("valve_state", 1, devices.Good)),
			`combustible_gas,area=东区,device=gas-01,site=plant-1 gas_lel_pct=12.6,valve_state=1,quality=0 1782541925123`},
		{"no area",
			with(reading("", "p", "d", "smoke"), value("smoke_obs_db_m", 0.05, devices.Good)),
			`smoke,device=d,site=p smoke_obs_db_m=0.05,quality=0 1782541925123`},
		{"suspect is written and named",
			with(reading("", "p", "d", "k"), value("a", 1, devices.Good), value("b", 2, devices.Suspect)),
			`k,device=d,site=p a=1,b=2,bad_fields="b",quality=1 1782541925123`},
		{"bad is named, not written",
			with(reading("", "p", "d", "k"), value("a", -999, devices.Bad), value("b", 2, devices.Suspect), value("c", 3, devices.Good)),
			`k,device=d,site=p b=2,c=3,bad_fields="a,b",quality=2 1782541925123`},
		{"a clock that is wrong",
			clock,
			`k,device=d,site=p a=1,quality=1 1782541925123`},
		{"only bad values",
			with(reading("", "p", "d", "k"), value("a", math.NaN(), devices.Bad)),
			`k,device=d,site=p bad_fields="a",quality=2 1782541925123`},
		{"no number that could be stored, whatever its quality",
			with(reading("", "p", "d", "k"), value("a", math.Inf(1), devices.Good), value("b", math.NaN(), devices.Suspect)),
			`k,device=d,site=p bad_fields="b",quality=1 1782541925123`},
		{"separators in an area",
			with(reading(`a,b=c d\e`+"\n\tf", "p", "d", "k"), value("a", 1, devices.Good)),
			`k,area=a\,b\=c\ d/e\ \ f,device=d,site=p a=1,quality=0 1782541925123`},
		{"nothing",
			reading("", "p", "d", "k"), ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := appendReading(nil, c.r)
			if string(got) != c.want || ok != (c.want != "") {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestEventLines(t *testing.T) {
	v, limit := 26.5, 25.0
	nan := math.NaN()
	e := alarms.Event{ID: "e-7", Type: alarms.Raised, Time: 1782541925123, Alarm: alarms.Alarm{
		ID: "a-3", Site: "plant-1", Area: "东区", Device: "gas-01", Kind: "combustible_gas", Field: "gas_lel_pct",
		Rule: "gas_high", Level: rules.Red, WorstLevel: rules.Red, State: alarms.ActiveUnacked, Value: &v, Limit: &limit,
	}}
	const want = `alarm_event,area=东区,device=gas-01,kind=combustible_gas,level=red,rule=gas_high,site=plant-1,type=raised ` +
		`alarm="a-3",event="e-7",field="gas_lel_pct",limit=25,seq=42,state="active_unacked",value=26.5,worst_level="red" 1782541925123000042`
	if got := string(appendEvent(nil, &e, 42)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	e.Alarm.Value, e.Alarm.Limit, e.Alarm.Device, e.Alarm.Field = &nan, nil, "", ""
	got := string(appendEvent(nil, &e, 3_000_042))
	for _, absent := range []string{"device=", "value=", "limit="} {
		if strings.Contains(got, absent) {
			t.Errorf("%s stands in %s", absent, got)
		}
	}
	if !strings.HasSuffix(got, " 1782541925123000042") {
		t.Errorf("time below the millisecond must be the position's last six digits: %s", got)
	}
}

func TestNumbersReadBackExactly(t *testing.T) {
	for _, v := range []float64{
		0, 1, -1, 12.6, -0.05, 0.1, 0.001, -0.001, 0.0005, 1.0005, 99.999, 1e15, 1e16, -1e16, 1 << 53, 1<<53 + 2,
		1e300, 1e-300, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi, 1.0 / 3, 123456789.125, 0.1 + 0.2, math.Copysign(0, -1),
	} {
		text := string(appendNumber(nil, v))
		back, err := strconv.ParseFloat(text, 64)
		if err != nil || back != v {
			t.Errorf("%v became %q", v, text)
		}
		if shortest := strconv.FormatFloat(v, 'f', -1, 64); v != 0 && math.Abs(v) < 1e15 && math.Abs(v) > 1e-3 && text != shortest {
			t.Errorf("%v became %q, want %q", v, text, shortest)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, v := range []float64{12.6, 0.1, 1e15, 0.0005, 1.0 / 3, -273.15, 4503599627370.4965} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		text := string(appendNumber(nil, v))
		if back, err := strconv.ParseFloat(text, 64); err != nil || back != v {
			t.Errorf("%v became %q", v, text)
		}
	})
}

// FuzzLine holds that whatever the words are, a line is one line, and reads
// back as what was written, with InfluxData's own parser.
func FuzzLine(f *testing.F) {
	f.Add("东区", "plant-1", "gas-01", "gas_lel_pct", "a note \"quoted\"")
	f.Add(`a\,b`, `c\`, "d=e,f g", `h\"`, "i\nj\r\tk\\")
	f.Add(" ", ",", "=", "\\", "\"")
	f.Fuzz(func(t *testing.T, area, site, device, field, text string) {
		for _, s := range []string{area, site, device, field, text} {
			if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
				return
			}
		}
		if field == "" || field == "quality" || field == "bad_fields" || site == "" || device == "" {
			return
		}
		r := with(reading(area, site, device, "kind"), value(field, 1.5, devices.Suspect))
		line, _ := appendReading(nil, r)
		tags, fields := parseLine(t, line, time.Millisecond)
		want := map[string]string{"device": cleaned(device), "site": cleaned(site)}
		if area != "" {
			want["area"] = cleaned(area)
		}
		for tag, v := range want {
			if tags[tag] != v {
				t.Errorf("tag %s = %q, want %q, in %s", tag, tags[tag], v, line)
			}
		}
		if fields[cleaned(field)] != 1.5 || fields["quality"] != 1.0 {
			t.Errorf("fields %v in %s", fields, line)
		}

		e := alarms.Event{ID: text, Type: alarms.Raised, Alarm: alarms.Alarm{ID: text, Site: site, Rule: device}}
		line = appendEvent(nil, &e, 1)
		_, fields = parseLine(t, line, time.Nanosecond)
		want["alarm"] = strings.Map(func(c rune) rune { return max(c, ' ') }, text)
		if fields["alarm"] != want["alarm"] {
			t.Errorf("alarm %q, want %q, in %s", fields["alarm"], want["alarm"], line)
		}
	})
}

// cleaned is what becomes of a word that line protocol cannot hold.
func cleaned(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\\':
			return '/'
		case c < ' ':
			return ' '
		}
		return c
	}, s)
}

func parseLine(t *testing.T, line []byte, precision time.Duration) (tags map[string]string, fields map[string]any) {
	t.Helper()
	if bytes.ContainsRune(line, '\n') {
		t.Fatalf("more than one line: %q", line)
	}
	handler := protocol.NewMetricHandler()
	handler.SetTimePrecision(precision)
	metrics, err := protocol.NewParser(handler).Parse(append(line, '\n'))
	if err != nil || len(metrics) != 1 {
		t.Fatalf("%d metrics, %v: %q", len(metrics), err, line)
	}
	tags, fields = map[string]string{}, map[string]any{}
	for _, tag := range metrics[0].TagList() {
		tags[tag.Key] = tag.Value
	}
	for _, field := range metrics[0].FieldList() {
		fields[field.Key] = field.Value
	}
	return tags, fields
}

func benchReading() *devices.Reading {
	return with(reading("东区", "plant-1", "meter-0042", "electricity_meter"),
		value("voltage_a_v", 221.4, devices.Good), value("current_a_a", 12.35, devices.Good),
		value("power_kw", 2.731, devices.Good), value("energy_kwh", 18342.75, devices.Good), value("relay_state", 1, devices.Good))
}

func BenchmarkAppendReading(b *testing.B) {
	r := benchReading()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = appendReading(buf[:0], r)
	}
	b.SetBytes(int64(len(buf)))
}

// BenchmarkAppendReadingLong has numbers that need all their digits.
func BenchmarkAppendReadingLong(b *testing.B) {
	r := benchReading()
	for i := range r.Values {
		r.Values[i].Number /= 3
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = appendReading(buf[:0], r)
	}
}
