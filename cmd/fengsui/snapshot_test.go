package main

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// FuzzSnapshot reads any bytes as a snapshot: what is accepted is what encode
// writes, and what encode writes is read as it was.
func FuzzSnapshot(f *testing.F) {
	whole := snapshot{Position: 7, Total: 6, Missing: 5, Alarms: 4, Clock: 1 << 40, Registry: 3,
		Engine: []byte("engine"), Intake: []byte("in"), Presence: []byte("{}"), Counts: []byte("c"), Replays: []byte("r")}
	f.Add(slices.Concat(whole.encode()...))
	f.Add(slices.Concat((&snapshot{}).encode()...))
	f.Add([]byte(snapshotVersion))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again snapshot
		if s.decode(data) != nil {
			return
		}
		written := slices.Concat(s.encode()...)
		if !bytes.Equal(written, data) {
			t.Fatalf("%q was accepted and is written as %q", data, written)
		}
		if err := again.decode(written); err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v is read as %+v: %v", s, again, err)
		}
	})
}
