package main

import (
	"context"
	"fmt"
	"time"

	"fengsui/devices"
	"fengsui/rules"
)

// registryHistory is the registry at each of its versions.
type registryHistory interface {
	// At is the registry at a version; before the first there is nothing.
	At(version uint64) (*devices.Registry, error)
	Newest() (version uint64, r *devices.Registry)
	// Passed says that the judge has changed over to a version.
	Passed(version uint64, r *devices.Registry)
}

// begin starts with the registry of a version, and nothing else.
func (j *judge) begin(version uint64, r *devices.Registry) {
	j.registry, j.version = r, version
	j.Intake, j.Engine = j.Fresh(r)
	j.Presence.use(r)
	j.Presence.forget()
	j.counts = counts{}
}

// config changes over to another registry, at this place of the log and, in a
// replay, at no other. Levels of what is no longer there end; the rest goes on.
func (j *judge) config(m *message) error {
	var version uint64
	var hash string
	if _, err := fmt.Sscanf(m.Topic, "%d %s", &version, &hash); err != nil {
		return fmt.Errorf("read the version %q of the registry at input %d: %w", m.Topic, j.position, err)
	}
	if version <= j.version {
		j.History.Passed(j.version, j.registry)
		return nil
	}
	r, err := j.History.At(version)
	if err != nil {
		// A kind it needs may be gone; the newest version was checked at the start.
		j.Logger.Error("judging on by the registry before", "wanted", version, "in_force", j.version, "error", err)
		return nil
	}
	if r.Hash() != hash {
		j.Logger.Warn("the registry is not what it was when this was written: kinds were changed since", "version", version)
	}
	j.version, j.registry = version, r
	j.Intake.SetRegistry(r)
	j.Presence.use(r)
	j.changes = j.Engine.Reconfigure(rules.EngineOptions{Registry: r, Rules: j.Rules}, j.clock, j.changes)
	j.countRules()
	j.savedAt = time.Time{} // a snapshot behind the barrier
	j.reached = true
	return nil
}

// passed tells, once what came of it is on disk, that another registry is judged
// by.
func (j *judge) passed(ctx context.Context) error {
	if !j.reached {
		return nil
	}
	if err := j.flush(ctx); err != nil {
		return err
	}
	j.reached = false
	j.History.Passed(j.version, j.registry)
	return nil
}

// countRules is done when they change: there is a rule for each of many points.
func (j *judge) countRules() {
	unarmed := j.Engine.Unarmed()
	j.armed, j.unarmed = j.Engine.Armed(), len(unarmed)
	j.status.unarmed.Store(&unarmed)
}
