package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/rules"
	"fengsui/rules/alarms"
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
				var set atomic.Int64
				c := newClock(func() time.Time { return time.Now().Add(time.Duration(set.Load())) }, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				go c.Run(ctx)
				defer cancel()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				set.Store(int64(step))
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

// judgeAlone is a judge without logs, at the end of a clock of its own.
type judgeAlone struct {
	*judge
	clock  *clock
	passed time.Duration // since the start, in true time
	set    time.Duration // by how much the wall clock is wrong
	events []alarms.Event
}

var startOfTest = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func (j *judgeAlone) truth() time.Time { return startOfTest.Add(j.passed) }

func newJudgeAlone(t *testing.T, devicesYAML string, ruleYAML string) *judgeAlone {
	t.Helper()
	kinds, err := devices.LoadKinds(kindsFolder(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	file, err := devices.ParseDevices("devices.yaml", []byte(devicesYAML), kinds)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := file.Registry(kinds)
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.LoadRules(fstest.MapFS{"rules.yaml": {Data: []byte(ruleYAML)}}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	a := &judgeAlone{}
	a.clock = newClock(func() time.Time { return a.truth().Add(a.set) }, slog.New(slog.DiscardHandler))
	a.clock.passed = func() time.Duration { return a.passed }
	a.judge = newJudge(judgeOptions{
		History: fixedRegistry{registry},
		Fresh: func(registry *devices.Registry) (*devices.Intake, *rules.Engine) {
			return devices.NewIntake(devices.IntakeOptions{Registry: registry, HistoryAfter: defaultConfig().HistoryAfter}),
				rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: set})
		},
		Book: alarms.NewBook(), Presence: newPresence(registry), Now: a.clock.Now,
	})
	a.begin(0, registry)
	a.quiet.over = true
	return a
}

// receive judges messages as one entry, at the present time by the gateway's clock.
func (j *judgeAlone) receive(messages ...ingest.Message) {
	now := j.clock.Now().Truncate(time.Millisecond)
	j.judge.advance(now.UnixMilli())
	j.position++
	j.changes = j.changes[:0]
	j.outcome.Reset()
	for i := range messages {
		m := &message{Message: messages[i]}
		m.Received = now
		if m.Kind.Counted() {
			j.Intake.Decode(incoming(j.position, i, &m.Message), &m.decoded)
		}
		if err := j.message(m); err != nil {
			panic(err)
		}
	}
	j.alarm(j.changes)
	j.events = append(j.events, j.pending.events...)
	j.pending.clear()
}

// TestClockStepsThroughTheJudge sets the wall clock an hour on or back, for an
// hour or for good, while devices with right clocks report. Nobody may be called
// silent, and every crossing is an alarm, raised and cleared once. What the
// devices' clocks are called meanwhile is bounded: once each, and not at all
// where the wall clock is set right within the hour.
func TestClockStepsThroughTheJudge(t *testing.T) {
	const count, interval = 10, 10 * time.Second
	devicesYAML := "sites:\n  - {id: s, name: {zh: 站, en: Site}}\ndevices:\n"
	for i := range count {
		devicesYAML += fmt.Sprintf("  - {site: s, id: d%d, kind: electricity_meter, state: in_service, interval: 10s}\n", i)
	}
	rule := strings.NewReplacer("combustible_gas", "electricity_meter", "gas_lel_pct", "voltage_a_v",
		"limit: 20}", "limit: 240, for: 30s}", "limit: 50}", "limit: 300, for: 30s}").Replace(crashRules)
	for name, tt := range map[string]struct {
		step, lasts time.Duration
		faults      int // clock faults that may be raised
	}{
		"no step":                   {0, time.Hour, 0},
		"an hour on, for an hour":   {time.Hour, time.Hour, 0},
		"an hour back, for an hour": {-time.Hour, time.Hour, 0},
		"an hour on, for good":      {time.Hour, 48 * time.Hour, count},
		"an hour back, for good":    {-time.Hour, 48 * time.Hour, count},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJudgeAlone(t, devicesYAML, rule)
			j.receive(ingest.Message{Kind: ingest.Started}, ingest.Message{Kind: ingest.SourceUp, Source: embeddedSource})
			crossings := 0
			for j.passed = 0; j.passed < 30*time.Hour; j.passed += time.Second {
				j.set = 0
				if since := j.passed - time.Hour; since >= 0 && since < tt.lasts {
					j.set = tt.step
				}
				j.clock.follow()
				j.receive(ingest.Message{Kind: ingest.Canary})
				value := 220
				if j.passed%time.Hour >= 50*time.Minute && j.passed%time.Hour < 51*time.Minute {
					value = 260 // six samples: the fourth is 30 s after the first
				}
				if j.passed%interval != 0 {
					continue
				}
				if value == 260 && j.passed%time.Hour == 50*time.Minute {
					crossings += count
				}
				for i := range count {
					j.receive(ingest.Message{
						Kind: ingest.Publish, Source: embeddedSource, Topic: fmt.Sprintf("v1/s/d%d/telemetry", i), QoS: 1,
						Payload: fmt.Appendf(nil, `{"ts":%d,"values":{"voltage_a_v":%d}}`, j.truth().UnixMilli(), value),
					})
				}
			}
			told := map[string]int{}
			for i := range j.events {
				told[fmt.Sprint(j.events[i].Alarm.Rule, " ", j.events[i].Type)]++
			}
			raised := told["crossing raised"] + told["crossing rearmed"]
			if raised != crossings || told["crossing cleared"] != crossings {
				t.Errorf("%d crossings: %v", crossings, told)
			}
			if faults := told["clock_fault raised"] + told["clock_fault rearmed"]; faults > tt.faults {
				t.Errorf("%d devices have their clocks called wrong %d times: %v", count, faults, told)
			}
			for what := range told {
				if !strings.HasPrefix(what, "crossing ") && !strings.HasPrefix(what, "clock_fault ") {
					t.Errorf("something else was told: %v", told)
				}
			}
		})
	}
}

// TestClockStepIsAnAlarm sets the wall clock of a running gateway an hour back.
func TestClockStepIsAnAlarm(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), "")
	var set atomic.Int64
	g.inProcess(func() time.Time { return time.Now().Add(time.Duration(set.Load())) }, func() {
		publishNumbered(t, connect(t, g.mqtt, "d", "s", "pw"), 0, 10)
		before := g.canaryTime()
		set.Store(int64(-time.Hour))
		told := g.waitAlarm("that the clock was set", func(a *alarms.Alarm) bool { return a.Device == "clock" })
		if told.Rule != "gateway_trouble" || told.Level != rules.Yellow {
			t.Errorf("the trouble is %+v", told)
		}
		g.eventually("the gateway's time goes on", func() error {
			if g.canaryTime() <= before {
				return errors.New("not yet")
			}
			return nil
		})
		if off := g.metric("fengsui_clock_offset_seconds"); off > -3500 {
			t.Errorf("the metrics say that the clocks differ by %v s", off)
		}
		publishNumbered(t, connect(t, g.mqtt, "e", "s", "pw"), 10, 20)
		g.balanced()
	})
	// The next run begins with the clock an hour back, behind the end of the log.
	g.inProcess(func() time.Time { return time.Now().Add(-time.Hour) }, func() {
		publishNumbered(t, connect(t, g.mqtt, "d", "s", "pw"), 20, 30)
		g.balanced()
		g.eventually("the clock's alarm stands", func() error {
			if list := g.alarms("active"); len(list) != 1 || list[0].Device != "clock" || list[0].State != alarms.ActiveUnacked {
				return fmt.Errorf("%+v", list)
			}
			return nil
		})
	})
}
