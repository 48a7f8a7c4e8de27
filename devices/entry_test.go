package devices

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// anyEntry draws an entry over the devices of a registry.
func anyEntry(t *rapid.T, r *Registry) ReadingsEntry {
	text := rapid.StringN(0, 20, -1)
	number := rapid.OneOf(
		rapid.Float64(), rapid.Float64Range(-1000, 1000),
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-99999, 99999).Draw(t, "m")) / 100 }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.Inf(1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e9, 1e15, -9999}),
	)
	reading := rapid.Custom(func(t *rapid.T) Reading {
		x := Reading{
			Device:   rapid.SampledFrom(r.devices).Draw(t, "device"),
			Time:     rapid.Int64().Draw(t, "time"),
			Received: rapid.Int64().Draw(t, "received"),
			Seq:      rapid.Uint64().Draw(t, "seq"),
			Flags:    Flags(rapid.Byte().Draw(t, "flags")),
		}
		for range rapid.IntRange(0, 6).Draw(t, "values") {
			x.Values = append(x.Values, Value{
				Field:   rapid.SampledFrom(x.Device.Kind.Fields).Draw(t, "field"),
				Number:  number.Draw(t, "number"),
				Quality: Quality(rapid.IntRange(0, 2).Draw(t, "quality")),
				Over:    rapid.Bool().Draw(t, "over"),
			})
		}
		return x
	})
	rejection := rapid.Custom(func(t *rapid.T) Rejection {
		return Rejection{
			Position: rapid.Uint64().Draw(t, "position"), Index: rapid.IntRange(0, 1<<30).Draw(t, "index"), Received: rapid.Int64().Draw(t, "received"),
			Source: text.Draw(t, "source"), Client: text.Draw(t, "client"), Topic: text.Draw(t, "topic"), Device: text.Draw(t, "device"), Code: text.Draw(t, "code"),
			Field: text.Draw(t, "field"), Detail: text.Draw(t, "detail"), Hint: text.Draw(t, "hint"), Whole: rapid.Bool().Draw(t, "whole"),
		}
	})
	from := rapid.Uint64().Draw(t, "from")
	return ReadingsEntry{
		From: from, To: from + rapid.Uint64Range(0, 1000).Draw(t, "span"),
		Readings:   rapid.SliceOfN(reading, 0, 20).Draw(t, "readings"),
		Rejections: rapid.SliceOfN(rejection, 0, 4).Draw(t, "rejections"),
	}
}

// same compares an entry with what came back, which names devices and fields
// but does not describe them.
func same(a, b ReadingsEntry) error {
	if a.From != b.From || a.To != b.To || len(a.Readings) != len(b.Readings) || len(a.Rejections) != len(b.Rejections) {
		return fmt.Errorf("from %d to %d with %d and %d", b.From, b.To, len(b.Readings), len(b.Rejections))
	}
	for i := range a.Rejections {
		if a.Rejections[i] != b.Rejections[i] {
			return fmt.Errorf("rejection %d: %+v", i, b.Rejections[i])
		}
	}
	for i := range a.Readings {
		x, y := a.Readings[i], b.Readings[i]
		if x.Device.Key() != y.Device.Key() || x.Device.Site.Area != y.Device.Site.Area || x.Device.Kind.ID != y.Device.Kind.ID {
			return fmt.Errorf("reading %d is of %+v", i, y.Device)
		}
		if x.Time != y.Time || x.Received != y.Received || x.Seq != y.Seq || x.Flags != y.Flags || len(x.Values) != len(y.Values) {
			return fmt.Errorf("reading %d: %+v", i, y)
		}
		for j := range x.Values {
			v, w := x.Values[j], y.Values[j]
			if v.Field.Name != w.Field.Name || math.Float64bits(v.Number) != math.Float64bits(w.Number) || v.Quality != w.Quality || v.Over != w.Over {
				return fmt.Errorf("reading %d, value %d: %+v of %s", i, j, w, w.Field.Name)
			}
		}
	}
	return nil
}

// TestEntryRoundTrip: what was written comes back, bit for bit, and a device is
// the same pointer in every entry.
func TestEntryRoundTrip(t *testing.T) {
	r := county(t)
	rapid.Check(t, func(t *rapid.T) {
		var w ReadingsEncoder
		var d ReadingsDecoder
		seen := map[string]*Device{}
		for range 3 {
			e := anyEntry(t, r)
			data := w.Append([]byte("before"), e)[len("before"):]
			if !bytes.Equal(data, AppendReadings(nil, e)) {
				t.Fatal("a used encoder writes something else than a new one")
			}
			back, err := d.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := same(e, back); err != nil {
				t.Fatal(err)
			}
			for i := range back.Readings {
				x := back.Readings[i].Device
				if was := seen[x.Key()]; was != nil && was != x {
					t.Fatalf("%s is two devices", x.Key())
				}
				seen[x.Key()] = x
			}
			if again := AppendReadings(nil, back); !bytes.Equal(data, again) {
				t.Fatal("what was read is written differently")
			}
		}
	})
}

// TestEntryRefusesDamage: a cut entry is an error, a changed byte at worst
// another entry.
func TestEntryRefusesDamage(t *testing.T) {
	e := exampleEntry(t, 3)
	data := AppendReadings(nil, e)
	for n := range data {
		if _, err := DecodeReadings(data[:n]); err == nil {
			t.Fatalf("%d of %d bytes are enough", n, len(data))
		}
	}
	if _, err := DecodeReadings(append(bytes.Clone(data), 0)); err == nil {
		t.Error("a byte too many is accepted")
	}
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x80
		_, _ = DecodeReadings(damaged)
	}
}

func exampleEntry(t testing.TB, n int) ReadingsEntry {
	r := county(t)
	pond, _ := r.Device("pond", "dam-1")
	gas, _ := r.Device("canteen", "gas-1")
	e := ReadingsEntry{From: 10, To: 20, Rejections: []Rejection{{Position: 12, Topic: "x", Code: CodeBadTopic}}}
	for i := range n {
		at := day.UnixMilli() + int64(i)
		x := Reading{Device: pond, Time: at, Received: at + 40, Seq: uint64(i)}
		for j, v := range []float64{182.43, 96.5, 6.82, 3.31, -87} {
			x.Values = append(x.Values, Value{Field: pond.Kind.Fields[j], Number: v})
		}
		if i%2 == 1 {
			x.Device, x.Values = gas, []Value{{Field: gas.Kind.Fields[0], Number: 12.6 + float64(i)/10}}
		}
		e.Readings = append(e.Readings, x)
	}
	return e
}

func FuzzDecodeReadings(f *testing.F) {
	f.Add(AppendReadings(nil, exampleEntry(f, 3)))
	f.Add(AppendReadings(nil, ReadingsEntry{From: 1, To: 1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := DecodeReadings(data)
		if err != nil {
			return
		}
		for i := range e.Readings {
			for _, v := range e.Readings[i].Values {
				_ = v.Field.Name
			}
			_ = e.Readings[i].Device.Key()
		}
		back, err := DecodeReadings(AppendReadings(nil, e))
		if err != nil || !reflect.DeepEqual(len(back.Readings), len(e.Readings)) {
			t.Fatalf("what was accepted cannot be written: %v", err)
		}
	})
}

func TestEntryDoesNotAllocate(t *testing.T) {
	e := exampleEntry(t, 200)
	e.Rejections = nil
	var w ReadingsEncoder
	var d ReadingsDecoder
	var buffer []byte
	if n := testing.AllocsPerRun(100, func() {
		buffer = w.Append(buffer[:0], e)
		if _, err := d.Decode(buffer); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations an entry", n)
	}
}

func BenchmarkAppendReadings(b *testing.B) {
	e := exampleEntry(b, 200)
	var w ReadingsEncoder
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = w.Append(buffer[:0], e)
	}
	b.ReportMetric(float64(len(buffer))/float64(len(e.Readings)), "B/reading")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(e.Readings)), "ns/reading")
}

func BenchmarkDecodeReadings(b *testing.B) {
	e := exampleEntry(b, 200)
	data := AppendReadings(nil, e)
	var d ReadingsDecoder
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(e.Readings)), "ns/reading")
}
