package journal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// appendEvent appends an event behind the last one.
func appendEvent(t testing.TB, k *KeyedLog, key, event string) uint64 {
	t.Helper()
	seq, err := k.Append(t.Context(), key, []byte(event), k.Last().Seq)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// latest collects what Latest gives, as "key=event@seq".
func latest(t testing.TB, k *KeyedLog) ([]string, error) {
	t.Helper()
	var out []string
	err := k.Latest(t.Context(), func(r Record) error {
		out = append(out, fmt.Sprintf("%s=%s@%d", r.Subject, r.Data, r.Seq))
		return nil
	})
	return out, err
}

func TestKeyedLogSurvivesReopenAndCrash(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	k := openKeyed(t, s, "alarms")
	keys := []string{"site-1/gas.07/lel", "值班", "a b", "*"}
	for i := range 20 {
		if seq := appendEvent(t, k, keys[i%4], fmt.Sprint("event ", i)); seq != uint64(i+1) {
			t.Fatalf("event %d is at %d", i, seq)
		}
	}
	epoch := k.Epoch()
	check := func(k *KeyedLog) {
		t.Helper()
		if k.Last() != (Mark{Seq: 20, Total: 20}) || k.First() != (Mark{Seq: 1, Total: 1}) || k.Epoch() != epoch {
			t.Fatalf("goes from %v to %v, epoch %s", k.First(), k.Last(), k.Epoch())
		}
		got, err := readAll(t.Context(), k, 1)
		if err != nil || len(got) != 20 {
			t.Fatalf("read %d, %v", len(got), err)
		}
		for i, r := range got {
			if r.Subject != keys[i%4] || string(r.Data) != fmt.Sprint("event ", i) || r.Count != 1 {
				t.Fatalf("event %d came as %s: %s", i, r.Subject, r.Data)
			}
		}
		now, err := latest(t, k)
		want := []string{"site-1/gas.07/lel=event 16@17", "值班=event 17@18", "a b=event 18@19", "*=event 19@20"}
		if err != nil || !slices.Equal(now, want) {
			t.Fatalf("the last of each key: %q, %v", now, err)
		}
	}
	check(k)
	check(openKeyed(t, openStore(t, crashCopy(t, dir)), "alarms"))
	closeStore(t, s)
	check(openKeyed(t, openStore(t, dir), "alarms"))
}

func TestKeyedAppendExpectsTheLast(t *testing.T) {
	s := openStore(t, t.TempDir())
	k := openKeyed(t, s, "alarms")
	appendEvent(t, k, "a", "raised")
	appendEvent(t, k, "b", "raised")
	for _, expect := range []uint64{0, 1, 3, 99} {
		_, err := k.Append(t.Context(), "a", []byte("cleared"), expect)
		if !errors.Is(err, ErrConflict) {
			t.Errorf("expecting %d: %v", expect, err)
		}
	}
	if k.Last().Seq != 2 {
		t.Fatalf("something was appended: %v", k.Last())
	}
	if _, err := k.Append(t.Context(), "", nil, 2); err == nil || errors.Is(err, ErrConflict) {
		t.Errorf("an empty key: %v", err)
	}
}

// Of two who append at once one wins and the other is told; a chain of events
// made that way has no branch.
func TestKeyedAppendRaces(t *testing.T) {
	s := openStore(t, t.TempDir())
	k := openKeyed(t, s, "alarms")
	const writers, each = 4, 40
	var won, refused atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; i < each; {
				at := k.Last().Seq
				_, err := k.Append(t.Context(), fmt.Sprint(i%3), fmt.Appendf(nil, "%d after %d by %d", i, at, w), at)
				switch {
				case err == nil:
					won.Add(1)
					i++
				case errors.Is(err, ErrConflict):
					refused.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := readAll(t.Context(), k, 1)
	if err != nil || won.Load() != writers*each || len(got) != writers*each {
		t.Fatalf("%d won, %d refused, %d there, %v", won.Load(), refused.Load(), len(got), err)
	}
	for i, r := range got {
		if want := fmt.Sprintf(" after %d by ", i); !strings.Contains(string(r.Data), want) {
			t.Fatalf("entry %d is %q", r.Seq, r.Data)
		}
	}
}

func TestKeyedAppendKnowsItsOwn(t *testing.T) {
	t.Run("when the answer is lost", func(t *testing.T) {
		s := openStore(t, t.TempDir())
		k := openKeyed(t, s, "alarms")
		appendEvent(t, k, "a", "raised")
		inject(t, s, ackLost)
		if seq := appendEvent(t, k, "a", "cleared"); seq != 2 || k.Last().Seq != 2 {
			t.Errorf("it is at %d, the log at %v", seq, k.Last())
		}
	})
	t.Run("when the caller asks again", func(t *testing.T) {
		s := openStore(t, t.TempDir())
		k := openKeyed(t, s, "alarms")
		appendEvent(t, k, "a", "raised")
		appendEvent(t, k, "b", "raised")
		appendEvent(t, k, "c", "raised")
		for range 2 {
			seq, err := k.Append(t.Context(), "b", []byte("raised"), 1)
			if err != nil || seq != 2 {
				t.Errorf("got %d, %v", seq, err)
			}
			forget(&k.feed)
		}
		for key, event := range map[string]string{"b": "cleared", "a": "raised"} {
			if _, err := k.Append(t.Context(), key, []byte(event), 1); !errors.Is(err, ErrConflict) {
				t.Errorf("%s %s: %v", key, event, err)
			}
		}
	})
	t.Run("when another's came before", func(t *testing.T) {
		s := openStore(t, t.TempDir())
		k := openKeyed(t, s, "alarms")
		appendEvent(t, k, "a", "raised")
		e, err := s.engine()
		if err != nil {
			t.Fatal(err)
		}
		h := header{Epoch: 1, Counter: 1, Count: 1, Total: 2}
		if _, err := e.js.Publish(t.Context(), "alarms.b", appendEntry(nil, h, []byte("foreign"), false)); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Append(t.Context(), "a", []byte("cleared"), 1); !errors.Is(err, ErrConflict) {
			t.Fatalf("got %v", err)
		}
		if rec, err := k.At(t.Context(), 2); err != nil || string(rec.Data) != "foreign" {
			t.Errorf("the winner cannot be read: %v, %v", rec, err)
		}
		if seq := appendEvent(t, k, "a", "cleared"); seq != 3 {
			t.Errorf("then it is at %d", seq)
		}
	})
}

// The last of each key is what a fold over the whole log leaves. The log grows
// from one check to the next.
func TestLatestEqualsFold(t *testing.T) {
	s := openStore(t, t.TempDir())
	k := openKeyed(t, s, "alarms")
	fold := make(map[string]string)
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringN(1, 5, 20), 1, 8).Draw(rt, "keys")
		for range rapid.IntRange(0, 12).Draw(rt, "events") {
			key := rapid.SampledFrom(keys).Draw(rt, "key")
			event := fmt.Sprint("event ", k.Last().Seq)
			fold[key] = fmt.Sprintf("%s=%s@%d", key, event, appendEvent(t, k, key, event))
		}
		got, err := latest(t, k)
		if err != nil {
			rt.Fatal(err)
		}
		slices.Sort(got)
		if want := slices.Sorted(maps.Values(fold)); !slices.Equal(got, want) {
			rt.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestLatestIsInOrderAndOfOneMoment(t *testing.T) {
	s := openStore(t, t.TempDir())
	k := openKeyed(t, s, "alarms")
	for i := range 300 {
		appendEvent(t, k, fmt.Sprint(i%100), fmt.Sprint(i))
	}
	var seqs []uint64
	err := k.Latest(t.Context(), func(r Record) error {
		seqs = append(seqs, r.Seq)
		appendEvent(t, k, "0", "while reading")
		return nil
	})
	if err != nil || len(seqs) != 100 || seqs[0] != 201 || seqs[99] != 300 || !slices.IsSorted(seqs) {
		t.Errorf("got %v, %v", seqs, err)
	}
}

func TestLatestEndsWithItsCallback(t *testing.T) {
	s := openStore(t, t.TempDir())
	k := openKeyed(t, s, "alarms")
	if err := k.Latest(t.Context(), nil); err != nil {
		t.Errorf("of an empty log: %v", err)
	}
	appendEvent(t, k, "a", "raised")
	if err := k.Latest(t.Context(), func(Record) error { return errStop }); !errors.Is(err, errStop) {
		t.Errorf("got %v", err)
	}
}

func TestLatestSaysWhatIsDamaged(t *testing.T) {
	tests := []struct {
		name    string
		damaged string // the event whose bytes are flipped
		want    []string
		missing []uint64
	}{
		{"the last of a key", "b-last", []string{"a=a-last@4", "b=b-first@2", "c=c-last@6"}, []uint64{5}},
		{"one that was replaced", "b-first", []string{"a=a-last@4", "b=b-last@5", "c=c-last@6"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openStore(t, dir)
			k := openKeyed(t, s, "alarms")
			for _, event := range []string{"a-first", "b-first", "c-first", "a-last", "b-last", "c-last"} {
				appendEvent(t, k, event[:1], event)
			}
			for range 17 { // or it would lie in the newest block, which is mended at the start
				appendEvent(t, k, "more", string(body(0, 512<<10)))
			}
			closeStore(t, s)
			flipText(t, streamFile(dir, "alarms", "msgs", "1.blk"), tt.damaged)
			k = openKeyed(t, openStore(t, dir), "alarms")
			got, err := latest(t, k)
			got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "more") })
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if missing := damagedIn(err); !reflect.DeepEqual(missing, tt.missing) {
				t.Errorf("got %v, want entries %v", err, tt.missing)
			}
		})
	}
}

// flipText damages the first place where a file says text: two bits of it, which
// cannot be put right.
func flipText(t *testing.T, path, text string) {
	t.Helper()
	b := readFile(t, path)
	at := bytes.Index(b, []byte(text))
	if at < 0 {
		t.Fatalf("%s does not say %q", path, text)
	}
	flip(t, path, int64(at))
	flip(t, path, int64(at)+1)
}

// damagedIn lists the entries that an error says are damaged or missing.
func damagedIn(err error) []uint64 {
	var out []uint64
	var c *CorruptError
	var g *GapError
	switch joined, ok := err.(interface{ Unwrap() []error }); {
	case ok:
		for _, e := range joined.Unwrap() {
			out = append(out, damagedIn(e)...)
		}
	case errors.As(err, &c):
		out = append(out, c.Seq)
	case errors.As(err, &g):
		for seq := g.From; seq <= g.To; seq++ {
			out = append(out, seq)
		}
	}
	return out
}
