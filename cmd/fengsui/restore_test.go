package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
)

// stopsWithin ends the run in the midst of the entry that changes the registry.
type stopsWithin struct {
	fixedRegistry
	stop func()
}

func (s stopsWithin) At(version uint64) (*devices.Registry, error) {
	if version > 0 {
		s.stop()
	}
	return s.fixedRegistry.At(version)
}

// A planned stop in the midst of an entry, whose readings can no longer be handed
// over, saves no snapshot past them: the next run judges the entry again.
func TestStopInTheMidstOfAnEntry(t *testing.T) {
	dir, tr := t.TempDir(), traffic{devices: 1, perEntry: 1}
	d := newBareJudge(t, dir, tr)
	at := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	entry := ingest.AppendMessage(nil, &ingest.Message{
		Kind: ingest.Publish, Received: at, Source: embeddedSource, User: "s", QoS: 1, PacketID: 1,
		Topic: "v1/s/d00000/telemetry", Payload: []byte(`{"seq":1,"values":{"gas_lel_pct":1}}`),
	})
	entry = ingest.AppendMessage(entry, &ingest.Message{Kind: ingest.Config, Received: at, Topic: "1 hash"})
	if _, err := d.Input.Append(t.Context(), entry, 1); err != nil {
		t.Fatal(err)
	}
	for range readingsQueue { // nobody writes, so this entry's readings find no place
		if err := d.Readings.after(t.Context(), func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	d.History = stopsWithin{d.History.(fixedRegistry), cancel}
	ended := make(chan error, 1)
	go func() { ended <- d.judge.Run(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the judge ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the judge waits to save a snapshot past readings that were never handed over")
	}
	d.store.Close()

	d = newBareJudge(t, dir, tr)
	d.start(t)()
	if got := readingsIn(t, d); got[at.UnixMilli()] != 1 {
		t.Errorf("of the reading of the entry at which the judge was stopped the log holds %d: %v", got[at.UnixMilli()], got)
	}
}

// The disk has lost the tail of the input log. What other logs know of positions
// past its end says nothing of the messages that will stand there: their readings
// are kept, their alarms are raised, and what is lost is named.
func TestTailOfTheInputLogIsLost(t *testing.T) {
	dir, tr := t.TempDir(), traffic{devices: 1, perEntry: 1, crossing: 0}
	stream := filepath.Join(logsFolder(dir), "$G", "streams", "input-1")
	start := time.Now().Add(-time.Minute)
	d := newBareJudge(t, dir, tr)
	tr.write(t, d.Input, 10, start, time.Second)
	d.store.Close()
	short := t.TempDir()
	if err := os.CopyFS(short, os.DirFS(stream)); err != nil {
		t.Fatal(err)
	}
	d = newBareJudge(t, dir, tr)
	tr.write(t, d.Input, 20, start.Add(10*time.Second), time.Second)
	d.start(t)()
	if n := len(readingsIn(t, d)); n != 30 {
		t.Fatalf("%d readings of 30 messages", n)
	}
	d.store.Close()
	if err := errors.Join(os.RemoveAll(stream), os.CopyFS(stream, os.DirFS(short))); err != nil {
		t.Fatal(err)
	}

	d = newBareJudge(t, dir, tr)
	if end := d.Input.Last().Seq; end != 10 {
		t.Fatalf("the input log ends at %d", end)
	}
	var named []string
	d.Damaged = func(what string) { named = append(named, what) }
	var err error
	if d.Readings.upTo, err = lastReadings(t.Context(), d.Readings.log); err != nil || d.Readings.upTo != 30 {
		t.Fatalf("the readings log tells of %d, %v", d.Readings.upTo, err)
	}
	tr.write(t, d.Input, 15, start.Add(20*time.Second), 15*time.Second)
	d.start(t)()
	got := readingsIn(t, d)
	for i := range 15 {
		at := start.Add(20*time.Second + time.Duration(i)*time.Second).Truncate(time.Millisecond).UnixMilli()
		if got[at] != 1 {
			t.Errorf("of message %d behind the loss, at input %d, the readings log holds %d", i+1, 11+i, got[at])
		}
	}
	if told := strings.Join(named, "; "); !strings.Contains(told, "log input: it ends at 10, the readings log tells of 30") {
		t.Errorf("named: %s", told)
	}
}

// readingsIn counts the readings of the readings log by their time.
func readingsIn(t *testing.T, d *bareJudge) map[int64]int {
	t.Helper()
	out := map[int64]int{}
	readAllOf(t, d.Readings.log, func(r journal.Record) error {
		e, err := devices.DecodeReadings(r.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", r.Seq, err)
		}
		for _, reading := range e.Readings {
			out[reading.Received]++
		}
		return nil
	})
	return out
}
