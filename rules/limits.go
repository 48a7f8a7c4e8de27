package rules

import (
	"cmp"
	"slices"

	"fengsui/devices"
)

// FieldLimit is a line in the picture of a field: from here on the level is
// reached.
type FieldLimit struct {
	Level Level             `json:"level"`
	Value float64           `json:"value"`
	Worse devices.Direction `json:"worse"` // high or low
}

// LimitsOf are the limits that rules set to a field's own value at a device, the
// mildest first. Rules that compare something else than the value, ask for a
// state, or lack a design value there, have no line.
func LimitsOf(all []*Rule, d *devices.Device, field string) []FieldLimit {
	lines := []FieldLimit{}
	for _, r := range all {
		if r.Kind != d.Kind.ID || r.Field != field || r.Measure != nil || r.Expect != nil {
			continue
		}
		at, missing := limitsAt(r, d)
		if len(missing) > 0 {
			continue
		}
		for i, step := range r.Steps {
			if len(step.Is) > 0 {
				continue
			}
			line := FieldLimit{Level: step.Level, Value: at.steps[i], Worse: r.Worse}
			if r.Worse == devices.Both {
				line.Worse = devices.High
				lines = append(lines, FieldLimit{step.Level, -line.Value, devices.Low})
			}
			lines = append(lines, line)
		}
	}
	slices.SortFunc(lines, func(a, b FieldLimit) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Worse, b.Worse))
	})
	return slices.Compact(lines)
}
