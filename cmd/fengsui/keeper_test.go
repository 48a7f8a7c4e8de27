package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"fengsui/ingest/journal"
	"fengsui/sinks"
)

// fullLogs are an input and a readings log of which each has filled so much of
// its limit, and a trimmer of theirs.
func fullLogs(t *testing.T, overflow string, share float64) (*trimmer, *journal.Store) {
	t.Helper()
	store, err := journal.Open(t.Context(), journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	const limit = 3_200_000
	fill := func(name string) sized {
		log, err := store.Log(t.Context(), logOptions(name, limit))
		if err != nil {
			t.Fatal(err)
		}
		s := sized{log, limit}
		noise := rand.NewChaCha8([32]byte{}) // nothing to compress
		data := make([]byte, 20_000)
		for s.share() < share {
			noise.Read(data)
			if _, err := log.Append(t.Context(), data, 1); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	disk := &diskWatch{config: defaultDisk()}
	disk.config.Overflow = overflow
	disk.now.Store(&diskView{})
	return &trimmer{
		input: fill("input"), readings: fill("readings"), judge: &judge{}, outlets: &outlets{}, disk: disk,
		keep: time.Hour, now: time.Now, logger: slog.New(slog.DiscardHandler),
	}, store
}

// lagging is a sink that takes nothing.
type lagging struct{ sinks.Sink }

func (lagging) Name() string { return "lagging" }

// behind adds a sink that has read nothing of the readings log.
func (t *trimmer) behind(test *testing.T, store *journal.Store) {
	test.Helper()
	cursor, err := store.Cursor(context.Background(), "readings/lagging")
	if err != nil {
		test.Fatal(err)
	}
	t.outlets.readings = append(t.outlets.readings, sinks.NewRunner(sinks.RunnerOptions{Sink: lagging{}, Log: t.readings.log, Cursor: cursor}))
}

// Logs are trimmed long before they are an alarm, whatever their size, and never
// of what is still needed.
func TestLogsAreTrimmedBeforeTheyAreFull(t *testing.T) {
	k, _ := fullLogs(t, overflowRefuse, 0.8)
	if err := k.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k.input.log.First().Seq != 1 {
		t.Error("input that the judge would need for a replay was dropped")
	}
	if share := k.readings.share(); share > tidy+0.1 || share < tidy-0.1 {
		t.Errorf("the readings log fills %.2f of its limit", share)
	}
	k.judge.status.saved.Store(k.input.log.Last().Seq)
	if err := k.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if share := k.input.share(); share > tidy+0.1 || share < tidy-0.1 {
		t.Errorf("the input log fills %.2f of its limit", share)
	}

	k, store := fullLogs(t, overflowRefuse, 0.95)
	k.behind(t, store)
	k.disk.now.Store(&diskView{level: diskFloor})
	if err := k.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k.readings.log.First().Seq != 1 {
		t.Error("readings that a sink still needs were dropped at the floor")
	}
}

// Where the operator chose so, the oldest readings go though a sink needs them;
// what was not yet judged stays.
func TestOverflowDropsTheOldest(t *testing.T) {
	k, store := fullLogs(t, overflowDropOldest, 0.95)
	k.behind(t, store)
	if err := k.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k.readings.log.First().Seq != 1 {
		t.Error("readings that a sink needs were dropped while there was room")
	}
	k.disk.now.Store(&diskView{level: diskAlarm})
	if err := k.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if share := k.readings.share(); share > tidy+0.1 || share < tidy-0.1 {
		t.Errorf("the readings log fills %.2f of its limit", share)
	}
	if k.input.log.First().Seq != 1 {
		t.Error("input that was not judged was dropped")
	}
	// The disk is full of other things: half of ours goes each time.
	before := k.readings.share()
	k.disk.now.Store(&diskView{level: diskFloor})
	if err := k.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if share := k.readings.share(); share > before*0.7 {
		t.Errorf("at the floor the readings log went from %.2f of its limit to %.2f", before, share)
	}
}
