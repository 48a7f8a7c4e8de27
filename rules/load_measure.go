package rules

import (
	"fmt"
	"slices"
	"time"

	"fengsui/devices"
)

// measureText is a measure as people write it: one of these.
type measureText struct {
	Rate   *rateText   `yaml:"rate"`
	Delta  *struct{}   `yaml:"delta"`
	Sum    *windowText `yaml:"sum"`
	Growth *windowText `yaml:"growth"`
}

type rateText struct {
	Over    devices.Duration  `yaml:"over"`
	Per     devices.Duration  `yaml:"per"`
	Samples int               `yaml:"samples"`
	Span    *devices.Duration `yaml:"span"`
}

type windowText struct {
	Over devices.Duration `yaml:"over"`
}

// Bounds of a window: a point remembers it, and so does every snapshot.
const (
	minOver = time.Minute
	maxOver = 31 * 24 * time.Hour
)

// measure checks what a rule compares with its limits and puts it into the rule.
func (c *checker) measure(t *ruleText, r *Rule) {
	if t.Measure == nil {
		if t.Unit != "" {
			c.complain(c.at+".unit", "the unit of a value is its field's: unit is for what a measure makes of it")
		}
		return
	}
	at := c.at + ".measure"
	m, n := t.Measure, 0
	for _, q := range []struct {
		name Quantity
		*windowText
	}{{Sum, m.Sum}, {Growth, m.Growth}} {
		if q.windowText != nil {
			r.Measure = &Measure{Quantity: q.name, Over: time.Duration(q.Over)}
			c.over(q.Over, fmt.Sprintf("%s.%s.over", at, q.name))
			n++
		}
	}
	if m.Rate != nil {
		r.Measure = &Measure{Quantity: Rate, Over: time.Duration(m.Rate.Over), Per: time.Duration(m.Rate.Per), Samples: m.Rate.Samples}
		r.Measure.Span = c.rate(m.Rate, t, at+".rate")
		n++
	}
	if m.Delta != nil {
		r.Measure = &Measure{Quantity: Delta}
		n++
	}
	if n != 1 {
		c.complain(at, "want one of rate: {over: …, per: …, samples: …, span: …}, delta: {}, sum: {over: …}, growth: {over: …}")
	}
	if len(t.Steps) > 0 && t.Steps[0].Is != nil {
		c.complain(at, "states are not measured: leave measure out, or give the steps limits")
	}
	r.Unit = t.Unit
}

// rate checks a rate and tells its span, a quarter of the window where none is
// given: a noisy sensor that sends fast would have a velocity after a few seconds.
func (c *checker) rate(m *rateText, t *ruleText, at string) (span time.Duration) {
	c.over(m.Over, at+".over")
	if m.Per <= 0 {
		c.complain(at+".per", "per %s: want the time a rate is told for, e.g. 24h for units a day", time.Duration(m.Per))
	}
	if m.Samples < 2 || m.Samples > rateSlots {
		c.complain(at+".samples", "samples %d: want how many a slope needs at least, 2 to %d", m.Samples, rateSlots)
	}
	if t.Unit == "" {
		c.complain(c.at, "want unit: that of the rate, e.g. mm/d")
	}
	if m.Span == nil {
		return time.Duration(m.Over) / 4
	}
	if span = time.Duration(*m.Span); span <= 0 || span >= time.Duration(m.Over) {
		c.complain(at+".span", "span %s: want how far the first and the last reading lie apart at least, more than 0 and less than over %s", span, time.Duration(m.Over))
	}
	return span
}

func (c *checker) over(d devices.Duration, at string) {
	if over := time.Duration(d); over < minOver || over > maxOver {
		c.complain(at, "over %s: want the length of the window, %s to %s", over, minOver, maxOver)
	}
}

// confirm checks how many samples must agree and puts it into the rule.
func (c *checker) confirm(t *ruleText, r *Rule) {
	if t.Confirm == nil {
		return
	}
	at := c.at + ".confirm"
	switch n, of := t.Confirm.N, t.Confirm.Of; {
	case of < 2 || of > maxConfirm:
		c.complain(at+".of", "of %d: want 2 to %d samples", of, maxConfirm)
	case n < 2 || n > of:
		c.complain(at+".n", "n %d: want 2 to %d, the samples that must agree of the last %d", n, of, of)
	case r.Measure != nil && (r.Measure.Quantity == Sum || r.Measure.Quantity == Growth):
		c.complain(at, "a %s is made of many samples already: leave confirm out", r.Measure.Quantity)
	}
	r.Confirm = *t.Confirm
}

// fitsMeasure checks what is measured and confirmed against the field.
func (c *checker) fitsMeasure(r *Rule, f *devices.Field) {
	if r.Measure != nil && len(f.States) > 0 {
		c.complain(c.at+".measure", "%s holds states, which are not measured", f.Name)
	}
	if f.MaxDelta != nil && tripsAtOnce(f.Name) {
		c.complain(c.at, "%s trips on its first sample, always: leave its max_delta out of the kind %s", f.Name, r.Kind)
	}
	faultOnly := !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Level != Fault })
	if !tripsAtOnce(f.Name) || faultOnly {
		return
	}
	if r.Measure != nil {
		c.complain(c.at+".measure", "%s trips on its first sample, always: leave measure out", f.Name)
	}
	if r.Confirm != (Confirm{}) {
		c.complain(c.at+".confirm", "%s trips on its first sample, always: leave confirm out", f.Name)
	}
}

// expectText is an expected state as people write it.
type expectText struct {
	Is     []float64        `yaml:"is"`
	Within devices.Duration `yaml:"within"`
	While  struct {
		Field string            `yaml:"field"`
		Worse devices.Direction `yaml:"worse"`
		Limit any               `yaml:"limit"`
	} `yaml:"while"`
}

// expect checks what state must follow which action and puts it into the rule.
func (c *checker) expect(t *ruleText, r *Rule, k *devices.Kind) {
	for _, other := range []struct {
		key   string
		given bool
	}{
		{"steps", t.Steps != nil}, {"worse", t.Worse != ""}, {"hold", t.Hold != nil}, {"clear", t.Clear != nil},
		{"measure", t.Measure != nil}, {"unit", t.Unit != ""}, {"confirm", t.Confirm != nil},
	} {
		if other.given {
			c.complain(c.at+"."+other.key, "a rule that expects a state has no %s: only expect and level", other.key)
		}
	}
	level, err := ParseLevel(t.Level)
	if err != nil || level == Normal {
		c.complain(c.at+".level", "unknown level %q, want one of: blue, yellow, orange, red, fault", t.Level)
	}
	x, at := t.Expect, c.at+".expect"
	if len(x.Is) == 0 {
		c.complain(at, "want is: the numbers of the states that must be reached")
	}
	if x.Within <= 0 {
		c.complain(at+".within", "within %s: want the time there is to reach the state, e.g. 30s", time.Duration(x.Within))
	}
	trigger := Trigger{Field: x.While.Field, Worse: x.While.Worse}
	c.trigger(&trigger, x, at+".while", k)
	r.Worse = "" // nothing is worse than not being there
	r.Steps = []Step{{Level: level, For: time.Duration(x.Within)}}
	r.Expect = &Expect{Is: x.Is, Within: time.Duration(x.Within), While: trigger}
}

func (c *checker) trigger(w *Trigger, x *expectText, at string, k *devices.Kind) {
	f, ok := k.Field(w.Field)
	switch {
	case w.Field == "":
		c.complain(at, "want while: {field: …, worse: …, limit: …}, when the state is expected")
		return
	case !ok:
		c.complain(at+".field", "kind %s has no field %q%s", k.ID, w.Field, nearest(w.Field, k.Fields, func(f *devices.Field) string { return f.Name }))
		return
	case len(f.States) > 0:
		c.complain(at+".field", "%s holds states: want a field with a limit", w.Field)
		return
	}
	if w.Worse != devices.High && w.Worse != devices.Low && w.Worse != devices.Both {
		c.complain(at+".worse", "worse %q: want high, low or both, the direction in which values are worse", w.Worse)
	}
	w.Limit = c.limit(x.While.Limit, at+".limit")
	if w.Limit.Param == "" && (w.Limit.Value < f.Range[0] || w.Limit.Value > f.Range[1]) {
		c.complain(at+".limit", "the limit %v lies outside what %s can read, %v to %v", w.Limit.Value, f.Name, f.Range[0], f.Range[1])
	}
}

// fitsExpect checks the expected state against the field.
func (c *checker) fitsExpect(r *Rule, f *devices.Field) {
	if len(f.States) == 0 {
		c.complain(c.at+".field", "%s holds no states: expect is for fields that do", f.Name)
	}
	if r.Expect.While.Field == f.Name {
		c.complain(c.at+".expect.while.field", "%s cannot be what starts the wait for itself", f.Name)
	}
	c.states(r.Expect.Is, f, c.at+".expect.is")
}
