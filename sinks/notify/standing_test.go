package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/sinks"
)

// These tests run over a real alarm log.

type alarmLog struct {
	*journal.KeyedLog
	store *journal.Store
}

func openAlarmLog(t *testing.T) alarmLog {
	t.Helper()
	store, err := journal.Open(t.Context(), journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log, err := store.KeyedLog(t.Context(), "alarms")
	if err != nil {
		t.Fatal(err)
	}
	return alarmLog{log, store}
}

// follow appends what the script has beyond the log's end.
func (l alarmLog) follow(t *testing.T, s *script) {
	t.Helper()
	for _, e := range s.events[l.Last().Seq:] {
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), e.Alarm.ID, data, e.Seq-1); err != nil {
			t.Fatal(err)
		}
	}
}

// running runs parts until the test is over.
func running(t *testing.T, parts ...func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(parts))
	for _, run := range parts {
		go func() { ended <- run(ctx) }()
	}
	return func() {
		cancel()
		for range parts {
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	}
}

// eventually asks until f says so; half a minute is far beyond what it needs.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func TestStandingFollowsTheLog(t *testing.T) {
	log, s := openAlarmLog(t), newScript(time.Now())
	s.raise("A", rules.Red)
	s.raise("B", rules.Red)
	s.clear("A")
	s.close("B")
	log.follow(t, s)
	st := NewStanding(log, slog.New(slog.DiscardHandler))
	stop := running(t, st.Run)
	defer stop()
	if all, err := st.all(t.Context()); err != nil || len(all) != 1 || all[0].ID != "A-2" {
		t.Errorf("stands %v, %v", all, err)
	}
	s.close("A")
	s.raise("C", rules.Red)
	s.level("C", rules.Orange)
	log.follow(t, s)
	eventually(t, "what came since", func() bool {
		a, _ := st.find(t.Context(), "A")
		c, _ := st.find(t.Context(), "C")
		return a == nil && c != nil && c.ID == "C-2"
	})
}

func TestStandingWaitsNoLongerThanItsCaller(t *testing.T) {
	st := NewStanding(nil, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.find(ctx, "A"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestThroughARunner: from the alarm log to the endpoint, live, in order, over
// faults, and after a restart no more than what is new.
func TestThroughARunner(t *testing.T) {
	log, s := openAlarmLog(t), newScript(time.Now())
	bucket, err := log.store.Bucket(t.Context(), "notify")
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t, func(w http.ResponseWriter, n int) {
		switch {
		case n == 2:
			w.WriteHeader(500)
		case n == 4:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
		}
	})
	run := func() (r *sinks.Runner, stop func()) {
		st := NewStanding(log, slog.New(slog.DiscardHandler))
		w := hook(t, l, s, func(o *WebhookOptions) { o.Standing, o.Bucket = st, bucket })
		cursor, err := log.store.Cursor(t.Context(), "alarms/"+w.Name())
		if err != nil {
			t.Fatal(err)
		}
		r = sinks.NewRunner(sinks.RunnerOptions{Sink: w, Log: log, Cursor: cursor})
		return r, running(t, st.Run, r.Run)
	}
	r, stop := run()
	for i := range 5 {
		s.raise(fmt.Sprint("A", i), rules.Red)
	}
	log.follow(t, s)
	eventually(t, "all is told", func() bool { return r.Status().Position == 5 })
	if status := r.Status(); status.Sent != 5 || status.Errors != 2 {
		t.Errorf("status %+v", status)
	}
	stop()
	r, stop = run()
	s.clear("A3")
	log.follow(t, s)
	eventually(t, "the end of one is told", func() bool { return r.Status().Position == 6 })
	stop()
	want := []string{"raised A0-1", "raised A1-1", "raised A1-1", "raised A2-1", "raised A2-1", "raised A3-1", "raised A4-1", "resolved A3-2"}
	if got := l.told(t); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}
