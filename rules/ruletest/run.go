package ruletest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// Result is what became of a file of tests.
type Result struct {
	File     string
	Tests    int
	Failures []Failure
	seen     map[step]bool // steps that were expected and came
}

// Failure is an expectation that was not met.
type Failure struct {
	Place    string // file:line:column
	Test     string
	What     devices.Text // what was expected, and what was
	Timeline string       // what happened, one line each
}

// step is a level of a rule, as coverage counts them.
type step struct {
	rule  string
	level rules.Level
}

// Where tests happen. Design values are given to the device.
const (
	testSite   = "test-site"
	testDevice = "test-device"
)

// begin is when every test starts; all its times count from here.
var begin = time.Date(2026, 6, 1, 0, 0, 0, 0, time.FixedZone("", 8*3600)).UnixMilli()

// Run runs the tests of a file.
func (f *File) Run() Result {
	out := Result{File: f.Name, Tests: len(f.Tests), seen: map[step]bool{}}
	for _, t := range f.Tests {
		s, err := newStage(f, t)
		if err != nil {
			out.Failures = append(out.Failures, Failure{Place: t.Place, Test: t.Name, What: devices.Text{
				ZH: fmt.Sprintf("测试无法开始：%v", err), EN: fmt.Sprintf("the test cannot start: %v", err),
			}})
			continue
		}
		s.play(&out)
	}
	return out
}

// stage is where one test is played: a gateway with a single device.
type stage struct {
	test   *Test
	device *devices.Device
	intake *devices.Intake
	engine *rules.Engine
	book   *alarms.Book
	now    int64
	input  uint64
	story  []moment
}

func newStage(f *File, t *Test) (*stage, error) {
	registry, err := devices.NewRegistry(devices.RegistryOptions{
		Kinds:   []*devices.Kind{f.kind},
		Sites:   []*devices.Site{{ID: testSite}},
		Devices: []devices.DeviceConfig{t.device},
	})
	if err != nil {
		return nil, err
	}
	s := &stage{
		test:   t,
		intake: devices.NewIntake(devices.IntakeOptions{Registry: registry}),
		engine: rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: f.rules}),
		book:   alarms.NewBook(),
		now:    begin,
	}
	s.device, _ = registry.Device(testSite, testDevice)
	return s, nil
}

// play lets the story happen and holds it to what is expected.
func (s *stage) play(out *Result) {
	readings := s.test.readings
	for i := range s.test.expects {
		e := &s.test.expects[i]
		for len(readings) > 0 && readings[0].arrives <= e.at && e.timed {
			s.hear(&readings[0])
			readings = readings[1:]
		}
		if e.timed {
			s.advance(e.at)
		}
		first := i == 0 || s.test.expects[i-1].at != e.at || !s.test.expects[i-1].timed
		for _, what := range s.differences(e, first) {
			out.Failures = append(out.Failures, Failure{Place: e.place, Test: s.test.Name, What: what, Timeline: s.timeline(e)})
		}
		if s.met(e) {
			out.seen[step{e.rule, e.level}] = true
		}
	}
}

// advance lets time go on, timer by timer, so that each is told at its time.
func (s *stage) advance(at time.Duration) {
	target := begin + at.Milliseconds()
	for {
		due, any := s.engine.NextDeadline()
		if !any || due >= target || due <= s.now {
			break
		}
		s.now = due
		s.tell(s.engine.Advance(due, nil))
	}
	s.now = max(s.now, target)
	s.tell(s.engine.Advance(s.now, nil))
}

// hear takes a reading the way the gateway does: as a message with a payload.
func (s *stage) hear(r *reading) {
	s.advance(r.arrives)
	s.input++
	s.story = append(s.story, moment{at: r.arrives, reading: r})
	var decoded devices.Decoded
	var outcome devices.Outcome
	s.intake.Decode(devices.Incoming{
		Position: s.input, Received: s.now, Source: "test",
		Topic: "v1/" + testSite + "/" + testDevice + "/telemetry", Payload: payload(r),
	}, &decoded)
	v := s.intake.Accept(&decoded, &outcome)
	for _, x := range outcome.Rejections {
		s.story = append(s.story, moment{at: r.arrives, note: x.Code + ": " + x.Detail})
	}
	for i := range v.Readings {
		s.tell(s.engine.Judge(&v.Readings[i], s.now, nil))
	}
}

func payload(r *reading) []byte {
	b := fmt.Appendf(nil, `{"ts":%d,"values":{`, begin+r.at.Milliseconds())
	for i, name := range slices.Sorted(maps.Keys(r.values)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:", name)
		b = strconv.AppendFloat(b, r.values[name], 'f', -1, 64)
	}
	return append(b, "}}"...)
}

// tell makes alarms of changes and writes down what came of it.
func (s *stage) tell(changes []rules.Change) {
	for _, e := range s.book.Apply(changes, alarms.Cause{Position: s.input, Clock: s.now}) {
		s.story = append(s.story, moment{at: time.Duration(s.now-begin) * time.Millisecond, event: &e})
	}
}

// differences says in what the desk differs from what is expected. The first
// expectation of its time answers for alarms that nobody expects then.
func (s *stage) differences(e *expect, first bool) (all []devices.Text) {
	switch {
	case e.notArmed:
		if !s.unarmed(e) {
			all = append(all, devices.Text{
				ZH: fmt.Sprintf("期望规则 %s 未布防，实际已布防", e.rule),
				EN: fmt.Sprintf("expected rule %s not to be armed, but it is", e.rule),
			})
		}
		return all
	case !e.nothing && !s.met(e):
		zh, en := s.found(e)
		all = append(all, devices.Text{
			ZH: fmt.Sprintf("期望 %s，实际 %s", e, zh),
			EN: fmt.Sprintf("expected %s, found %s", e, en),
		})
	}
	if !first {
		return all
	}
	for _, a := range s.book.Alarms() {
		if a.Level != rules.Normal && !s.test.expected(e.at, &a) {
			all = append(all, devices.Text{
				ZH: fmt.Sprintf("另有未期望的 %s", describe(&a)),
				EN: fmt.Sprintf("not expected, but there is %s", describe(&a)),
			})
		}
	}
	return all
}

// expected says whether an alarm is spoken of at a time.
func (t *Test) expected(at time.Duration, a *alarms.Alarm) bool {
	return slices.ContainsFunc(t.expects, func(e expect) bool { return e.timed && e.at == at && e.about(a) })
}

func (e *expect) about(a *alarms.Alarm) bool {
	return a.Rule == e.rule && (e.field == "" || a.Field == e.field)
}

// met says that what is expected of a rule is so. Of several fields one is enough
// for a level; all must be normal.
func (s *stage) met(e *expect) bool {
	if !e.timed || e.nothing {
		return false
	}
	about := slices.DeleteFunc(s.book.Alarms(), func(a alarms.Alarm) bool { return !e.about(&a) })
	if len(about) == 0 {
		return e.level == rules.Normal && (e.state == "" || e.state == "none") && !s.unarmed(e)
	}
	if e.level == rules.Normal {
		return !slices.ContainsFunc(about, func(a alarms.Alarm) bool { return !e.fits(&a) })
	}
	return slices.ContainsFunc(about, func(a alarms.Alarm) bool { return e.fits(&a) })
}

func (e *expect) fits(a *alarms.Alarm) bool {
	same := func(want, got *float64) bool {
		return want == nil || got != nil && strconv.FormatFloat(*want, 'g', 6, 64) == strconv.FormatFloat(*got, 'g', 6, 64)
	}
	return a.Level == e.level && (e.state == "" || string(a.State) == e.state) &&
		(e.title == "" || a.Title.ZH == e.title || a.Title.EN == e.title) &&
		same(e.value, a.Value) && same(e.limit, a.Limit) &&
		!slices.ContainsFunc(e.flags, func(flag string) bool { return !slices.Contains(a.Flags, flag) })
}

func (s *stage) unarmed(e *expect) bool {
	return slices.ContainsFunc(s.engine.Unarmed(), func(u rules.Unarmed) bool {
		return u.Rule.ID == e.rule && (e.field == "" || u.Rule.Field == e.field)
	})
}

// found says what there is in place of what is expected.
func (s *stage) found(e *expect) (zh, en string) {
	var is []string
	for _, a := range s.book.Alarms() {
		if e.about(&a) {
			is = append(is, describe(&a))
		}
	}
	for _, u := range s.engine.Unarmed() {
		if u.Rule.ID == e.rule && (e.field == "" || u.Rule.Field == e.field) {
			return "未布防：" + u.Reason().ZH, "that it is not armed: " + u.Reason().EN
		}
	}
	if len(is) == 0 {
		return "正常", "normal"
	}
	return strings.Join(is, "；"), strings.Join(is, "; ")
}
