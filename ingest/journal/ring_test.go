package journal

import (
	"testing"

	"pgregory.net/rapid"
)

// The ring holds the newest records, without holes, as far as its bounds allow.
func TestRing(t *testing.T) {
	const maxBytes = 500
	rapid.Check(t, func(t *rapid.T) {
		r := ring{maxBytes: maxBytes}
		var model []Record
		seq := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "pushes") {
			seq += rapid.SampledFrom([]uint64{1, 1, 1, 1, 1, 1, 1, 3}).Draw(t, "step")
			rec := Record{Seq: seq, Data: make([]byte, rapid.SampledFrom([]int{0, 1, 5, 100, maxBytes, maxBytes + 1}).Draw(t, "size"))}
			r.push(rec)
			if n := len(model); n > 0 && model[n-1].Seq+1 != seq {
				model = nil
			}
			model = append(model, rec)
			for len(model) > len(r.records) || size(model) > maxBytes {
				model = model[1:]
			}
			if r.count != len(model) || r.bytes != size(model) {
				t.Fatalf("after %d: %d records of %d bytes, want %d of %d", seq, r.count, r.bytes, len(model), size(model))
			}
		}
		for at := uint64(0); at <= seq+2; at++ {
			got, held := r.get(at)
			want := len(model) > 0 && at >= model[0].Seq && at <= seq
			if held != want || held && got.Seq != at {
				t.Fatalf("get(%d) gives %d, %v", at, got.Seq, held)
			}
		}
	})
}

func size(records []Record) (n int) {
	for _, r := range records {
		n += len(r.Data)
	}
	return n
}
