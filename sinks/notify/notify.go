// Package notify tells people outside the console of alarms: a webhook of
// whatever is in use, and Prometheus Alertmanager.
//
// In: the alarm log, from a runner's cursor. Out: HTTP calls. A [Webhook] is told
// the steps of an alarm, one call each, in order: raised, worse, over. An
// [Alertmanager] is told what stands, again and again, because it forgets. What
// survives a crash: the runner's cursor and what each webhook was told of each
// open alarm; between a call and the saving of that a crash repeats the call,
// with the same Idempotency-Key. What it will not do: retry by itself, follow a
// redirect, put a secret into a log, an error or a metric, wake anybody for
// history (补报), for what is folded away or shelved, or tell step by step what
// happened during a long outage: of each alarm only what still matters.
package notify

import (
	"log/slog"
	"slices"
	"time"

	"fengsui/rules"
	"fengsui/rules/alarms"
)

// Common are the options of every endpoint.
type Common struct {
	Endpoint Endpoint
	Filter   Filter
	Console  string         // address of the console, for links
	Zone     *time.Location // of times in texts; nil: local
	Standing *Standing
	// OnRefused is told of every message that was put aside, and why.
	OnRefused func(body, reason string)
	Logger    *slog.Logger // nil: discard
}

func (c *Common) setDefaults() {
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.OnRefused == nil {
		c.OnRefused = func(body, reason string) {}
	}
}

// Filter says which alarms an endpoint is told of. An empty list means all.
type Filter struct {
	Levels []rules.Level // the four levels and fault, which are the troubles of devices and of the gateway
	Sites  []string
	Areas  []string
	Kinds  []string
	Drills bool // also 演练
}

// covers says that the alarm, whatever its level, is this endpoint's business.
func (f *Filter) covers(a *alarms.Alarm) bool {
	return within(f.Sites, a.Site) && within(f.Areas, a.Area) && within(f.Kinds, a.Kind) && (f.Drills || !has(a, "drill"))
}

// stands says that somebody should know of the alarm as it is now.
func (f *Filter) stands(a *alarms.Alarm) bool {
	return !over(a) && !quiet(a) && f.covers(a) && within(f.Levels, a.Level)
}

// quiet alarms wake nobody: they are history, folded under another alarm, or
// somebody has shelved them.
func quiet(a *alarms.Alarm) bool {
	return has(a, "backfill") || has(a, "suppressed") || has(a, "shelved")
}

func over(a *alarms.Alarm) bool {
	return a.State == alarms.ClearedUnacked || a.State == alarms.Closed
}

func has(a *alarms.Alarm, flag string) bool { return slices.Contains(a.Flags, flag) }

func within[T comparable](list []T, v T) bool {
	return len(list) == 0 || slices.Contains(list, v)
}

// sinkName is the word for an endpoint in metrics, logs and the console.
func sinkName(endpoint string) string { return "notify_" + endpoint }

// ownTrouble says that an alarm is about this very sink: an endpoint that does
// not take messages is not told that it does not.
func ownTrouble(a *alarms.Alarm, sink string) bool {
	return a.Rule == "gateway_trouble" && a.Device == "sink "+sink
}
