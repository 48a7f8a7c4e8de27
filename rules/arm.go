package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fengsui/devices"
)

// Unarmed is a rule that cannot be judged at a point. It is listed, counted and
// shown: a rule that is silently skipped is the worst kind of calm.
type Unarmed struct {
	Rule    *Rule
	Device  *devices.Device
	Missing []string // design values to set at the device or at its site
	Wrong   error    // where nothing is missing
}

// Reason tells people what is wrong and where to set it right.
func (u *Unarmed) Reason() devices.Text {
	wrong := u.Wrong
	if wrong == nil {
		wrong = unfit("在设备 %s 或站点 %s 的 params 中设置 %s", "set %[3]s in the params of device %[1]s or of site %[2]s",
			u.Device.ID, u.Device.Site.ID, strings.Join(u.Missing, ", "))
	}
	var m *misfit
	if errors.As(wrong, &m) {
		return devices.Text(*m)
	}
	return devices.Text{ZH: wrong.Error(), EN: wrong.Error()}
}

func (u *Unarmed) String() string {
	return fmt.Sprintf("rule %s at %s %s: %s", u.Rule.ID, u.Device.Key(), u.Rule.Field, u.Reason().EN)
}

// arm builds the engine for a registry and a set of rules. What old, the devices
// of the engine before, knew of a point lives on where the rule there is the same.
func (e *Engine) arm(o EngineOptions, old map[string]*device) {
	byKind := map[string][]*Rule{}
	for _, r := range o.Rules {
		byKind[r.Kind] = append(byKind[r.Kind], r)
	}
	e.options = o
	e.devices, e.sites, e.unarmed, e.armed = nil, nil, nil, 0
	e.waits, e.absences = timers{}, timers{}
	e.pointers, e.keys = map[*devices.Device]*device{}, map[string]*device{}
	sites, common := map[string]*site{}, shared{conditions: map[limits]*armed{}, armed: map[*devices.Kind][]*armed{}, missing: map[*Rule][]string{}}
	for r := range o.Registry.Devices() {
		if !r.State.Judged() {
			continue
		}
		d := &device{Device: r, order: int64(len(e.devices)+1) << 32}
		d.timer = timer{owner: d, order: d.order}
		d.presence = presence{source: &e.any, heard: e.any.clock(e.now), offline: never}
		e.devices = append(e.devices, d)
		e.pointers[r], e.keys[r.Key()] = d, d
		d.joinSite(e, sites)
		d.armed = common.room[:0]
		for _, rule := range byKind[r.Kind.ID] {
			e.armAt(d, rule, &common)
		}
		common.room, d.armed = d.armed, same(common.armed, d.Kind, d.armed)
		e.armed += len(d.armed)
		d.joinFields()
		d.inherit(e, old[r.Key()])
		e.absences.set(&d.timer)
	}
}

// shared is what devices have in common: most of a kind have the same rules, with
// the same limits, and lack the same design values. A county has ten thousand.
type shared struct {
	conditions map[limits]*armed
	armed      map[*devices.Kind][]*armed // of the last device of the kind
	missing    map[*Rule][]string         // at the last device of which the rule lacked something
	room       []*armed                   // in which the next list is made
}

// same is the list that was the last under its key, where that says the same.
func same[K, V comparable](last map[K][]V, key K, list []V) []V {
	if slices.Equal(last[key], list) {
		return last[key]
	}
	last[key] = slices.Clone(list)
	return last[key]
}

func (d *device) joinSite(e *Engine, sites map[string]*site) {
	s := sites[d.Site.ID]
	if s == nil {
		s = &site{Site: d.Site, unfold: never}
		s.timer = timer{owner: s, order: d.order - 1}
		sites[d.Site.ID] = s
		e.sites = append(e.sites, s)
	}
	d.site = s
	if d.State == devices.InService {
		s.members = append(s.members, d)
	}
}

// armAt puts a rule on the list of those that are judged at a device, or of those
// that cannot be; on neither, where the site says that there is nothing to watch.
func (e *Engine) armAt(d *device, r *Rule, s *shared) {
	if !r.concerns(d.Device) {
		return
	}
	f, ok := d.Kind.Field(r.Field)
	if !ok {
		e.unarm(Unarmed{Rule: r, Device: d.Device, Wrong: unfit("类型 %s 没有字段 %s", "kind %s has no field %s", d.Kind.ID, r.Field)})
		return
	}
	at, missing := limitsAt(r, d.Device)
	if len(missing) > 0 {
		e.unarm(Unarmed{Rule: r, Device: d.Device, Missing: same(s.missing, r, missing)})
		return
	}
	a, ok := s.conditions[at]
	if !ok || r.Measure != nil && r.Measure.Quantity == Delta { // whose zero points are the device's own
		a = newCondition(r, f, &at, d.Device)
		a.rule, a.field = r, f
		s.conditions[at] = a
	}
	if a.err != nil {
		e.unarm(Unarmed{Rule: r, Device: d.Device, Wrong: a.err})
		return
	}
	d.armed = append(d.armed, a)
}

// joinFields makes the joints of the rules that look at two fields.
func (d *device) joinFields() {
	for _, a := range d.armed {
		if a.rule.Expect != nil {
			trigger, _ := d.Kind.Field(a.rule.Expect.While.Field)
			d.join(a.field, trigger).add(a.rule, a.condition, a.print)
		}
	}
}

func (e *Engine) unarm(u Unarmed) { e.unarmed = append(e.unarmed, u) }

// limits are a rule's limits at a device.
type limits struct {
	rule  *Rule
	field *devices.Field
	steps [maxSteps]float64
	clear float64
	while float64 // of what starts the wait for an expected state
}

// armed is a condition with its limits, shared by all devices where they are the
// same.
type armed struct {
	rule      *Rule
	field     *devices.Field
	condition condition
	print     uint64
	err       error // why it cannot be judged with these limits
}

// newCondition makes of a rule what judges by it. This is where a rule chooses
// among the conditions there are.
func newCondition(r *Rule, f *devices.Field, at *limits, d *devices.Device) *armed {
	if r.Expect != nil {
		c := newExpected(r, at)
		return &armed{condition: c, print: c.print(r), err: c.check(r, d)}
	}
	l := newLadder(r, f, at)
	a := &armed{condition: l, print: l.print(r), err: l.check(measuredField(r, f))}
	if r.Measure == nil || a.err != nil {
		return a
	}
	m := newMeasured(r, l, d)
	return &armed{condition: m, print: m.print(r), err: m.check()}
}

// limitsAt puts the design values of a device and its site into a rule's limits.
func limitsAt(r *Rule, d *devices.Device) (l limits, missing []string) {
	l.rule = r
	l.field, _ = d.Kind.Field(r.Field)
	for i, step := range r.Steps {
		l.steps[i] = step.Limit.at(d, &missing)
	}
	if r.Clear.Limit != nil {
		l.clear = r.Clear.Limit.at(d, &missing)
	}
	if r.Expect != nil {
		l.while = r.Expect.While.Limit.at(d, &missing)
	}
	return l, missing
}

// at is the limit at a device; a design value that is needed and that nobody has
// set is added to missing.
func (l Limit) at(d *devices.Device, missing *[]string) float64 {
	if l.Param == "" {
		return l.Value
	}
	v, ok := d.Param(l.Param)
	switch {
	case ok:
	case l.Default != nil:
		v = *l.Default
	case !slices.Contains(*missing, l.Param):
		*missing = append(*missing, l.Param)
	}
	if l.Factor != 0 {
		v *= l.Factor
	}
	return rounded(v + l.Offset)
}
