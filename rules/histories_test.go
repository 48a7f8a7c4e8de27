package rules_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

var (
	histories   = flag.Int("histories", 20_000, "histories to play; under -race a twentieth of them")
	historySeed = flag.Uint64("history", 0, "play the history of this seed alone")
)

// The same readings in any order of arrival within the lateness of their kind,
// some of them more than once, with restarts from any snapshot, end in the same
// open alarms and levels as the ordered run, and in those of the reference model.
func TestAnyHistoryEndsAsTheOrderedOne(t *testing.T) {
	h := newHouse(t)
	if *historySeed != 0 {
		h.check(t, *historySeed)
		return
	}
	n := *histories
	if underRace {
		n /= 20
	}
	begin := uint64(1)
	if n > 1_000_000 {
		begin = rand.Uint64()
	}
	t.Logf("%d histories, seeds from %d", n, begin)
	var next atomic.Uint64
	var told [len(scenarios)]atomic.Uint64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := next.Add(1); i <= uint64(n) && !t.Failed(); i = next.Add(1) {
				if s, alarmed := h.check(t, begin+i); alarmed {
					told[s].Add(1)
				}
			}
		})
	}
	wait.Wait()
	for i := range told { // a property of histories in which nothing happens holds nothing
		if share := float64(told[i].Load()) * float64(len(scenarios)) / float64(n); share < 0.1 && !t.Failed() {
			t.Errorf("%s: only %.0f %% of the histories raised an alarm", scenarios[i].name, 100*share)
		}
	}
}

// house is where all histories happen: to one device, which may be ten minutes late
// or an hour, and whose values may jump or not.
type house []*devices.Registry

const houseFields = `
name: {zh: 屋, en: house}
interval: 1m
silence: 1000h
fields:
  - {name: high_c, title: {zh: 高, en: high}, unit: "°C", range: [0, 100], danger: high, sentinels: [-999]}
  - {name: low_m, title: {zh: 低, en: low}, unit: m, range: [0, 100], danger: low, sentinels: [-999]}
  - {name: both_mm, title: {zh: 双, en: both}, unit: mm, range: [-100, 100], danger: both, sentinels: [-999]}
  - {name: rain_mm, title: {zh: 雨, en: rain}, unit: mm, range: [0, 50], danger: high, sentinels: [-999]}
  - {name: total_mm, title: {zh: 计, en: total}, unit: mm, range: [0, 100000], sentinels: [-999]}
  - {name: mode_state, title: {zh: 态, en: mode}, states: {"0": {zh: 零, en: zero}, "1": {zh: 一, en: one}, "2": {zh: 二, en: two}, "3": {zh: 三, en: three}}}
`

func newHouse(t *testing.T) (h house) {
	const no = "sentinels: [-999]"
	for _, c := range []struct{ lateness, jump string }{
		{"10m", no}, {"10m", no}, {"1h", no}, {"10m", no + ", max_delta: {value: 9}"}, {"1h", no + ", max_delta: {value: 4, per: 1m}"},
	} {
		k, err := devices.ParseKind("house.yaml", []byte("kind: house\nlateness: "+c.lateness+strings.ReplaceAll(houseFields, no, c.jump)))
		if err != nil {
			t.Fatal(err)
		}
		r, err := devices.NewRegistry(devices.RegistryOptions{
			Kinds: []*devices.Kind{k}, Sites: []*devices.Site{{ID: "s"}},
			Devices: []devices.DeviceConfig{{Site: "s", ID: "d", Kind: "house", Baselines: []devices.Baseline{
				{Field: "both_mm", Value: 10, From: time.UnixMilli(start).Add(4 * time.Minute)},
				{Field: "both_mm", Value: -6.3, From: time.UnixMilli(start).Add(15 * time.Minute)},
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h = append(h, r)
	}
	return h
}

// scenario is what a history is about: a rule, and the numbers its field may have.
type scenario struct {
	name    string
	field   string
	worse   devices.Direction
	numbers []float64
	over    float64 // beyond the range on the dangerous side; 0: there is none
	limits  []float64
	change  func(r *rand.Rand, rule *rules.Rule)
}

var highNumbers = []float64{0, 10, 17, 20, 24, 30, 33, 40, 50}

var scenarios = [...]scenario{
	{name: "higher is worse", field: "high_c", worse: devices.High, numbers: highNumbers, over: 150, limits: []float64{20, 30, 40}},
	{name: "lower is worse", field: "low_m", worse: devices.Low, numbers: highNumbers, over: -5, limits: []float64{30, 20, 10}},
	{name: "size", field: "both_mm", worse: devices.Both, numbers: []float64{0, 10, -17, 20, -24, 30, -40}, over: -300, limits: []float64{20, 30, 40}},
	{name: "states", field: "mode_state", numbers: []float64{0, 1, 2, 3}, change: func(r *rand.Rand, rule *rules.Rule) {
		rule.Steps = []rules.Step{{Level: rules.Yellow, Is: []float64{1}, For: pick(r, waits)}, {Level: rules.Red, Is: []float64{2}}}
		rule.Hold = []float64{3}
	}},
	{name: "confirm", field: "high_c", worse: devices.High, numbers: highNumbers, over: 150, limits: []float64{20, 30, 40}, change: func(r *rand.Rand, rule *rules.Rule) {
		rule.Confirm = pick(r, []rules.Confirm{{N: 2, Of: 3}, {N: 2, Of: 2}, {N: 3, Of: 5}, {N: 5, Of: 8}})
	}},
	{name: "rate", field: "both_mm", worse: devices.Both, numbers: []float64{0, 1, 2, 4, 5, 7, 10, 20}, over: 300, limits: []float64{2, 3, 5}, change: func(r *rand.Rand, rule *rules.Rule) {
		rule.Measure = &rules.Measure{Quantity: rules.Rate, Over: pick(r, []time.Duration{10 * time.Minute, 31*time.Minute + time.Second, 2 * time.Hour}), Per: 5 * time.Minute, Samples: pick(r, []int{2, 3, 5}), Span: pick(r, []time.Duration{0, 30 * time.Second, 6 * time.Minute})}
		rule.Clear.Hysteresis = min(rule.Clear.Hysteresis, 1.5) // the mildest limit is 2
		if r.IntN(3) == 0 {
			rule.Confirm = rules.Confirm{N: 2, Of: 3}
		}
	}},
	{name: "delta", field: "both_mm", worse: devices.Both, numbers: []float64{0, 4, 10, 13.7, 20, 30, 45}, over: 300, limits: []float64{20, 30, 40}, change: func(_ *rand.Rand, rule *rules.Rule) {
		rule.Measure = &rules.Measure{Quantity: rules.Delta}
	}},
	{name: "sum", field: "rain_mm", worse: devices.High, numbers: []float64{0, 0, 0.1, 0.2, 3, 7, 9.9, 10}, over: 70, limits: []float64{10, 20, 40}, change: func(r *rand.Rand, rule *rules.Rule) {
		rule.Measure = &rules.Measure{Quantity: rules.Sum, Over: pick(r, windows)}
	}},
	{name: "dry", field: "rain_mm", worse: devices.Low, numbers: []float64{0, 0, 0.1, 0.2, 3, 7, 9.9, 10}, limits: []float64{20, 10, 5}, change: func(r *rand.Rand, rule *rules.Rule) {
		rule.Measure = &rules.Measure{Quantity: rules.Sum, Over: pick(r, windows)}
	}},
	{name: "growth", field: "total_mm", worse: devices.High, numbers: []float64{0, 5, 10, 11, 20, 30, 31, 1000, 1010}, limits: []float64{10, 20, 1000}, change: func(r *rand.Rand, rule *rules.Rule) {
		rule.Measure = &rules.Measure{Quantity: rules.Growth, Over: pick(r, windows)}
	}},
	{name: "expect", field: "mode_state", numbers: []float64{0, 1, 2}, over: 150, change: func(r *rand.Rand, rule *rules.Rule) {
		within := pick(r, []time.Duration{time.Second, 30 * time.Second, 4 * time.Minute, 20 * time.Minute})
		rule.Expect = &rules.Expect{Is: []float64{1}, Within: within, While: rules.Trigger{Field: "high_c", Worse: devices.High, Limit: rules.Limit{Value: 20}}}
		rule.Steps = []rules.Step{{Level: rules.Red, For: within}}
	}},
}

var (
	waits   = []time.Duration{0, 0, 30 * time.Second, 90 * time.Second, 7 * time.Minute}
	windows = []time.Duration{2 * time.Minute, 10 * time.Minute, 40 * time.Minute, 25 * time.Hour}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// history is what happened: what was measured, when it came, and when the gateway
// was started again.
type history struct {
	scenario int
	registry *devices.Registry
	device   *devices.Device // its only one
	rule     *rules.Rule
	messages []message // the last comes last, and at once
	restarts []restart
	after    int64 // how long the clock goes on behind the last message
	probe    int64 // a moment on the way, ms from the start
}

type message struct {
	time    int64 // event time, ms from the start
	seq     int
	values  []value
	delays  []int64 // of every time it comes
	history bool    // it comes in an array, out of a device's memory
}

type value struct {
	field  string
	number float64
	modelQuality
}

type modelQuality int

const (
	isGood modelQuality = iota
	isBad
	isOver // beyond the range, on the dangerous side
)

// restart happens behind arrival number at, from the snapshot behind number from.
type restart struct{ at, from int }

func (h house) draw(seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 0))
	x := &history{scenario: r.IntN(len(scenarios)), after: int64(r.IntN(1200)) * 1000}
	x.registry = pick(r, h)
	x.device, _ = x.registry.DeviceByKey("s/d")
	s := &scenarios[x.scenario]
	x.rule = s.rule(r, x.device.Kind.ID)
	now, lateness := int64(0), x.device.Kind.Lateness.Milliseconds()
	gaps := pick(r, [][]int64{{0, 1, 10, 30, 60}, {10, 60, 120, 300}, {60, 600, 1800}})
	for n := 2 + r.IntN(35); n > 0; n-- {
		now += pick(r, gaps) * 1000
		m := message{time: now, seq: len(x.messages) + 1, values: s.values(r), delays: []int64{0}}
		if r.IntN(2) == 0 {
			m.delays[0] = r.Int64N(lateness)
		}
		if r.IntN(5) == 0 {
			m.delays = append(m.delays, m.delays[0]+r.Int64N(lateness-m.delays[0]))
		}
		m.history = r.IntN(6) == 0 || slices.Max(m.delays) > 30*60*1000 // old ones that come by themselves are taken for a wrong clock
		x.messages = append(x.messages, m)
	}
	x.finish()
	x.probe = x.drawProbe(r)
	for range r.IntN(4) {
		at := r.IntN(len(x.arrivals()))
		x.restarts = append(x.restarts, restart{at: at, from: r.IntN(at + 1)})
	}
	return x
}

// drawProbe is a moment when something may change: at a sample, a while behind
// one, or when one leaves a window.
func (x *history) drawProbe(r *rand.Rand) int64 {
	at := pick(r, x.messages).time
	switch m := x.rule.Measure; {
	case m != nil && m.Over > 0 && r.IntN(2) == 0:
		return at + m.Over.Milliseconds() + pick(r, []int64{-1, 0, 1, 700})
	case r.IntN(2) == 0:
		return at + r.Int64N(600_000)
	}
	return at
}

// finish lets the last message come last, and at once.
func (x *history) finish() {
	end := int64(0)
	for _, m := range x.messages {
		end = max(end, m.time+slices.Max(m.delays))
	}
	last := &x.messages[len(x.messages)-1]
	last.time, last.delays, last.history = end, []int64{0}, false
}

func (s *scenario) rule(r *rand.Rand, kind string) *rules.Rule {
	rule := &rules.Rule{ID: "rule", Kind: kind, Field: s.field, Worse: s.worse}
	levels := []rules.Level{rules.Yellow, rules.Orange, rules.Red}
	for i, l := range s.limits {
		if i == 0 || r.IntN(2) == 0 {
			rule.Steps = append(rule.Steps, rules.Step{Level: levels[i], Limit: rules.Limit{Value: l}, For: pick(r, waits)})
		}
	}
	rule.Clear = rules.Clear{Hysteresis: pick(r, []float64{0, 0, 0.5, 1.5, 3}), For: pick(r, waits)}
	if s.worse == "" {
		rule.Clear.Hysteresis = 0
	}
	if s.change != nil {
		s.change(r, rule)
	}
	return rule
}

// values are what one message holds of the rule's fields, most often one value.
func (s *scenario) values(r *rand.Rand) []value {
	if s.name != "expect" {
		return []value{s.value(r, s.field, s.numbers, s.over)}
	}
	state, trigger := s.value(r, s.field, s.numbers, 0), s.value(r, "high_c", []float64{5, 19, 20, 30}, s.over)
	switch r.IntN(4) {
	case 0:
		return []value{state, trigger}
	case 1:
		return []value{state}
	}
	return []value{trigger}
}

func (s *scenario) value(r *rand.Rand, field string, numbers []float64, over float64) value {
	v := value{field, pick(r, numbers), isGood}
	switch r.IntN(14) {
	case 0:
		v.number, v.modelQuality = -999, isBad
	case 1:
		if over != 0 {
			v.number, v.modelQuality = over, isOver
		}
	}
	return v
}

// arrival is one message as it comes.
type arrival struct {
	*message
	received int64 // ms from the start
	payload  []byte
}

func (x *history) arrivals() (out []arrival) {
	for i := range x.messages {
		for _, d := range x.messages[i].delays {
			out = append(out, arrival{message: &x.messages[i], received: x.messages[i].time + d})
		}
	}
	slices.SortStableFunc(out, func(a, b arrival) int { return cmp.Compare(a.received, b.received) })
	return out
}

// ordered is the same without what should not matter.
func (x *history) ordered() *history {
	o := *x
	o.restarts, o.messages = nil, slices.Clone(x.messages)
	for i := range o.messages {
		o.messages[i].delays, o.messages[i].history = []int64{0}, false
	}
	return &o
}

func (m *message) payload() []byte {
	var values []byte
	for i, v := range m.values {
		values = fmt.Appendf(values, "%s%q:%v", [...]string{"", ","}[min(i, 1)], v.field, v.number)
	}
	text := fmt.Appendf(nil, `{"ts":%d,"seq":%d,"values":{%s}}`, start+m.time, m.seq, values)
	if m.history {
		return fmt.Appendf(nil, "[%s]", text)
	}
	return text
}

// samples are what the model is told.
func (x *history) samples() (out []modelSample) {
	for _, m := range x.messages {
		for _, v := range m.values {
			out = append(out, modelSample{time: start + m.time, seq: m.seq, value: v.number, quality: v.modelQuality, trigger: v.field != x.rule.Field})
		}
	}
	return out
}

// gateway is intake, engine and book, as the judge uses them.
type gateway struct {
	history *history
	intake  *devices.Intake
	engine  *rules.Engine
	book    *alarms.Book

	decoded devices.Decoded
	outcome devices.Outcome
	changes []rules.Change
	seq     uint64
}

func newGateway(x *history) *gateway {
	g := &gateway{history: x, book: alarms.NewBook()}
	g.start()
	return g
}

func (g *gateway) start() {
	g.intake = devices.NewIntake(devices.IntakeOptions{Registry: g.history.registry})
	g.engine = rules.NewEngine(rules.EngineOptions{Registry: g.history.registry, Rules: []*rules.Rule{g.history.rule}})
}

// judge takes what arrived; a quiet gateway tells nobody.
func (g *gateway) judge(n int, a *arrival, quiet bool) {
	now := start + a.received
	g.changes = g.engine.Advance(now, g.changes[:0])
	g.outcome.Reset()
	g.intake.Decode(devices.Incoming{Position: uint64(n + 1), Received: now, Source: "x", Topic: "v1/" + g.history.device.Key() + "/telemetry", Payload: a.payload}, &g.decoded)
	v := g.intake.Accept(&g.decoded, &g.outcome)
	for i := range v.Readings {
		g.changes = g.engine.Judge(&v.Readings[i], now, g.changes)
	}
	if !quiet {
		g.record(g.book.Apply(g.changes, alarms.Cause{Position: uint64(n + 1), Clock: now}))
	}
}

func (g *gateway) advance(n int, now int64) {
	g.changes = g.engine.Advance(now, g.changes[:0])
	g.record(g.book.Apply(g.changes, alarms.Cause{Position: uint64(n + 1), Clock: now}))
}

func (g *gateway) record(events []alarms.Event) {
	for i := range events {
		g.seq++
		g.book.Recorded(&events[i], g.seq)
	}
}

// saved is a snapshot of the gateway.
type saved struct{ intake, engine []byte }

func (g *gateway) save() (s saved, err error) {
	if s.intake, err = g.intake.Snapshot(); err == nil {
		s.engine, err = g.engine.Snapshot()
	}
	return s, err
}

func (g *gateway) restore(s saved) error {
	g.start()
	return cmp.Or(g.intake.Restore(s.intake), g.engine.Restore(s.engine))
}

// play lets everything arrive and says what is open at the last message, and
// when the clock has gone on.
func (g *gateway) play() (atEnd, after string, err error) {
	arrivals := g.history.arrivals()
	for i := range arrivals {
		arrivals[i].payload = arrivals[i].message.payload()
	}
	snapshots := map[int]saved{}
	for n := range arrivals {
		g.judge(n, &arrivals[n], false)
		for _, r := range g.history.restarts {
			if r.from == n {
				if snapshots[n], err = g.save(); err != nil {
					return "", "", err
				}
			}
		}
		for _, r := range g.history.restarts {
			if r.at == n {
				g.advance(n, start+arrivals[n].received) // what is due is told before
				if err := g.restart(r, arrivals, snapshots[r.from]); err != nil {
					return "", "", err
				}
			}
		}
	}
	last := len(arrivals) - 1
	end := start + arrivals[last].received
	g.advance(last, end)
	if atEnd, err = g.open(); err != nil {
		return "", "", err
	}
	g.advance(last, end+g.history.after)
	after, err = g.open()
	return atEnd, after, err
}

// playUntil lets arrive what arrives until then and says what is open.
func (g *gateway) playUntil(t int64) (string, error) {
	n := 0
	for _, a := range g.history.arrivals() {
		if a.received <= t {
			a.payload = a.message.payload()
			g.judge(n, &a, false)
			n++
		}
	}
	g.advance(n, start+t)
	return g.open()
}

// restart goes on from a snapshot with what arrived since; all of that was told.
func (g *gateway) restart(r restart, arrivals []arrival, s saved) error {
	if err := g.restore(s); err != nil {
		return err
	}
	for n := r.from + 1; n <= r.at; n++ {
		g.judge(n, &arrivals[n], true)
	}
	now := start + arrivals[r.at].received
	g.engine.Advance(now, nil)
	if e := g.book.Reconcile(g.engine.Levels(nil), alarms.Cause{Position: uint64(r.at + 1), Clock: now}); len(e) > 0 {
		return fmt.Errorf("after the restart %+v the levels are others: %s of %s, %s", r, e[0].Type, e[0].Alarm.Rule, e[0].Alarm.Level)
	}
	return nil
}

// open is the level of the history's rule, with what led to it; the open alarm
// has the same, though perhaps from a reading that led there first.
func (g *gateway) open() (string, error) {
	level, line, alarm := rules.Normal, "normal", rules.Normal
	for _, c := range g.engine.Levels(nil) {
		if c.Rule.ID == "rule" {
			level, line = c.Level, fmt.Sprintf("%s %v of %v since %d, unverified %v", c.Level, c.Value, c.Limit, c.Sample-start, c.Unverified)
		}
	}
	for _, a := range g.book.Alarms() {
		if a.Rule == "rule" && a.State == alarms.ActiveUnacked {
			alarm = a.Level
		}
	}
	if level != alarm {
		return "", fmt.Errorf("the level is %s, the open alarm %s", level, alarm)
	}
	return line, nil
}

// worst is the worst level that was ever told of the rule.
func (g *gateway) worst() (level rules.Level) {
	for _, a := range g.book.Alarms() {
		if a.Rule == "rule" {
			level = max(level, a.WorstLevel)
		}
	}
	return level
}

// verdict says what is wrong with a history, and whether its rule raised an alarm.
func (x *history) verdict() (wrong string, alarmed bool) {
	any, ordered := newGateway(x), newGateway(x.ordered())
	for _, u := range any.engine.Unarmed() {
		return u.String(), true
	}
	anyEnd, anyAfter, err := any.play()
	if err != nil {
		return err.Error(), true
	}
	orderedEnd, orderedAfter, err := ordered.play()
	if err != nil {
		return "ordered: " + err.Error(), true
	}
	onTheWay, err := newGateway(x.ordered()).playUntil(x.probe)
	if err != nil {
		return "on the way: " + err.Error(), true
	}
	end := start + x.messages[len(x.messages)-1].time
	m := &model{rule: x.rule, baselines: x.device.Baselines, jump: x.jump()}
	for _, c := range []struct{ at, any, ordered, model string }{
		{"at the end", anyEnd, orderedEnd, m.level(x.samples(), end).String()},
		{"after the end", anyAfter, orderedAfter, m.level(x.samples(), end+x.after).String()},
		{fmt.Sprintf("on the way, at %d ms", x.probe), onTheWay, onTheWay, m.level(x.samples(), start+x.probe).String()},
	} {
		word, orderedWord := firstWord(c.any), firstWord(c.ordered)
		if word != c.model || orderedWord != c.model || c.any != c.ordered && !x.backfills() {
			return fmt.Sprintf("%s: %s; in order: %s; the model: %s", c.at, c.any, c.ordered, c.model), true
		}
	}
	if any.worst() < ordered.worst() {
		return fmt.Sprintf("the ordered run told of %s, this one of no more than %s", ordered.worst(), any.worst()), true
	}
	return "", ordered.worst() > rules.Normal
}

// jump is how far values may jump of what the history is about.
func (x *history) jump() *devices.MaxDelta {
	name := x.rule.Field
	if x.rule.Expect != nil {
		name = x.rule.Expect.While.Field
	}
	f, _ := x.device.Kind.Field(name)
	return f.MaxDelta
}

// backfills says that what came late was history, so that the level is told of
// the first reading that is news.
func (x *history) backfills() bool {
	return slices.ContainsFunc(x.messages, func(m message) bool { return slices.Max(m.delays) > 30*60*1000 })
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func (h house) check(t *testing.T, seed uint64) (scenario int, alarmed bool) {
	x := h.draw(seed)
	wrong, alarmed := x.verdict()
	if wrong == "" {
		return x.scenario, alarmed
	}
	x = x.shrink()
	wrong, _ = x.verdict()
	t.Errorf("history %d (go test ./rules -run AnyHistory -history %d): %s\n%s", seed, seed, wrong, x)
	return x.scenario, alarmed
}

// shrink leaves out whatever may be left out so that the history is still wrong.
func (x *history) shrink() *history {
	for again := true; again; {
		again = false
		for try := range x.smaller {
			if wrong, _ := try.verdict(); wrong != "" {
				x, again = try, true
				break
			}
		}
	}
	return x
}

// smaller are histories with a little less in them.
func (x *history) smaller(yield func(*history) bool) {
	clone := func() *history {
		c := *x
		c.messages, c.restarts = slices.Clone(x.messages), slices.Clone(x.restarts)
		return &c
	}
	for i := range x.restarts {
		c := clone()
		c.restarts = slices.Delete(c.restarts, i, i+1)
		if !yield(c) {
			return
		}
	}
	for i := range len(x.messages) - 1 {
		c := clone()
		c.messages = slices.Delete(c.messages, i, i+1)
		n := len(c.arrivals())
		for j, r := range c.restarts {
			c.restarts[j] = restart{at: min(r.at, n-1), from: min(r.from, n-1)}
		}
		if !yield(c) {
			return
		}
	}
	for i, m := range x.messages[:len(x.messages)-1] {
		if len(m.delays) > 1 || m.delays[0] > 0 {
			c := clone()
			c.messages[i].delays = m.delays[:1]
			if len(m.delays) == 1 {
				c.messages[i].delays = []int64{0}
			}
			c.restarts = nil
			if !yield(c) {
				return
			}
		}
	}
}

func (x *history) String() string {
	rule, err := json.Marshal(x.rule)
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, up to %s late, restarts %v, clock goes on for %ds\n%s\n", scenarios[x.scenario].name, x.device.Kind.Lateness, x.restarts, x.after/1000, rule)
	for i, a := range x.arrivals() {
		fmt.Fprintf(&b, "%2d received %7.1fs, measured %7.1fs", i, float64(a.received)/1000, float64(a.time)/1000)
		for _, v := range a.values {
			fmt.Fprintf(&b, ", %s %v %s", v.field, v.number, [...]string{"", "bad", "over"}[v.modelQuality])
		}
		b.WriteString("\n")
	}
	return b.String()
}
