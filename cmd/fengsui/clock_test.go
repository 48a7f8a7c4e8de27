package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"fengsui/rules"
)

// TestClockFollowsAStep sets the wall clock an hour on and an hour back. The
// gateway's clock must not jump, not stand still, and get there.
func TestClockFollowsAStep(t *testing.T) {
	for name, step := range map[string]time.Duration{
		"an hour on": time.Hour, "an hour back": -time.Hour,
		"eleven seconds on": 11 * time.Second, "nine seconds back": -9 * time.Second, "a wandering clock": 15 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var set time.Duration
				c := newClock(func() time.Time { return time.Now().Add(set) }, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				go c.Run(ctx)
				defer cancel()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				set = step
				begun, before := time.Now(), c.Now()
				for range 24 * 60 {
					time.Sleep(time.Minute)
					now := c.Now()
					if went := now.Sub(before); went < 57*time.Second || went > 63*time.Second {
						t.Fatalf("after %v it went on by %v in a minute", time.Since(begun), went)
					}
					before = now
					told := c.trouble().level == rules.Yellow
					if left := c.wall().Sub(now).Abs(); told != (step.Abs() >= stepped && left > time.Second) && (left < 900*time.Millisecond || left > 1100*time.Millisecond) {
						t.Fatalf("after %v, %v away: the trouble stands: %v", time.Since(begun), left, told)
					}
				}
				if left := c.wall().Sub(c.Now()); left.Abs() > followed {
					t.Errorf("after a day it is still %v away", left)
				}
				if took := catchUp(step); step == time.Hour && took != 20*time.Hour {
					t.Errorf("it says that it takes %v", took)
				}
			})
		})
	}
}

func TestClockSaysWhichWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set time.Duration
		c := newClock(func() time.Time { return time.Now().Add(set) }, slog.New(slog.DiscardHandler))
		c.follow()
		if got := c.trouble(); got.reason != "" {
			t.Errorf("a clock nobody touched: %s", got.reason)
		}
		set = -time.Hour
		time.Sleep(time.Second)
		c.follow()
		const want = "本机时钟被向后调整 1h0m0s；网关时间不跳变，约 20h0m0s 内逐步跟上，期间接收时间与本机时间不一致。请检查时间同步（NTP）· the machine's clock was set back by 1h0m0s; the gateway's time does not jump, it follows within about 20h0m0s. Check the time service (NTP) of this machine"
		if got := c.trouble(); got.reason != want {
			t.Errorf("it says: %s", got.reason)
		}
		// Set right again: there is nothing left to follow, and nothing to say.
		set = 0
		time.Sleep(time.Second)
		c.follow()
		if got := c.trouble(); got.reason != "" || c.Offset().Abs() > time.Second {
			t.Errorf("set right again, %v away: %s", c.Offset(), got.reason)
		}
	})
}

// A clock that was set back between two runs must not hold the judge up.
func TestClockStartsWhereTheLastRunEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(time.Now, slog.New(slog.DiscardHandler))
		last := time.Now().Add(time.Hour)
		c.notBefore(last)
		time.Sleep(time.Second)
		c.follow()
		if got := c.Now().Sub(last); got != time.Second {
			t.Errorf("a second later it is %v past the last run", got)
		}
		if c.trouble().level != rules.Yellow {
			t.Error("nobody is told")
		}
		time.Sleep(time.Second)
		c.follow()
		if got := c.Now().Sub(last); got != 1950*time.Millisecond {
			t.Errorf("two seconds later it is %v past the last run", got)
		}
		c.notBefore(last) // is behind it
		if got := c.Now().Sub(last); got != 1950*time.Millisecond {
			t.Errorf("it was set back to %v past the last run", got)
		}
	})
}
