package codec

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
	"github.com/valyala/fastjson/fastfloat"
)

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
