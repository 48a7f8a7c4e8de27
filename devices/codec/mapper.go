package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"
	"github.com/valyala/fastjson/fastfloat"
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

func element(v *fastjson.Value, n int) *fastjson.Value {
	if a := v.GetArray(); n < len(a) {
		return a[n]
	}
	return nil
}

// textOf is a scalar as it was written, without quotes and blanks around it.
func textOf(v *fastjson.Value) []byte {
	switch v.Type() {
	case fastjson.TypeString:
		text, _ := v.StringBytes()
		return bytes.TrimSpace(text)
	case fastjson.TypeObject, fastjson.TypeArray:
		return nil
	}
	return v.MarshalTo(nil)
}

// walk goes along steps from v and calls arrive with everything they lead to.
func (w *Mapper) walk(steps []step, v *fastjson.Value, arrive func(*Mapper, *fastjson.Value)) {
	if len(steps) == 0 {
		arrive(w, v)
		return
	}
	s, rest := &steps[0], steps[1:]
	switch s.kind {
	case stepKey:
		next := v.Get(s.key)
		switch {
		case next != nil && v.Type() == fastjson.TypeObject:
			w.enter(hop{kind: stepKey, key: s.key}, rest, next, arrive)
		case s.soft && v.Type() != fastjson.TypeObject:
			w.walk(rest, v, arrive)
		}
	case stepIndex:
		switch next := element(v, s.index); {
		case next != nil:
			w.enter(hop{kind: stepIndex, n: s.index}, rest, next, arrive)
		case s.soft && v.Type() != fastjson.TypeArray:
			w.walk(rest, v, arrive)
		}
	case stepKeys:
		w.members(s, rest, v, arrive)
	case stepElements:
		if s.soft && v.Type() != fastjson.TypeArray {
			w.walk(rest, v, arrive)
			return
		}
		for i, e := range v.GetArray() {
			w.bound(s, hop{kind: stepIndex, n: i}, rest, e, arrive)
		}
	case stepJSON:
		w.inText(rest, v, arrive)
	case stepSenML:
		w.records(rest, v, arrive)
	}
}

// enter walks on below v, one hop further down.
func (w *Mapper) enter(h hop, rest []step, v *fastjson.Value, arrive func(*Mapper, *fastjson.Value)) {
	w.trail = append(w.trail, h)
	w.walk(rest, v, arrive)
	w.trail = w.trail[:len(w.trail)-1]
}

// members walks through every member of an object.
func (w *Mapper) members(s *step, rest []step, v *fastjson.Value, arrive func(*Mapper, *fastjson.Value)) {
	o, err := v.Object()
	if err != nil {
		return
	}
	n := 0
	o.Visit(func(key []byte, next *fastjson.Value) {
		if s.capture != "" {
			before := w.captures[s.slot]
			w.captures[s.slot] = capture{key, true}
			defer func() { w.captures[s.slot] = before }()
		}
		w.bound(s, hop{kind: stepKeys, n: n}, rest, next, arrive)
		n++
	})
}

// bound walks on below v with what the step captures from it.
func (w *Mapper) bound(s *step, h hop, rest []step, v *fastjson.Value, arrive func(*Mapper, *fastjson.Value)) {
	if len(s.binds) == 0 {
		w.enter(h, rest, v, arrive)
		return
	}
	before := make([]capture, len(s.binds))
	w.trail = append(w.trail, h)
	for i := range s.binds {
		b := &s.binds[i]
		before[i] = w.captures[b.slot]
		if at := v.Get(b.keys...); at != nil && at.Type() != fastjson.TypeNull {
			if text := textOf(at); text != nil {
				w.captures[b.slot] = capture{text, true}
				w.usedBelow(b.keys)
			}
		}
	}
	w.walk(rest, v, arrive)
	w.trail = w.trail[:len(w.trail)-1]
	for i := range s.binds {
		w.captures[s.binds[i].slot] = before[i]
	}
}

// inText walks through the JSON that a text holds.
func (w *Mapper) inText(rest []step, v *fastjson.Value, arrive func(*Mapper, *fastjson.Value)) {
	if v.Type() == fastjson.TypeObject || v.Type() == fastjson.TypeArray {
		w.walk(rest, v, arrive) // some firmware sends the object itself
		return
	}
	inner, err := v.StringBytes()
	if err != nil || w.depth == maxInString || deeper(inner, maxNesting) >= 0 {
		if !w.full() {
			w.fail(&Error{Code: CodeBadJSON, Detail: "found " + describe(v) + " where a text with JSON in it belongs", Hint: "JSON may stand in texts three deep"})
		}
		return
	}
	w.depth++
	defer func() { w.depth-- }()
	next, err := w.parse(inner)
	if err != nil {
		broken := syntaxError(inner, err)
		if !w.full() {
			w.fail(&Error{Code: CodeBadJSON, Detail: fmt.Sprintf("the text in it is no JSON: at its byte %d: %s", broken.Offset, broken.Detail), Hint: broken.Hint})
		}
		return
	}
	w.enter(hop{kind: stepJSON}, rest, next, arrive)
}

// leaf is a value the current rule leads to.
func (w *Mapper) leaf(v *fastjson.Value) {
	w.used("value")
	if w.rule.Fault {
		w.fault(v)
		return
	}
	item := w.rule.Item
	if item == nil {
		item = w.byName()
		if item == nil {
			return // a name that the route leaves out
		}
	}
	w.item(item, v)
}

var asItStands = Item{Scale: 1}

// byName is what the table says of the captured name; nil: it is left out.
func (w *Mapper) byName() *Item {
	if w.rule.Names == nil {
		return &asItStands
	}
	return w.rule.Names[string(w.captures[w.m.field].text)]
}

// item makes values of what stands at v.
func (w *Mapper) item(it *Item, v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeNull:
		return
	case fastjson.TypeObject, fastjson.TypeArray:
		if it.Split != "" {
			return // the form that is not a joined text; other paths read it
		}
		w.refuse(it, CodeNested, v, "a value is one number; lead the path further, to a key below")
		return
	}
	if it.Split != "" {
		w.split(it, textOf(v), v)
		return
	}
	if v.Type() == fastjson.TypeNumber && !it.textual() {
		if n, err := v.Float64(); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			w.number(it, n, v)
			return
		}
	}
	w.scalar(it, textOf(v), v)
}

// split takes a joined text apart.
func (w *Mapper) split(it *Item, text []byte, v *fastjson.Value) {
	parts := strings.Split(string(text), it.Split)
	for i, part := range parts {
		if i < len(it.Parts) && it.Parts[i] != nil {
			w.scalar(it.Parts[i], []byte(strings.TrimSpace(part)), v)
		}
	}
	if len(parts) < len(it.Parts) {
		w.refuse(it.missing(len(parts)), CodeNotANumber, v, fmt.Sprintf("the route wants %d numbers, separated by %q", len(it.Parts), it.Split))
	}
}

// missing is the first part the route reads of those behind the n-th; the joined
// text itself where it passes over all of them.
func (it *Item) missing(n int) *Item {
	for _, part := range it.Parts[n:] {
		if part != nil {
			return part
		}
	}
	return it
}

// scalar makes a value, or several flags, of one text.
func (w *Mapper) scalar(it *Item, text []byte, v *fastjson.Value) {
	if slices.Contains(it.Nothing, string(text)) {
		return
	}
	n, code := it.number(text)
	if code != "" {
		w.refuse(it, code, v, it.remedy(code, string(text)))
		return
	}
	w.number(it, n, v)
}

// number makes a value, or several flags, of one number.
func (w *Mapper) number(it *Item, n float64, v *fastjson.Value) {
	doubt := w.doubt()
	switch {
	case slices.Contains(it.Sentinels, n):
		w.emit(it, it.Field, n, Useless)
	case it.ZeroIsFault && n == 0:
		w.emit(it, it.Field, it.value(n), Useless)
	case len(it.Bits) > 0:
		w.bits(it, n, doubt, v)
	default:
		value := it.value(n)
		if math.IsInf(value, 0) {
			w.refuse(it, CodeNotFinite, v, "check the scale in the route")
			return
		}
		w.emit(it, it.Field, value, doubt)
	}
}

// number is what a text stands for, or the code of what is wrong with it.
func (it *Item) number(text []byte) (n float64, code string) {
	if len(it.Words) > 0 {
		if n, ok := it.Words[string(text)]; ok {
			return n, ""
		}
		return 0, CodeUnknownWord
	}
	switch string(text) {
	case "true":
		return 1, ""
	case "false":
		return 0, ""
	}
	var err error
	if it.Hex {
		var u uint64
		u, err = strconv.ParseUint(strings.TrimPrefix(strings.ToLower(string(text)), "0x"), 16, 53)
		n = float64(u)
	} else {
		n, err = fastfloat.Parse(string(text))
	}
	switch {
	case err != nil:
		return 0, CodeNotANumber
	case math.IsNaN(n) || math.IsInf(n, 0):
		return 0, CodeNotFinite
	}
	return n, ""
}

func (it *Item) remedy(code, text string) string {
	if code == CodeUnknownWord {
		words := slices.Sorted(maps.Keys(it.Words))
		return fmt.Sprintf("the route knows: %s; add %q to its words", clip(strings.Join(words, ", ")), clip(text))
	}
	return "send a number, or null where there is none; name texts that mean none under nothing in the route"
}

// doubt is what a captured quality says; a word the route does not know is
// doubtful.
func (w *Mapper) doubt() Doubt {
	c := &w.captures[w.m.quality]
	if !c.set {
		return NoDoubt
	}
	if d, ok := w.m.Quality[string(c.text)]; ok {
		return d
	}
	return Doubtful
}

// bits takes flags apart.
func (w *Mapper) bits(it *Item, n float64, doubt Doubt, v *fastjson.Value) {
	if n != math.Trunc(n) || n < 0 || n >= 1<<53 {
		w.refuse(it, CodeNotANumber, v, "a set of flags is a whole number from 0")
		return
	}
	for _, b := range it.Bits {
		w.emit(it, b.Field, float64(uint64(n)>>b.From&(1<<(b.To-b.From+1)-1)), doubt)
	}
}

// fault tells of a fault code.
func (w *Mapper) fault(v *fastjson.Value) {
	text := textOf(v)
	it := w.rule.Item
	if text == nil || slices.Contains(it.Nothing, string(text)) || w.full() {
		return
	}
	w.fail(&Error{Code: CodeSensorFault, Field: clip(string(w.captures[w.m.field].text)), Detail: "the device reports fault code " + clip(string(text)), Hint: "check the sensor and its wiring"})
}

// emit adds a value to the group of its device and moment.
func (w *Mapper) emit(it *Item, field string, n float64, doubt Doubt) {
	name := []byte(field)
	if field == "" {
		name = w.keep(w.captures[w.m.field].text)
	}
	w.found = append(w.found, found{w.group(it), Value{Name: name, Number: n, Doubt: doubt, Item: it}})
}

// keep copies what lies in a parser's memory.
func (w *Mapper) keep(text []byte) []byte {
	from := len(w.arena)
	w.arena = append(w.arena, text...)
	return w.arena[from:len(w.arena):len(w.arena)]
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

// nothing says that the route found no value at all.
func (w *Mapper) nothing() *Error {
	have := ""
	if o, err := w.root.Object(); err == nil {
		have = keys(o)
	}
	return &Error{Code: CodeNoValues, Offset: w.shift, Detail: "nothing in the payload stands where the route looks for values" + have, Hint: "fengsui decode shows what the route looks for"}
}

// refuse records what is wrong with a value.
func (w *Mapper) refuse(it *Item, code string, v *fastjson.Value, hint string) {
	if w.full() {
		return
	}
	field := it.Field
	if field == "" {
		field = clip(string(w.captures[w.m.field].text))
	}
	w.fail(&Error{Code: code, Field: field, Detail: "found " + describe(v) + " where a number belongs", Hint: hint})
}

// full reports, and counts, that no more errors of this payload are listed.
func (w *Mapper) full() bool {
	if w.listed < maxErrors {
		return false
	}
	w.groups[w.groupForError()].more++
	return true
}

// fail records an error at the place we are at.
func (w *Mapper) fail(e *Error) { w.failAt(w.place(), e) }

func (w *Mapper) failAt(at int, e *Error) {
	e.Offset = w.shift + at
	w.listed++
	g := &w.groups[w.groupForError()]
	g.errors = append(g.errors, e)
}

// groupForError is the last group, if it is of the device that is walked: an
// error brings no moment of its own.
func (w *Mapper) groupForError() int {
	site, device := w.who(nil)
	if i := len(w.groups) - 1; i >= 0 && bytes.Equal(w.groups[i].device, device) && bytes.Equal(w.groups[i].site, site) {
		return i
	}
	w.groups = append(w.groups, group{site: site, device: device})
	return len(w.groups) - 1
}

// place is where the trail leads in the text.
func (w *Mapper) place() int { return w.placeOf(w.trail) }

func (w *Mapper) placeOf(trail []hop) int {
	c := cursor{text: w.text}
	for _, h := range trail {
		switch h.kind {
		case stepKey:
			c.key(h.key)
		case stepKeys:
			c.member(h.n)
		case stepIndex:
			c.element(h.n)
		default: // in a text
			c.blank()
			return c.at
		}
	}
	c.blank()
	return c.at
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
