package main

import (
	"slices"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/broker"
	"fengsui/ingest/journal"
	"fengsui/sinks"
	"fengsui/sinks/console"
	"fengsui/sinks/metrics"
)

// measured are the parts that metrics are read from. They are filled in while
// the gateway is wired; nothing is scraped before that is done.
type measured struct {
	receiver    *ingest.Receiver
	judge       *judge
	presence    *presence
	outlets     *outlets
	past        *past // nil: none
	input       *journal.Log
	store       *journal.Store
	certificate *certificate // nil: none
	screens     *console.Server
	sources     []string // those that are configured
	disk        *diskWatch
	clock       *clock
}

func (m *measured) options(cfg Config) metrics.Options {
	if cfg.MQTT.Listen != "" || cfg.mqttOverTLS() {
		m.sources = append(m.sources, embeddedSource)
	}
	for _, b := range cfg.Brokers {
		m.sources = append(m.sources, b.Name)
	}
	return metrics.Options{
		Version:           version(),
		SourceNames:       m.sources,
		RefusedReasons:    []string{ingest.RefusedLogFailed, broker.RefusedNotAuthorized, broker.RefusedTooBig, broker.RefusedBadTopic, broker.RefusedPaused},
		QuarantineReasons: devices.Codes(),
		Door:              m.door,
		Books:             m.books,
		Judge:             m.judged,
		Alarms:            m.alarms,
		Sinks:             func() []sinks.Status { return slices.Concat(m.outlets.status(), m.past.status()) },
		Logs:              m.logs,
		Disk:              m.room,
		ClockOffset:       m.clock.Offset,
		Consoles:          func() int { return len(m.screens.Hub().Consoles()) },
		Canary: func() time.Duration {
			return m.clock.Now().Sub(time.UnixMilli(m.judge.status.canary.Load()))
		},
	}
}

func (m *measured) room() metrics.Disk {
	d := m.disk.now.Load()
	return metrics.Disk{Free: d.free, Size: d.size, Floor: d.floor, LogsUsed: d.logs, Paused: d.level >= diskFloor}
}

// door is the first line of the books: received = kept + refused + in flight.
func (m *measured) door() metrics.Door {
	var d metrics.Door
	up, stats := m.presence.up(), m.receiver.Stats()
	for _, name := range m.sources { // also those nothing came from yet
		s := stats[name]
		d.Sources = append(d.Sources, metrics.Source{Name: name, Up: up[name], Received: s.Received, Kept: s.Kept, Refused: s.Refused})
		d.InFlight += int64(s.InFlight)
		refused := uint64(0)
		for _, n := range s.Refused {
			refused += n
		}
		d.Residue += int64(s.Received) - int64(s.Kept) - int64(refused) - int64(s.InFlight)
	}
	return d
}

// books is the second line, from log positions, so that it holds across
// restarts: kept = accepted + duplicate + quarantined + backlog.
func (m *measured) books() metrics.Books {
	view := m.judge.status.look()
	kept := m.input.Last().Total // after the view: what came since is backlog
	return metrics.Books{
		Accepted: view.counts.Accepted, Duplicate: view.counts.Duplicate, Quarantined: view.counts.Quarantined,
		Replayed: view.counts.Replayed,
		Backlog:  kept - view.total,
		Residue:  int64(view.total) - int64(view.missing) - int64(view.counts.judged()),
	}
}

func (m *measured) judged() metrics.Judge {
	view := m.judge.status.look()
	return metrics.Judge{
		Good: view.counts.Readings[devices.Good], Suspect: view.counts.Readings[devices.Suspect], Bad: view.counts.Readings[devices.Bad],
		Armed: view.armed, NotArmed: view.unarmed, Events: view.counts.Events,
	}
}

func (m *measured) alarms() []metrics.AlarmCount {
	var list []metrics.AlarmCount
	if tally := m.judge.status.alarms.Load(); tally != nil {
		for t, n := range *tally {
			list = append(list, metrics.AlarmCount{Level: t.Level, State: t.State, Count: n})
		}
	}
	return list
}

func (m *measured) logs() []metrics.LogSize {
	var list []metrics.LogSize
	for _, l := range m.store.Stats().Logs {
		list = append(list, metrics.LogSize{Name: l.Name, Bytes: l.Bytes})
	}
	return list
}
