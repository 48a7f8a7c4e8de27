package codec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Path is a way through a payload, from a place in it to one or many others.
//
//	values.gas_lel_pct   the member of an object, and of that one's
//	params."em:0".a      a key in quotes, where it holds . [ ] { } ( ) or ?
//	{device}             every member; its key is captured under a name
//	*                    every member, whatever its key
//	Power[0]             one element of an array
//	datas[]              every element
//	datas[field=quotaId] every element; what lies at quotaId in it is captured
//	{field,time=t}       every member, with captures from it
//	d(json)              the text at d is JSON itself: on with what it says
//	(senml)              the records of a SenML array, each resolved to a value
//	                     with the captures base, field and time
//	value?               the member; where there is no object, the thing itself
//
// The empty path is the place itself.
type Path struct {
	text  string
	steps []step
}

func (p Path) String() string { return p.text }

type stepKind uint8

const (
	stepKey      stepKind = iota // one member
	stepKeys                     // every member
	stepIndex                    // one element
	stepElements                 // every element
	stepJSON                     // the JSON in a text
	stepSenML                    // the records of a SenML array
)

type step struct {
	kind    stepKind
	key     string // of stepKey
	index   int    // of stepIndex
	capture string // of stepKeys; empty: none
	slot    int    // of capture
	binds   []bind
	soft    bool // where the step cannot be made, stay
}

// bind captures what lies at keys, below what a step came to.
type bind struct {
	name string
	slot int
	keys []string
}

// maxSteps bounds what a path can ask for; real formats need six.
const maxSteps = 16

// ParsePath reads a path; an error says at which letter it is wrong.
func ParsePath(text string) (Path, error) {
	p := pathParser{text: text}
	path := Path{text: text}
	for p.at < len(text) {
		s, err := p.step(len(path.steps) == 0)
		if err != nil {
			return Path{}, fmt.Errorf("path %q: letter %d: %w", text, p.at+1, err)
		}
		path.steps = append(path.steps, s)
		if len(path.steps) > maxSteps {
			return Path{}, fmt.Errorf("path %q: more than %d steps", text, maxSteps)
		}
	}
	return path, nil
}

type pathParser struct {
	text string
	at   int
}

func (p *pathParser) step(first bool) (s step, err error) {
	switch c := p.text[p.at]; {
	case c == '[':
		err = p.elements(&s)
	case c == '(':
		err = p.call(&s)
	case c == '.' && !first:
		p.at++
		err = p.member(&s)
	case first:
		err = p.member(&s)
	default:
		err = fmt.Errorf("want a dot or a bracket before %q", p.text[p.at:])
	}
	if err == nil && p.at < len(p.text) && p.text[p.at] == '?' {
		if s.kind != stepKey && s.kind != stepIndex && s.kind != stepElements {
			return s, fmt.Errorf("? may only follow a key or brackets")
		}
		s.soft = true
		p.at++
	}
	return s, err
}

func (p *pathParser) member(s *step) error {
	switch rest := p.text[p.at:]; {
	case rest == "":
		return fmt.Errorf("a key is missing at the end")
	case rest[0] == '*':
		p.at++
		s.kind = stepKeys
		return nil
	case rest[0] == '{':
		return p.keys(s)
	}
	key, err := p.key()
	s.kind, s.key = stepKey, key
	return err
}

// key reads a plain or quoted key.
func (p *pathParser) key() (string, error) {
	rest := p.text[p.at:]
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return "", fmt.Errorf("the quote is never closed")
		}
		p.at += len(quoted)
		return strconv.Unquote(quoted)
	}
	n := strings.IndexAny(rest, `.[]{}()?,="`)
	if n < 0 {
		n = len(rest)
	}
	if n == 0 {
		return "", fmt.Errorf("a key is missing; put it in quotes if it holds a sign such as . or [")
	}
	p.at += n
	return rest[:n], nil
}

// keys reads {name} or {name,bind=path,…}.
func (p *pathParser) keys(s *step) (err error) {
	s.kind = stepKeys
	inside, err := p.enclosed('}')
	if err != nil {
		return err
	}
	name, binds, more := strings.Cut(inside, ",")
	if s.capture = strings.TrimSpace(name); !validName(s.capture) {
		return fmt.Errorf("%q is no name for a capture: want letters, digits and _", s.capture)
	}
	if more {
		s.binds, err = parseBinds(binds)
	}
	return err
}

// elements reads [], [n] or [bind=path,…].
func (p *pathParser) elements(s *step) (err error) {
	inside, err := p.enclosed(']')
	if err != nil {
		return err
	}
	s.kind = stepElements
	if inside == "" {
		return nil
	}
	if n, err := strconv.Atoi(inside); err == nil {
		if n < 0 {
			return fmt.Errorf("elements are counted from 0")
		}
		s.kind, s.index = stepIndex, n
		return nil
	}
	s.binds, err = parseBinds(inside)
	return err
}

func (p *pathParser) call(s *step) error {
	inside, err := p.enclosed(')')
	if err != nil {
		return err
	}
	switch inside {
	case "json":
		s.kind = stepJSON
	case "senml":
		s.kind = stepSenML
	default:
		return fmt.Errorf("(%s) is unknown, want (json) or (senml)", inside)
	}
	return nil
}

// enclosed reads from an opening sign to the closing one.
func (p *pathParser) enclosed(closing byte) (string, error) {
	inside, _, found := strings.Cut(p.text[p.at+1:], string(closing))
	if !found {
		return "", fmt.Errorf("%q is never closed", p.text[p.at:p.at+1])
	}
	p.at += len(inside) + 2
	return inside, nil
}

func parseBinds(text string) (binds []bind, err error) {
	for part := range strings.SplitSeq(text, ",") {
		name, path, found := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		if !found || !validName(name) {
			return nil, fmt.Errorf("%q: want name=path, such as field=quotaId", part)
		}
		keys := strings.Split(strings.TrimSpace(path), ".")
		if slices.Contains(keys, "") {
			return nil, fmt.Errorf("%q: want keys with dots behind the =", part)
		}
		binds = append(binds, bind{name: name, keys: keys})
	}
	return binds, nil
}

func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// Plain reports whether a path leads to one place at most.
func (p Path) Plain() bool {
	for i := range p.steps {
		if k := p.steps[i].kind; k != stepKey && k != stepIndex {
			return false
		}
	}
	return true
}

// Captures lists the names a path captures under.
func (p Path) Captures() (names []string) {
	for i := range p.steps {
		s := &p.steps[i]
		if s.capture != "" {
			names = append(names, s.capture)
		}
		for _, b := range s.binds {
			names = append(names, b.name)
		}
		if s.kind == stepSenML {
			names = append(names, captureBase, captureField, captureTime)
		}
	}
	return names
}
