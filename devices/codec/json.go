package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
	"github.com/valyala/fastjson/fastfloat"
)

// Limits of a house payload.
const (
	MaxBytes   = 1 << 20
	MaxSamples = 10_000 // in one array
	MaxFields  = 256    // in one sample
	maxDepth   = 8      // house JSON needs 3; the parser is recursive
	maxErrors  = 16     // listed with their place; further ones are counted
	keepBytes  = 64 << 10
)

// House reads the gateway's own format: one object, or an array of them.
//
//	{"ts":1782541925000,"seq":17,"values":{"gas_lel_pct":12.6,"valve_state":1}}
//
// ts may be left out; it is epoch seconds, milliseconds or microseconds, told
// apart by their size, or RFC 3339. A value is a number; true and false are 1
// and 0; null is no value; a number written as a text ("12.6") is taken as the
// number, because so many converters send it. A key other than these three is
// passed over. A payload may begin with a byte order mark and end in blanks or
// zero bytes; what else devices do to JSON is repaired where that cannot change
// a number.
//
// A House is for one goroutine; the zero value is ready.
type House struct {
	parser fastjson.Parser
	sample Sample

	// Where we are in the payload, to find the place of an error afterwards: the
	// parser does not keep places.
	text    []byte // without byte order mark and tail
	shift   int    // of text in the payload
	element int    // of the array; -1 outside
	values  int    // which member of the object is "values"
	listed  int    // errors listed so far

	glued bool   // the payload was several objects glued together
	cut   *Error // the payload was cut off; to be told with the next sample

	Mended string // what had to be repaired in the last payload, for people
}

// Decode calls fn with every sample of a payload, in its order. It returns an
// *Error when the payload as a whole cannot be read, before any call of fn, or
// what fn returned.
func (h *House) Decode(payload []byte, fn func(*Sample) error) error {
	h.begin(payload)
	if len(payload) > MaxBytes {
		return h.refuse(CodeTooLarge, MaxBytes, fmt.Sprintf("%d bytes, at most %d are accepted", len(payload), MaxBytes), "split the array over several messages")
	}
	if len(h.text) == 0 {
		return h.refuse(CodeEmpty, 0, "the payload is empty", example)
	}
	if at := tooDeep(h.text); at >= 0 {
		return h.refuse(CodeTooDeep, at, fmt.Sprintf("nested deeper than %d levels", maxDepth), example)
	}
	if len(payload) > keepBytes {
		// The parser never gives memory back; one huge back-fill must not stay.
		defer func() { h.parser = fastjson.Parser{} }()
	}
	root, err := h.parse()
	if err != nil {
		return h.broken(syntaxError(h.text, err), fn)
	}
	return h.document(root, fn)
}

func (h *House) document(root *fastjson.Value, fn func(*Sample) error) error {
	if root.Type() != fastjson.TypeArray {
		return h.object(root, fn)
	}
	return h.array(root.GetArray(), fn)
}

// broken reads what can be repaired of a payload that is not JSON.
func (h *House) broken(why *Error, fn func(*Sample) error) error {
	why.Offset += h.shift
	whole, ok := mend(h.text)
	if !ok {
		return why
	}
	h.glued, h.Mended = len(whole.documents) > 1, whole.how
	defer func() { h.glued = false }()
	for _, h.text = range whole.documents {
		root, err := h.parse()
		if err != nil || whole.cut && !brings(root) {
			return why
		}
		if whole.cut {
			h.cut = why
		}
		h.element = -1
		if err := h.oneOf(root, fn); err != nil {
			return err
		}
	}
	return nil
}

// oneOf reads one of the documents of a payload: what is refused of it costs
// none of the others, so it is told as a sample without values.
func (h *House) oneOf(root *fastjson.Value, fn func(*Sample) error) error {
	err := h.document(root, fn)
	var refused *Error
	if !errors.As(err, &refused) {
		return err
	}
	h.sample = Sample{Array: true, Values: h.sample.Values[:0], Errors: append(h.sample.Errors[:0], refused)}
	return fn(&h.sample)
}

// brings reports whether there is a value in an object or array of them.
func brings(root *fastjson.Value) bool {
	if all, err := root.Array(); err == nil {
		return slices.ContainsFunc(all, brings)
	}
	o := root.GetObject("values")
	return o != nil && o.Len() > 0
}

const example = `send {"ts":1782541925000,"values":{"field":12.6}}`

func (h *House) begin(payload []byte) {
	h.text = bytes.TrimPrefix(payload, []byte("\xef\xbb\xbf"))
	h.shift = len(payload) - len(h.text)
	h.text = h.text[:end(h.text)]
	h.element, h.values, h.listed, h.Mended = -1, 0, 0, ""
}

// end is where a payload ends when blanks, zero bytes and an end-of-file mark
// behind it are not counted.
func end(text []byte) int {
	n := len(text)
	for n > 0 {
		switch text[n-1] {
		case 0, 0x1a, ' ', '\t', '\r', '\n':
			n--
		default:
			return n
		}
	}
	return 0
}

func (h *House) refuse(code string, at int, detail, hint string) *Error {
	return &Error{Code: code, Offset: h.shift + at, Detail: detail, Hint: hint}
}

func (h *House) parse() (*fastjson.Value, error) {
	root, err := h.parser.ParseBytes(h.text)
	if err == nil {
		return root, nil
	}
	// The parser takes NaN and Inf, so that they cost their field only, but not
	// Infinity, which JavaScript's and Python's printers write.
	if text, found := withoutInfinity(h.text); found {
		if root, err := h.parser.ParseBytes(text); err == nil {
			return root, nil
		}
	}
	return nil, err
}

func (h *House) array(elements []*fastjson.Value, fn func(*Sample) error) error {
	if len(elements) > MaxSamples {
		return h.refuse(CodeTooLarge, 0, fmt.Sprintf("an array of %d objects, at most %d are accepted", len(elements), MaxSamples), "split the array over several messages")
	}
	if len(elements) == 0 {
		return h.refuse(CodeEmpty, 0, "the array is empty", example)
	}
	for i, e := range elements {
		h.element = i
		if err := h.object(e, fn); err != nil {
			return err
		}
	}
	return nil
}

// object reads one sample and hands it to fn.
func (h *House) object(v *fastjson.Value, fn func(*Sample) error) error {
	s := &h.sample
	*s = Sample{Array: h.element >= 0 || h.glued, Values: s.Values[:0], Errors: s.Errors[:0]}
	if h.cut != nil {
		h.record(h.cut)
		h.cut = nil
	}
	o, err := v.Object()
	if err != nil {
		h.fail(CodeNotAnObject, "found "+describe(v)+" where an object belongs", example)
		return fn(s)
	}
	h.members(o)
	return fn(s)
}

func (h *House) members(o *fastjson.Object) {
	s := &h.sample
	var ts, seq, values *fastjson.Value
	tsAt, seqAt, n, twice := 0, 0, 0, ""
	o.Visit(func(key []byte, v *fastjson.Value) {
		switch string(key) {
		case "ts":
			if ts != nil {
				twice = "ts"
			}
			ts, tsAt = v, n
		case "seq":
			if seq != nil {
				twice = "seq"
			}
			seq, seqAt = v, n
		case "values":
			if values != nil {
				twice = "values"
			}
			values, h.values = v, n
		}
		n++
	})
	if twice != "" {
		h.fail(CodeDuplicate, fmt.Sprintf("%q stands twice in one object", twice), "send each key once")
		return
	}
	if values == nil {
		h.fail(CodeNoValues, `the object has no "values"`+keys(o), example)
		return
	}
	fields, err := values.Object()
	if err != nil {
		h.fail(CodeNoValues, `"values" is `+describe(values)+", not an object", example, h.values)
		return
	}
	if fields.Len() > MaxFields {
		h.fail(CodeTooLarge, fmt.Sprintf("%d fields, at most %d are accepted", fields.Len(), MaxFields), "split them over several messages", h.values)
		return
	}
	if ts != nil {
		h.time(ts, tsAt)
	}
	if seq != nil && seq.Type() != fastjson.TypeNull {
		if s.Seq, err = seq.Uint64(); err != nil {
			h.failMember(CodeBadSeq, seqAt, "seq", "seq is "+describe(seq), "send a whole number from 0")
		}
	}
	h.fields(fields)
}

func (h *House) fields(o *fastjson.Object) {
	n := 0
	o.Visit(func(name []byte, v *fastjson.Value) {
		number, code := number(v)
		switch {
		case code != "":
			h.failField(code, n, name, v)
		case v.Type() != fastjson.TypeNull:
			h.sample.Values = append(h.sample.Values, Value{Name: name, Number: number})
		}
		n++
	})
}

// number is the number that v stands for, or the code of what is wrong with it.
func number(v *fastjson.Value) (n float64, code string) {
	var err error
	switch v.Type() {
	case fastjson.TypeNumber:
		n, err = v.Float64()
	case fastjson.TypeTrue:
		n = 1
	case fastjson.TypeFalse, fastjson.TypeNull:
	case fastjson.TypeString:
		text, _ := v.StringBytes()
		n, err = fastfloat.Parse(string(bytes.TrimSpace(text)))
	default:
		return 0, CodeNested
	}
	if err != nil {
		return 0, CodeNotANumber
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, CodeNotFinite
	}
	return n, ""
}

// fail records what makes the whole sample useless, at a path of members.
func (h *House) fail(code, detail, hint string, path ...int) {
	if h.full() {
		return
	}
	h.record(&Error{Code: code, Offset: h.place(path...), Detail: detail, Hint: hint})
}

// failMember records what is wrong with the n-th member of the sample's object.
func (h *House) failMember(code string, n int, field, detail, hint string) {
	if h.full() {
		return
	}
	h.record(&Error{Code: code, Offset: h.place(n), Field: field, Detail: detail, Hint: hint})
}

// failField records what is wrong with the n-th member of "values".
func (h *House) failField(code string, n int, name []byte, v *fastjson.Value) {
	if h.full() {
		return
	}
	hint := "send a number, or null where there is none"
	if code == CodeNested {
		hint = "send one number a field; give each its own name"
	}
	h.record(&Error{Code: code, Offset: h.place(h.values, n), Field: clip(string(name)), Detail: "found " + describe(v) + " where a number belongs", Hint: hint})
}

// full reports, and counts, that no more errors of this payload are listed.
// Finding a place walks the payload; a hostile one must not make that a walk
// for each of its million fields.
func (h *House) full() bool {
	if h.listed < maxErrors {
		return false
	}
	h.sample.More++
	return true
}

func (h *House) record(e *Error) {
	h.listed++
	h.sample.Errors = append(h.sample.Errors, e)
}

// place finds the current object, or what lies in it along a path of members.
func (h *House) place(path ...int) int {
	c := cursor{text: h.text}
	if h.element >= 0 {
		c.element(h.element)
	}
	for _, n := range path {
		c.member(n)
	}
	c.blank()
	return h.shift + c.at
}

// keys tells what an object has instead of what it should have.
func keys(o *fastjson.Object) string {
	var names []string
	o.Visit(func(key []byte, _ *fastjson.Value) {
		if len(names) < 4 {
			names = append(names, strconv.Quote(clip(string(key))))
		}
	})
	if len(names) == 0 {
		return ""
	}
	return ", but " + strings.Join(names, ", ")
}

// describe tells people what stands in a payload, in few words.
func describe(v *fastjson.Value) string {
	switch v.Type() {
	case fastjson.TypeObject:
		return "an object"
	case fastjson.TypeArray:
		return "an array"
	case fastjson.TypeString:
		text, _ := v.StringBytes()
		return "the text " + strconv.Quote(clip(string(text)))
	}
	return clip(strings.ToValidUTF8(v.String(), "?"))
}

// clip shortens a text from outside for a log or an answer.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:most], "\uFFFD") + "…"
}
