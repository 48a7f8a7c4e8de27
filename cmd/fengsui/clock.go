package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fengsui/rules"
)

// embeddedSource is the name of the embedded intake among the sources.
const embeddedSource = "embedded"

const (
	// slew is by how much the gateway's clock goes faster or slower to follow a
	// wall clock that was set. A duration of a rule is then wrong by a twentieth,
	// which is less than the interval of any device; an hour takes twenty hours.
	slew = 0.05
	// followed is the difference to the wall clock that is left alone: a clock
	// that is disciplined over the network wanders by that.
	followed = 20 * time.Millisecond
	// A step of the wall clock by so much is somebody's doing, and an alarm.
	stepped = 10 * time.Second

	clockEvery = time.Second
)

// clock is the gateway's receive clock: it starts with the wall clock and then
// counts time that passes, so that it neither jumps nor stands still nor runs
// back when somebody sets the wall clock; it follows it, slowly.
type clock struct {
	wall   func() time.Time // the machine's clock, as it is set
	passed func() time.Duration
	logger *slog.Logger

	hands atomic.Pointer[hands] // read for every message; changed under mu

	mu     sync.Mutex
	offset time.Duration // of the wall clock to ours, when last looked at
	step   time.Duration // the last jump of the wall clock, until it is made up
	seen   bool
}

// hands are where the clock stands and how fast it goes.
type hands struct {
	at   time.Duration // when it was last adjusted, in time passed
	time time.Time     // what it showed then
	rate float64       // of its speed: 1 where nothing is to be made up
}

func (h *hands) read(passed time.Duration) time.Time {
	since := passed - h.at
	if h.rate != 1 {
		since = time.Duration(float64(since) * h.rate)
	}
	return h.time.Add(since).Round(0)
}

// newClock starts a clock at what wall says now.
func newClock(wall func() time.Time, logger *slog.Logger) *clock {
	begun := time.Now()
	c := &clock{wall: wall, logger: logger, passed: func() time.Duration { return time.Since(begun) }}
	c.hands.Store(&hands{time: wall(), rate: 1})
	return c
}

// Now is the time by the gateway's clock.
func (c *clock) Now() time.Time { return c.hands.Load().read(c.passed()) }

// notBefore sets the clock on to t if it is behind it: what the gateway wrote
// down in an earlier run was not in the future.
func (c *clock) notBefore(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.Now(); now.Before(t) {
		c.hands.Store(&hands{at: c.passed(), time: t, rate: 1})
		c.offset, c.step, c.seen = c.wall().Sub(t), c.wall().Sub(t), true
		c.logger.Warn("the machine's clock is behind the newest message of the last run; the gateway's clock goes on from there", "by", t.Sub(now).Round(time.Second))
	}
}

// Run follows the wall clock until ctx ends.
func (c *clock) Run(ctx context.Context) error {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		c.follow()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow compares the clock with the wall clock and sets its speed for the time
// until the next look.
func (c *clock) follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, passed := c.hands.Load(), c.passed()
	now := h.read(passed)
	offset := c.wall().Sub(now)
	expected := c.offset + time.Duration((1-h.rate)*float64(passed-h.at)) // of a wall clock nobody touched
	if jump := offset - expected; c.seen && jump.Abs() >= stepped {
		c.step = jump
		c.logger.Error("the machine's clock was set; the gateway's clock follows slowly", "step", jump.Round(time.Millisecond), "takes", catchUp(offset))
	}
	c.offset, c.seen = offset, true
	rate := 1.0
	if offset.Abs() > followed { // no more than is made up by the next look
		most := slew * float64(clockEvery)
		rate = 1 + min(max(float64(offset), -most), most)/float64(clockEvery)
	} else {
		c.step = 0
	}
	c.hands.Store(&hands{at: passed, time: now, rate: rate})
}

// Offset is how far the wall clock is ahead of this one.
func (c *clock) Offset() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset
}

// catchUp is how long it takes to make up an offset.
func catchUp(offset time.Duration) time.Duration {
	return time.Duration(float64(offset.Abs()) / slew).Round(time.Minute)
}

// trouble says that somebody set the machine's clock, until that is made up.
func (c *clock) trouble() trouble {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.step.Abs() < stepped || c.offset.Abs() < time.Second {
		return trouble{}
	}
	zh, en := "向前", "forward"
	if c.step < 0 {
		zh, en = "向后", "back"
	}
	by, takes := c.step.Abs().Round(time.Second), catchUp(c.offset)
	return trouble{rules.Yellow, fmt.Sprintf(
		"本机时钟被%s调整 %v；网关时间不跳变，约 %v 内逐步跟上，期间接收时间与本机时间不一致。请检查时间同步（NTP）· the machine's clock was set %s by %v; the gateway's time does not jump, it follows within about %v. Check the time service (NTP) of this machine",
		zh, by, takes, en, by, takes)}
}
