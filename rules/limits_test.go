package rules

import (
	"reflect"
	"testing"

	"fengsui/devices"
)

// TestLimitsOfAField: values and design values are lines, states and what is not
// armed are none, and a rule that counts the size has a line on both sides.
func TestLimitsOfAField(t *testing.T) {
	kind := &devices.Kind{ID: "slope"}
	site := &devices.Site{ID: "hill", Params: map[string]float64{"design_m": 10}}
	d := &devices.Device{ID: "slope-01", Site: site, Kind: kind}
	rule := func(field string, worse devices.Direction, steps ...Step) *Rule {
		return &Rule{Kind: "slope", Field: field, Worse: worse, Steps: steps}
	}
	all := []*Rule{
		rule("level_m", devices.High, Step{Level: Yellow, Limit: Limit{Param: "design_m", Factor: 0.9}}, Step{Level: Red, Limit: Limit{Param: "design_m"}}),
		rule("level_m", devices.High, Step{Level: Red, Limit: Limit{Param: "nobody_set_it"}}),
		rule("level_m", devices.High, Step{Level: Red, Is: []float64{1}}),
		rule("level_m", devices.High, Step{Level: Red, Limit: Limit{Value: 10}}), // the same line once more
		rule("tilt_deg", devices.Both, Step{Level: Blue, Limit: Limit{Value: 2}}),
		{Kind: "slope", Field: "crack_mm", Measure: &Measure{}, Steps: []Step{{Level: Red, Limit: Limit{Value: 4}}}},
		{Kind: "gas", Field: "level_m", Worse: devices.High, Steps: []Step{{Level: Blue, Limit: Limit{Value: 1}}}},
	}
	for field, want := range map[string][]FieldLimit{
		"level_m":  {{Yellow, 9, devices.High}, {Red, 10, devices.High}},
		"tilt_deg": {{Blue, -2, devices.Low}, {Blue, 2, devices.High}},
		"crack_mm": {},
	} {
		if got := LimitsOf(all, d, field); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
}
