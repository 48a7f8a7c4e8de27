package devices

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The tests of this file are named after the rows of the list of traps that
// messages from the field hold (T1 to T24). Those that belong to other formats
// are not here: T19 (compressed and encrypted bodies), T23 (the datum of a map).

// trap decodes messages by one route, given as it stands in a file.
type trap struct {
	t      *testing.T
	intake *Intake
}

func newTrap(t *testing.T, route string) *trap {
	t.Helper()
	kinds := shippedKinds(t)
	text := "format: {zh: 试, en: test}\nroutes:\n  - topic: up/{device}\n    site: canteen\n" + indent(route)
	routes, err := ParseRoutes([]RouteText{{"trap.yaml", []byte(text)}}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	return &trap{t, NewIntake(IntakeOptions{Registry: fieldRegistry(t, kinds), Routes: routes})}
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text)) {
		b.WriteString("    " + line)
	}
	return b.String() + "\n"
}

// noon is when the messages of the traps arrive, unless they say so.
const noon = "2026-06-27T04:00:00Z"

// becomes holds what a message to the meter becomes to each of some lines.
func (x *trap) becomes(payload string, want ...string) {
	x.t.Helper()
	x.message(noon+" up/meter "+payload, want...)
}

func (x *trap) message(line string, want ...string) {
	x.t.Helper()
	got := acceptRouted(x.intake, routed(x.t, line))
	for _, w := range want {
		if !strings.Contains(got, w) {
			x.t.Errorf("%s becomes\n%swhich does not say %q", line, got, w)
		}
	}
}

const plainTime = `
time: {paths: [t]}
values: [{path: v, field: voltage_a_v}]`

func TestT1EpochsBySize(t *testing.T) {
	for _, text := range []string{"1782532800", "1782532800.0", "1782532800000", "1782532800000000", `"1782532800"`, `"1782532800000"`} {
		newTrap(t, plainTime).becomes(`{"t":`+text+`,"v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
	}
	seconds := newTrap(t, "time: {paths: [t], formats: [s]}\nvalues: [{path: v, field: voltage_a_v}]")
	seconds.becomes(`{"t":1782532799.5,"v":230}`, "at 2026-06-27T03:59:59.5 voltage_a_v=230")
	// Out of all reason: the time of arrival, flagged, and the installer is told.
	seconds.becomes(`{"t":1782532800000,"v":231}`, "accepted", "at 2026-06-27T04:00:00 clock_suspect voltage_a_v=231")
	newTrap(t, plainTime).becomes(`{"t":1782533101,"v":230}`, "clock_suspect", "bad_clock")
}

func TestT2LocalTimeWithoutZone(t *testing.T) {
	for _, text := range []string{"2026-06-27T12:00:00", "2026-06-27 12:00:00", "2026/06/27 12:00:00", "20260627120000", "20260627120000000"} {
		newTrap(t, plainTime).becomes(`{"t":"`+text+`","v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
	}
	newTrap(t, plainTime).becomes(`{"t":20260627120000,"v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
	utc := newTrap(t, "time: {paths: [t], zone: \"+00:00\"}\nvalues: [{path: v, field: voltage_a_v}]")
	utc.becomes(`{"t":"2026-06-27T04:00:00","v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
}

func TestT3FalseZ(t *testing.T) {
	honest := newTrap(t, plainTime)
	honest.becomes(`{"t":"2026-06-27T12:00:00.000Z","v":230}`, "clock_suspect", `8.0 h ahead`, `tz_lies: "+08:00"`)
	liar := newTrap(t, "time: {paths: [t], tz_lies: \"+08:00\"}\nvalues: [{path: v, field: voltage_a_v}]")
	liar.becomes(`{"t":"2026-06-27T12:00:00.000Z","v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
	liar.becomes(`{"t":1782561601,"v":231}`, "at 2026-06-27T04:00:01 voltage_a_v=231")
	liar.becomes(`{"t":"2026-06-27 12:00:02","v":232}`, "at 2026-06-27T04:00:02 voltage_a_v=232") // names no zone, so it does not lie
}

// TestT3OfOneDevice: a device may lie among honest ones; then it is set at it.
func TestT3OfOneDevice(t *testing.T) {
	liar := DeviceConfig{Site: "canteen", ID: "liar", Kind: "combustible_gas", TZLies: "+08:00"}
	i := NewIntake(IntakeOptions{Registry: county(t, liar)})
	at := day.Add(10 * time.Hour)
	in := Incoming{Received: at.UnixMilli(), Topic: "v1/canteen/liar/telemetry", Payload: fmt.Appendf(nil, `{"ts":%d,"values":{"gas_lel_pct":1}}`, at.Add(8*time.Hour).UnixMilli())}
	if says := accept(i, in); !strings.Contains(says, "at 10:00:00 gas_lel_pct=1") {
		t.Errorf("%s", says)
	}
	if _, err := NewRegistry(RegistryOptions{Kinds: []*Kind{}, Devices: []DeviceConfig{{TZLies: "8"}}}); err == nil {
		t.Error("an offset that is none was accepted")
	}
}

// TestT3Steadily: other zones are proposed once they are steady.
func TestT3Steadily(t *testing.T) {
	x := newTrap(t, plainTime)
	x.message("2026-06-27T04:00:00Z up/meter "+`{"t":"2026-06-27T07:00:00Z","v":1}`, "3.0 h ahead", "(set the clock of the device)")
	x.message("2026-06-27T04:01:00Z up/meter "+`{"t":"2026-06-27T07:01:00Z","v":2}`, "clock_suspect voltage_a_v=2\n")
	x.message("2026-06-27T04:02:00Z up/meter "+`{"t":"2026-06-27T07:02:00Z","v":3}`, `tz_lies: "+03:00"`)
	x.message("2026-06-27T04:03:00Z up/meter "+`{"t":"2026-06-27T07:03:00Z","v":4}`, "clock_suspect voltage_a_v=4\n")
}

func TestT4FormatList(t *testing.T) {
	x := newTrap(t, plainTime)
	x.becomes(`{"t":"2026-06-27T12:00:00+08:00","v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
	x.becomes(`{"t":"04:00:01 06/27/2026 UTC","v":230}`, "at 2026-06-27T04:00:01 voltage_a_v=230")
	x.becomes(`{"t":"20260627T040002Z","v":230}`, "at 2026-06-27T04:00:02 voltage_a_v=230")
	own := newTrap(t, "time: {paths: [t], formats: [\"dd.MM.yy HH:mm\", \"yyyy年MM月dd日HH时\"]}\nvalues: [{path: v, field: voltage_a_v}]")
	own.becomes(`{"t":"27.06.26 12:00","v":230}`, "at 2026-06-27T04:00:00 voltage_a_v=230")
	own.becomes(`{"t":"2026年06月27日11时","v":231}`, "at 2026-06-27T03:00:00")
	own.becomes(`{"t":"2026-06-27","v":230}`, "clock_suspect", "bad_time time: at byte 5: the time is \"2026-06-27\"")
}

func TestT5ImpossibleClocks(t *testing.T) {
	for _, text := range []string{"0", `"1970-01-01 08:00:01"`, `"2000-01-01 00:00:00"`, `"2014-12-31 00:00:00"`, `"4052-01-01 00:00:00"`} {
		newTrap(t, plainTime).becomes(`{"t":`+text+`,"v":230}`, "accepted", "at 2026-06-27T04:00:00 clock_suspect voltage_a_v=230", "bad_clock ts")
	}
}

func TestT6NumbersInTexts(t *testing.T) {
	x := newTrap(t, `
values:
  - {path: v, field: voltage_a_v}
  - {path: p, split: ",", parts: ["", voltage_b_v]}
  - {path: all, split: ",", parts: [voltage_a_v, voltage_b_v, voltage_c_v]}`)
	x.becomes(`{"v":"100.00"}`, "voltage_a_v=100")
	x.becomes(`{"v":" -1e1 "}`, "voltage_a_v=-10")
	x.becomes(`{"p":"0,12.34"}`, "voltage_b_v=12.34")
	x.becomes(`{"all":"3.1, 2.2,88.0,1.2,210.5"}`, "voltage_a_v=3.1 voltage_b_v=2.2 voltage_c_v=88\n")
	x.becomes(`{"all":"3.1,x"}`, "voltage_a_v=3.1\n", "not_a_number voltage_b_v", "the route wants 3 numbers")
	x.becomes(`{"v":"12.6 V"}`, "not_a_number voltage_a_v")
}

func TestT7JSONInText(t *testing.T) {
	x := newTrap(t, `values: [{path: d(json).v, field: voltage_a_v}, {path: a(json).b(json).c(json).v, field: voltage_b_v}, {path: e(json).e(json).e(json).e(json).v, field: voltage_c_v}]`)
	x.becomes(`{"d":"{\"v\":\"220.1\"}","o":5}`, "voltage_a_v=220.1")
	x.becomes(`{"d":{"v":220.2}}`, "voltage_a_v=220.2")
	x.becomes(nested("abc", `{"v":3}`), "voltage_b_v=3")
	x.becomes(nested("eeee", `{"v":3}`), "bad_json", "three deep")
	x.becomes(`{"d":"{\"v\":"}`, "bad_json : at byte 5: the text in it is no JSON: at its byte 5")
}

// nested wraps JSON into texts under keys.
func nested(keys, inner string) string {
	for i := len(keys) - 1; i >= 0; i-- {
		inner = fmt.Sprintf("{%q:%q}", keys[i:i+1], inner)
	}
	return inner
}

func TestT8TimesAsKeys(t *testing.T) {
	x := newTrap(t, `values: [{path: "L1.{time}", field: voltage_a_v}, {path: "L2.{time}.X", field: voltage_b_v}]`)
	x.becomes(`{"L1":{"2026-06-27T03:59:00Z":1,"2026-06-27T04:00:00Z":2},"L2":{"2026-06-27T04:00:00Z":{"X":3}}}`,
		"meter at 2026-06-27T03:59:00 history voltage_a_v=1\n", "meter at 2026-06-27T04:00:00 history voltage_a_v=2 voltage_b_v=3\n")
	x.becomes(`{"L1":{"now":5}}`, "clock_suspect voltage_a_v=5", `bad_time time: at byte 13`)
}

func TestT9History(t *testing.T) {
	x := newTrap(t, "samples: \"[]?\"\ntime: {paths: [t]}\nhistory: {path: re, is: [enable]}\nvalues: [{path: v, field: voltage_a_v}]")
	x.becomes(`[{"t":1782532740,"v":1},{"t":1782532800,"v":2}]`, "at 2026-06-27T03:59:00 history voltage_a_v=1", "at 2026-06-27T04:00:00 history voltage_a_v=2")
	x.becomes(`[{"t":1782532801,"v":3}]`, "at 2026-06-27T04:00:01 voltage_a_v=3") // one moment is no history
	x.becomes(`{"t":1782525600,"v":4,"re":"enable"}`, "at 2026-06-27T02:00:00 history too_late backfill voltage_a_v=4")
}

func TestT10Sentinels(t *testing.T) {
	x := newTrap(t, `
sentinels: [-1234, 65535]
nothing: ["N/A", "--"]
values: [{path: v, field: voltage_a_v, scale: 0.1, sentinels: [9998]}, {path: w, field: voltage_b_v}]`)
	x.becomes(`{"v":65535}`, "voltage_a_v=65535(bad)")
	x.becomes(`{"v":9998}`, "voltage_a_v=9998(bad)")
	x.becomes(`{"v":"-1234.0"}`, "voltage_a_v=-1234(bad)")
	x.becomes(`{"v":2301,"w":"N/A"}`, "meter at 2026-06-27T04:00:00 voltage_a_v=230.1\n")
	x.becomes(`{"v":2302,"w":null}`, "meter at 2026-06-27T04:00:00 voltage_a_v=230.2\n")
	x.becomes(`{"v":NaN,"w":1}`, "voltage_b_v=1\n", "not_finite voltage_a_v: at byte 5")
}

func TestT11ZeroIsFault(t *testing.T) {
	x := newTrap(t, `values: [{path: v, field: voltage_a_v, zero_is_fault: true}, {path: w, field: voltage_b_v}]`)
	x.becomes(`{"v":0,"w":0}`, "voltage_a_v=0(bad) voltage_b_v=0\n")
}

func TestT12StateCodes(t *testing.T) {
	x := newTrap(t, `
quality: {"0": good, "-1": bad, "1": suspect}
values:
  - {path: "list[field=n,quality=s].v", names: {a: voltage_a_v}}
  - {path: "state.{field}", fault: true, nothing: ["0"]}`)
	for code, want := range map[string]string{"0": "voltage_a_v=5\n", "-1": "voltage_a_v=5(bad)", "1": "voltage_a_v=5(suspect)", "7": "voltage_a_v=5(suspect)"} {
		x.becomes(`{"list":[{"n":"a","s":`+code+`,"v":5}]}`, want)
	}
	x.becomes(`{"list":[{"n":"a","s":0,"v":5}],"state":{"L1":0,"L2":-2}}`, "sensor_fault L2", "fault code -2")
}

func TestT13NoTime(t *testing.T) {
	newTrap(t, plainTime).becomes(`{"v":230}`, "meter at 2026-06-27T04:00:00 voltage_a_v=230\n")
	newTrap(t, plainTime).becomes(`{"t":null,"v":230}`, "meter at 2026-06-27T04:00:00 voltage_a_v=230\n")
}

func TestT14Duplicates(t *testing.T) {
	x := newTrap(t, plainTime)
	x.becomes(`{"t":1782532800,"v":230}`, "accepted")
	x.becomes(`{"t":1782532800,"v":230}`, "duplicate")
	x.becomes(`{"v":230,"t":"2026-06-27 12:00:00"}`, "duplicate") // through another gateway, in other words
	x.becomes(`{"t":1782532800,"v":231}`, "accepted")
	x.message(noon+` id=7 up/meter {"v":5}`, "accepted")
	x.message(noon+` dup id=7 up/meter {"v":5}`, "duplicate")
}

func TestT15OutOfOrder(t *testing.T) {
	x := newTrap(t, plainTime)
	x.becomes(`{"t":1782532800,"v":2}`, "at 2026-06-27T04:00:00 voltage_a_v=2")
	x.becomes(`{"t":1782532740,"v":1}`, "at 2026-06-27T03:59:00 history voltage_a_v=1")
}

func TestT16Retained(t *testing.T) {
	x := newTrap(t, plainTime)
	x.message(noon+` retained up/meter {"t":1782532799,"v":1}`, "at 2026-06-27T03:59:59 history voltage_a_v=1") // fresh: judged
	x.message(noon+` retained up/meter {"t":1782518400,"v":2}`, "at 2026-06-27T00:00:00 history too_late backfill voltage_a_v=2")
	x.message(noon+` retained up/meter {"v":3}`, "history too_late voltage_a_v=3") // nobody knows how old it is
}

func TestT17GBK(t *testing.T) {
	x := newTrap(t, `values: [{path: 电压, field: voltage_a_v}, {path: 状态, field: breaker_on, words: {合: 1, 分: 0}}]`)
	x.becomes(`{"电压":230,"状态":"合"}`, "voltage_a_v=230 breaker_on=1")
	// The same in GBK, as the panel sends it; a second byte may be a backslash.
	x.becomes(`"{\"\xb5\xe7\xd1\xb9\":230,\"\xd7\xb4\xcc\xac\":\"\xba\xcf\",\"x\":\"\x81\\\"}"`, "voltage_a_v=230 breaker_on=1")
}

func TestT18Repairs(t *testing.T) {
	for _, c := range []struct{ name, payload, want string }{
		{"byte order mark", `"\xef\xbb\xbf{\"v\":1}"`, "voltage_a_v=1\n"},
		{"zero bytes behind", `"{\"v\":1}\x00\x00"`, "voltage_a_v=1\n"},
		{"NaN", `{"w":NaN,"v":1}`, "voltage_a_v=1\n"},
		{"Infinity", `{"w":-Infinity,"v":1}`, "voltage_a_v=1\n"},
		{"single quotes", `{'v': 1, 'w': None}`, "voltage_a_v=1\n"},
		{"glued", `{"t":1782532740,"v":1}{"t":1782532800,"v":2}`, "at 2026-06-27T03:59:00 history voltage_a_v=1\n"},
		{"cut off", `{"v":1,"w":23`, "voltage_a_v=1\n"},
		{"cut off in a name", `{"v":1,"wx`, "bad_json : at byte 9: the payload is cut off; what is whole before it was taken"},
		{"cut off in the only number", `{"v":23`, "quarantined\n  bad_json : at byte 7"},
		{"trailing words", `{"v":1} ok`, "quarantined\n  bad_json : at byte 8"},
		{"a comma too many", `{"v":1,}`, "quarantined\n  bad_json : at byte 7"},
		{"nothing at all", `"\x00\x01\x02\xff\xfe"`, "quarantined\n  bad_json : at byte 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			newTrap(t, "time: {paths: [t]}\nvalues: [{path: v, field: voltage_a_v}, {path: w, field: voltage_b_v}]").becomes(c.payload, c.want)
		})
	}
}

func TestT20Counters(t *testing.T) {
	x := newTrap(t, `
time: {paths: [t]}
values:
  - {path: tips, field: energy_import_kwh, scale: 0.2, counter: {rollover: 13107.2, as: increment}}
  - {path: sum, field: energy_export_kwh, counter: {rollover: 1000}}`)
	for i, c := range []struct{ payload, want string }{
		{`"tips":65530,"sum":990`, " energy_export_kwh=990\n"}, // the first shows no increment
		{`"tips":65535,"sum":995`, "energy_import_kwh=1 energy_export_kwh=995"},
		{`"tips":4,"sum":5`, "energy_import_kwh=1 energy_export_kwh=1005"}, // rolled over
		{`"tips":0,"sum":7`, "energy_import_kwh=0 energy_export_kwh=1007"}, // reset
		{`"tips":10,"sum":7`, "energy_import_kwh=2 energy_export_kwh=1007"},
	} {
		x.becomes(fmt.Sprintf(`{"t":%d,%s}`, 1782532700+i, c.payload), c.want)
	}
	x.becomes(`{"t":1782532690,"tips":1,"sum":900}`, "accepted") // late: what it counted is in a later one
	routes := x.intake.routes
	x.intake = restarted(t, x.intake, x.intake.registry.Load())
	x.intake.routes = routes
	x.becomes(`{"t":1782532710,"tips":15,"sum":8}`, "energy_import_kwh=1 energy_export_kwh=1008")
}

// TestT20CounterTwice: a counter that a message shows twice is one counter, and
// nothing behind it becomes one; what is doubted stays doubted.
func TestT20CounterTwice(t *testing.T) {
	x := newTrap(t, `
time: {paths: [t]}
quality: {ok: good, no: bad}
values:
  - {path: "c[quality=q].v", field: energy_import_kwh, counter: {rollover: 1000}}
  - {path: v, field: voltage_a_v}`)
	for i, c := range []struct{ payload, want string }{
		{`"c":[{"v":990}],"v":230`, " energy_import_kwh=990 voltage_a_v=230\n"},
		{`"c":[{"v":995},{"v":994}],"v":20`, " energy_import_kwh=995(suspect) voltage_a_v=20\n"}, // 230 → 20 is no rollover
		{`"c":[{"v":5,"q":"no"},{"v":5.5,"q":"ok"}],"v":21`, " energy_import_kwh=1005.5(suspect) voltage_a_v=21\n"},
		{`"c":[{"v":6,"q":"?"}],"v":22`, " energy_import_kwh=1006(suspect) voltage_a_v=22\n"},
	} {
		x.becomes(fmt.Sprintf(`{"t":%d,%s}`, 1782532700+i, c.payload), c.want)
	}
}

// TestT20CounterBeyondAllNumbers: sums and ratios that overflow are no values,
// and cost no later one.
func TestT20CounterBeyondAllNumbers(t *testing.T) {
	x := newTrap(t, `
time: {paths: [t]}
values:
  - {path: sum, field: energy_import_kwh, counter: {}}
  - {path: inc, field: energy_export_kwh, counter: {as: increment}}
  - {path: v, field: voltage_a_v, pt: {param: ct_ratio}}`)
	for i, c := range []struct{ payload, want string }{
		{`"sum":1.7e308,"inc":-1.7e308,"v":1.7e308`, "energy_import_kwh=1.7e+308(bad)\n  not_finite voltage_a_v: voltage_a_v is beyond all numbers once it is multiplied by ct_ratio"},
		{`"sum":1.6e308,"inc":1.7e308,"v":1`, "  meter at 2026-06-27T03:58:21 voltage_a_v=80\n"},
		{`"sum":1.65e308,"inc":1.7e308`, "energy_import_kwh=1.65e+308(bad) energy_export_kwh=0\n"},
	} {
		x.becomes(fmt.Sprintf(`{"t":%d,%s}`, 1782532700+i, c.payload), c.want)
	}
}

func TestT21UnitOfTheRoute(t *testing.T) {
	for _, c := range []struct{ item, sent, want string }{
		{"{path: v, field: voltage_a_v, unit: mV}", "230100", "voltage_a_v=230.1"},
		{"{path: v, field: current_a_a, unit: mA}", "500", "current_a_a=0.5"},
		{"{path: v, field: active_power_kw, unit: W}", "26550.8", "active_power_kw=26.5508"},
		{"{path: v, field: board_temp_c, unit: °F}", "212", "board_temp_c=100"},
		{"{path: v, field: board_temp_c, scale: 0.1, offset: -40, unit: K}", "3131.5", "board_temp_c=0"},
		{"{path: v, field: current_a_a, ct: 80}", "5", "current_a_a=400"},
		{"{path: v, field: current_a_a, ct: {param: ct_ratio}}", "5", "current_a_a=400"},
		{"{path: v, field: active_power_kw, unit: W, ct: 80, pt: 100}", "2", "active_power_kw=16"},
		{"{path: v, field: current_a_a, ct: {param: pt_ratio}}", "5", "no_param current_a_a: the route multiplies current_a_a by the parameter pt_ratio, which canteen/meter does not have"},
	} {
		newTrap(t, "values: ["+c.item+"]").becomes(`{"v":`+c.sent+`}`, c.want)
	}
}

func TestT22WhoSpeaks(t *testing.T) {
	kinds := shippedKinds(t)
	for _, c := range []struct{ route, message, want string }{
		{"topic: up\nvalues: [{path: v, field: voltage_a_v}]", `user=canteen/meter up {"v":1}`, "accepted canteen/meter"},
		{"topic: up\nvalues: [{path: v, field: voltage_a_v}]", `user=canteen client=meter up {"v":1}`, "accepted canteen/meter"},
		{"topic: up\ndevice: \"{client}\"\nsite: canteen\nvalues: [{path: v, field: voltage_a_v}]", `user=- client=meter up {"v":1}`, "accepted canteen/meter"},
		{"topic: up\nvalues: [{path: \"{device}.v\", field: voltage_a_v}]", `user=canteen up {"meter":{"v":1}}`, "accepted canteen/meter"},
		{"topic: up\ndevice: {path: id, table: {\"7\": meter}}\nvalues: [{path: v, field: voltage_a_v}]", `user=canteen up {"id":7,"v":1}`, "accepted canteen/meter"},
		{"topic: up\ndevice: {path: eui, base64: true, table: {24e124136b012345: meter}}\nvalues: [{path: v, field: voltage_a_v}]", `user=canteen up {"eui":"JOEkE2sBI0U=","v":1}`, "accepted canteen/meter"},
		{"topic: \"{site}/{x}/{device}\"\nvalues: [{path: v, field: voltage_a_v}]", `user=- canteen/a/meter {"v":1}`, "accepted canteen/meter"},
		{"topic: \"+/{device}/#\"\nsite: canteen\nvalues: [{path: v, field: voltage_a_v}]", `user=- a/meter/b/c {"v":1}`, "accepted canteen/meter"},
		{"topic: up\nvalues: [{path: v, field: voltage_a_v}]", `user=- client=meter up {"v":1}`, "unknown_site : nothing says which site meter belongs to"},
		{"topic: up\nsources: [county]\nvalues: [{path: v, field: voltage_a_v}]", `user=canteen/meter up {"v":1}`, "bad_topic"},
		{"topic: up\nsources: [county]\nsite: canteen\nvalues: [{path: v, field: voltage_a_v}]", `user=- client=meter source=county up {"v":1}`, "accepted canteen/meter"},
		// Whatever the payload says, a credential speaks for its own only.
		{"topic: up\nsite: pond\nvalues: [{path: \"{device}.v\", field: pond_level_m}]", `user=canteen up {"TS-0007":{"v":1}}`, "foreign_device"},
		{"topic: up\nvalues: [{path: \"{site}.{device}.v\", field: pond_level_m}]", `user=canteen up {"pond":{"TS-0007":{"v":1}}}`, "foreign_device"},
		{"topic: up\ncodec: house\nsite: pond\ndevice: TS-0007", `user=canteen up {"values":{"pond_level_m":1}}`, "foreign_device"},
		{"topic: up\ncodec: house\nsite: pond\ndevice: TS-0007", `user=pond up {"values":{"pond_level_m":1}}`, "accepted pond/TS-0007"},
	} {
		text := "routes:\n  - " + strings.ReplaceAll(c.route, "\n", "\n    ") + "\n"
		routes, err := ParseRoutes([]RouteText{{"who.yaml", []byte(text)}}, kinds)
		if err != nil {
			t.Fatal(err)
		}
		i := NewIntake(IntakeOptions{Registry: fieldRegistry(t, kinds), Routes: routes})
		if got := acceptRouted(i, routed(t, noon+" "+c.message)); !strings.Contains(got, c.want) {
			t.Errorf("%s\n%s\nbecomes\n%s", c.route, c.message, got)
		}
	}
}

func TestT24Vocabulary(t *testing.T) {
	x := newTrap(t, `values: [{path: v, field: breaker_on, words: {"0": 1, "1": 0, 合闸: 1, "true": 1}}, {path: b, bits: {"0": cover_open, "1": door_open_on}}, {path: h, hex: true, bits: {"4-7": breaker_on}}]`)
	x.becomes(`{"v":0}`, "breaker_on=1")
	x.becomes(`{"v":"1"}`, "breaker_on=0")
	x.becomes(`{"v":"合闸"}`, "breaker_on=1")
	x.becomes(`{"v":true}`, "breaker_on=1")
	x.becomes(`{"v":"合匝"}`, "unknown_word breaker_on", "合闸")
	x.becomes(`{"b":2}`, "cover_open=0 door_open_on=1")
	x.becomes(`{"h":"0x1F"}`, "breaker_on=1")
	x.becomes(`{"b":-1}`, "not_a_number", "whole number from 0")
}
