package codec

import (
	"strings"
	"testing"
)

func TestPathMistakes(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{".", "letter 1: a key is missing"},
		{"a.", "letter 3: a key is missing at the end"},
		{"a b.c[", `letter 6: "[" is never closed`},
		{"a[x]", "want name=path"},
		{"a[-1]", "counted from 0"},
		{"a(xml)", "(xml) is unknown"},
		{"a\"b\"", "want a dot or a bracket"},
		{"\"a", "the quote is never closed"},
		{"{a b}", "no name for a capture"},
		{"{a,b}", "want name=path"},
		{"a[b=c..d]", "want keys with dots"},
		{"*?", "? may only follow"},
		{strings.Repeat("a.", 20) + "a", "more than 16 steps"},
	} {
		if _, err := ParsePath(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("path %q: %v, want %q", c.path, err, c.want)
		}
	}
	for _, good := range []string{"", "a", "a.b[0].c", "[]?", "{device}[].values.{field}", `params."em:0".x`, "datas[field=quotaId,quality=a.b].value", "d(json).x", "(senml)", "value?", "电压.相"} {
		if _, err := ParsePath(good); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParsePath: no text makes the parser fail in another way than it says.
func FuzzParsePath(f *testing.F) {
	for _, text := range []string{"a.b[0].c", "{device,x=y}[].values.{field}", `"a\"b".c?`, "d(json)(senml)", "[", "{", "("} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			return
		}
		if again, err := ParsePath(p.String()); err != nil || len(again.steps) != len(p.steps) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// FuzzMend: what is mended parses, and nothing is mended that parsed before.
func FuzzMend(f *testing.F) {
	for _, text := range []string{`{'a': None}`, `{"a":1}{"b":2}`, `{"a":1,"b`, "{\"\xb5\xe7\":1}", `[{"a":[1,2`, `{"a":'"'}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, ok := mend(text)
		if !ok {
			return
		}
		if len(m.documents) == 0 || m.how == "" {
			t.Fatalf("%q became %+v", text, m)
		}
		for _, d := range m.documents {
			if !parses(d) {
				t.Errorf("%q became %q, which is no JSON", text, d)
			}
		}
	})
}

// FuzzLeaves: every leaf lies within the text.
func FuzzLeaves(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c"}],"d":null}`))
	f.Add([]byte(`{"a"`))
	f.Add([]byte(`[[[]]],`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, l := range Leaves(text, 100) {
			if l.Offset < 0 || l.Offset >= len(text) {
				t.Errorf("%q: %+v", text, l)
			}
		}
	})
}

// FuzzClock: whatever stands where a time belongs, it is a time or none.
func FuzzClock(f *testing.F) {
	for _, text := range []string{"1656311525", "2022-06-27T06:32:05Z", "20220627143205", "07:16:17 06/16/2021 UTC", "NaN", "1e300", ""} {
		f.Add(text, "yyyy-MM-dd HH:mm:ss")
	}
	f.Fuzz(func(t *testing.T, text, format string) {
		c, err := NewClock(ClockOptions{Formats: []string{format, "auto"}})
		if err != nil {
			c = &Clock{}
		}
		if a, ok := c.Read([]byte(text)); ok {
			if b, _ := c.Read([]byte(" " + text + " ")); a != b {
				t.Errorf("%q is %d, with blanks %d", text, a, b)
			}
		}
	})
}
