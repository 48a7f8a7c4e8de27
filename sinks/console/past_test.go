package console

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

var nan = float32(math.NaN())

// oneGap knows the last hour of every point: a value, a gap, a doubtful value.
type oneGap struct{}

func (oneGap) Query(_ *devices.Device, _ string, from, to time.Time, _ int, gap time.Duration) ([]PastPoint, time.Time) {
	return []PastPoint{
		{Time: 1000, Min: 3.1, Max: 3.4, Last: 3.2},
		{Time: 1001, Min: nan, Max: nan, Last: nan},
		{Time: 1000 + gap.Milliseconds(), Min: 111.908, Max: 111.908, Last: 111.908, Doubtful: true},
	}, to.Add(-time.Hour)
}

// TestThePastOfAPoint: gaps are null, doubt is marked, what is not known is said.
func TestThePastOfAPoint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := startRig(t, func(o *Options) {
			o.History = oneGap{}
			o.Limits = func(*devices.Device, string) []rules.FieldLimit {
				return []rules.FieldLimit{{Level: rules.Yellow, Value: 25, Worse: devices.High}}
			}
		})
		token := r.person("li", Viewer)
		for query, complete := range map[string]bool{"": true, "&from=0": false} {
			status, body := r.call("GET", "/api/v1/devices/sample-gas/gas-01/readings?field=gas_lel_pct"+query, token, "")
			var got struct {
				Unit, Field string
				Points      json.RawMessage
				Limits      json.RawMessage
				Complete    bool
				Known       *time.Time
			}
			if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
				t.Fatalf("%d %s %v", status, body, err)
			}
			gap := time.Duration(gapIntervals * float64(r.gas(1).ExpectedInterval())).Milliseconds()
			points, err := json.Marshal([]any{[]any{1000, 3.1, 3.4, 3.2}, []any{1001, nil, nil, nil}, []any{1000 + gap, 111.908, 111.908, 111.908, 1}})
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Points) != string(points) || string(got.Limits) != `[{"level":"yellow","value":25,"worse":"high"}]` || got.Unit == "" {
				t.Errorf("%s: %s", query, body)
			}
			if got.Complete != complete || got.Complete != (got.Known == nil) {
				t.Errorf("%s: complete %v, known %v", query, got.Complete, got.Known)
			}
		}
		for _, query := range []string{"gas-01/readings", "gas-99/readings?field=x", "gas-01/readings?field=gas_lel_pct&from=5&to=4", "gas-01/readings?field=gas_lel_pct&points=1"} {
			if status, body := r.call("GET", "/api/v1/devices/sample-gas/"+query, token, ""); status != 400 && status != 404 {
				t.Errorf("%s: %d %s", query, status, body)
			}
		}
	})
}
