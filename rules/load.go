package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"fengsui/devices"
)

// LoadRules reads every *.yaml file of a folder but the tests beside them
// (*_test.yaml). It reports all that is wrong, not only the first.
func LoadRules(dir fs.FS, kinds []*devices.Kind) ([]*Rule, error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	var all []*Rule
	var errs []error
	files := map[string]string{} // of each rule id
	for _, name := range names {
		if strings.HasSuffix(name, "_test.yaml") {
			continue
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read rules: %w", err))
			continue
		}
		parsed, err := ParseRules(name, text, kinds)
		errs = append(errs, err)
		for _, r := range parsed {
			if other := files[r.ID]; other != "" && other != name {
				errs = append(errs, fmt.Errorf("%s: rule %q stands in %s already", name, r.ID, other))
			}
			files[r.ID] = name
		}
		all = append(all, parsed...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// ruleFile is a file of rules for one kind, or for several that share fields.
type ruleFile struct {
	Kind  string     `yaml:"kind"`
	Kinds []string   `yaml:"kinds"` // instead of kind
	Rules []ruleText `yaml:"rules"`
}

// ruleText is a rule as people write it.
type ruleText struct {
	ID     string            `yaml:"id"`
	Field  string            `yaml:"field"`
	Fields []string          `yaml:"fields"` // instead of field: the same rule for each
	Title  devices.Text      `yaml:"title"`
	Advice devices.Text      `yaml:"advice"`
	Basis  Basis             `yaml:"basis"`
	Worse  devices.Direction `yaml:"worse"`
	Steps  []stepText        `yaml:"steps"`
	Hold   []float64         `yaml:"hold"`
	Clear  *clearText        `yaml:"clear"`
	Latch  bool              `yaml:"latch"`
	Unless string            `yaml:"unless"`
	Only   string            `yaml:"only"`

	Measure *measureText `yaml:"measure"`
	Unit    string       `yaml:"unit"`
	Confirm *Confirm     `yaml:"confirm"`
	Expect  *expectText  `yaml:"expect"`
	Level   string       `yaml:"level"` // of a rule that expects a state
}

type stepText struct {
	Level string           `yaml:"level"`
	Limit any              `yaml:"limit"` // a number, or {param, default, factor, offset}
	Is    []float64        `yaml:"is"`
	For   devices.Duration `yaml:"for"`
}

type clearText struct {
	Limit      any              `yaml:"limit"`
	Hysteresis *float64         `yaml:"hysteresis"`
	For        devices.Duration `yaml:"for"`
}

// ParseRules reads a file of rules. Complaints say file:line:column.
func ParseRules(name string, text []byte, kinds []*devices.Kind) ([]*Rule, error) {
	var file ruleFile
	doc, err := devices.ReadDocument(name, text, &file)
	if err != nil {
		return nil, err
	}
	c := &checker{doc: doc}
	var out []*Rule
	for _, k := range c.kinds(&file, kinds) {
		c.seen = map[string]bool{}
		for n := range file.Rules {
			c.at = fmt.Sprintf("$.rules[%d]", n)
			out = append(out, c.rules(&file.Rules[n], k)...)
		}
		if len(c.errs) > 0 {
			break // the next kind would hear the same
		}
	}
	if len(file.Rules) == 0 {
		c.complain("$.rules", "want at least one rule")
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// checker collects what is wrong with a file.
type checker struct {
	doc  *devices.Document
	at   string // the rule at hand
	seen map[string]bool
	errs []error
}

func (c *checker) complain(path, format string, args ...any) {
	c.errs = append(c.errs, c.doc.Errorf(path, format, args...))
}

// kinds are those that a file's rules are for.
func (c *checker) kinds(file *ruleFile, all []*devices.Kind) (out []*devices.Kind) {
	names, at := file.Kinds, func(i int) string { return fmt.Sprintf("$.kinds[%d]", i) }
	if len(names) == 0 {
		names, at = []string{file.Kind}, func(int) string { return "$.kind" }
	} else if file.Kind != "" {
		c.complain("$.kinds", "want either kind or kinds")
	}
	for n, name := range names {
		i := slices.IndexFunc(all, func(k *devices.Kind) bool { return k.ID == name })
		if i < 0 {
			c.complain(at(n), "unknown kind %q%s", name, nearest(name, all, func(k *devices.Kind) string { return k.ID }))
			continue
		}
		out = append(out, all[i])
	}
	return out
}

var ruleID = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// rules checks one entry and makes a rule of it for each of its fields.
func (c *checker) rules(t *ruleText, k *devices.Kind) (out []*Rule) {
	before := len(c.errs)
	c.head(t)
	r := &Rule{ID: t.ID, Kind: k.ID, Title: t.Title, Advice: t.Advice, Basis: t.Basis, Worse: t.Worse, Hold: t.Hold, Latch: t.Latch, Unless: t.Unless, Only: t.Only}
	if t.Expect != nil {
		c.expect(t, r, k)
	} else {
		c.ladder(t, r)
	}
	fields, where := t.Fields, c.at+".fields"
	if t.Field != "" {
		fields, where = append([]string{t.Field}, fields...), c.at+".field"
	}
	if len(fields) == 0 || t.Field != "" && len(t.Fields) > 0 {
		c.complain(c.at, "want either field or fields")
	}
	whole := len(c.errs) == before
	for i, name := range fields {
		path := where
		if t.Field == "" {
			path = fmt.Sprintf("%s[%d]", where, i)
		}
		f, ok := k.Field(name)
		if !ok {
			c.complain(path, "kind %s has no field %q%s", k.ID, name, nearest(name, k.Fields, func(f *devices.Field) string { return f.Name }))
			continue
		}
		if slices.Contains(fields[:i], name) {
			c.complain(path, "field %q is named twice", name)
			continue
		}
		own := *r
		own.Field = name
		if whole && c.fits(&own, f) {
			out = append(out, own.seal())
		}
	}
	return out
}

// head checks what a rule says of itself.
func (c *checker) head(t *ruleText) {
	switch {
	case !ruleID.MatchString(t.ID):
		c.complain(c.at+".id", "id %q: want lower-case letters, digits and _, beginning with a letter", t.ID)
	case c.seen[t.ID]:
		c.complain(c.at+".id", "rule %q is given twice; for several fields of one rule use fields", t.ID)
	case slices.ContainsFunc(Builtin(), func(r *Rule) bool { return r.ID == t.ID }):
		c.complain(c.at+".id", "rule %q is built in, choose another id", t.ID)
	}
	if t.Only != "" && t.Only == t.Unless {
		c.complain(c.at+".only", "only and unless are both %s: the rule would watch nothing", t.Only)
	}
	c.seen[t.ID] = true
	for _, text := range []struct {
		key string
		devices.Text
	}{{"title", t.Title}, {"advice", t.Advice}} {
		if text.ZH == "" || text.EN == "" {
			c.complain(c.at+"."+text.key, "%s: want a text in both languages: {zh: …, en: …}", text.key)
		}
	}
	if t.Basis.Text == "" {
		c.complain(c.at+".basis", "basis: say where the limits come from: {text: …, status: …}")
	}
	if words := []string{Verified, Unverified, PlatformDefault, SiteDocument}; !slices.Contains(words, t.Basis.Status) {
		c.complain(c.at+".basis.status", "unknown status %q of the basis, want one of: %s", t.Basis.Status, strings.Join(words, ", "))
	}
}

// ladder checks what a rule of limits says and puts it into the rule.
func (c *checker) ladder(t *ruleText, r *Rule) {
	if t.Level != "" {
		c.complain(c.at+".level", "level stands beside expect; a rule with limits has a level in every step")
	}
	c.steps(t, r)
	c.clear(t, r)
	c.measure(t, r)
	c.confirm(t, r)
}

// steps checks the ladder and puts it into the rule.
func (c *checker) steps(t *ruleText, r *Rule) {
	if n := len(t.Steps); n == 0 || n > maxSteps {
		c.complain(c.at+".steps", "want one to %d steps, blue to red, or fault", maxSteps)
		return
	}
	states := t.Steps[0].Is != nil
	switch {
	case states && t.Worse != "":
		c.complain(c.at+".worse", "states have no worse direction: leave it out")
	case !states && t.Worse != devices.High && t.Worse != devices.Low && t.Worse != devices.Both:
		c.complain(c.at+".worse", "worse %q: want high, low or both, the direction in which values are worse", t.Worse)
	case !states && len(t.Hold) > 0:
		c.complain(c.at+".hold", "hold is for rules whose steps list states with is")
	}
	for i := range t.Steps {
		r.Steps = append(r.Steps, c.step(&t.Steps[i], fmt.Sprintf("%s.steps[%d]", c.at, i), states))
		level := r.Steps[i].Level
		if i > 0 && level != Normal && (level <= r.Steps[i-1].Level || level == Fault) {
			c.complain(fmt.Sprintf("%s.steps[%d].level", c.at, i), "%s after %s: steps go from blue to red, and fault stands alone", level, r.Steps[i-1].Level)
		}
	}
}

func (c *checker) step(t *stepText, at string, states bool) Step {
	s := Step{Is: t.Is, For: time.Duration(t.For)}
	level, err := ParseLevel(t.Level)
	if err != nil || level == Normal {
		c.complain(at+".level", "unknown level %q, want one of: blue, yellow, orange, red, fault", t.Level)
	}
	s.Level = level
	if t.For < 0 {
		c.complain(at+".for", "for %s is negative", s.For)
	}
	switch {
	case states && (t.Limit != nil || len(t.Is) == 0):
		c.complain(at, "want is: the numbers that mean this step, as in the first step")
	case !states && (t.Limit == nil || t.Is != nil):
		c.complain(at, "want limit: a number, or {param: …, default: …, factor: …, offset: …}")
	case !states:
		s.Limit = c.limit(t.Limit, at+".limit")
	}
	return s
}

// limit reads a number, or a design value and what becomes of it.
func (c *checker) limit(t any, at string) (l Limit) {
	if v, ok := devices.Number(t); ok {
		return Limit{Value: v}
	}
	keys, ok := t.(map[string]any)
	if !ok {
		c.complain(at, "want a number, or {param: …, default: …, factor: …, offset: …}")
		return l
	}
	if l.Param, ok = keys["param"].(string); !ok || l.Param == "" {
		c.complain(at, "want param: the name of a design value; default, factor and offset are for it")
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		v, ok := devices.Number(keys[key])
		switch {
		case key == "param":
		case key != "default" && key != "factor" && key != "offset":
			c.complain(at+"."+key, "unknown key %q%s", key, devices.DidYouMean(key, []string{"param", "default", "factor", "offset"}))
		case !ok:
			c.complain(at+"."+key, "want a number")
		case key == "default":
			l.Default = &v
		case key == "factor" && v == 0:
			c.complain(at+"."+key, "factor 0: leave param out and write the number")
		case key == "factor":
			l.Factor = v
		case key == "offset":
			l.Offset = v
		}
	}
	return l
}

// clear checks how levels are left. A ladder says so explicitly, because one
// without hysteresis flutters.
func (c *checker) clear(t *ruleText, r *Rule) {
	if len(t.Steps) == 0 {
		return
	}
	states := t.Steps[0].Is != nil
	if t.Clear == nil {
		if !states {
			c.complain(c.at, "want clear: {hysteresis: …} in the field's unit, explicitly 0 if there is none, or clear: {limit: …}")
		}
		return
	}
	r.Clear.For = time.Duration(t.Clear.For)
	at := c.at + ".clear"
	if r.Clear.For < 0 {
		c.complain(at+".for", "for %s is negative", r.Clear.For)
	}
	has := 0
	if t.Clear.Limit != nil {
		l := c.limit(t.Clear.Limit, at+".limit")
		r.Clear.Limit = &l
		has++
	}
	if h := t.Clear.Hysteresis; h != nil {
		r.Clear.Hysteresis = *h
		has++
		if !(*h >= 0) || math.IsInf(*h, 0) {
			c.complain(at+".hysteresis", "hysteresis %v: want 0 or more, in the field's unit", *h)
		}
	}
	switch {
	case states && has > 0:
		c.complain(at, "states have neither hysteresis nor a clear limit, only for")
	case !states && has != 1:
		c.complain(at, "want either hysteresis, explicitly 0 if there is none, or limit")
	}
}

// fits checks the rule against its field. Limits that are design values are
// checked where they are known: see Engine.Unarmed.
func (c *checker) fits(r *Rule, f *devices.Field) bool {
	before := len(c.errs)
	if r.Expect != nil {
		c.fitsExpect(r, f)
		return len(c.errs) == before
	}
	for i, s := range r.Steps {
		at := fmt.Sprintf("%s.steps[%d]", c.at, i)
		if s.For > 0 && s.Level != Fault && tripsAtOnce(f.Name) {
			c.complain(at+".for", "%s trips on its first sample, always: leave for out", f.Name)
		}
		switch {
		case len(f.States) > 0 && s.Is == nil:
			c.complain(at, "%s holds states: want is, the numbers that mean this step", f.Name)
		case len(f.States) == 0 && s.Is != nil:
			c.complain(at+".is", "%s holds no states: want limit", f.Name)
		}
		c.states(s.Is, f, at+".is")
	}
	c.fitsMeasure(r, f)
	c.states(r.Hold, f, c.at+".hold")
	if len(c.errs) > before || r.parametric() {
		return len(c.errs) == before
	}
	at, _ := limitsAt(r, &devices.Device{Site: &devices.Site{}, Kind: &devices.Kind{}})
	l := newLadder(r, f, &at)
	seen := measuredField(r, f)
	err := l.check(seen)
	if err != nil {
		c.complain(fmt.Sprintf("%s.steps[%d].limit", c.at, l.culprit(seen)), "%v", err)
	}
	return err == nil
}

// states checks that the field can hold these states.
func (c *checker) states(numbers []float64, f *devices.Field, at string) {
	for i, n := range numbers {
		if _, ok := f.States[fmt.Sprint(n)]; !ok && len(f.States) > 0 {
			c.complain(fmt.Sprintf("%s[%d]", at, i), "%s has no state %v", f.Name, n)
		}
	}
}

// parametric says that a limit is known only where a site's design values are.
func (r *Rule) parametric() bool {
	open := func(l Limit) bool { return l.Param != "" && l.Default == nil }
	return r.Clear.Limit != nil && open(*r.Clear.Limit) ||
		slices.ContainsFunc(r.Steps, func(s Step) bool { return open(s.Limit) })
}

// culprit is the first step that check complains of.
func (l *ladder) culprit(f *devices.Field) int {
	for i := range l.steps {
		part := *l
		part.steps = l.steps[:i+1]
		if part.check(f) != nil {
			return i
		}
	}
	return 0
}

func nearest[T any](word string, things []T, name func(T) string) string {
	names := make([]string, len(things))
	for i, t := range things {
		names[i] = name(t)
	}
	return devices.DidYouMean(word, names)
}
