package rules

import (
	"testing"

	"fengsui/devices"
)

// TestARestoredTailIsInOrder: samples out of the order of their time are no
// snapshot; folding them would trip the engine.
func TestARestoredTailIsInOrder(t *testing.T) {
	for second, ordered := range map[int64]bool{1000: true, 2000: true, 999: false} {
		w := &writer{names: map[string]uint64{}}
		w.point(&point{field: &devices.Field{Name: "gas_lel_pct"}, tail: []sample{{time: 1000}, {time: second}}})
		r := &reader{text: w.text}
		if r.point(); r.failed == ordered {
			t.Errorf("1000 and then %d: refused %v", second, r.failed)
		}
	}
}
