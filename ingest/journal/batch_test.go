package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// events makes n of them, with keys that come again, so that they are the
// (first)th and following of one story.
func events(first, n int) []KeyedEntry {
	out := make([]KeyedEntry, n)
	for i := range out {
		out[i] = KeyedEntry{fmt.Sprint("site.", (first+i)%7), fmt.Append(nil, "event ", first+i)}
	}
	return out
}

// checkEvents reads the whole log, from memory and from disk, and expects the
// story up to n.
func checkEvents(t testing.TB, k *KeyedLog, n int) {
	t.Helper()
	for range 2 {
		got, err := readAll(t.Context(), k, 1)
		if err != nil || len(got) != n {
			t.Fatalf("read %d of %d, %v", len(got), n, err)
		}
		for i, want := range events(1, n) {
			if r := got[i]; int(r.Seq) != i+1 || int(r.Total) != i+1 || r.Count != 1 || r.Subject != want.Key || string(r.Data) != string(want.Data) {
				t.Fatalf("event %d came as %d, total %d, %s: %s", i+1, r.Seq, r.Total, r.Subject, r.Data)
			}
		}
		forget(&k.feed)
	}
}

// Any number at once, mixed with single ones, is the same log as one by one.
func TestAppendAll(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	k := openKeyed(t, s, "alarms")
	n := 0
	for _, more := range []int{1, 2, batchPays - 1, 1, batchPays, maxBatch, 0, maxBatch + 1, 2*maxBatch + batchPays, 3} {
		seq, err := k.AppendAll(t.Context(), events(n+1, more), uint64(n))
		if n += more; err != nil || seq != uint64(n) {
			t.Fatalf("appended to %d, want %d, %v", seq, n, err)
		}
	}
	checkEvents(t, k, n)
	checkEvents(t, openKeyed(t, openStore(t, crashCopy(t, dir)), "alarms"), n)
	closeStore(t, s)
	checkEvents(t, openKeyed(t, openStore(t, dir), "alarms"), n)
}

func TestAppendAllExpectsTheLast(t *testing.T) {
	k := openKeyed(t, openStore(t, t.TempDir()), "alarms")
	all := events(1, 3*batchPays)
	if _, err := k.AppendAll(t.Context(), all[:batchPays], 0); err != nil {
		t.Fatal(err)
	}
	// Again, and again with more: what is there counts as written.
	for _, n := range []int{1, batchPays, batchPays + 1, len(all), batchPays} {
		if seq, err := k.AppendAll(t.Context(), all[:n], 0); err != nil || seq != uint64(n) {
			t.Fatalf("%d again: %d, %v", n, seq, err)
		}
	}
	other := slices.Clone(all)
	other[batchPays].Data = []byte("another event")
	for expect, entries := range map[uint64][]KeyedEntry{0: other, 1: all, 7: all[:1], 1000: all} {
		if _, err := k.AppendAll(t.Context(), entries, expect); !errors.Is(err, ErrConflict) {
			t.Errorf("expecting %d: %v", expect, err)
		}
	}
	tooLarge := append(events(len(all)+1, batchPays), KeyedEntry{"a", make([]byte, maxEntry)})
	if _, err := k.AppendAll(t.Context(), tooLarge, uint64(len(all))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	checkEvents(t, k, len(all))
}

// A batch whose answer is lost, or that is lost itself, is sent again and is in
// the log once.
func TestAppendAllRetriesUntilItKnows(t *testing.T) {
	for _, faults := range [][]fault{{ackLost}, {ackLost, ackLost}, {lost}, {lost, ackLost}, {unstaged}, {unstaged, ackLost}} {
		t.Run(fmt.Sprint(faults), func(t *testing.T) {
			s := openStore(t, t.TempDir())
			k := openKeyed(t, s, "alarms")
			inject(t, s, faults...)
			for n := 0; n < 300; n += 100 {
				if _, err := k.AppendAll(t.Context(), events(n+1, 100), uint64(n)); err != nil {
					t.Fatal(err)
				}
			}
			checkEvents(t, k, 300)
		})
	}
}

// Killed in the midst of storms of events, over and over: what was promised is
// there, and whatever is there is the beginning of the story, so that the next
// life can tell the rest.
func TestKillInABatch(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for some seconds")
	}
	dir := t.TempDir()
	var promised uint64
	partial := 0
	for range *killRounds {
		last := killChild(t, stormEnv, dir, time.Duration(rand.Int64N(int64(60*time.Millisecond))))
		promised = max(promised, last)
		copied := crashCopy(t, dir)
		s := openStore(t, copied)
		k := openKeyed(t, s, "alarms")
		if k.Last().Seq < promised {
			t.Fatalf("the log ends at %d, promised was %d", k.Last().Seq, promised)
		}
		if lost := s.Stats().Logs[0]; lost.LostEntries > 0 {
			t.Errorf("%+v", lost)
		}
		checkEvents(t, k, int(k.Last().Seq))
		if (k.Last().Seq-promised)%stormSize != 0 {
			partial++
		}
		promised = k.Last().Seq
		closeStore(t, s)
	}
	if promised < uint64(*killRounds*stormSize) {
		t.Errorf("little was tested: %d events", promised)
	}
	t.Logf("%d kills, %d events promised, %d times a part of a batch was there", *killRounds, promised, partial)
}

const (
	stormEnv  = "FENGSUI_JOURNAL_STORM"
	stormSize = 100
)

// stormUntilKilled appends event after event in batches, and says how far it is.
func stormUntilKilled(ctx context.Context, dir string, out io.Writer) error {
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	k, err := s.KeyedLog(ctx, "alarms")
	if err != nil {
		return err
	}
	for {
		last := k.Last().Seq
		seq, err := k.AppendAll(ctx, events(int(last)+1, stormSize), last)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, seq); err != nil {
			return err
		}
	}
}

// killChild runs this test binary as the process env names, kills it some time
// after its first promise, and returns the last one.
func killChild(t *testing.T, env, dir string, after time.Duration) (last uint64) {
	t.Helper()
	cmd := childCommand(t, env, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for first := true; ; first = false {
		var seq uint64
		if _, err := fmt.Fscanln(out, &seq); err != nil {
			break
		}
		last = seq
		if first {
			time.AfterFunc(after, func() { _ = cmd.Process.Signal(os.Kill) }) // it may have ended by itself, which shows
		}
	}
	if err := cmd.Wait(); err == nil || last == 0 {
		t.Fatalf("the process ended by itself after %d: %v", last, err)
	}
	return last
}
