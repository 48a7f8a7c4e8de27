package rules

import (
	"math"

	"fengsui/devices"
)

// rateSlots is how many places the samples of a rate's window are gathered into:
// a day's are of 22 minutes.
const rateSlots = 64

// maxConfirm is how many samples a rule with confirm looks back at most.
const maxConfirm = 8

// measured is a field as a rule sees it: with the range of what is measured.
func (r *Rule) measured(f *devices.Field) *devices.Field {
	if r.Measure == nil {
		return f
	}
	m := *f
	switch width := f.Range[1] - f.Range[0]; r.Measure.Quantity {
	case Delta:
		m.Range = [2]float64{-width, width}
	case Growth:
		m.Range = [2]float64{0, math.Inf(1)}
	case Sum:
		m.Range = [2]float64{math.Inf(-1), math.Inf(1)}
		if f.Range[0] >= 0 {
			m.Range[0] = 0
		}
	default:
		m.Range = [2]float64{math.Inf(-1), math.Inf(1)}
	}
	return &m
}
