package devices

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LoadKinds reads every *.yaml file of a folder, sorted by kind id, and in its
// folder "shared" the sets of fields that kinds include.
func LoadKinds(dir fs.FS) ([]*Kind, error) {
	sets := fieldSets{}
	var kinds []*Kind
	err := errors.Join(
		readEach(dir, "shared/*.yaml", func(name string, data []byte) error { return sets.parse(name, data) }),
		readEach(dir, "*.yaml", func(name string, data []byte) error {
			k, err := parseKind(name, data, sets)
			kinds = append(kinds, k)
			return err
		}))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(kinds, func(a, b *Kind) int { return strings.Compare(a.ID, b.ID) })
	return kinds, nil
}

// readEach hands over every file that matches, and returns all that was wrong.
func readEach(dir fs.FS, pattern string, take func(name string, data []byte) error) error {
	names, err := fs.Glob(dir, pattern)
	if err != nil {
		return fmt.Errorf("list kinds: %w", err)
	}
	var errs []error
	for _, name := range names {
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("read kind: %w", err))
			continue
		}
		errs = append(errs, take(name, data))
	}
	return errors.Join(errs...)
}

// fieldSets are fields that several kinds include, by the name of their file.
type fieldSets map[string][]*Field

func (s fieldSets) parse(name string, data []byte) error {
	var set struct {
		Fields []*Field `yaml:"fields"`
	}
	doc, err := ReadDocument(name, data, &set)
	if err != nil {
		return err
	}
	id := strings.TrimSuffix(path.Base(name), ".yaml")
	s[id] = nil // it is there, though it may be of no use
	if err := errors.Join(checkFields(doc, set.Fields)...); err != nil {
		return err
	}
	s[id] = set.Fields
	return nil
}

// ParseKind reads one kind that includes nothing. Complaints say
// file:line:column.
func ParseKind(name string, data []byte) (*Kind, error) { return parseKind(name, data, nil) }

func parseKind(name string, data []byte, sets fieldSets) (*Kind, error) {
	k := new(Kind)
	doc, err := ReadDocument(name, data, k)
	if err != nil {
		return nil, err
	}
	if k.Silence == 0 {
		k.Silence = max(3*k.Interval, 10*time.Minute)
	}
	if k.Lateness == 0 {
		k.Lateness = max(2*k.Interval, 10*time.Minute)
	}
	if err := errors.Join(k.check(name, doc)...); err != nil {
		return nil, err
	}
	if err := k.include(doc, sets); err != nil {
		return nil, err
	}
	if err := k.Index(); err != nil {
		return nil, doc.Errorf("$.fields", "%v", err)
	}
	return k, nil
}

// include adds the fields of the sets the kind names; a field of the kind's own
// takes the place of one of that name.
func (k *Kind) include(doc *Document, sets fieldSets) error {
	for i, name := range k.Include {
		set, ok := sets[name]
		if !ok {
			return doc.Errorf(fmt.Sprintf("$.include[%d]", i), "there is no shared/%s.yaml beside the kinds%s", name, DidYouMean(name, slices.Collect(maps.Keys(sets))))
		}
		for _, f := range set {
			if slices.ContainsFunc(k.Fields, func(own *Field) bool { return own.Name == f.Name }) {
				continue
			}
			own := *f
			k.Fields = append(k.Fields, &own)
		}
	}
	return nil
}

var (
	kindID    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

func (k *Kind) check(file string, doc *Document) (errs []error) {
	complain := func(path, format string, args ...any) { errs = append(errs, doc.Errorf(path, format, args...)) }
	base := strings.TrimSuffix(path.Base(file), ".yaml")
	switch {
	case !kindID.MatchString(k.ID):
		complain("$.kind", "kind %q: want lower-case letters, digits and _, beginning with a letter", k.ID)
	case k.ID != base:
		complain("$.kind", "kind %q stands in the file of %q: name the file %s.yaml", k.ID, base, k.ID)
	}
	checkText(complain, "$.name", k.Name)
	if k.Interval <= 0 {
		complain("$.interval", "interval %s: say how often a device speaks when nothing happens, e.g. 5m", k.Interval)
	}
	if k.Silence < k.Interval {
		complain("$.silence", "silence %s is shorter than interval %s: every device would be silent", k.Silence, k.Interval)
	}
	if k.Lateness < 0 {
		complain("$.lateness", "lateness %s is negative", k.Lateness)
	}
	if len(k.Fields) == 0 {
		complain("$.fields", "a kind needs at least one field")
	}
	return append(errs, checkFields(doc, k.Fields)...)
}

func checkFields(doc *Document, fields []*Field) (errs []error) {
	complain := func(path, format string, args ...any) { errs = append(errs, doc.Errorf(path, format, args...)) }
	seen := map[string]bool{}
	for i, f := range fields {
		at := fmt.Sprintf("$.fields[%d]", i)
		if f == nil {
			complain(at, "the field is empty")
			continue
		}
		if seen[f.Name] {
			complain(at+".name", "field %q is declared twice", f.Name)
		}
		seen[f.Name] = true
		f.check(complain, at)
	}
	return errs
}

func (f *Field) check(complain func(path, format string, args ...any), at string) {
	if !fieldName.MatchString(f.Name) {
		complain(at+".name", "field %q: want lower-case letters, digits and _, beginning with a letter", f.Name)
	}
	checkText(complain, at+".title", f.Title)
	f.checkUnit(complain, at+".unit")
	if len(f.States) > 0 {
		f.checkStates(complain, at)
	} else {
		f.checkRange(complain, at)
	}
	switch f.Danger {
	case "", High, Low, Both:
	default:
		complain(at+".danger", "unknown direction %q, want one of: high, low, both", f.Danger)
	}
	if f.MaxDelta != nil {
		f.checkMaxDelta(complain, at+".max_delta")
	}
	for i, s := range f.Sentinels {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			complain(fmt.Sprintf("%s.sentinels[%d]", at, i), "sentinel %v: a device cannot send it, leave it out", s)
		}
	}
}

func (f *Field) checkRange(complain func(path, format string, args ...any), at string) {
	low, high := f.Range[0], f.Range[1]
	switch {
	case math.IsNaN(low) || math.IsNaN(high) || math.IsInf(low, 0) || math.IsInf(high, 0):
		complain(at+".range", "range [%v, %v]: both ends must be numbers", low, high)
	case low == 0 && high == 0:
		complain(at+".range", "field %q needs a range: what the sensor can credibly say", f.Name)
	case low >= high:
		complain(at+".range", "range [%v, %v]: the lower end comes first", low, high)
	}
}

func (f *Field) checkMaxDelta(complain func(path, format string, args ...any), at string) {
	m := f.MaxDelta
	if len(f.States) > 0 {
		complain(at, "a field with states does not jump: leave max_delta out")
		return
	}
	switch wide := f.Range[1] - f.Range[0]; {
	case (m.Value == 0) == (m.Param == ""):
		complain(at, "max_delta: want either value or param, how far a value may lie from the one before it")
	case m.Param == "" && m.Factor != 0:
		complain(at+".factor", "factor is for param: write the number as value")
	case m.Value < 0 || m.Factor < 0 || math.IsNaN(m.Value+m.Factor) || math.IsInf(m.Value+m.Factor, 0):
		complain(at, "max_delta %v: want a number above 0", m.Value+m.Factor)
	case m.Value > wide && wide > 0:
		complain(at+".value", "max_delta %v is wider than the range %v to %v: nothing could ever jump", m.Value, f.Range[0], f.Range[1])
	}
	if m.Per < 0 {
		complain(at+".per", "per %s is negative", m.Per)
	}
}

func (f *Field) checkStates(complain func(path, format string, args ...any), at string) {
	if f.Danger != "" {
		complain(at+".danger", "a field with states has no dangerous side")
	}
	if f.Range != [2]float64{} {
		complain(at+".range", "a field with states has no range: the states are what it can say")
	}
	for code, text := range f.States {
		if _, err := strconv.Atoi(code); err != nil {
			complain(at+".states", "state %q: want a whole number", code)
		}
		checkText(complain, at+".states."+code, text)
	}
}

func checkText(complain func(path, format string, args ...any), at string, t Text) {
	if t.ZH == "" || t.EN == "" {
		complain(at, "want a text in both languages: {zh: …, en: …}")
	}
}

// units maps the last words of a field's name to its unit as people read it.
// The longest suffix that fits counts: gas_lel_pct is in %LEL, not in %.
var units = map[string][]string{
	"v": {"V"}, "a": {"A"}, "ma": {"mA"},
	"kw": {"kW"}, "kvar": {"kvar"}, "kva": {"kVA"}, "kwh": {"kWh"},
	"hz": {"Hz"}, "c": {"°C"}, "c_min": {"°C/min"},
	"pct": {"%"}, "lel_pct": {"%LEL"}, "vol_pct": {"%VOL"}, "pct_m": {"%/m"},
	"lelm": {"LEL·m"}, "ppm": {"ppm"}, "mgm3": {"mg/m³"},
	"m": {"m"}, "cm": {"cm"}, "mm": {"mm"},
	"m_d": {"m/d"}, "mm_d": {"mm/d"}, "mm_h": {"mm/h"}, "cm_min": {"cm/min"},
	"deg": {"°"}, "kpa": {"kPa"}, "mpa": {"MPa"}, "pa": {"Pa"},
	"l_s": {"L/s"}, "l_min": {"L/min"}, "l": {"L"}, "m3_h": {"m³/h"}, "m3_s": {"m³/s"},
	"ntu": {"NTU"}, "ms": {"m/s"}, "mg": {"mg"}, "kn": {"kN", "kn"},
	"dbm": {"dBm"}, "db": {"dB"}, "s": {"s"}, "1s": {""},
	"state": {""}, "on": {""}, "open": {""}, "factor": {""},
}

// checkUnit holds the unit shown to people to the one in the field's name, so
// that a number is never read in another unit than it was sent in.
func (f *Field) checkUnit(complain func(path, format string, args ...any), at string) {
	for rest := f.Name; ; {
		_, after, found := strings.Cut(rest, "_")
		if !found {
			break
		}
		rest = after
		want, known := units[rest]
		if !known {
			continue
		}
		if !slices.Contains(want, f.Unit) {
			complain(at, "unit %q does not fit the name %q, whose suffix _%s says %q", f.Unit, f.Name, rest, want[0])
		}
		return
	}
	if f.Unit != "" {
		complain(at, "unit %q: the name %q must end in its unit, e.g. _mm or _lel_pct", f.Unit, f.Name)
	}
}
