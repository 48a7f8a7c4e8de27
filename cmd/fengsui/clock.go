package main

import "time"

// embeddedSource is the name of the embedded intake among the sources.
const embeddedSource = "embedded"

// newClock is the gateway's receive clock: wall time at start plus monotonic
// time, so that it neither jumps nor runs backwards when the wall clock is set.
func newClock(start time.Time) func() time.Time {
	begun := time.Now()
	return func() time.Time { return start.Add(time.Since(begun)).Round(0) }
}
