package ruletest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// File is a file of tests for the rules of one kind.
type File struct {
	Name  string
	Tests []*Test

	kind  *devices.Kind
	rules []*rules.Rule // of the kind
}

// Test is a story: what a device sends, and what the desk is to see of it.
type Test struct {
	Name     string
	Place    string // file:line:column
	device   devices.DeviceConfig
	readings []reading // in the order of their arrival
	expects  []expect  // in the order of their times; those without a time first
}

// reading is what the device sends at one moment, counted from the start.
type reading struct {
	at, arrives time.Duration
	values      map[string]float64
}

// expect is what is to be seen at one moment.
type expect struct {
	place    string
	timed    bool
	at       time.Duration
	nothing  bool
	notArmed bool
	rule     string
	field    string // "" for any
	level    rules.Level
	state    string
	title    string
	value    *float64
	limit    *float64
	flags    []string
}

type fileText struct {
	Kind  string     `yaml:"kind"`
	Tests []testText `yaml:"tests"`
}

type testText struct {
	Name      string             `yaml:"name"`
	Params    map[string]float64 `yaml:"params"`
	Baselines map[string]float64 `yaml:"baselines"`
	Interval  devices.Duration   `yaml:"interval"`
	Readings  []map[string]any   `yaml:"readings"`
	Expect    []expectText       `yaml:"expect"`
}

type expectText struct {
	At       *devices.Duration `yaml:"at"`
	Nothing  bool              `yaml:"nothing"`
	Rule     string            `yaml:"rule"`
	Field    string            `yaml:"field"`
	NotArmed bool              `yaml:"not_armed"`
	Level    string            `yaml:"level"`
	State    string            `yaml:"state"`
	Title    string            `yaml:"title"`
	Value    *float64          `yaml:"value"`
	Limit    *float64          `yaml:"limit"`
	Flags    []string          `yaml:"flags"`
}

// Load reads every *_test.yaml file of a folder. It reports all that is wrong,
// not only the first.
func Load(dir fs.FS, kinds []*devices.Kind, set []*rules.Rule) ([]*File, error) {
	names, err := fs.Glob(dir, "*_test.yaml")
	if err != nil {
		return nil, fmt.Errorf("list rule tests: %w", err)
	}
	var files []*File
	var errs []error
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read rule tests: %w", err))
			continue
		}
		f, err := Parse(name, text, kinds, set)
		errs = append(errs, err)
		files = append(files, f)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return files, nil
}

// Parse reads a file of tests. Complaints say file:line:column.
func Parse(name string, text []byte, kinds []*devices.Kind, set []*rules.Rule) (*File, error) {
	var file fileText
	doc, err := devices.ReadDocument(name, text, &file)
	if err != nil {
		return nil, err
	}
	p := &parser{name: name, doc: doc, File: &File{Name: name}}
	i := slices.IndexFunc(kinds, func(k *devices.Kind) bool { return k.ID == file.Kind })
	if i < 0 {
		return nil, doc.Errorf("$.kind", "unknown kind %q%s", file.Kind, devices.DidYouMean(file.Kind, kindIDs(kinds)))
	}
	p.kind = kinds[i]
	for _, r := range append(slices.Clone(set), rules.Builtin()...) {
		if r.Kind == p.kind.ID || r.Kind == "" {
			p.rules = append(p.rules, r)
		}
	}
	if len(file.Tests) == 0 {
		p.complain("$.tests", "want at least one test")
	}
	for i := range file.Tests {
		p.test(&file.Tests[i], fmt.Sprintf("$.tests[%d]", i))
	}
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.File, nil
}

func kindIDs(kinds []*devices.Kind) []string {
	ids := make([]string, len(kinds))
	for i, k := range kinds {
		ids[i] = k.ID
	}
	return ids
}

// parser collects what is wrong with a file.
type parser struct {
	*File
	name string
	doc  *devices.Document
	errs []error
}

func (p *parser) complain(path, format string, args ...any) {
	p.errs = append(p.errs, p.doc.Errorf(path, format, args...))
}

// place is where a path stands: file:line:column.
func (p *parser) place(path string) string {
	line, column := p.doc.Position(path)
	return fmt.Sprintf("%s:%d:%d", p.name, line, column)
}

func (p *parser) test(t *testText, at string) {
	if t.Name == "" {
		p.complain(at, "want name: what the test is about")
	}
	if t.Interval < 0 {
		p.complain(at+".interval", "interval %s is negative", time.Duration(t.Interval))
	}
	out := &Test{Name: t.Name, Place: p.place(at), device: devices.DeviceConfig{
		Site: testSite, ID: testDevice, Kind: p.kind.ID, State: devices.InService,
		Interval: t.Interval, Params: t.Params, Baselines: p.baselines(t.Baselines, at+".baselines"),
	}}
	for i, r := range t.Readings {
		out.readings = append(out.readings, p.reading(r, fmt.Sprintf("%s.readings[%d]", at, i))...)
	}
	slices.SortStableFunc(out.readings, func(a, b reading) int { return cmp.Compare(a.arrives, b.arrives) })
	if len(t.Expect) == 0 {
		p.complain(at, "want expect: what is to be seen, or nothing: true at some time")
	}
	for i := range t.Expect {
		out.expects = append(out.expects, p.expect(&t.Expect[i], fmt.Sprintf("%s.expect[%d]", at, i)))
	}
	slices.SortStableFunc(out.expects, func(a, b expect) int { return cmp.Compare(a.at, b.at) })
	p.Tests = append(p.Tests, out)
}

// baselines hold from the beginning of the year in which every test starts.
func (p *parser) baselines(of map[string]float64, at string) (all []devices.Baseline) {
	for _, field := range slices.Sorted(maps.Keys(of)) {
		if _, ok := p.kind.Field(field); !ok {
			p.complain(at+"."+field, "kind %s has no field %q%s", p.kind.ID, field, devices.DidYouMean(field, fieldNames(p.kind)))
		}
		all = append(all, devices.Baseline{Field: field, Value: of[field], From: time.UnixMilli(begin).AddDate(0, -5, 0)})
	}
	return all
}

// mostReadings bounds what one entry may stand for.
const mostReadings = 10_000

// reading reads one entry, which may stand for many: from, to, every.
func (p *parser) reading(entry map[string]any, at string) []reading {
	before := len(p.errs)
	s := span{}
	given := map[string]bool{}
	for key, to := range map[string]*time.Duration{"at": &s.from, "from": &s.from, "to": &s.to, "every": &s.every, "late": &s.late} {
		if _, ok := entry[key]; ok {
			*to = p.duration(entry[key], at+"."+key)
			given[key] = true
		}
	}
	switch {
	case given["at"] == given["from"]:
		p.complain(at, "want either at: a time, or from, to and every")
	case given["at"] && (given["to"] || given["every"]):
		p.complain(at, "to and every belong to from, not to at")
	case given["from"] && s.every <= 0:
		p.complain(at, "want every: how long from one reading to the next, e.g. 5m")
	case given["to"] && s.to < s.from:
		p.complain(at+".to", "to %s comes before from %s", s.to, s.from)
	}
	if len(p.errs) > before {
		return nil
	}
	s.count = 1
	if given["to"] {
		s.count = int(min((s.to-s.from)/s.every, mostReadings)) + 1
	}
	columns := p.columns(entry, &s, at, given["from"] && !given["to"])
	if len(p.errs) > before {
		return nil
	}
	return s.readings(columns)
}

// span is when the readings of an entry happen.
type span struct {
	from, to, every, late time.Duration
	count                 int
}

func (s *span) readings(columns map[string][]float64) []reading {
	out := make([]reading, s.count)
	for i := range out {
		at := s.from + time.Duration(i)*s.every
		out[i] = reading{at: at, arrives: at + s.late, values: map[string]float64{}}
		for name, numbers := range columns {
			out[i].values[name] = numbers[i]
		}
	}
	return out
}

// columns reads the values of an entry: for every field one number a reading.
// An entry without to is as long as its lists.
func (p *parser) columns(entry map[string]any, s *span, at string, open bool) map[string][]float64 {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(entry)), func(key string) bool {
		return slices.Contains([]string{"at", "from", "to", "every", "late"}, key)
	})
	if len(names) == 0 {
		p.complain(at, "want at least one field with its value, e.g. %s: 1", p.kind.Fields[0].Name)
		return nil
	}
	for _, name := range names {
		if list, ok := entry[name].([]any); open && ok {
			s.count = max(s.count, len(list))
		}
	}
	if s.count > mostReadings {
		p.complain(at, "%d readings or more are too many, want at most %d", s.count, mostReadings)
		return nil
	}
	columns := map[string][]float64{}
	for _, name := range names {
		if _, ok := p.kind.Field(name); !ok {
			p.complain(at+"."+name, "kind %s has no field %q%s", p.kind.ID, name, devices.DidYouMean(name, append(fieldNames(p.kind), "at", "from", "to", "every", "late")))
			continue
		}
		columns[name] = p.column(entry[name], s.count, at+"."+name)
	}
	return columns
}

func fieldNames(k *devices.Kind) []string {
	names := make([]string, len(k.Fields))
	for i, f := range k.Fields {
		names[i] = f.Name
	}
	return names
}

// column reads a number, a ramp "3..25", or as many numbers as there are readings.
func (p *parser) column(v any, count int, at string) []float64 {
	out := make([]float64, count)
	switch v := v.(type) {
	case []any:
		if len(v) != count {
			p.complain(at, "%d values for %d readings", len(v), count)
			return out
		}
		for i := range v {
			n, ok := devices.Number(v[i])
			if !ok {
				p.complain(fmt.Sprintf("%s[%d]", at, i), "%v is no number", v[i])
			}
			out[i] = n
		}
		return out
	case string:
		first, last, ok := ramp(v)
		if !ok {
			p.complain(at, "%q: want a number, a ramp such as 3..25, or a list of numbers", v)
			return out
		}
		for i := range out {
			out[i] = first
			if count > 1 {
				out[i] += (last - first) * float64(i) / float64(count-1)
			}
			out[i] = math.Round(out[i]*1e6) / 1e6
		}
		return out
	}
	n, ok := devices.Number(v)
	if !ok {
		p.complain(at, "%v: want a number, a ramp such as 3..25, or a list of numbers", v)
	}
	for i := range out {
		out[i] = n
	}
	return out
}

func ramp(text string) (first, last float64, ok bool) {
	a, b, ok := strings.Cut(text, "..")
	if !ok {
		return 0, 0, false
	}
	first, err := strconv.ParseFloat(a, 64)
	if err != nil || math.IsNaN(first) || math.IsInf(first, 0) {
		return 0, 0, false
	}
	last, err = strconv.ParseFloat(b, 64)
	return first, last, err == nil && !math.IsNaN(last) && !math.IsInf(last, 0)
}

// longest is how long a story may be.
const longest = 10 * 365 * 24 * time.Hour

func (p *parser) duration(v any, at string) time.Duration {
	text, _ := v.(string)
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longest {
		p.complain(at, "%v: want a time from the start such as 0s, 90s, 5m or 1h30m", v)
		return 0
	}
	return d
}

var states = []string{"active_unacked", "cleared_unacked", "none"}

func (p *parser) expect(t *expectText, at string) expect {
	e := expect{
		place: p.place(at), nothing: t.Nothing, notArmed: t.NotArmed, rule: t.Rule, field: t.Field,
		state: t.State, title: t.Title, value: t.Value, limit: t.Limit, flags: t.Flags,
	}
	if t.At != nil {
		e.timed, e.at = true, time.Duration(*t.At)
		if e.at < 0 || e.at > longest {
			p.complain(at+".at", "%s: want a time from the start such as 0s, 90s, 5m or 1h30m", e.at)
		}
	}
	kinds := 0
	for _, is := range []bool{t.Nothing, t.NotArmed, t.Level != ""} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		p.complain(at, "want one of: nothing: true at a time; rule and not_armed: true; rule and level at a time")
	case t.NotArmed == e.timed:
		p.complain(at, "want at, the time, for what is seen; a rule that is not armed is so all the time")
	case t.Nothing && t.Rule != "":
		p.complain(at+".rule", "nothing is nothing at all; for one rule say level: normal")
	}
	if !t.Nothing {
		p.expectRule(t, &e, at)
	}
	return e
}

// expectRule holds what is expected to what the rules can say.
func (p *parser) expectRule(t *expectText, e *expect, at string) {
	named := slices.DeleteFunc(slices.Clone(p.rules), func(r *rules.Rule) bool { return r.ID != t.Rule })
	if len(named) == 0 {
		var ids []string
		for _, r := range p.rules {
			ids = append(ids, r.ID)
		}
		p.complain(at+".rule", "there is no rule %q of %s%s", t.Rule, p.kind.ID, devices.DidYouMean(t.Rule, ids))
		return
	}
	builtin := named[0].Kind == ""
	if t.Field != "" && !builtin && !slices.ContainsFunc(named, func(r *rules.Rule) bool { return r.Field == t.Field }) {
		p.complain(at+".field", "rule %s does not watch %q", t.Rule, t.Field)
	}
	if t.State != "" && !slices.Contains(states, t.State) {
		p.complain(at+".state", "unknown state %q, want one of: %s", t.State, strings.Join(states, ", "))
	}
	if t.Level == "" {
		return
	}
	level, err := rules.ParseLevel(t.Level)
	if err != nil {
		p.complain(at+".level", "%v", err)
		return
	}
	e.level = level
	if level != rules.Normal && !reaches(named, level) {
		p.complain(at+".level", "rule %s has no step %s", t.Rule, level)
	}
}

// reaches says whether rules can come to a level; those built in are faults.
func reaches(set []*rules.Rule, level rules.Level) bool {
	return slices.ContainsFunc(set, func(r *rules.Rule) bool {
		return slices.Contains(levelsOf(r), level)
	})
}

func levelsOf(r *rules.Rule) []rules.Level {
	if r.Kind == "" {
		return []rules.Level{rules.Fault}
	}
	var levels []rules.Level
	for _, s := range r.Steps {
		levels = append(levels, s.Level)
	}
	return levels
}
