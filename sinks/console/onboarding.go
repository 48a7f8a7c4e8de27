package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// Progress knows how far what a device sends comes.
type Progress interface {
	Trace(d *devices.Device) Trace
}

// Trace is what became of what a device sent last. Times are zero where that
// never happened.
type Trace struct {
	User      string    // it may sign in as; empty: it has no password of its own
	Connected bool      // a connection of its own stands
	Linked    time.Time // when its last connection began
	Source    string    // over which its last message came
	Message   time.Time // its last message
	Decoded   time.Time // its last message of which nothing was rejected
	Reading   time.Time // its last reading
	InRange   time.Time // its last reading whose values were all good
	Judged    time.Time // its last reading that may change levels
	Armed     int       // rules that watch it
	Unarmed   []rules.Unarmed
}

// step is one of the five that lie between a device that was screwed to a wall
// and one that is watched.
type step struct {
	Step   string       `json:"step"`
	Done   bool         `json:"done"`
	Time   alarms.Time  `json:"time"`
	Reason devices.Text `json:"reason"`
	Hint   devices.Text `json:"hint"`
}

type onboardingView struct {
	Site       string        `json:"site"`
	Device     string        `json:"device"`
	Steps      []step        `json:"steps"`
	Rejections []explained   `json:"rejections"`
	Refused    []Refused     `json:"refused"`
	Armed      int           `json:"armed"` // rules that watch it
	Unarmed    []unarmedView `json:"unarmed"`
}

// explained is the last of rejections of one kind, in the words of the steps.
type explained struct {
	rejectionView
	First  alarms.Time  `json:"first"` // when it was seen first, of those still listed
	Count  int          `json:"count"`
	Reason devices.Text `json:"reason"`
	Remedy devices.Text `json:"remedy"`
}

// unarmedView is a rule that would watch the device if it could.
type unarmedView struct {
	Rule    string       `json:"rule"`
	Title   devices.Text `json:"title"`
	Field   string       `json:"field"`
	Missing []string     `json:"missing"` // parameters to set at the device or its site
	Reason  devices.Text `json:"reason"`
}

// onboardingRows is how many rejections and refusals are shown beside the steps.
const onboardingRows = 10

// onboarding shows an installer what of a device arrives, and why the rest does
// not.
func (s *Server) onboarding(w http.ResponseWriter, r *http.Request, _ Identity) error {
	d, err := s.device(r)
	if err != nil {
		return err
	}
	values, _ := s.hub.values.latest(d.Key())
	a := arrival{device: d, values: values, rejections: s.rejectionsAbout(d), refused: s.refusedAbout(d)}
	if s.o.Progress != nil {
		a.Trace = s.o.Progress.Trace(d)
	}
	answer(w, http.StatusOK, onboardingView{
		Site: d.Site.ID, Device: d.ID, Steps: a.steps(),
		Rejections: a.explained(), Refused: first(a.refused, onboardingRows),
		Armed: a.Armed, Unarmed: a.unarmedViews(),
	})
	return nil
}

func first[T any](list []T, n int) []T { return list[:min(len(list), n)] }

// rejectionsAbout are those of the device's own messages, and of messages that
// were probably meant to be its own, newest first.
func (s *Server) rejectionsAbout(d *devices.Device) []rejectionView {
	list := []rejectionView{}
	for _, r := range s.o.Quarantine.Rejections(listMost, func(r *devices.Rejection) bool {
		return r.Device == d.Key() || meantFor(d, r)
	}) {
		list = append(list, rejectionView{alarms.Time(r.Received), r})
	}
	return list
}

// meantFor reports whether a message named a device or site that does not exist,
// of whose names this one's is the nearest.
func meantFor(d *devices.Device, r *devices.Rejection) bool {
	switch r.Code {
	case devices.CodeUnknownDevice:
		return r.Hint == d.ID && strings.Contains(r.Topic, "/"+d.Site.ID+"/")
	case devices.CodeUnknownSite:
		return r.Hint == d.Site.ID && strings.Contains(r.Topic, "/"+d.ID+"/")
	}
	return false
}

// refusedAbout is what the intake refused to who signs in as the device or as
// its site, or publishes in its place.
func (s *Server) refusedAbout(d *devices.Device) []Refused {
	list := []Refused{}
	if s.o.Door == nil {
		return list
	}
	for _, r := range s.o.Door.Refused(listMost) {
		own := r.User == d.Key() || r.User == d.Site.ID || strings.HasPrefix(r.Topic, "v1/"+d.Key()+"/")
		if own || r.Client == d.ID && r.Action == "connect" {
			list = append(list, r)
		}
	}
	return list
}

// arrival is all that is known of how far a device has come.
type arrival struct {
	Trace
	device     *devices.Device
	values     []Value
	rejections []rejectionView
	refused    []Refused
}

func (a *arrival) steps() []step {
	steps := []step{a.connected(), a.firstMessage(), a.decoded(), a.inRange(), a.judged()}
	for i := range steps {
		if i > 0 && !steps[i].Done && steps[i].Reason == (devices.Text{}) {
			steps[i].Reason = devices.Text{ZH: "等待上一步", EN: "waits for the step before"}
		}
	}
	return steps
}

func say(zh, en string, args ...any) devices.Text {
	if len(args) == 0 {
		return devices.Text{ZH: zh, EN: en}
	}
	return devices.Text{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)}
}

func moment(t time.Time) alarms.Time {
	if t.IsZero() {
		return 0
	}
	return alarms.Time(t.UnixMilli())
}

// connected is done while a connection stands, and also when the device spoke
// since its last one began: many connect, send and go to sleep.
func (a *arrival) connected() step {
	s := step{Step: "connected"}
	spoke := !a.Message.IsZero() && !a.Message.Before(a.Linked)
	if r := a.refusal("connect"); r != nil && int64(r.Time) > max(a.Linked.UnixMilli(), a.Message.UnixMilli()) {
		s.Time = r.Time
		s.Reason, s.Hint = a.notLetIn(r)
		return s
	}
	switch {
	case a.Connected:
		s.Done, s.Time = true, moment(a.Linked)
		s.Reason = say("已用账号 %s 连接", "connected as %s", a.User)
	case spoke && a.Linked.IsZero():
		s.Done, s.Time = true, moment(a.Message)
		s.Reason = say("报文经 %s 到达，不是设备自己的连接", "its messages come over %s, not over a connection of its own", a.Source)
	case spoke:
		s.Done, s.Time = true, moment(a.Linked)
		s.Reason = say("连接并上报后已断开", "connected, sent, and disconnected")
	case !a.Linked.IsZero():
		s.Time = moment(a.Linked)
		s.Reason = say("曾连接，未上报即断开", "connected, and disconnected without a message")
		s.Hint = say("检查设备是否在连接后发布到 %s", "see whether the device publishes to %s once it is connected", a.topic())
	case a.User == "":
		s.Reason = say("该设备没有自己的账号密码，也没有经其他途径收到它的报文", "the device has no password of its own, and nothing of it came by another way")
		s.Hint = say("生成密码：fengsui device password %s %s；或由边缘网关用站点账号代发", "make a password: fengsui device password %s %s; or let an edge gateway with the site's account send for it", a.device.Site.ID, a.device.ID)
	default:
		s.Reason = say("还没有见到它的连接", "no connection of it has been seen yet")
		s.Hint = say("核对网关地址、端口和账号 %s；检查网络、防火墙和 SIM 卡", "check the gateway's address and port and the user %s; check network, firewall and SIM card", a.User)
	}
	return s
}

// refusal is the last of an action that was refused.
func (a *arrival) refusal(action string) *Refused {
	for i := range a.refused {
		if a.refused[i].Action == action {
			return &a.refused[i]
		}
	}
	return nil
}

// notLetIn says why a connection was refused.
func (a *arrival) notLetIn(r *Refused) (reason, hint devices.Text) {
	switch r.Code {
	case "wrong_password":
		return say("密码错误 %d 次，最近一次来自 %s", "wrong password %d times, last from %s", r.Count, r.Address),
			say("重新输入密码；忘记了就生成新的：fengsui device password %s %s", "enter the password again; if it is lost make a new one: fengsui device password %s %s", a.device.Site.ID, a.device.ID)
	case "unknown_user":
		return say("账号 %s 不存在，共 %d 次，最近一次来自 %s", "there is no user %s, %d times, last from %s", r.User, r.Count, r.Address),
			say("设备的账号应为 %s；还没有密码就生成：fengsui device password %s %s", "the device's user is %s; if it has no password yet, make one: fengsui device password %s %s", a.device.Key(), a.device.Site.ID, a.device.ID)
	}
	return say("连接被拒绝 %d 次，最近一次来自 %s：%s", "refused %d times, last from %s: %s", r.Count, r.Address, r.Reason), devices.Text{}
}

func (a *arrival) topic() string { return "v1/" + a.device.Key() + "/telemetry" }

func (a *arrival) firstMessage() step {
	s := step{Step: "first_message", Time: moment(a.Message)}
	if !a.Message.IsZero() {
		s.Done = true
		s.Reason = say("最近一条来自 %s", "the last one came over %s", a.Source)
		return s
	}
	published := a.refusal("publish")
	for i := range a.rejections {
		r := &a.rejections[i]
		if !meantFor(a.device, &r.Rejection) || published != nil && published.Time > r.Received {
			continue
		}
		s.Time = r.Received
		s.Reason, s.Hint = a.misaddressed(&r.Rejection)
		return s
	}
	if published != nil {
		s.Time = published.Time
		s.Reason = say("发布到 %s 被拒绝 %d 次：%s", "publishing to %s was refused %d times: %s", published.Topic, published.Count, published.Reason)
		s.Hint = say("发布到 %s", "publish to %s", a.topic())
		return s
	}
	if a.Connected {
		s.Reason = say("已连接，还没有报文", "connected, no message yet")
		s.Hint = say("发布到 %s，例如 {\"values\":{\"%s\":0}}", "publish to %s, for example {\"values\":{\"%s\":0}}", a.topic(), a.device.Kind.Fields[0].Name)
	}
	return s
}

// misaddressed explains a message that was probably meant to be the device's own.
func (a *arrival) misaddressed(r *devices.Rejection) (reason, hint devices.Text) {
	hint = say("把设备的 topic 改为 %s", "set the device's topic to %s", a.topic())
	if r.Code == devices.CodeUnknownSite {
		return say("topic %s 指向未登记的站点，最接近的是 %s", "the topic %s names a site that is not registered; the nearest is %s", r.Topic, r.Hint), hint
	}
	return say("topic %s 指向未登记的设备，最接近的是 %s", "the topic %s names a device that is not registered; the nearest is %s", r.Topic, r.Hint), hint
}

// decoded is done when nothing of the last message was rejected.
func (a *arrival) decoded() step {
	s := step{Step: "decoded", Time: moment(a.Decoded)}
	switch {
	case a.Message.IsZero():
		return s
	case !a.Decoded.Before(a.Message):
		s.Done, s.Reason = true, say("最近一条报文全部读懂", "all of the last message was understood")
		return s
	}
	s.Time = moment(a.Message)
	for i := range a.rejections {
		if r := &a.rejections[i]; r.Device == a.device.Key() {
			s.Time = r.Received
			s.Reason, s.Hint = a.rejected(&r.Rejection)
			return s
		}
	}
	s.Reason = say("最近一条报文没有读懂", "the last message was not understood")
	return s
}

// rejectionWords says in zh what a code of rejection means; the rejection itself
// is in English.
var rejectionWords = map[string]string{
	devices.CodeBadTopic: "topic 不符合约定", devices.CodeBadStatus: "状态只能是 online 或 offline",
	devices.CodeDuplicateField: "同一字段出现两次且数值不同", devices.CodeMore: "还有更多字段被拒绝",
	devices.CodeGatewayFault: "网关自身处理这条报文时出错，报文已保留",
	"empty":                  "报文为空", "too_large": "报文过大", "too_deep": "嵌套过深", "bad_json": "不是合法的 JSON", "not_an_object": "应为 JSON 对象",
	"no_values": "缺少 values", "duplicate_key": "键重复", "bad_time": "时间戳无法识别", "bad_seq": "seq 应为非负整数",
	"not_a_number": "应为数字", "not_finite": "数值为 NaN 或无穷大", "nested": "应为数字，却是对象或数组",
}

func (a *arrival) rejected(r *devices.Rejection) (reason, hint devices.Text) {
	reason.EN = r.Detail
	if r.Hint != "" {
		hint = devices.Text{ZH: "应为：" + r.Hint, EN: "send " + r.Hint}
	}
	if r.Code == devices.CodeUnknownField {
		reason.ZH = fmt.Sprintf("字段 %s 不存在", r.Field)
		if r.Hint != "" {
			hint = devices.Text{ZH: "最接近的字段是 " + r.Hint, EN: "the nearest field is " + r.Hint}
		}
		return reason, hint
	}
	if r.Code == devices.CodeGatewayFault {
		hint = devices.Text{ZH: "请把该报文反馈给维护人员；网关升级后用 fengsui quarantine replay 重新判定", EN: r.Hint}
	}
	words, known := rejectionWords[r.Code]
	switch {
	case !known:
		reason.ZH = "报文被拒绝：" + r.Detail
	case r.Field != "":
		reason.ZH = fmt.Sprintf("字段 %s：%s（%s）", r.Field, words, r.Detail)
	default:
		reason.ZH = fmt.Sprintf("%s（%s）", words, r.Detail)
	}
	return reason, hint
}

// explained are the newest rejections, repetitions folded into one, each with what
// is wrong and what to do.
func (a *arrival) explained() []explained {
	list := []explained{}
	type sameness struct{ code, field, topic string }
	known := map[sameness]int{}
	for _, r := range a.rejections {
		same := sameness{r.Code, r.Field, r.Topic}
		if i, again := known[same]; again {
			list[i].First = r.Received
			list[i].Count++
			continue
		}
		known[same] = len(list)
		e := explained{rejectionView: r, First: r.Received, Count: 1}
		if meantFor(a.device, &r.Rejection) {
			e.Reason, e.Remedy = a.misaddressed(&r.Rejection)
		} else {
			e.Reason, e.Remedy = a.rejected(&r.Rejection)
		}
		list = append(list, e)
	}
	return first(list, onboardingRows)
}

func (a *arrival) inRange() step {
	s := step{Step: "in_range", Time: moment(a.InRange)}
	switch {
	case a.Reading.IsZero():
		return s
	case !a.InRange.Before(a.Reading):
		s.Done, s.Reason = true, say("最近一次读数都在量程内", "all values of the last reading are within range")
		return s
	}
	s.Time = moment(a.Reading)
	var zh, en []string
	for _, v := range a.values {
		f, ok := a.device.Kind.Field(v.Field)
		if v.Quality == devices.Good.String() || !ok {
			continue
		}
		z, e := outOf(f, v)
		zh, en = append(zh, z), append(en, e)
	}
	if len(zh) == 0 {
		s.Reason = say("设备时钟不可信，已按到达时间处理", "the device's clock is not credible; its time of arrival was taken")
		s.Hint = say("校准设备时钟（NTP），或不发送 ts", "set the device's clock (NTP), or leave ts out")
		return s
	}
	s.Reason = devices.Text{ZH: strings.Join(zh, "；"), EN: strings.Join(en, "; ")}
	s.Hint = say("检查接线、量程、单位和变比", "check wiring, range, unit and ratio")
	return s
}

func outOf(f *devices.Field, v Value) (zh, en string) {
	if v.Value == nil {
		return v.Field + " 不是测量值", v.Field + " is no measurement"
	}
	n := strconv.FormatFloat(*v.Value, 'g', -1, 64)
	if len(f.States) > 0 {
		return fmt.Sprintf("%s = %s 不是已知状态", v.Field, n), fmt.Sprintf("%s = %s is no known state", v.Field, n)
	}
	if v.Quality == devices.Suspect.String() && *v.Value >= f.Range[0] && *v.Value <= f.Range[1] {
		return fmt.Sprintf("%s = %s 与之前的读数相差过大，待下一个读数核实", v.Field, n), fmt.Sprintf("%s = %s lies too far from the readings before, the next one will tell", v.Field, n)
	}
	return fmt.Sprintf("%s = %s，量程 %g 至 %g %s", v.Field, n, f.Range[0], f.Range[1], f.Unit),
		fmt.Sprintf("%s = %s, its range is %g to %g %s", v.Field, n, f.Range[0], f.Range[1], f.Unit)
}

// judged is done when a reading may change levels and at least one rule watches;
// rules that are not armed are counted all the same, and named beside the steps.
func (a *arrival) judged() step {
	s := step{Step: "judged", Time: moment(a.Judged)}
	if a.Reading.IsZero() {
		return s
	}
	missing := a.missing()
	switch {
	case !a.device.State.Judged():
		s.Reason = say("设备状态为 %s，读数只存储、不判级", "the device is %s: its readings are stored and not judged", a.device.State)
		s.Hint = say("投用：fengsui device set -state in_service %s %s", "put it into service: fengsui device set -state in_service %s %s", a.device.Site.ID, a.device.ID)
		return s
	case a.Judged.Before(a.Reading):
		s.Reason = say("最近一次读数太旧，只作补报存储", "the last reading is too old: it is stored as history")
		s.Hint = say("校准设备时钟；补传历史数据时属正常", "set the device's clock; while a buffer is being sent this is as it should be")
		return s
	case a.Armed == 0 && len(a.Unarmed) == 0:
		s.Reason = say("该类设备没有规则", "there is no rule for this kind of device")
		return s
	case a.Armed == 0:
		s.Reason = say("没有规则在监测，%d 条未启用", "no rule watches it, %d are not armed", len(a.Unarmed))
	default:
		s.Done = true
		s.Reason = say("%d 条规则正在监测", "%d rules watch it", a.Armed)
		if n := len(a.Unarmed); n > 0 {
			s.Reason = say("%d 条规则正在监测，%d 条未启用", "%d rules watch it, %d are not armed", a.Armed, n)
		}
	}
	if len(missing) > 0 {
		s.Hint = say("在设备或站点的 params 中设置 %s", "set %s in the params of the device or its site", strings.Join(missing, ", "))
	}
	return s
}

func (a *arrival) unarmedViews() []unarmedView {
	list := []unarmedView{}
	for _, u := range a.Unarmed {
		v := unarmedView{Rule: u.Rule.ID, Title: u.Rule.Title, Field: u.Rule.Field, Missing: u.Missing, Reason: u.Reason()}
		if v.Missing == nil {
			v.Missing = []string{}
		}
		list = append(list, v)
	}
	return list
}

// missing are the parameters that rules which are not armed lack.
func (a *arrival) missing() []string {
	var names []string
	for _, u := range a.Unarmed {
		names = append(names, u.Missing...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
