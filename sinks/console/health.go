package console

import (
	"context"
	"time"

	"fengsui/rules/alarms"
)

// Health is what every console is told each second. The gateway fills in what it
// knows; the hub adds the parts marked so.
type Health struct {
	Time  alarms.Time `json:"time"`  // hub
	Epoch string      `json:"epoch"` // hub
	Seq   uint64      `json:"seq"`   // hub: newest event

	// CanaryTime is when the newest canary that the judge has seen was received;
	// 0 when none was seen in this run.
	CanaryTime alarms.Time `json:"canary_time"`
	// CanaryAge is how old what people see may be: the canary's age, or for how
	// long the console itself has been behind the alarm log. Null is blind. Hub.
	CanaryAge *int64 `json:"canary_age_ms"`

	Lag      Lag            `json:"lag"`
	Sources  []SourceHealth `json:"sources"`
	Sinks    []SinkHealth   `json:"sinks"`
	Log      LogHealth      `json:"log"`
	Disk     DiskHealth     `json:"disk"`
	Consoles ConsoleCounts  `json:"consoles"` // hub
	Counts   Counts         `json:"counts"`   // alarms: hub; devices and rules: gateway
	Build    string         `json:"build"`    // hub
}

// Lag is what has been received and not yet been judged.
type Lag struct {
	Messages uint64 `json:"messages"`
}

// SourceHealth is a source of messages.
type SourceHealth struct {
	Name   string      `json:"name"`
	Up     bool        `json:"up"`
	Since  alarms.Time `json:"since"`
	Reason string      `json:"reason"`
	Last   alarms.Time `json:"last"` // when a device was heard through it; null: never
}

// SinkHealth is how far a sink is behind.
type SinkHealth struct {
	Name       string  `json:"name"`
	LagEntries uint64  `json:"lag_entries"`
	LagSeconds float64 `json:"lag_seconds"`
	Rate       float64 `json:"rate"` // entries a second accepted
	// ETASeconds is how long the sink needs to reach the head of its log; absent
	// at the head, and where it does not come nearer.
	ETASeconds *float64 `json:"eta_seconds,omitempty"`
	Error      string   `json:"error"`
}

// LogHealth is the room the logs have.
type LogHealth struct {
	Bytes      int64 `json:"bytes"`
	FreeBytes  int64 `json:"free_bytes"`
	FloorBytes int64 `json:"floor_bytes"` // below this much free space messages are refused
}

// DiskHealth is the room on the disk of the data folder. From "floor" on no
// messages are taken.
type DiskHealth struct {
	Level     string `json:"level"` // ok, warn70, warn90, floor or failed
	FreeBytes int64  `json:"free_bytes"`
	SizeBytes int64  `json:"size_bytes"`
}

// ConsoleCounts says who is watching.
type ConsoleCounts struct {
	Connected    int `json:"connected"`
	Walls        int `json:"walls"`
	WithoutSound int `json:"without_sound"`
	Visible      int `json:"visible"`
}

// Counts are the numbers on the permanent strip.
type Counts struct {
	AlarmCounts
	Devices      int `json:"devices"` // in service
	Online       int `json:"online"`
	Offline      int `json:"offline"`
	RulesArmed   int `json:"rules_armed"`
	RulesUnarmed int `json:"rules_unarmed"`
}

// BlindAfter is the age of the canary from which a screen must say that it is
// blind.
const BlindAfter = 3 * time.Second

// Blind says why what the console shows must not be trusted, or nothing.
func (h *Health) Blind() string {
	switch {
	case h.CanaryAge == nil:
		return "no canary has come through since the start"
	case *h.CanaryAge > BlindAfter.Milliseconds():
		return "the newest canary that came through is " + (time.Duration(*h.CanaryAge) * time.Millisecond).String() + " old"
	}
	return ""
}

// logLag measures for how long the console has been behind the alarm log.
type logLag struct {
	level  time.Time // when it was last known to have everything
	mark   uint64    // an earlier head of the log
	marked time.Time
}

// at is called each second with the newest event published and the head.
func (l *logLag) at(now time.Time, seq, head uint64) time.Duration {
	switch {
	case seq >= head || l.level.IsZero():
		l.level = now
	case seq >= l.mark && l.marked.After(l.level):
		l.level = l.marked
	}
	if seq >= l.mark {
		l.mark, l.marked = head, now
	}
	return now.Sub(l.level)
}

const (
	valueEvery  = 250 * time.Millisecond
	healthEvery = 4 // value ticks
)

// tick publishes values four times a second and health once a second. Both come
// from here, so that a gateway which hangs in telling its health falls silent,
// and every page goes blind.
func (h *Hub) tick(ctx context.Context) {
	ticker := time.NewTicker(valueEvery)
	defer ticker.Stop()
	seeing := false // until the first canary came through a second is too long
	for n := 0; ; n++ {
		if n%healthEvery == 0 || !seeing {
			h.pulse()
			health := h.Health()
			seeing = seeing || health.Blind() == ""
		}
		h.publishValues()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// pulse makes the health frame of this second.
func (h *Hub) pulse() {
	health := h.o.Health()
	h.checkLog()
	head := h.o.Alarms.Last().Seq
	now := h.o.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complete(&health, now, head)
	f, err := newFrame("h", health)
	if err != nil {
		h.o.Logger.Error("no health frame, every console will say it is blind", "error", err)
		return
	}
	h.health, h.healthNow = health, f
	h.beat++
	h.nudgeAll()
}

// complete adds what the hub knows; the lock is held.
func (h *Hub) complete(health *Health, now time.Time, head uint64) {
	health.Time = alarms.Time(now.UnixMilli())
	health.Epoch, health.Seq, health.Build = h.epoch, h.seq, h.o.Build
	health.Counts.AlarmCounts = h.present.counts
	health.Consoles = h.consoleCounts()
	if health.Sources == nil {
		health.Sources = []SourceHealth{}
	}
	if health.Sinks == nil {
		health.Sinks = []SinkHealth{}
	}
	behind := h.lag.at(now, h.seq, head)
	health.CanaryAge = nil
	if health.CanaryTime != 0 && h.life > 0 {
		age := max(0, now.UnixMilli()-int64(health.CanaryTime), behind.Milliseconds())
		health.CanaryAge = &age
	}
}

// Health is what the consoles were told last.
func (h *Hub) Health() Health {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.health
}
