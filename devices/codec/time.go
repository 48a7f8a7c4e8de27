package codec

import (
	"bytes"
	"math"
	"time"

	"github.com/valyala/fastjson"
	"github.com/valyala/fastjson/fastfloat"
)

// time reads the sample's own time, which is the n-th member of its object.
func (h *House) time(v *fastjson.Value, n int) {
	s := &h.sample
	switch v.Type() {
	case fastjson.TypeNull:
		return
	case fastjson.TypeNumber:
		f, err := v.Float64()
		s.Time, s.Timed = epoch(f)
		s.Timed = s.Timed && err == nil
	case fastjson.TypeString:
		text, _ := v.StringBytes()
		s.Time, s.Timed = writtenTime(string(bytes.TrimSpace(text)))
	}
	if !s.Timed {
		s.Untimed = true
		h.failMember(CodeBadTime, n, "ts", "ts is "+describe(v), "send epoch milliseconds, or RFC 3339 with a zone: 2026-06-27T14:32:05+08:00")
	}
}

// epoch is Unix ms of a number whose unit its size tells: below 1e11 seconds
// (until the year 5138), below 1e14 milliseconds, else microseconds.
func epoch(f float64) (ms int64, ok bool) {
	switch size := math.Abs(f); {
	case size < 1e11:
		return int64(math.Round(f * 1000)), true
	case size < 1e14:
		return int64(f), true
	case size < math.MaxInt64:
		return int64(f / 1000), true
	}
	return 0, false // NaN as well
}

// writtenTime reads a time written as a text.
func writtenTime(text string) (ms int64, ok bool) {
	if f, err := fastfloat.Parse(text); err == nil {
		return epoch(f)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, false
	}
	return t.UnixMilli(), true
}
