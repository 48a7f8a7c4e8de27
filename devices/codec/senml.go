package codec

import (
	"math"
	"strconv"

	"github.com/valyala/fastjson"
)

// records walks through a SenML array (RFC 8428): base name, time and value
// hold from the record they stand in to the one that replaces them. A time that
// is small counts from now.
func (w *Mapper) records(rest []step, v *fastjson.Value, arrive func(*Mapper, *fastjson.Value)) {
	const relative = 1 << 28
	m := w.m
	before := [...]capture{w.captures[m.base], w.captures[m.field], w.captures[m.time]}
	var baseTime float64
	for i, r := range v.GetArray() {
		if bn := r.Get("bn"); bn != nil {
			w.captures[m.base] = capture{textOf(bn), true}
		}
		if bt := r.Get("bt"); bt != nil {
			baseTime, _ = bt.Float64()
		}
		w.captures[m.field] = nameOf(r)
		at := baseTime
		if t := r.Get("t"); t != nil {
			n, _ := t.Float64()
			at += n
		}
		if math.Abs(at) < relative {
			at += float64(w.now) / 1000
		}
		w.captures[m.time] = capture{strconv.AppendFloat(nil, at, 'f', 3, 64), baseTime != 0 || r.Exists("t")}
		for _, key := range [...]string{"v", "vb", "s"} {
			if value := r.Get(key); value != nil {
				w.trail = append(w.trail, hop{kind: stepIndex, n: i}, hop{kind: stepKey, key: key})
				w.walk(rest, value, arrive)
				w.trail = w.trail[:len(w.trail)-2]
				break
			}
		}
	}
	w.captures[m.base], w.captures[m.field], w.captures[m.time] = before[0], before[1], before[2]
}

func nameOf(record *fastjson.Value) capture {
	if n := record.Get("n"); n != nil {
		return capture{textOf(n), true}
	}
	return capture{}
}
