package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fengsui/devices"
	"fengsui/rules"
)

// armed looks at where rules are judged: those that are armed nowhere, and what
// each device lacks.
func (l *linter) armed(registry *devices.Registry) {
	engine := rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: l.Rules})
	unarmed := map[string][]rules.Unarmed{} // by rule and kind
	lacking := map[*devices.Device][]rules.Unarmed{}
	for _, u := range engine.Unarmed() {
		key := u.Rule.ID + " " + u.Rule.Kind
		unarmed[key] = append(unarmed[key], u)
		lacking[u.Device] = append(lacking[u.Device], u)
	}
	nowhere := map[string]bool{}
	for _, r := range l.Rules {
		key := r.ID + " " + r.Kind
		if n := l.points(registry, r); n > 0 && len(unarmed[key]) == n && !nowhere[key] {
			nowhere[key] = true
			l.nowhere(r, unarmed[key])
		}
	}
	for d := range registry.Devices() {
		l.lacking(d, slices.DeleteFunc(lacking[d], func(u rules.Unarmed) bool { return nowhere[u.Rule.ID+" "+u.Rule.Kind] }))
		if d.Interval > 0 {
			l.ownInterval(d)
		}
	}
}

// points counts where a rule, with all its fields, could be judged.
func (l *linter) points(registry *devices.Registry, r *rules.Rule) (n int) {
	fields := 0
	for _, x := range l.Rules {
		if x.ID == r.ID && x.Kind == r.Kind {
			fields++
		}
	}
	for d := range registry.Devices() {
		if d.Kind.ID == r.Kind && d.State.Judged() {
			n += fields
		}
	}
	return n
}

func (l *linter) nowhere(r *rules.Rule, all []rules.Unarmed) {
	missing := missingOf(all)
	if len(missing) == 0 {
		l.find(l.rulePlaces[r.ID], Warning, "armed_nowhere",
			because(text("规则 %s 在所有 %s 上都未布防", "rule %s is armed at no %s", r.ID, r.Kind), all[0].Reason()),
			text("按上述原因改正设备或规则", "set the devices or the rule right"))
		return
	}
	l.find(l.rulePlaces[r.ID], Warning, "armed_nowhere",
		text("规则 %s 在所有 %s 上都未布防：没有单位设置 %s", "rule %s is armed at no %s: nobody sets %s", r.ID, r.Kind, strings.Join(missing, ", ")),
		text("在单位或设备的 params 中设置；不需要此规则则删除", "set it in the params of a site or device; delete the rule if nobody needs it"))
}

func missingOf(all []rules.Unarmed) []string {
	names := map[string]bool{}
	for _, u := range all {
		for _, name := range u.Missing {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// lacking tells what rules a device lacks while others have them.
func (l *linter) lacking(d *devices.Device, all []rules.Unarmed) {
	at := l.devicePlace(d)
	var ids []string
	for _, u := range all {
		if len(u.Missing) == 0 {
			l.find(at, Warning, "not_armed",
				because(text("规则 %s 在 %s 未布防", "rule %s is not armed at %s", u.Rule.ID, d.Key()), u.Reason()),
				text("改正此处的设计值或零点", "set the design values or the baseline right"))
		} else if !slices.Contains(ids, u.Rule.ID) {
			ids = append(ids, u.Rule.ID)
		}
	}
	if len(ids) > 0 {
		l.find(at, Note, "not_armed",
			text("%s 未布防的规则：%s", "not armed at %s: %s", d.Key(), strings.Join(ids, ", ")),
			text("需要时设置 %s", "set %s if they are wanted", strings.Join(missingOf(all), ", ")))
	}
}

// ownInterval holds windows to a device that speaks at a pace of its own.
func (l *linter) ownInterval(d *devices.Device) {
	for _, r := range l.Rules {
		if r.Kind == d.Kind.ID && d.State.Judged() {
			l.window(r, d.Key(), d.Interval, l.devicePlace(d))
		}
	}
}

func (l *linter) devicePlace(d *devices.Device) place {
	i := slices.IndexFunc(l.Devices.Devices, func(c devices.DeviceConfig) bool { return c.Site == d.Site.ID && c.ID == d.ID })
	return place{l.Text.Name, l.devices, fmt.Sprintf("$.devices[%d]", i)}
}

// params finds design values that no rule reads.
func (l *linter) params(registry *devices.Registry) {
	read := map[string]bool{}
	for _, k := range l.Kinds {
		for _, f := range k.Fields {
			if f.MaxDelta != nil {
				read[f.MaxDelta.Param] = true
			}
		}
	}
	for _, r := range l.Rules {
		read[r.Unless], read[r.Only] = true, true
		for _, limit := range limitsOf(r) {
			read[limit.Param] = true
		}
	}
	unread := func(of map[string]float64, at place) {
		for name := range of {
			if read[name] {
				continue
			}
			severity, remedy := Note, text("没有规则需要它时删除", "delete it if no rule needs it")
			if near := devices.DidYouMean(name, slices.Collect(maps.Keys(read))); near != "" {
				near = strings.TrimSuffix(strings.TrimPrefix(near, ", did you mean "), "?")
				severity, remedy = Warning, text("是否应为 %s", "did you mean %s?", near)
			}
			l.find(at.at("."+name), severity, "unread_param",
				text("没有规则使用设计值 %s", "no rule reads the design value %s", name), remedy)
		}
	}
	for i, s := range l.Devices.Sites {
		unread(s.Params, place{l.Text.Name, l.devices, fmt.Sprintf("$.sites[%d].params", i)})
	}
	for d := range registry.Devices() {
		unread(d.Params, l.devicePlace(d).at(".params"))
	}
}

func limitsOf(r *rules.Rule) (all []rules.Limit) {
	for _, s := range r.Steps {
		all = append(all, s.Limit)
	}
	if r.Clear.Limit != nil {
		all = append(all, *r.Clear.Limit)
	}
	if r.Expect != nil {
		all = append(all, r.Expect.While.Limit)
	}
	return all
}
