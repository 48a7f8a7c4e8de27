package rules_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"fengsui/devices"
	"fengsui/rules"
)

// benchWorld has n devices with five fields, each with a rule of four steps.
func benchWorld(tb testing.TB, n int) (*rules.Engine, []*devices.Reading) {
	tb.Helper()
	var fields, ladders strings.Builder
	for i := range 5 {
		fmt.Fprintf(&fields, "  - {name: cable_temp_%d_c, title: {zh: 温度, en: temperature}, unit: \"°C\", range: [-40, 200]}\n", i+1)
		fmt.Fprintf(&ladders, "  - {id: r%d, field: cable_temp_%d_c, worse: high, %s, clear: {hysteresis: 5}, steps: [{level: blue, limit: 50}, {level: yellow, limit: 60, for: 1m}, {level: orange, limit: 70, for: 1m}, {level: red, limit: 80}]}\n", i+1, i+1, rulesHead)
	}
	k, err := devices.ParseKind("board.yaml", []byte("kind: board\nname: {zh: 箱, en: board}\ninterval: 1m\nlateness: 10m\nfields:\n"+fields.String()))
	if err != nil {
		tb.Fatal(err)
	}
	all, err := rules.ParseRules("board.yaml", []byte("kind: board\nrules:\n"+ladders.String()), []*devices.Kind{k})
	if err != nil {
		tb.Fatal(err)
	}
	o := devices.RegistryOptions{Kinds: []*devices.Kind{k}, Sites: []*devices.Site{{ID: "s"}}}
	for i := range n {
		o.Devices = append(o.Devices, config("s", fmt.Sprintf("d%06d", i), "board"))
	}
	reg, err := devices.NewRegistry(o)
	if err != nil {
		tb.Fatal(err)
	}
	e := rules.NewEngine(rules.EngineOptions{Registry: reg, Rules: all})
	e.SourceUp("embedded", start, nil)
	var readings []*devices.Reading
	for d := range reg.Devices() {
		r := &devices.Reading{Device: d}
		for _, f := range k.Fields {
			r.Values = append(r.Values, devices.Value{Field: f, Number: 20})
		}
		readings = append(readings, r)
	}
	return e, readings
}

func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			e, readings := benchWorld(b, n)
			now := start
			round := func() {
				now += 60_000
				for _, r := range readings {
					r.Time, r.Received = now, now
					e.Judge(r, now, nil)
				}
			}
			for range 30 {
				round()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				if i%n == 0 {
					now += 60_000
				}
				r := readings[i%n]
				r.Time, r.Received = now, now
				e.Judge(r, now, nil)
			}
		})
	}
}

// BenchmarkMemory says what a point costs: 10,000 devices with five fields and
// five ladders, with ten minutes of samples.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		e, readings := benchWorld(b, 10_000)
		with := heap()
		for now := start; now < start+30*60_000; now += 60_000 {
			for _, r := range readings {
				r.Time, r.Received = now, now
				e.Judge(r, now, nil)
			}
		}
		points := float64(5 * len(readings))
		b.ReportMetric(float64(with-before)/points, "B/point-armed")
		b.ReportMetric(float64(heap()-before)/points, "B/point")
		runtime.KeepAlive(e)
	}
}

func BenchmarkSpoke(b *testing.B) {
	e, readings := benchWorld(b, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Spoke(readings[i%len(readings)].Device, "embedded", start+int64(i), nil)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	e, readings := benchWorld(b, 10_000)
	for now := start; now < start+30*60_000; now += 60_000 {
		for _, r := range readings {
			r.Time, r.Received = now, now
			e.Judge(r, now, nil)
		}
	}
	for b.Loop() {
		text, err := e.Snapshot()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(text))/float64(len(readings)), "B/device")
	}
}
