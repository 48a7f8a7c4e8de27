package main

import (
	"slices"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/sinks/console"
)

// progress tells the console how far what a device sends comes, for whoever
// stands in front of it with a screwdriver.
type progress struct {
	inventory *inventory
	present   *presence
	judge     *judge
}

// Trace puts together what the door, the intake and the rules know of a device.
func (p *progress) Trace(d *devices.Device) console.Trace {
	s := p.present.trace(d)
	t := console.Trace{
		User: p.inventory.user(d), Connected: s.Connected > 0, Source: s.Source,
		Linked: at(s.Linked), Message: at(s.Message), Decoded: at(s.Decoded),
		Reading: at(s.Reading), InRange: at(s.InRange), Judged: at(s.Judged),
	}
	t.Armed, t.Unarmed = p.rules(d)
	return t
}

// rules tells which rules watch a device, and which would if they could.
func (p *progress) rules(d *devices.Device) (armed int, unarmed []rules.Unarmed) {
	if !d.State.Judged() {
		return 0, nil
	}
	for _, r := range p.judge.Rules {
		if r.Kind == d.Kind.ID {
			armed++
		}
	}
	if all := p.judge.status.unarmed.Load(); all != nil {
		unarmed = slices.DeleteFunc(slices.Clone(*all), func(u rules.Unarmed) bool { return u.Device.Key() != d.Key() })
	}
	return armed - len(unarmed), unarmed
}

// at is a moment in Unix ms; zero stays zero.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
