package main

import (
	"flag"
	"path/filepath"
	"testing"
	"time"

	"fengsui/ingest/journal"
)

var (
	startMessages = flag.Int("start.messages", 100_000, "how many messages lie in the log that TestStart starts with; a day of 2,400 devices is 3,500,000")
	startRounds   = flag.Int("start.rounds", 2, "how often TestStart stops and kills the gateway")
)

// TestStart starts the gateway with a log of yesterday's messages, after a clean
// stop and after a kill -9, and says how long it took until it was ready. What
// was judged before is not judged again into the books.
func TestStart(t *testing.T) {
	tr := traffic{devices: 2400, perEntry: 100}
	g := newGateway(t, tr.yaml(), "rules: rules\n")
	g.write("rules/crossing.yaml", crashRules)
	store, err := journal.Open(t.Context(), journal.Options{Dir: filepath.Join(g.dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	input, err := store.Log(t.Context(), journal.LogOptions{Name: "input"})
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	tr.write(t, input, *startMessages, time.Now().Add(-day), day)
	t.Logf("%d messages, %d MB", *startMessages, input.Bytes()>>20)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	timed := func(what string) {
		began := time.Now()
		g.start()
		t.Logf("ready %v after %s", time.Since(began).Round(time.Millisecond), what)
	}
	g.patience = 10 * time.Minute
	timed("everything was judged")
	for range *startRounds {
		g.stop()
		timed("a stop")
		g.kill()
		timed("a kill")
	}
	g.balanced()
	t.Logf("the last start:\n%s", g.output.tail(3000))
}
