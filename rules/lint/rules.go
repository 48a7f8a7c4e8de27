package lint

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"fengsui/devices"
	"fengsui/rules"
)

// rule looks at what a rule says of itself and of the pace of its kind.
func (l *linter) rule(r *rules.Rule, k *devices.Kind) {
	at := l.rulePlaces[r.ID]
	l.languages(r, at)
	l.flutter(r, at)
	l.statesTwice(r, at)
	l.held(r, k, at)
	l.quorum(r, k, at.at(".confirm"))
	l.window(r, k.ID, k.Interval, at.at(".measure"))
	l.jump(r, k, at)
}

// jump finds a max_delta that doubts too much, or nothing at all. One that is a
// design value is not known here.
func (l *linter) jump(r *rules.Rule, k *devices.Kind, at place) {
	f, ok := k.Field(r.Field)
	if !ok || f.MaxDelta == nil || f.MaxDelta.Param != "" {
		return
	}
	far := f.MaxDelta.Value
	if per := f.MaxDelta.Per; per > 0 && k.Interval > per && !k.Events {
		far *= float64(k.Interval) / float64(per)
	}
	if wide := f.Range[1] - f.Range[0]; far >= wide && wide > 0 {
		l.find(at, Note, "jump_never",
			text("%s 的 max_delta 在上报间隔 %s 内允许变化 %.6g，超过量程：永远不会判为突变", "the max_delta of %s lets it change by %[3]g in the interval of %[2]s, more than its range: nothing ever jumps", f.Name, short(k.Interval), far),
			text("在类型中减小 max_delta 或加长 per；不需要则删除", "lower max_delta or make per longer in the kind; delete it if nobody needs it"))
	}
	if r.Measure == nil && r.Clear.Limit == nil && far < r.Clear.Hysteresis {
		l.find(at.at(".clear"), Warning, "jump_within_hysteresis",
			text("规则 %s 的回差 %.6g 大于 %s 允许的变化 %.6g：每次解除都算突变，要等第二个读数", "the hysteresis %[2]g of rule %[1]s is wider than %[3]s may change, %[4]g: whatever clears it jumps and waits for a second reading", r.ID, r.Clear.Hysteresis, f.Name, far),
			text("减小回差，或在类型中加大 max_delta", "lower the hysteresis, or raise max_delta in the kind"))
	}
}

// languages finds titles of which one language is a copy of the other.
func (l *linter) languages(r *rules.Rule, at place) {
	for _, t := range []struct {
		key string
		devices.Text
	}{{"title", r.Title}, {"advice", r.Advice}} {
		if t.ZH == t.EN || !strings.ContainsFunc(t.ZH, func(c rune) bool { return unicode.Is(unicode.Han, c) }) {
			l.find(at.at("."+t.key), Warning, "one_language",
				text("%s 的中文文本不是中文：%q", "the zh of %s is no Chinese: %q", t.key, t.ZH),
				text("写两种语言：{zh: …, en: …}", "write both languages: {zh: …, en: …}"))
		}
	}
}

// flutter finds limits that are left at the very value at which they are reached.
func (l *linter) flutter(r *rules.Rule, at place) {
	if r.Expect != nil || len(r.Steps) == 0 || r.Steps[0].Is != nil {
		return
	}
	same := r.Clear.Limit != nil && *r.Clear.Limit == r.Steps[0].Limit
	if same || r.Clear.Limit == nil && r.Clear.Hysteresis == 0 {
		l.find(at.at(".clear"), Warning, "no_hysteresis",
			text("规则 %s 没有回差：读数在限值附近波动时会反复报警", "rule %s has no hysteresis: a value that hovers at the limit raises and clears again and again", r.ID),
			text("设 clear.hysteresis（通常为限值的 5 %%）或 clear.limit", "set clear.hysteresis (usually 5 %% of the limit) or clear.limit"))
	}
}

// statesTwice finds a state that means two levels: the milder one never shows.
func (l *linter) statesTwice(r *rules.Rule, at place) {
	for i := range r.Steps {
		for _, state := range r.Steps[i].Is {
			path := at.at(fmt.Sprintf(".steps[%d].is", i))
			if slices.Contains(r.Hold, state) {
				l.find(path, Warning, "unreachable_level",
					text("规则 %s 的状态 %v 同时在 hold 中：%s 永远不会因它出现", "rule %s holds at state %v, so %s never comes of it", r.ID, state, r.Steps[i].Level),
					text("从 hold 或 is 中去掉它", "take it out of hold or of is"))
			}
			for _, worse := range r.Steps[i+1:] {
				if slices.Contains(worse.Is, state) && worse.For <= r.Steps[i].For {
					l.find(path, Warning, "unreachable_level",
						text("规则 %s 的状态 %v 同时属于 %s：%s 永远不会因它出现", "state %[2]v of rule %[1]s is %[3]s as well, so %[4]s never comes of it", r.ID, state, worse.Level, r.Steps[i].Level),
						text("每个状态只写在一级中", "let every state stand in one step"))
				}
			}
		}
	}
}

// held finds a `for` that no second reading can confirm; the first of a rule's
// stands for all.
func (l *linter) held(r *rules.Rule, k *devices.Kind, at place) {
	i := slices.IndexFunc(r.Steps, func(s rules.Step) bool { return s.For > 0 && s.For < k.Interval })
	if i < 0 || r.Expect != nil || k.Events {
		return
	}
	l.find(at.at(fmt.Sprintf(".steps[%d].for", i)), Warning, "for_too_short",
		text("规则 %s：for %s 短于 %s 的上报间隔 %s，期间没有第二个读数，仅凭一个读数就会升级", "rule %s: for %s is shorter than the interval of %s, %s: there is no second reading, one alone reaches the level", r.ID, short(r.Steps[i].For), k.ID, short(k.Interval)),
		text("把 for 设为至少 %s，或去掉它；若设备变化即报，在类型中写 events: true", "make it %s or longer, or leave it out; if devices send a change at once, say events: true in the kind", short(k.Interval)))
}

// quorum finds a confirmation that takes longer than a device may be silent.
func (l *linter) quorum(r *rules.Rule, k *devices.Kind, at place) {
	takes := time.Duration(r.Confirm.N) * k.Interval
	if r.Confirm.N == 0 || takes <= k.Silence {
		return
	}
	l.find(at, Warning, "confirm_too_slow",
		text("规则 %s：%d 个读数需要 %s，比失联判定 %s 还长", "rule %s: %d readings take %s, longer than the silence of %[4]s", r.ID, r.Confirm.N, short(takes), short(k.Silence)),
		text("减小 confirm.n 或去掉 confirm", "lower confirm.n, or leave confirm out"))
}

// window finds windows that never hold enough readings at an interval.
func (l *linter) window(r *rules.Rule, whose string, interval time.Duration, at place) {
	m := r.Measure
	if m == nil || m.Over == 0 || interval <= 0 {
		return
	}
	holds := int(m.Over / interval)
	if m.Quantity == rules.Rate && holds < m.Samples {
		l.find(at, Warning, "window_too_short",
			text("规则 %s：%s 的窗口在 %s 的间隔 %s 下只有 %d 个读数，少于 samples %d，永远算不出速率", "rule %s: a window of %s holds %[5]d readings of %[3]s, which speaks every %[4]s: fewer than samples %[6]d, so there is never a rate", r.ID, short(m.Over), whose, short(interval), holds, m.Samples),
			text("把 over 加长到至少 %s，或减小 samples", "make over %s or longer, or lower samples", short(time.Duration(m.Samples)*interval)))
	}
	if m.Quantity == rules.Sum && holds < 1 {
		l.find(at, Warning, "window_too_short",
			text("规则 %s：%s 的窗口短于 %s 的间隔 %s，最多只有一个读数", "rule %s: a window of %s is shorter than the interval of %s, %s: it holds one reading at most", r.ID, short(m.Over), whose, short(interval)),
			text("把 over 加长到至少 %s", "make over %s or longer", short(interval)))
	}
}

// short is a duration as people write it: "1h", not "1h0m0s".
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
