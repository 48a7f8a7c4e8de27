package journal

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	damageRounds = flag.Int("damage.rounds", 25, "how many damaged copies TestAnyDamage opens")
	damageSeed   = flag.Uint64("damage.seed", 0, "of the first of them, the next have the next ones; 0 means any")
)

// whole is a store as TestAnyDamage knows it: 60 entries in some segments, 60
// events, 20 keys of a bucket and two cursors.
const (
	wholeEntries = 60
	wholeEvents  = 60
	wholeKeys    = 20
)

func wholeStore(t *testing.T) (stopped, killed string) {
	stopped = t.TempDir()
	s := openStore(t, stopped)
	l := openLog(t, s, LogOptions{Name: "input", SegmentBytes: 30 << 10})
	fill(t, l, 1, wholeEntries, 3000)
	k := openKeyed(t, s, "alarms")
	for n := 0; n < wholeEvents; n += 20 {
		if _, err := k.AppendAll(t.Context(), events(n+1, 20), uint64(n)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := s.Bucket(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	for i := range wholeKeys {
		if _, err := b.Put(t.Context(), fmt.Sprint("key", i), body(i, 300)); err != nil {
			t.Fatal(err)
		}
	}
	save(t, openedCursor(t, s, "input/judge"), wholeEntries)
	save(t, openedCursor(t, s, "alarms/console"), wholeEvents)
	killed = crashCopy(t, stopped)
	closeStore(t, s)
	return stopped, killed
}

// Whatever happens to a file of the store, wherever: it opens, and whatever was
// in it is either there as it was or named as missing. Nothing is ever handed out
// that was not written, and nothing goes in silence.
func TestAnyDamage(t *testing.T) {
	if testing.Short() {
		t.Skip("opens damaged stores for some seconds")
	}
	first := *damageSeed
	if first == 0 {
		first = rand.Uint64N(1 << 32)
	}
	t.Logf("to see it again: -damage.seed %d", first)
	stopped, killed := wholeStore(t)
	epochs := epochsOf(t, crashCopy(t, stopped))
	found := map[string]int{}
	for round := range *damageRounds {
		seed := first + uint64(round)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			dir := crashCopy(t, []string{stopped, killed}[seed%2])
			what := damageSomewhere(t, dir, random)
			t.Logf("%s, after %s", what, []string{"a stop", "a kill"}[seed%2])
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for outcome := range checkWhole(ctx, t, dir, epochs) {
				found[outcome]++
			}
		})
	}
	t.Log(found)
}

// A bit that flips in an entry is put right, wherever it does: in the number it
// would cost all memory there is, in the subject of a bucket's newest value it
// would make the server a loop without end.
func TestFlippedBitIsPutRight(t *testing.T) {
	stopped, killed := wholeStore(t)
	for _, tt := range []struct {
		stream string
		at     func(newest int) int // where in the block, of which the newest entry begins there
	}{
		{"KV_registry", func(int) int { return 4 + 5 }},         // bit 40 of a number
		{"KV_registry", func(n int) int { return n + 20 }},      // the length of a subject
		{"KV_landmarks", func(n int) int { return n + 22 + 5 }}, // the newest subject
		{"KV_landmarks", func(n int) int { return n + 22 + 40 }},
		{"KV_cursors", func(n int) int { return n }}, // the length
		{"alarms", func(n int) int { return n + 4 }},
		{"input-51", func(n int) int { return n + 20 }}, // the length of the subject
		{"input-51", func(n int) int { return n + 1000 }},
	} {
		for _, dir := range []string{stopped, killed} {
			t.Run(tt.stream, func(t *testing.T) {
				dir := crashCopy(t, dir)
				blocks, err := blocksIn(streamFile(dir, tt.stream, "msgs"))
				if err != nil {
					t.Fatal(err)
				}
				path := blocks[len(blocks)-1].path
				data := readFile(t, path)
				newest := 0
				for at := 0; at < len(data); at += recordLength(data[at:]) {
					newest = at
				}
				flip(t, path, int64(tt.at(newest)))
				within(t, time.Minute, func(ctx context.Context) {
					if amiss := checkWhole(ctx, t, dir, nil); !amiss["none"] {
						t.Errorf("amiss: %v", amiss)
					}
				})
			})
		}
	}
}

// damageSomewhere does something to one file of the store.
func damageSomewhere(t *testing.T, dir string, random *rand.Rand) string {
	t.Helper()
	var files, blocks []string
	err := filepath.WalkDir(filepath.Join(dir, "jetstream"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
			if filepath.Ext(path) == ".blk" {
				blocks = append(blocks, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if random.IntN(4) > 0 {
		files = blocks // where the entries lie
	}
	path := files[random.IntN(len(files))]
	data := readFile(t, path)
	at := random.IntN(len(data) + 1)
	name := fmt.Sprintf("%s at %d of %d", path[len(dir):], at, len(data))
	switch random.IntN(6) {
	case 0:
		data, name = data[:at], "cut "+name
	case 1:
		data, name = append(data[:at:at], body(int(random.Uint32()), random.IntN(5000))...), "garbage in "+name
	case 2:
		clear(data[at:min(len(data), at+512)])
		name = "zeros in " + name
	default:
		if at == len(data) {
			return "nothing"
		}
		data[at] ^= 1 << random.IntN(8)
		name = "a bit of " + name
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func epochsOf(t *testing.T, dir string) map[string]string {
	s := openStore(t, dir)
	openLog(t, s, LogOptions{Name: "input", SegmentBytes: 30 << 10})
	openKeyed(t, s, "alarms")
	defer closeStore(t, s)
	out := map[string]string{}
	for _, l := range s.Stats().Logs {
		out[l.Name] = l.Epoch
	}
	return out
}

// checkWhole compares what can be read of a damaged store with what was written,
// and returns what was found to be amiss.
func checkWhole(ctx context.Context, t *testing.T, dir string, epochs map[string]string) map[string]bool {
	amiss := map[string]bool{"none": true}
	note := func(what string) {
		delete(amiss, "none")
		amiss[what] = true
	}
	s, err := Open(ctx, Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatalf("the store does not open: %v", err)
	}
	defer closeStore(t, s)
	l, err := s.Log(ctx, LogOptions{Name: "input", SegmentBytes: 30 << 10})
	if err != nil {
		t.Fatalf("the log does not open: %v", err)
	}
	k, err := s.KeyedLog(ctx, "alarms")
	if err != nil {
		t.Fatalf("the keyed log does not open: %v", err)
	}

	// The logs: every entry is as it was or named; a lost tail is a new epoch.
	entries, missing := readOn(t, l, l.First().Seq)
	for _, r := range entries {
		if string(r.Data) != string(body(int(r.Seq), 3000)) || r.Total != unitsTo(int(r.Seq)) {
			t.Errorf("entry %d is not what was written", r.Seq)
		}
	}
	checkNamed(t, &l.feed, wholeEntries, len(entries), missing, epochs, note)
	story := events(1, wholeEvents)
	told, missing := readOn(t, k, k.First().Seq)
	for _, r := range told {
		if want := story[r.Seq-1]; r.Subject != want.Key || string(r.Data) != string(want.Data) {
			t.Errorf("event %d is not what was written", r.Seq)
		}
	}
	checkNamed(t, &k.feed, wholeEvents, len(told), missing, epochs, note)

	// The present: the last event of each key, or an older one and an error.
	present := map[string]uint64{}
	err = k.Latest(ctx, func(r Record) error {
		if want := story[r.Seq-1]; r.Subject != want.Key || string(r.Data) != string(want.Data) {
			t.Errorf("the last of a key, event %d, is not what was written", r.Seq)
		}
		present[r.Subject] = r.Seq
		return nil
	})
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrGap) {
		t.Errorf("the last of each key: %v", err)
	}
	for key, seq := range lastOf(told) {
		if present[key] < seq {
			t.Errorf("the last of key %s is %d, want %d, %v", key, present[key], seq, err)
		}
	}

	// The table: a value is what was put, and none is missing in silence.
	b, err := s.Bucket(ctx, "registry")
	if err != nil {
		t.Fatalf("the bucket does not open: %v", err)
	}
	values, err := b.All(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(values) < wholeKeys {
		note("bucket: values gone")
	}
	for i := range wholeKeys {
		key := fmt.Sprint("key", i)
		value, there := values[key]
		if there && string(value) != string(body(i, 300)) {
			t.Errorf("%s is not what was put", key)
		}
		if !there && !strings.Contains(strings.Join(s.Stats().Damage, " "), "bucket registry") {
			t.Errorf("%s is gone, and nobody says so", key)
		}
	}
	for name, want := range map[string]uint64{"input/judge": wholeEntries, "alarms/console": wholeEvents} {
		c, err := s.Cursor(ctx, name)
		if err != nil {
			t.Fatalf("the cursor does not open: %v", err)
		}
		switch at, err := c.Load(ctx); {
		case errors.Is(err, ErrCursorAhead):
			note("cursor: ahead")
		case err != nil:
			t.Errorf("cursor %s: %v", name, err)
		case at == 0:
			note("cursor: from the beginning")
		case at != want:
			t.Errorf("cursor %s is at %d, it was saved at %d", name, at, want)
		}
	}
	if _, err := l.Append(ctx, nil, 1); err != nil { // the server may see its end elsewhere once it has read the damaged block
		note("opened anew")
		if err := s.Reopen(ctx); err != nil {
			t.Errorf("reopen: %v", err)
		}
		if _, err := l.Append(ctx, nil, 1); err != nil {
			t.Errorf("nothing can be appended: %v", err)
		}
	}
	if t.Failed() {
		t.Errorf("the logs held %d entries, %d events, missing %v", len(entries), len(told), missing)
	}
	return amiss
}

// checkNamed wants each of n entries read or named; those behind the log's end
// are named by a new epoch.
func checkNamed(t *testing.T, log *feed, n, read int, missing []string, epochs map[string]string, note func(string)) {
	t.Helper()
	stats := log.statsNow()
	named := int(stats.First.Seq) - 1 // trimmed or lost before the first
	for _, m := range missing {
		note(log.name + ": " + strings.Fields(m)[0])
		var from, to int
		if _, err := fmt.Sscanf(m, "gap %d-%d", &from, &to); err == nil {
			named += to - from + 1
		} else {
			named++
		}
	}
	if read+named != int(stats.Last.Seq) {
		t.Errorf("log %s: %d entries read and %d named, it goes to %d", log.name, read, named, stats.Last.Seq)
	}
	if stats.First.Seq > 1 && stats.LostEntries == 0 {
		t.Errorf("log %s begins at %d and counts nothing as lost", log.name, stats.First.Seq)
	}
	if int(stats.Last.Seq) < n {
		note(log.name + ": tail lost")
		if stats.Epoch == epochs[log.name] {
			t.Errorf("log %s ends at %d of %d, and nobody says so", log.name, stats.Last.Seq, n)
		}
	}
}

// lastOf is the position of the last record of each key.
func lastOf(records []Record) map[string]uint64 {
	out := map[string]uint64{}
	for _, r := range records {
		out[r.Subject] = max(out[r.Subject], r.Seq)
	}
	return out
}
