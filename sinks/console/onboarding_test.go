package console

import (
	"errors"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// TestOnboardingSteps: each step says whether it is done, why not, and what to do.
func TestOnboardingSteps(t *testing.T) {
	directory := newDirectory(t, 1)
	d, _ := directory.registry.Device("sample-gas", "gas-01")
	off := *d
	off.State = devices.OutOfService
	at := func(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 0) }
	ms := func(second int) alarms.Time { return alarms.Time(at(second).UnixMilli()) }
	over := 140.0
	green := Trace{
		User: "sample-gas/gas-01", Connected: true, Linked: at(1), Source: "embedded", Message: at(2), Decoded: at(2),
		Reading: at(2), InRange: at(2), Judged: at(2), Armed: 2,
	}
	with := func(change func(*Trace)) Trace { t := green; change(&t); return t }
	rule := &rules.Rule{ID: "gas_low"}
	rejected := func(code, topic, device, field, hint string) rejectionView {
		return rejectionView{ms(3), devices.Rejection{Code: code, Topic: topic, Device: device, Field: field, Detail: "the detail", Hint: hint}}
	}
	for _, c := range []struct {
		name  string
		of    arrival
		done  string // of the five steps, y or n
		steps map[int]string
	}{
		{"all is well", arrival{Trace: green}, "yyyyy", map[int]string{0: "已用账号 sample-gas/gas-01 连接", 4: "2 条规则正在监测"}},
		{"nothing yet, no password", arrival{}, "nnnnn", map[int]string{0: "没有自己的账号密码|fengsui device password sample-gas gas-01", 1: "等待上一步"}},
		{"nothing yet", arrival{Trace: Trace{User: "sample-gas/gas-01"}}, "nnnnn", map[int]string{0: "还没有见到它的连接|账号 sample-gas/gas-01"}},
		{
			"wrong password", arrival{Trace: Trace{User: "sample-gas/gas-01"}, refused: []Refused{{Time: ms(5), Action: "connect", Code: "wrong_password", Count: 3, Address: "192.0.2.9:4711"}}},
			"nnnnn", map[int]string{0: "密码错误 3 次，最近一次来自 192.0.2.9:4711|fengsui device password"},
		},
		{
			"the password was changed since", arrival{Trace: with(func(t *Trace) { t.Connected = false }), refused: []Refused{{Time: ms(5), Action: "connect", Code: "wrong_password", Count: 1, Address: "a"}}},
			"nyyyy", map[int]string{0: "密码错误 1 次"},
		},
		{"it sleeps between messages", arrival{Trace: with(func(t *Trace) { t.Connected = false })}, "yyyyy", map[int]string{0: "上报后已断开"}},
		{"over another broker", arrival{Trace: with(func(t *Trace) { t.Connected, t.Linked, t.Source = false, time.Time{}, "county" })}, "yyyyy", map[int]string{0: "经 county 到达"}},
		{
			"a slip in the topic", arrival{Trace: Trace{User: "sample-gas/gas-01", Connected: true, Linked: at(1)}, rejections: []rejectionView{rejected("unknown_device", "v1/sample-gas/gas-1/telemetry", "", "", "gas-01")}},
			"ynnnn", map[int]string{1: "topic v1/sample-gas/gas-1/telemetry 指向未登记的设备，最接近的是 gas-01|v1/sample-gas/gas-01/telemetry"},
		},
		{
			"a slip in the site", arrival{Trace: Trace{Connected: true, Linked: at(1)}, rejections: []rejectionView{rejected("unknown_site", "v1/sampel-gas/gas-01/telemetry", "", "", "sample-gas")}},
			"ynnnn", map[int]string{1: "指向未登记的站点，最接近的是 sample-gas"},
		},
		{
			"publish refused", arrival{Trace: Trace{Connected: true, Linked: at(1)}, refused: []Refused{{Time: ms(5), Action: "publish", Topic: "v1/other/x/telemetry", Count: 7, Reason: "may not"}}},
			"ynnnn", map[int]string{1: "发布到 v1/other/x/telemetry 被拒绝 7 次"},
		},
		{
			"unknown field", arrival{Trace: with(func(t *Trace) { t.Message = at(9) }), rejections: []rejectionView{rejected("unknown_field", "x", "sample-gas/gas-01", "gas_lell_pct", "gas_lel_pct")}},
			"yynyy", map[int]string{2: "字段 gas_lell_pct 不存在|最接近的字段是 gas_lel_pct"},
		},
		{
			"broken JSON from the first", arrival{Trace: Trace{Connected: true, Linked: at(1), Message: at(2)}, rejections: []rejectionView{rejected("bad_json", "x", "sample-gas/gas-01", "", "")}},
			"yynnn", map[int]string{2: "不是合法的 JSON（the detail）", 3: "等待上一步"},
		},
		{
			"a fault of ours", arrival{Trace: Trace{Connected: true, Linked: at(1), Message: at(2)}, rejections: []rejectionView{rejected("gateway_fault", "x", "sample-gas/gas-01", "", "keep it")}},
			"yynnn", map[int]string{2: "网关自身处理这条报文时出错|反馈给维护人员", 3: "等待上一步"},
		},
		{
			"out of range", arrival{Trace: with(func(t *Trace) { t.InRange = at(1) }), values: []Value{{Field: "gas_lel_pct", Value: &over, Quality: "suspect"}}},
			"yyyny", map[int]string{3: "gas_lel_pct = 140，量程 0 至 100 %LEL|检查接线"},
		},
		{"wrong clock", arrival{Trace: with(func(t *Trace) { t.InRange = at(1) })}, "yyyny", map[int]string{3: "时钟不可信|NTP"}},
		{"out of service", arrival{Trace: green, device: &off}, "yyyyn", map[int]string{4: "out_of_service|fengsui device set -state in_service"}},
		{"old readings only", arrival{Trace: with(func(t *Trace) { t.Judged = time.Time{} })}, "yyyyn", map[int]string{4: "补报"}},
		{
			"no rule is armed", arrival{Trace: with(func(t *Trace) {
				t.Armed, t.Unarmed = 0, []rules.Unarmed{{Rule: rule, Missing: []string{"gas_low_lel_pct"}}}
			})},
			"yyyyn", map[int]string{4: "没有规则在监测，1 条未启用|params 中设置 gas_low_lel_pct"},
		},
		{
			"one rule is not armed", arrival{Trace: with(func(t *Trace) { t.Unarmed = []rules.Unarmed{{Rule: rule, Missing: []string{"x"}}} })},
			"yyyyy", map[int]string{4: "2 条规则正在监测，1 条未启用|params 中设置 x"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.of.device == nil {
				c.of.device = d
			}
			done := ""
			for i, s := range c.of.steps() {
				done += map[bool]string{true: "y", false: "n"}[s.Done]
				if s.Reason.ZH == "" || s.Reason.EN == "" || (s.Hint.ZH == "") != (s.Hint.EN == "") {
					t.Errorf("%s has a text in one language only: %+v", s.Step, s)
				}
				reason, hint, _ := strings.Cut(c.steps[i], "|")
				if !strings.Contains(s.Reason.ZH, reason) || !strings.Contains(s.Hint.ZH, hint) {
					t.Errorf("%s says %q, %q, want %q", s.Step, s.Reason.ZH, s.Hint.ZH, c.steps[i])
				}
				if strings.Contains(s.Reason.ZH+s.Reason.EN+s.Hint.ZH+s.Hint.EN, "%!") {
					t.Errorf("%s is badly formatted: %+v", s.Step, s)
				}
			}
			if done != c.done {
				t.Errorf("done %s, want %s", done, c.done)
			}
		})
	}
}

// TestOnboardingExplains: every rejection says what to do, and every rule that
// does not watch says why.
func TestOnboardingExplains(t *testing.T) {
	directory := newDirectory(t, 1)
	d, _ := directory.registry.Device("sample-gas", "gas-01")
	a := arrival{device: d, rejections: []rejectionView{
		{1, devices.Rejection{Code: devices.CodeUnknownField, Device: d.Key(), Field: "gas_lell_pct", Detail: "no such field", Hint: "gas_lel_pct"}},
		{1, devices.Rejection{Code: devices.CodeUnknownDevice, Topic: "v1/sample-gas/gas-1/telemetry", Hint: "gas-01"}},
	}}
	for at := range alarms.Time(2000) { // older ones of the same
		a.rejections = append(a.rejections, a.rejections[at%2])
		a.rejections[2+at].Received = -at
		a.rejections[2+at].Position = uint64(at)
	}
	a.Unarmed = []rules.Unarmed{
		{Rule: &rules.Rule{ID: "gas_low", Field: "gas_lel_pct"}, Device: d, Missing: []string{"gas_low_lel_pct"}},
		{Rule: &rules.Rule{ID: "gas_drift", Field: "gas_lel_pct"}, Wrong: errors.New("no baseline")},
	}
	for i, want := range []string{"最接近的字段是 gas_lel_pct", "把设备的 topic 改为 v1/sample-gas/gas-01/telemetry"} {
		if e := a.explained()[i]; e.Remedy.ZH != want || e.Reason.ZH == "" || e.Reason.EN == "" {
			t.Errorf("rejection %d: %+v, want the remedy %q", i, e, want)
		}
	}
	if list := a.explained(); len(list) != 2 || list[0].Count != 1001 || list[0].Received != 1 || list[0].First != -1998 || list[1].First != -1999 {
		t.Errorf("repetitions are not folded into one: %+v", list)
	}
	views := a.unarmedViews()
	if views[0].Missing[0] != "gas_low_lel_pct" || views[1].Missing == nil || views[1].Reason.EN != "no baseline" || views[0].Reason.ZH != "在设备 gas-01 或站点 sample-gas 的 params 中设置 gas_low_lel_pct" {
		t.Errorf("rules that are not armed: %+v", views)
	}
}
