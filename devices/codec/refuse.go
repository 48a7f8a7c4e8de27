package codec

import (
	"bytes"

	"github.com/valyala/fastjson"
)

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
