package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/lint"
)

const kindText = `kind: slope
name: {zh: 边坡, en: slope}
interval: 1h
silence: 3h
fields:
  - {name: gnss_dx_mm, title: {zh: 位移, en: displacement}, unit: mm, range: [-1000, 1000], danger: both}
  - {name: rain_5min_mm, title: {zh: 雨, en: rain}, unit: mm, range: [0, 50], danger: high}
  - {name: door_state, title: {zh: 门, en: door}, states: {"0": {zh: 关, en: closed}, "1": {zh: 开, en: open}, "2": {zh: 坏, en: broken}}}
`

const ruleText = `kind: slope
rules:
  - id: moved
    field: gnss_dx_mm
    title: {zh: 位移大, en: Moved}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: default, status: platform_default}
    worse: both
    steps: [{level: yellow, limit: {param: moved_limit_mm, factor: 0.8}, for: 2h}, {level: red, limit: {param: moved_limit_mm}}]
    confirm: {n: 2, of: 3}
    clear: {hysteresis: 1}
  - id: fast
    field: gnss_dx_mm
    measure: {rate: {over: 24h, per: 24h, samples: 12}}
    unit: mm/d
    title: {zh: 速度大, en: Fast}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: default, status: platform_default}
    worse: both
    steps: [{level: red, limit: {param: fast_limit_mm_d, default: 20}}]
    clear: {hysteresis: 1}
  - id: rain
    field: rain_5min_mm
    measure: {sum: {over: 12h}}
    title: {zh: 雨大, en: Rain}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: default, status: platform_default}
    worse: high
    steps: [{level: yellow, limit: 50}]
    clear: {limit: 45}
  - id: door
    field: door_state
    title: {zh: 门, en: Door}
    advice: {zh: 按本单位处置方案执行, en: Follow the plan}
    basis: {text: default, status: platform_default}
    steps: [{level: yellow, is: [1]}, {level: red, is: [2]}]
`

const deviceText = `sites:
  - id: hill
    name: {zh: 山, en: hill}
    params: {moved_limit_mm: 60}
  - id: valley
    name: {zh: 谷, en: valley}
    params: {moved_limit_mm: 60, fast_limit_mm_d: 30}
devices:
  - {site: hill, id: s1, kind: slope}
  - {site: valley, id: s2, kind: slope, interval: 30m, params: {moved_limit_mm: 70}}
`

// find lints the three texts, with replacements in them: old, new, old, new …
func find(t *testing.T, edits ...string) string {
	t.Helper()
	texts := map[string]string{"slope.yaml": kindText, "rules/slope.yaml": ruleText, "devices.yaml": deviceText}
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(kindText+ruleText+deviceText, edits[i]) {
			t.Fatalf("%q is nowhere", edits[i])
		}
		for name, text := range texts {
			texts[name] = strings.ReplaceAll(text, edits[i], edits[i+1])
		}
	}
	kind, err := devices.ParseKind("slope.yaml", []byte(texts["slope.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	kinds := []*devices.Kind{kind}
	set, err := rules.ParseRules("rules/slope.yaml", []byte(texts["rules/slope.yaml"]), kinds)
	if err != nil {
		t.Fatal(err)
	}
	file, err := devices.ParseDevices("devices.yaml", []byte(texts["devices.yaml"]), kinds)
	if err != nil {
		t.Fatal(err)
	}
	found, err := lint.Find(lint.Input{
		Kinds: kinds, Rules: set, Devices: file,
		RuleTexts: []lint.Text{{Name: "rules/slope.yaml", Data: []byte(texts["rules/slope.yaml"])}},
		Text:      lint.Text{Name: "devices.yaml", Data: []byte(texts["devices.yaml"])},
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range found {
		if f.Message.ZH == "" || f.Message.EN == "" || f.Remedy.ZH == "" || f.Remedy.EN == "" || strings.Contains(fmt.Sprint(f), "%!") {
			t.Errorf("half a finding: %+v", f)
		}
		lines = append(lines, fmt.Sprintf("%s:%d:%d %s %s: %s; %s", f.File, f.Line, f.Column, f.Severity, f.Code, f.Message.EN, f.Remedy.EN))
	}
	return strings.Join(lines, "\n")
}

func TestNothingOddIsFoundWhereNothingIs(t *testing.T) {
	if got := find(t); got != "" {
		t.Errorf("found %s", got)
	}
}

func TestOddities(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"a for that one reading fulfils", "for: 2h", "for: 10m",
			"rules/slope.yaml:9:79 warning for_too_short: rule moved: for 10m is shorter than the interval of slope, 1h: there is no second reading, one alone reaches the level; make it 1h or longer, or leave it out; if devices send a change at once, say events: true in the kind"},
		{"no hysteresis", "    confirm: {n: 2, of: 3}\n    clear: {hysteresis: 1}", "    confirm: {n: 2, of: 3}\n    clear: {hysteresis: 0}",
			"rules/slope.yaml:11:12 warning no_hysteresis: rule moved has no hysteresis: a value that hovers at the limit raises and clears again and again; set clear.hysteresis (usually 5 % of the limit) or clear.limit"},
		{"cleared at the limit itself", "limit: 45", "limit: 50",
			"rules/slope.yaml:30:12 warning no_hysteresis: rule rain has no hysteresis"},
		{"a quorum slower than silence", "n: 2, of: 3", "n: 4, of: 6",
			"rules/slope.yaml:10:14 warning confirm_too_slow: rule moved: 4 readings take 4h, longer than the silence of 3h; lower confirm.n, or leave confirm out"},
		{"a window too short for its samples", "over: 24h, per", "over: 6h, per",
			"rules/slope.yaml:14:14 warning window_too_short: rule fast: a window of 6h holds 6 readings of slope, which speaks every 1h: fewer than samples 12, so there is never a rate; make over 12h or longer, or lower samples"},
		{"a window too short for a device", "interval: 30m", "interval: 4h",
			"devices.yaml:10:5 warning window_too_short: rule fast: a window of 24h holds 6 readings of valley/s2, which speaks every 4h: fewer than samples 12"},
		{"a sum of one reading", "over: 12h", "over: 30m",
			"rules/slope.yaml:24:14 warning window_too_short: rule rain: a window of 30m is shorter than the interval of slope, 1h: it holds one reading at most; make over 1h or longer"},
		{"armed nowhere", "moved_limit_mm", "other_mm",
			""},
		{"nobody sets it", "params: {moved_limit_mm: 60", "params: {slope_angle_deg: 60",
			"devices.yaml:4:31 note unread_param: no rule reads the design value slope_angle_deg; delete it if no rule needs it"},
		{"a typo of a design value", "fast_limit_mm_d: 30", "fast_limt_mm_d: 30",
			"devices.yaml:7:50 warning unread_param: no rule reads the design value fast_limt_mm_d; did you mean \"fast_limit_mm_d\"?"},
		{"not armed at one", "name: {zh: 山, en: hill}\n    params: {moved_limit_mm: 60}", "name: {zh: 山, en: hill}",
			"devices.yaml:8:5 note not_armed: not armed at hill/s1: moved; set moved_limit_mm if they are wanted"},
		{"limits that make no sense at one", "params: {moved_limit_mm: 60}", "params: {moved_limit_mm: 9000}",
			"devices.yaml:9:5 warning not_armed: rule moved is not armed at hill/s1: the yellow limit 7200 lies outside what gnss_dx_mm can read"},
		{"a state of two levels", "is: [1]}", "is: [1, 2]}",
			"rules/slope.yaml:36:33 warning unreachable_level: state 2 of rule door is red as well, so yellow never comes of it; let every state stand in one step"},
		{"a state that is held", "{level: red, is: [2]}]", "{level: red, is: [2]}]\n    hold: [2]",
			"rules/slope.yaml:36:56 warning unreachable_level: rule door holds at state 2, so red never comes of it; take it out of hold or of is"},
		{"nothing can jump", "danger: both}", "danger: both, max_delta: {value: 900, per: 10m}}",
			"rules/slope.yaml:3:5 note jump_never: the max_delta of gnss_dx_mm lets it change by 5400 in the interval of 1h, more than its range: nothing ever jumps; lower max_delta"},
		{"everything jumps", "danger: both}", "danger: both, max_delta: {value: 0.5}}",
			"rules/slope.yaml:11:12 warning jump_within_hysteresis: the hysteresis 1 of rule moved is wider than gnss_dx_mm may change, 0.5: whatever clears it jumps and waits for a second reading; lower the hysteresis"},
		{"a jump whose limit is read", "danger: both}\n", "danger: both, max_delta: {param: fast_limit_mm_d}}\n",
			""},
		{"one language", "{zh: 雨大, en: Rain}", "{zh: Rain, en: Rain}",
			"rules/slope.yaml:25:12 warning one_language: the zh of title is no Chinese: \"Rain\"; write both languages: {zh: …, en: …}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := find(t, c.old, c.new)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("found\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestARuleThatIsArmedNowhere(t *testing.T) {
	got := find(t, "{param: moved_limit_mm}", "{param: moved_limits_mm}")
	want := "rules/slope.yaml:3:5 warning armed_nowhere: rule moved is armed at no slope: nobody sets moved_limits_mm; set it in the params of a site or device; delete the rule if nobody needs it"
	if got != want {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
}

// TestEventsMakeAHeldValueGood: of devices that send every change at once, the
// last value holds until the next.
func TestEventsMakeAHeldValueGood(t *testing.T) {
	if got := find(t, "for: 2h", "for: 10m", "interval: 1h\n", "interval: 1h\nevents: true\n"); got != "" {
		t.Errorf("found %s", got)
	}
}
