package rules_test

import (
	"runtime"
	"testing"

	"fengsui/rules"
)

// TestMemoryOfADevice holds what the engine remembers of a device with five
// fields, a rule at each, whose values are as they should be: ten thousand are to
// fit beside everything else. What an alarm needs is let go of when it is over.
func TestMemoryOfADevice(t *testing.T) {
	const devices, rounds = 2000, 40
	calm := heldOf(t, devices, rounds, false)
	over := heldOf(t, devices, rounds, true)
	t.Logf("%d bytes a device, %d once its alarms are over", calm, over)
	if calm > 7_000 {
		t.Errorf("%d bytes a device after %d readings", calm, rounds)
	}
	if over > calm+calm/20 {
		t.Errorf("%d bytes a device whose alarms are over, %d where there were none", over, calm)
	}
}

// heldOf is what the engine holds of each device after some readings, one a minute;
// alarmed: the fifth of each was red.
func heldOf(t *testing.T, n, rounds int, alarmed bool) int {
	e, readings := benchWorld(t, n)
	before := live()
	for round := range rounds {
		now := start + int64(round)*60_000
		for _, r := range readings {
			r.Time, r.Received = now, now
			for i := range r.Values {
				r.Values[i].Number = 20
				if alarmed && round == 4 {
					r.Values[i].Number = 90
				}
			}
			e.Judge(r, now, nil)
		}
		e.Advance(now, nil)
	}
	held := live() - before
	runtime.KeepAlive(e)
	runtime.KeepAlive(readings)
	return int(held) / n
}

// TestASnapshotMakesLittleGarbage holds that a snapshot takes about the memory it
// is long: it is taken every half minute, on top of everything else.
func TestASnapshotMakesLittleGarbage(t *testing.T) {
	e, readings := benchWorld(t, 2000)
	for _, r := range readings {
		r.Time, r.Received = start, start
		e.Judge(r, start, nil)
	}
	taken(t, e)
	before := allocated()
	text := taken(t, e)
	if made := allocated() - before; made > uint64(len(text))*2 {
		t.Errorf("a snapshot of %d bytes allocates %d", len(text), made)
	}
}

func taken(t *testing.T, e *rules.Engine) []byte {
	t.Helper()
	text, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
