package rules_test

import (
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// BenchmarkMeasure is what a sample costs whose rule looks back at a window that
// is as full as it can be, and what a late one costs that is an hour back.
func BenchmarkMeasure(b *testing.B) {
	for _, c := range []struct {
		name, field, rule string
		every             time.Duration
	}{
		{"rate=24h,every=1h", "gnss_dx_mm", "measure: {rate: {over: 24h, per: 24h, samples: 5}}, unit: mm/d", time.Hour},
		{"rate=24h,every=5m", "gnss_dx_mm", "measure: {rate: {over: 24h, per: 24h, samples: 5}}, unit: mm/d", 5 * time.Minute},
		{"sum=24h,every=5m", "rain_5min_mm", "measure: {sum: {over: 24h}}", 5 * time.Minute},
		{"delta", "tilt_x_deg", "measure: {delta: {}}", 5 * time.Minute},
	} {
		device := config("east", "s1", "slope")
		device.Baselines = []devices.Baseline{{Field: "tilt_x_deg", Value: 1, From: time.UnixMilli(0)}}
		w := newWorld(b, device)
		w.rules = w.parse("kind: slope\nrules: [{id: r, " + rulesHead + ", field: " + c.field + ", " + c.rule + ", worse: high, clear: {hysteresis: 1}, steps: [{level: yellow, limit: 150}]}]")
		w.reg = w.registry()
		w.engine = rules.NewEngine(w.options())
		r := w.reading("east/s1", c.field, 1)
		next := func(n int) {
			w.now += c.every.Milliseconds()
			r.Time, r.Received, r.Values[0].Number = w.now, w.now, float64(n*7919%13)/30
			w.engine.Judge(r, w.now, nil)
		}
		for i := range 400 {
			next(i)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				next(i)
			}
		})
		b.Run(c.name+",late", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%8 == 0 {
					for j := range 24 {
						next(j)
					}
				}
				r.Time = w.now - 3600_000 - int64(i%8)
				w.engine.Judge(r, w.now, nil)
			}
		})
	}
}
