package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fengsui/devices"
	"fengsui/ingest/journal"
)

func rejecting(positions ...uint64) []byte {
	e := devices.ReadingsEntry{}
	for _, p := range positions {
		e.Rejections = append(e.Rejections, devices.Rejection{Position: p, Code: fmt.Sprint("code", p%3), Topic: "v1/sample-gas/gas-01/telemetry", Whole: true})
	}
	return devices.AppendReadings(nil, e)
}

// TestTheQuarantineIsWhatTheLogSays: whatever lies in the readings log before and
// after a start, and wherever it is damaged, the newest that are wanted are found,
// each once and newest first, and it is said whether that is all.
func TestTheQuarantineIsWhatTheLogSays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := newMemoryLog("e")
		var all []uint64 // oldest first
		write := func(entries int) {
			for range entries {
				seq := log.Last().Seq + 1
				var here []uint64
				if rapid.IntRange(0, 20).Draw(rt, "rejects") == 0 {
					here = []uint64{2 * seq, 2*seq + 1}
				}
				log.add("", rejecting(here...))
				if rapid.IntRange(0, 200).Draw(rt, "lost") == 0 {
					log.lose(seq, &journal.CorruptError{Log: "readings", Seq: seq})
					continue
				}
				all = append(all, here...)
			}
		}
		write(rapid.IntRange(0, 1500).Draw(rt, "before"))
		h := NewHub(HubOptions{Alarms: newMemoryLog("a"), Readings: log})
		follow := func() {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			end := log.Last().Seq
			log.add("", rejecting()) // its last entry is what ends the reading
			done := make(chan error, 1)
			go func() { done <- h.followReadings(ctx) }()
			for h.rejections.endOf() <= end {
				if len(done) > 0 {
					rt.Fatal(<-done)
				}
			}
			stop()
			<-done
		}
		follow()
		write(rapid.IntRange(0, 20).Draw(rt, "after"))
		follow() // once more over what was read before
		if err := h.rejections.Search(t.Context()); err != nil {
			rt.Fatal(err)
		}
		wanted := func(r *devices.Rejection) bool { return r.Code != "code1" }
		var want []uint64
		for _, p := range slices.Backward(all) {
			if p%3 != 1 {
				want = append(want, p)
			}
		}
		var got []uint64
		for _, r := range h.rejections.Rejections(len(all), wanted) {
			got = append(got, r.Position)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("lists %v\nwant  %v", got, want)
		}
		if r := h.rejections.Reach(); r.Searching || r.Since != 0 {
			rt.Fatalf("it reaches %+v", r)
		}
	})
}

func (q *rejections) endOf() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.end
}

// TestTheQuarantineIsBounded: of more than can be listed the newest are, and it is
// said since when.
func TestTheQuarantineIsBounded(t *testing.T) {
	log := newMemoryLog("e")
	for seq := range uint64(3 * searchAtOnce) {
		log.add("", rejecting(slices.Repeat([]uint64{seq + 1}, 10)...))
	}
	h := NewHub(HubOptions{Alarms: newMemoryLog("a"), Readings: log})
	h.rejections.follow(log.Last().Seq+1, log.Last().Seq)
	if err := h.rejections.Search(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := h.rejections.Rejections(2*rejectionsKept, func(*devices.Rejection) bool { return true })
	if n := len(list); n != rejectionsKept || list[0].Position != 3*searchAtOnce {
		t.Errorf("%d are listed, the newest of %d", n, list[0].Position)
	}
	if r := h.rejections.Reach(); r.Searching || r.Since == 0 {
		t.Errorf("it reaches %+v", r)
	}
}

// TestASearchThatEndsEarlySaysSo: whoever gives up is told that there may be more,
// and the next one goes on.
func TestASearchThatEndsEarlySaysSo(t *testing.T) {
	log := newMemoryLog("e")
	log.add("", rejecting(1))
	for range searchAtOnce {
		log.add("", rejecting())
	}
	q := newRejections(log)
	q.follow(log.Last().Seq+1, log.Last().Seq)
	gone, stop := context.WithCancel(t.Context())
	stop()
	if err := q.Search(gone); err != nil || !q.Reach().Searching {
		t.Fatalf("given up: %v, %+v", err, q.Reach())
	}
	broken := errors.New("no disk")
	log.fail(broken)
	if err := q.Search(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("of a log that cannot be read: %v", err)
	}
	log.fail(nil)
	if err := q.Search(t.Context()); err != nil || len(q.Rejections(9, func(*devices.Rejection) bool { return true })) != 1 {
		t.Fatalf("the next search: %v", err)
	}
}

// TestTheQuarantineAfterARestart: a message that was turned away long before the
// end of the log is listed by a gateway that has just started.
func TestTheQuarantineAfterARestart(t *testing.T) {
	p := &realParts{t: t, dir: t.TempDir()}
	p.open()
	for seq := range uint64(readingsBack + searchAtOnce + 20) {
		data := rejecting()
		if seq == 3 {
			data = rejecting(7)
		}
		if _, err := p.readings.Append(t.Context(), data, 1); err != nil {
			t.Fatal(err)
		}
	}
	p.close()
	p.open()
	defer p.close()
	r := p.console()
	defer r.stop()
	token := r.person("李雷", Operator)
	for _, path := range []string{"", "/reasons"} {
		if status, body := r.call("GET", "/api/v1/quarantine"+path, token, ""); status != http.StatusOK || !strings.Contains(body, `"code1"`) || !strings.Contains(body, `"searching":false`) {
			t.Errorf("quarantine%s: %d %s", path, status, body)
		}
	}
}
