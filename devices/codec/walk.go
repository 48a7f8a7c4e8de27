package codec

import (
	"bytes"
	"fmt"

	"github.com/valyala/fastjson"
)

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
