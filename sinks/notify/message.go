package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/rules/alarms"
)

// Message is what somebody is told, and what a template can name.
type Message struct {
	ID    string      `json:"id"`    // of the event: the same message sent again has the same
	Step  Step        `json:"step"`  // raised, level_up, level_down, acknowledged, resolved, test
	Late  bool        `json:"late"`  // the endpoint was away; how it stands now, not step by step
	Drill bool        `json:"drill"` // 演练
	Time  alarms.Time `json:"time"`  // when it happened

	Level      string       `json:"level"` // blue, yellow, orange, red, fault; of an alarm that is over, its worst
	LevelName  devices.Text `json:"level_name"`
	Title      devices.Text `json:"title"`
	Where      devices.Text `json:"where"`           // site and device, by name
	Value      string       `json:"value,omitempty"` // with its unit
	Limit      string       `json:"limit,omitempty"` // with its unit
	Since      string       `json:"since"`           // in local time, for people
	Advice     devices.Text `json:"advice"`
	ContactsZH string       `json:"contacts_zh"` // one line: role, name, phone
	ContactsEN string       `json:"contacts_en"`
	Link       string       `json:"link,omitempty"` // to the console

	By   string `json:"by,omitempty"` // who acknowledged or closed it
	Note string `json:"note,omitempty"`

	Text  devices.Text `json:"text"` // all of it in a sentence or two
	Alarm alarms.Alarm `json:"alarm"`
}

// wording makes messages.
type wording struct {
	zone    *time.Location
	console string // address of the console, "" for none
}

func (w *wording) message(e *alarms.Event, step Step, late bool) Message {
	a := &e.Alarm
	m := Message{
		ID: e.ID, Step: step, Late: late, Drill: has(a, "drill"), Time: e.Time,
		Title: a.Title, Advice: a.Advice, Since: w.local(a.RaisedTime), Alarm: *a, By: e.By, Note: e.Note,
		Value: amount(a.Value, a.Unit), Limit: amount(a.Limit, a.Unit),
		Where: devices.Text{ZH: where(a.SiteName.ZH, a.Site, a.DeviceName.ZH, a.Device), EN: where(a.SiteName.EN, a.Site, a.DeviceName.EN, a.Device)},
	}
	level := a.Level
	if over(a) {
		level = a.WorstLevel
	}
	m.Level, m.LevelName = level.String(), level.Name()
	m.ContactsZH, m.ContactsEN = contacts(a.Contacts, &chinese), contacts(a.Contacts, &english)
	if w.console != "" {
		m.Link = strings.TrimSuffix(w.console, "/") + "/?alarm=" + a.ID
	}
	m.Text = devices.Text{ZH: w.text(&m, &chinese), EN: w.text(&m, &english)}
	return m
}

func (w *wording) local(t alarms.Time) string {
	return time.UnixMilli(int64(t)).In(w.zone).Format("2006-01-02 15:04:05")
}

var stepNames = map[Step]devices.Text{
	Raised:       {ZH: "监测报警", EN: "alarm"},
	LevelUp:      {ZH: "报警升级", EN: "alarm got worse"},
	LevelDown:    {ZH: "报警降级", EN: "alarm eased"},
	Acknowledged: {ZH: "报警已确认", EN: "alarm acknowledged"},
	Resolved:     {ZH: "报警解除", EN: "alarm over"},
	Test:         {ZH: "测试消息，无需处置", EN: "test message, nothing to do"},
}

// phrases are the words of a language that a message is put together from.
type phrases struct {
	in    func(devices.Text) string
	roles map[string]string // of contacts

	drill, head, late, place, value, limit, since, over string // with what stands in them as %s
	stop, space                                         string // after a sentence, and before the next
	by, note, advice, contacts                          string
	between                                             string // contacts
}

var (
	chinese = phrases{
		in:    func(t devices.Text) string { return t.ZH },
		roles: map[string]string{"enterprise": "企业", "township": "乡镇", "responsible": "包保责任人"},
		drill: "【演练】", head: "【%s·%s】", late: "（延迟送达，为当前情况）", place: "%s：%s",
		value: "，当前 %s", limit: "，限值 %s", since: "，%s 起", over: "，%s 解除", stop: "。",
		by: "操作人：", note: "说明：", advice: "处置：", contacts: "联系人：", between: "；",
	}
	english = phrases{
		in:    func(t devices.Text) string { return t.EN },
		roles: map[string]string{"enterprise": "enterprise", "township": "township", "responsible": "responsible"},
		drill: "[DRILL] ", head: "[%s, %s] ", late: "(delivered late, as it stands now) ", place: "%s: %s",
		value: ", now %s", limit: ", limit %s", since: ", since %s", over: ", over at %s", stop: ".", space: " ",
		by: "By: ", note: "Note: ", advice: "Advice: ", contacts: "Contacts: ", between: "; ",
	}
)

// text is the message in a sentence or two.
func (w *wording) text(m *Message, p *phrases) string {
	var b strings.Builder
	say := func(phrase string, what ...any) { fmt.Fprintf(&b, phrase, what...) }
	add := func(label, text string) {
		if text != "" {
			b.WriteString(p.space + label + strings.TrimSuffix(text, p.stop) + p.stop)
		}
	}
	if m.Drill {
		b.WriteString(p.drill)
	}
	say(p.head, p.in(stepNames[m.Step]), p.in(m.LevelName))
	if m.Late {
		b.WriteString(p.late)
	}
	say(p.place, p.in(m.Where), p.in(m.Title))
	if m.Value != "" {
		say(p.value, m.Value)
	}
	if m.Limit != "" {
		say(p.limit, m.Limit)
	}
	say(p.since, m.Since)
	if m.Step == Resolved {
		say(p.over, w.local(m.Time))
	}
	b.WriteString(p.stop)
	add(p.by, m.By)
	add(p.note, m.Note)
	if m.Step != Resolved {
		add(p.advice, p.in(m.Advice))
		add(p.contacts, contacts(m.Alarm.Contacts, p))
	}
	if m.Link != "" {
		b.WriteString(p.space + m.Link)
	}
	return b.String()
}

// where names a place as people do; an id stands in for a missing name.
func where(site, siteID, device, deviceID string) string {
	if site == "" {
		site = siteID
	}
	if device == "" {
		device = deviceID
	}
	return strings.TrimSpace(site + " " + device)
}

// amount is a number with its unit, to six digits, "" for none.
func amount(v *float64, unit string) string {
	if v == nil {
		return ""
	}
	return strings.TrimSpace(strconv.FormatFloat(*v, 'g', 6, 64) + " " + unit)
}

func contacts(list []devices.Contact, p *phrases) string {
	var parts []string
	for _, c := range list {
		role := c.Role
		if word := p.roles[role]; word != "" {
			role = word
		}
		parts = append(parts, strings.Join(strings.Fields(role+" "+c.Name+" "+c.Phone), " "))
	}
	return strings.Join(parts, p.between)
}
