package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write what the decoder says into the golden files")

// TestHouseGolden holds the decoder to testdata/house.txt: what each payload
// becomes, or exactly what its sender is told.
func TestHouseGolden(t *testing.T) {
	const file = "testdata/house.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var h House
	var got strings.Builder
	cases := 0
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "in "), strings.HasPrefix(line, "in\" "):
			cases++
			got.WriteString(line)
			got.WriteString(tell(&h, payloadOf(t, line)))
		case strings.HasPrefix(line, "  "):
		default:
			got.WriteString(line)
		}
	}
	if cases < 70 {
		t.Fatalf("only %d cases were read", cases)
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := strings.Split(string(text), "\n")
	for i, line := range strings.Split(got.String(), "\n") {
		if i >= len(want) || line != want[i] {
			t.Fatalf("%s:%d: got %q", file, i+1, line)
		}
	}
}

// payloadOf reads `in {…}` as it stands, `in" "…"` as a quoted Go string.
func payloadOf(t *testing.T, line string) []byte {
	line = strings.TrimSuffix(line, "\n")
	if quoted, ok := strings.CutPrefix(line, "in\" "); ok {
		s, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return []byte(s)
	}
	return []byte(strings.TrimPrefix(line, "in "))
}

func tell(h *House, payload []byte) string {
	var b strings.Builder
	err := h.Decode(payload, func(s *Sample) error {
		fmt.Fprint(&b, "  sample")
		if s.Timed {
			fmt.Fprintf(&b, " ts=%s", time.UnixMilli(s.Time).UTC().Format("2006-01-02T15:04:05.000Z"))
		}
		if s.Untimed {
			fmt.Fprint(&b, " untimed")
		}
		if s.Array {
			fmt.Fprint(&b, " array")
		}
		if s.Seq > 0 {
			fmt.Fprintf(&b, " seq=%d", s.Seq)
		}
		for _, v := range s.Values {
			fmt.Fprintf(&b, " %s=%v", v.Name, v.Number)
		}
		if s.More > 0 {
			fmt.Fprintf(&b, " more=%d", s.More)
		}
		b.WriteByte('\n')
		for _, e := range s.Errors {
			fmt.Fprintf(&b, "    %s: %v (%s)\n", e.Code, e, e.Hint)
		}
		return nil
	})
	var refused *Error
	if errors.As(err, &refused) {
		fmt.Fprintf(&b, "  %s: %v (%s)\n", refused.Code, refused, refused.Hint)
	}
	return b.String()
}

func TestHouseLimits(t *testing.T) {
	object := `{"values":{"a_v":1}}`
	fields := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"f%d":%d`, i, i)
		}
		return `{"values":{` + b.String()[1:] + `}}`
	}
	for name, c := range map[string]struct {
		payload string
		code    string // of the first error, "" where all is well
	}{
		"as many samples as accepted": {"[" + strings.Repeat(object+",", MaxSamples-1) + object + "]", ""},
		"one sample more":             {"[" + strings.Repeat(object+",", MaxSamples) + object + "]", CodeTooLarge},
		"as many fields as accepted":  {fields(MaxFields), ""},
		"one field more":              {fields(MaxFields + 1), CodeTooLarge},
		"too many bytes":              {object + strings.Repeat(" ", MaxBytes), CodeTooLarge},
		"deep":                        {strings.Repeat("[", 100_000), CodeTooDeep},
		"deep in an unknown key":      {`{"x":` + strings.Repeat(`{"y":`, 7) + "1" + strings.Repeat("}", 8), CodeNoValues},
		"deeper in an unknown key":    {`{"x":` + strings.Repeat(`{"y":`, 8) + "1" + strings.Repeat("}", 9), CodeTooDeep},
		"brackets in a text":          {`{"x":"` + strings.Repeat("[", 1000) + `","values":{"a_v":1}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var h House
			code := ""
			err := h.Decode([]byte(c.payload), func(s *Sample) error {
				for _, e := range s.Errors {
					code = e.Code
				}
				return nil
			})
			var refused *Error
			if errors.As(err, &refused) {
				code = refused.Code
			}
			if code != c.code {
				t.Errorf("got %q, want %q (%v)", code, c.code, err)
			}
		})
	}
}

// TestHouseListsFewErrors: a payload of nothing but mistakes is told the first
// few, and how many more there are.
func TestHouseListsFewErrors(t *testing.T) {
	payload := "[" + strings.Repeat(`{"values":{"a":"x","b":[],"c":1}},`, 5000) + `{"values":{"a":"x","b":[],"c":1}}]`
	var h House
	listed, more, values := 0, 0, 0
	if err := h.Decode([]byte(payload), func(s *Sample) error {
		listed, more, values = listed+len(s.Errors), more+s.More, values+len(s.Values)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if listed != maxErrors || listed+more != 2*5001 || values != 5001 {
		t.Errorf("listed %d, more %d, values %d", listed, more, values)
	}
}

// TestHouseStops: what the callback returns ends the decoding and comes back.
func TestHouseStops(t *testing.T) {
	var h House
	stop := errors.New("stop")
	calls := 0
	err := h.Decode([]byte(`[{"values":{}},{"values":{}}]`), func(*Sample) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("err %v after %d calls", err, calls)
	}
}

// TestHouseReadsWhatEncodersWrite: whatever the standard encoder writes comes
// back number for number.
func TestHouseReadsWhatEncodersWrite(t *testing.T) {
	var h House
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,6}_(v|mm|lel_pct)`), rapid.Float64Range(-1e9, 1e9), 0, 20).Draw(t, "values")
		ts := rapid.Int64Range(1e12, 4e12).Draw(t, "ts")
		seq := rapid.Uint64Range(0, 1<<53).Draw(t, "seq")
		payload, err := json.Marshal(map[string]any{"ts": ts, "seq": seq, "values": values})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = h.Decode(payload, func(s *Sample) error {
			n++
			if !s.Timed || s.Time != ts || s.Seq != seq || len(s.Errors) > 0 || len(s.Values) != len(values) {
				t.Fatalf("%s became %+v", payload, s)
			}
			for _, v := range s.Values {
				// The fast number parser may be off by a unit in the last place.
				if want := values[string(v.Name)]; math.Abs(v.Number-want) > 1e-15*math.Abs(want) {
					t.Fatalf("%s: got %v, want %v", v.Name, v.Number, want)
				}
			}
			return nil
		})
		if err != nil || n != 1 {
			t.Fatalf("%s: %d samples, %v", payload, n, err)
		}
	})
}

// TestPlaces: the place told for a bad field is the place of its value, however
// the payload is laid out.
func TestPlaces(t *testing.T) {
	var h House
	blank := rapid.SampledFrom([]string{"", " ", "\n\t", "  "})
	rapid.Check(t, func(t *rapid.T) {
		b := func() string { return blank.Draw(t, "blank") }
		filler := rapid.SampledFrom([]string{`"k\"[":1,`, `"x":{"y":[1,"]",{}]},`, ``, `"seq":3 ,`}).Draw(t, "filler")
		before := rapid.SampledFrom([]string{``, `"a":1,`, `"a":"\\",`, `"a\\":null,"b":true,`}).Draw(t, "before")
		element := b() + `{` + b() + filler + b() + `"values"` + b() + `:` + b() + `{` + before + b() + `"bad"` + b() + `:` + b()
		good := `{"values":{"a":1}},`
		n := rapid.IntRange(0, 3).Draw(t, "elements before")
		head := "[" + b() + strings.Repeat(good, n) + element
		payload := head + `["here"]` + b() + `}` + b() + `}` + b() + `]`
		found := -1
		if err := h.Decode([]byte(payload), func(s *Sample) error {
			for _, e := range s.Errors {
				found = e.Offset
			}
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		if found != len(head) {
			t.Fatalf("%s: told %d, is at %d", payload, found, len(head))
		}
	})
}

func FuzzHouse(f *testing.F) {
	for _, seed := range []string{
		plain, "[" + plain + "," + plain + "]", `{"values":{"a":NaN,"b":-Infinity,"c":"1.5","d":[{}]}}`,
		`{"ts":"2026-06-27T14:32:05+08:00","values":{"a":1}}{`, "\xef\xbb\xbf{\"values\":{}}\x00\x00", `{"values":{"\u00e9\\":1e999}}`, `{'values':{}}`, "[[]][]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var h House
		before := bytes.Clone(payload)
		sampled := false
		err := h.Decode(payload, func(s *Sample) error {
			sampled = true
			if s.Timed && s.Untimed {
				t.Fatal("timed and untimed")
			}
			for _, v := range s.Values {
				if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) {
					t.Fatalf("%s is %v", v.Name, v.Number)
				}
			}
			for _, e := range s.Errors {
				checkError(t, e, len(payload))
			}
			return nil
		})
		var refused *Error
		switch {
		case errors.As(err, &refused):
			if sampled {
				t.Fatal("refused after a sample")
			}
			checkError(t, refused, len(payload))
		case err != nil:
			t.Fatalf("a strange error: %v", err)
		case !sampled:
			t.Fatal("neither a sample nor an error")
		}
		if !bytes.Equal(before, payload) {
			t.Fatal("the payload was written to")
		}
		if refused != nil && refused.Code == CodeBadJSON && json.Valid(payload) {
			t.Fatalf("valid JSON was refused: %v", refused)
		}
	})
}

func checkError(t *testing.T, e *Error, size int) {
	if e.Code == "" || e.Detail == "" || e.Hint == "" || e.Offset < 0 || e.Offset > size || len(e.Detail) > 300 || len(e.Field) > 80 {
		t.Fatalf("a poor error: %+v", e)
	}
}

const plain = `{"ts":1656311525000,"seq":10482,"values":{"pond_level_m":182.43,"dry_beach_m":96.5,"phreatic_depth_m":6.82,"battery_v":3.31,"rssi_dbm":-87}}`

func TestHouseDoesNotAllocate(t *testing.T) {
	var h House
	payload := []byte(plain)
	fn := func(*Sample) error { return nil }
	if n := testing.AllocsPerRun(100, func() { _ = h.Decode(payload, fn) }); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func BenchmarkHouse(b *testing.B) {
	var h House
	payload := []byte(plain)
	fn := func(*Sample) error { return nil }
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Decode(payload, fn); err != nil {
			b.Fatal(err)
		}
	}
}
