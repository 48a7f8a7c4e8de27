package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// Envelope is what a message says besides its payload.
type Envelope struct {
	Client string
	User   string
	Topic  []string // what the topic's levels captured, in the mapping's order
	Now    int64    // when it was received, Unix ms, for times that count from now
}

// Limits of a foreign payload.
const (
	maxNesting  = 16 // of one JSON text
	maxInString = 3  // JSON in a text in JSON in a text
)

// Mapper walks payloads by a [Mapping]. It is for one goroutine; the zero value
// is ready.
type Mapper struct {
	m        *Mapping
	now      int64
	parsers  [maxInString + 1]fastjson.Parser
	depth    int // of JSON in texts
	captures []capture
	text     []byte // the JSON text walked
	shift    int    // of it in the payload
	root     *fastjson.Value
	scope    *fastjson.Value // the sample walked
	rule     *Rule
	sample   Sample

	site, device []byte // of the sample walked
	at           moment // of the sample walked
	history      bool

	groups  []group
	found   []found
	listed  int
	arena   []byte
	trail   []hop
	last    []hop // where the last name or time was read
	explain func(Use)
	uses    int    // explained of the last payload
	Mended  string // what had to be repaired in the last payload, for people
}

// Use tells, where somebody wants to know, what was read of a payload.
type Use struct {
	Offset int
	As     string // "time", "device", "value", …
}

// Explain makes the Mapper tell fn of every place it reads.
func (w *Mapper) Explain(fn func(Use)) { w.explain = fn }

type capture struct {
	text []byte
	set  bool
}

// moment is what is known of when a value was measured.
type moment struct {
	ms             int64
	timed, untimed bool
}

// group collects the values of one device and moment.
type group struct {
	site, device []byte
	at           moment
	history      bool
	errors       []*Error
	more         int
}

// found is one value, of the group it belongs to.
type found struct {
	group int
	value Value
}

// hop is one step of the way from the text's beginning to where we are.
type hop struct {
	kind stepKind
	key  string
	n    int
}

// Decode calls fn with every sample of a payload. It returns an *Error when
// nothing of it could be read, or what fn returned.
func (w *Mapper) Decode(m *Mapping, e Envelope, payload []byte, fn func(*Sample) error) error {
	w.begin(m, e)
	if len(payload) > keepBytes {
		defer func() { w.parsers = [maxInString + 1]fastjson.Parser{} }()
	}
	if len(payload) > MaxBytes {
		return &Error{Code: CodeTooLarge, Offset: MaxBytes, Detail: fmt.Sprintf("%d bytes, at most %d are accepted", len(payload), MaxBytes), Hint: "split it over several messages"}
	}
	text, shift := m.textOf(payload)
	if len(text) == 0 {
		return &Error{Code: CodeEmpty, Detail: "the payload is empty", Hint: "send what the route describes"}
	}
	if !utf8.Valid(text) {
		if decoded, ok := fromGBK(text); ok && utf8.Valid(decoded) {
			text, w.Mended = decoded, "read as GB18030"
		}
	}
	if err := w.documents(text, shift); err != nil {
		return err
	}
	if len(w.found) == 0 && w.listed == 0 {
		return w.nothing()
	}
	return w.deliver(fn)
}

func (w *Mapper) begin(m *Mapping, e Envelope) {
	w.m, w.now, w.depth, w.listed, w.uses, w.Mended = m, e.Now, 0, 0, 0, ""
	clear(w.groups)
	w.groups, w.found, w.arena, w.trail = w.groups[:0], w.found[:0], w.arena[:0], w.trail[:0]
	w.captures = slices.Grow(w.captures[:0], len(m.slots))[:len(m.slots)]
	clear(w.captures)
	w.captures[0] = capture{[]byte(e.Client), e.Client != ""}
	w.captures[1] = capture{[]byte(e.User), e.User != ""}
	for i, level := range e.Topic {
		w.captures[m.slot(m.Topic[i])] = capture{[]byte(level), true}
	}
}

// textOf is the JSON text of a payload, and where it begins in it.
func (m *Mapping) textOf(payload []byte) (text []byte, shift int) {
	text = bytes.TrimPrefix(payload, []byte("\xef\xbb\xbf"))
	if m.Skip > 0 && len(text) > m.Skip && text[0] != '{' && text[0] != '[' {
		text = text[m.Skip:]
	}
	shift = len(payload) - len(text)
	return text[:end(text)], shift
}

// documents walks the text, or what it becomes when it is mended.
func (w *Mapper) documents(text []byte, shift int) error {
	w.text, w.shift = text, shift
	if at := deeper(text, maxNesting); at >= 0 {
		return &Error{Code: CodeTooDeep, Offset: shift + at, Detail: fmt.Sprintf("nested deeper than %d levels", maxNesting), Hint: "no known format needs that"}
	}
	root, err := w.parse(text)
	if err == nil {
		w.document(root)
		return nil
	}
	broken := syntaxError(text, err)
	broken.Offset += shift
	whole, ok := mend(text)
	if !ok {
		return broken
	}
	for _, d := range whole.documents {
		root, err := w.parse(d)
		if err != nil {
			return broken
		}
		w.text = d
		w.document(root)
	}
	if whole.cut && len(w.found) == 0 {
		return broken // nothing of use was whole
	}
	w.Mended = join(w.Mended, whole.how)
	if whole.cut {
		w.text = text
		w.failAt(len(text)-1, &Error{Code: CodeBadJSON, Detail: "the payload is cut off; what is whole before it was taken", Hint: "check the buffer size of the device"})
	}
	return nil
}

func (w *Mapper) parse(text []byte) (*fastjson.Value, error) {
	p := &w.parsers[w.depth]
	root, err := p.ParseBytes(text)
	if err != nil {
		if finite, ok := withoutInfinity(text); ok {
			return p.ParseBytes(finite)
		}
	}
	return root, err
}

func (w *Mapper) document(root *fastjson.Value) {
	w.root = root
	w.walk(w.m.Samples.steps, root, (*Mapper).one)
}

// one reads one sample: a device, a moment, and the values below it.
func (w *Mapper) one(v *fastjson.Value) {
	w.site, w.device, w.scope = w.name(w.m.Site, v), w.name(w.m.Device, v), v
	w.at, w.history = moment{}, false
	if c := w.m.History; c != nil {
		w.history = c.Always || slices.Contains(c.Words, string(w.read(c.Path, v, "history")))
	}
	for _, p := range w.m.Time {
		text := w.read(p, v, "time")
		if text == nil && v != w.root {
			text = w.read(p, w.root, "time") // of the message as a whole
		}
		if text != nil {
			w.at = w.moment(text, w.last)
			break
		}
	}
	for i := range w.m.Values {
		w.rule = &w.m.Values[i]
		w.walk(w.rule.Path.steps, v, (*Mapper).leaf)
	}
}

// moment reads a time; one that cannot be read costs the time, not the values.
func (w *Mapper) moment(text []byte, trail []hop) (at moment) {
	at.ms, at.timed = w.m.Clock.Read(text)
	if !at.timed {
		at.untimed = true
		if !w.full() {
			w.failAt(w.placeOf(trail), &Error{Code: CodeBadTime, Field: "time", Detail: "the time is " + strconv.Quote(clip(string(text))), Hint: "name its form in the route: time: {formats: [yyyy-MM-dd HH:mm:ss]}"})
		}
	}
	return at
}

// name makes a text from captures, or reads it at its path.
func (w *Mapper) name(t *Text, v *fastjson.Value) []byte {
	from := len(w.arena)
	if t.Path != nil {
		text := w.read(*t.Path, v, "name")
		if text == nil {
			text = w.read(*t.Path, w.root, "name")
		}
		w.arena = append(w.arena, text...)
	}
	for i := range t.Parts {
		p := &t.Parts[i]
		if p.Capture == "" {
			w.arena = append(w.arena, p.Literal...)
			continue
		}
		if c := &w.captures[p.slot]; c.set {
			w.arena = append(w.arena, c.text...)
		} else {
			w.arena = w.arena[:from]
			break
		}
	}
	text := bytes.TrimPrefix(w.arena[from:len(w.arena):len(w.arena)], []byte(t.Strip))
	if t.Base64 {
		if raw, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
			text = hex.AppendEncode(nil, raw)
		}
	}
	if known, ok := t.Table[string(text)]; ok {
		return []byte(known)
	}
	return text
}

// read is the text at a path of plain steps; nil where there is none.
func (w *Mapper) read(p Path, v *fastjson.Value, as string) []byte {
	if v == nil {
		return nil
	}
	before := len(w.trail)
	defer func() { w.trail = w.trail[:before] }()
	for i := range p.steps {
		s := &p.steps[i]
		switch s.kind {
		case stepKey:
			v = v.Get(s.key)
			w.trail = append(w.trail, hop{kind: stepKey, key: s.key})
		case stepIndex:
			v = element(v, s.index)
			w.trail = append(w.trail, hop{kind: stepIndex, n: s.index})
		case stepJSON, stepSenML, stepKeys, stepElements:
			return nil // refused when the route was read
		}
		if v == nil {
			return nil
		}
	}
	if v.Type() == fastjson.TypeNull {
		return nil
	}
	w.used(as)
	w.last = append(w.last[:0], w.trail...)
	return textOf(v)
}

// group is that of the device and moment now captured.
func (w *Mapper) group(it *Item) int {
	g := group{at: w.at, history: w.history}
	g.site, g.device = w.who(it)
	if c := &w.captures[w.m.time]; c.set {
		g.at = w.moment(c.text, w.trail)
	}
	const near = 32
	for i := len(w.groups) - 1; i >= 0 && i >= len(w.groups)-near; i-- {
		if x := &w.groups[i]; x.at == g.at && x.history == g.history && bytes.Equal(x.device, g.device) && bytes.Equal(x.site, g.site) {
			return i
		}
	}
	w.groups = append(w.groups, g)
	return len(w.groups) - 1
}

// who is the device now captured.
func (w *Mapper) who(it *Item) (site, device []byte) {
	site, device = w.site, w.device
	if w.m.deep {
		site, device = w.name(w.m.Site, w.scope), w.name(w.m.Device, w.scope)
	}
	if it != nil && it.Device != "" {
		device = []byte(it.Device)
	}
	return site, device
}

// deliver hands the groups over, each with its values.
func (w *Mapper) deliver(fn func(*Sample) error) error {
	if len(w.groups) > MaxSamples {
		return &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("%d moments, at most %d are accepted", len(w.groups), MaxSamples), Hint: "split them over several messages"}
	}
	slices.SortStableFunc(w.found, func(a, b found) int { return a.group - b.group })
	next, batches := 0, w.batches()
	for i := range w.groups {
		g, s := &w.groups[i], &w.sample
		*s = Sample{
			Site: g.site, Device: g.device, Time: g.at.ms, Timed: g.at.timed, Untimed: g.at.untimed,
			Array: g.history || batches[string(g.site)+"/"+string(g.device)].several, Values: s.Values[:0], Errors: g.errors, More: g.more,
		}
		for ; next < len(w.found) && w.found[next].group == i; next++ {
			s.Values = append(s.Values, w.found[next].value)
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

// batch is what a message tells of one device.
type batch struct {
	ms      int64
	several bool // moments
}

// batches finds the devices of which the message tells of several moments: what
// it says of them was collected.
func (w *Mapper) batches() map[string]batch {
	if len(w.groups) < 2 {
		return nil
	}
	all := map[string]batch{}
	for i := range w.groups {
		g := &w.groups[i]
		if !g.at.timed {
			continue
		}
		key := string(g.site) + "/" + string(g.device)
		b, known := all[key]
		all[key] = batch{g.at.ms, b.several || known && b.ms != g.at.ms}
	}
	return all
}

// used tells whoever wants to know that the place we are at was read.
func (w *Mapper) used(as string) {
	if w.explaining() {
		w.explain(Use{w.shift + w.place(), as})
	}
}

// explaining reports whether to find the place of what is read: that walks the
// payload, so it is done for as many as people look at.
func (w *Mapper) explaining() bool {
	const most = 2000
	if w.explain == nil || w.uses == most {
		return false
	}
	w.uses++
	return true
}

func (w *Mapper) usedBelow(keys []string) {
	if !w.explaining() {
		return
	}
	trail := slices.Clone(w.trail)
	for _, k := range keys {
		trail = append(trail, hop{kind: stepKey, key: k})
	}
	w.explain(Use{w.shift + w.placeOf(trail), "capture"})
}

// Word reads who speaks and, at a path or as the whole payload, one word.
func (w *Mapper) Word(m *Mapping, e Envelope, payload []byte, path *Path) (site, device, word []byte) {
	w.begin(m, e)
	word, _ = m.textOf(payload)
	w.text = word
	w.root = nil
	if (path != nil || m.Device.Path != nil || m.Site.Path != nil) && deeper(word, maxNesting) < 0 {
		w.root, _ = w.parse(word)
	}
	if path != nil && w.root != nil {
		word = w.read(*path, w.root, "value")
	}
	return w.name(m.Site, w.root), w.name(m.Device, w.root), word
}
