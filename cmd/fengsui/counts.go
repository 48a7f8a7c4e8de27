package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync/atomic"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// counts are the books behind the door: what became of every message up to the
// judge's position. They are part of the snapshot, so they hold across restarts.
type counts struct {
	Accepted    uint64
	Duplicate   uint64
	Quarantined map[string]uint64           // whole messages, by code
	Readings    [3]uint64                   // by quality
	Replayed    map[string]uint64           // messages of the quarantine judged once more, by what became of them
	Events      map[alarms.EventType]uint64 // of this run and those before
}

// add replaces the maps it changes: those who look hold the old ones.
func (c *counts) add(o *devices.Outcome) {
	c.Accepted += uint64(o.Accepted)
	c.Duplicate += uint64(o.Duplicates)
	for i := range o.Readings {
		c.Readings[o.Readings[i].Quality()]++
	}
	if o.Quarantined == 0 {
		return
	}
	c.Quarantined = cloned(c.Quarantined)
	for i := range o.Rejections {
		// A message may be refused for many reasons; it counts once, for the first.
		if r := &o.Rejections[i]; r.Whole && (i == 0 || !sameMessage(r, &o.Rejections[i-1])) {
			c.Quarantined[r.Code]++
		}
	}
}

func sameMessage(a, b *devices.Rejection) bool {
	return a.Position == b.Position && a.Index == b.Index
}

func (c *counts) replayed(class string) {
	c.Replayed = cloned(c.Replayed)
	c.Replayed[class]++
}

func (c *counts) event(t alarms.EventType) {
	c.Events = cloned(c.Events)
	c.Events[t]++
}

func cloned[K comparable](m map[K]uint64) map[K]uint64 {
	if m == nil {
		return map[K]uint64{}
	}
	return maps.Clone(m)
}

// judged is how many messages the counts account for.
func (c *counts) judged() uint64 {
	n := c.Accepted + c.Duplicate
	for _, q := range c.Quarantined {
		n += q
	}
	return n
}

func (c *counts) snapshot() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("snapshot the books: %w", err)
	}
	return data, nil
}

func (c *counts) restore(data []byte) error {
	*c = counts{}
	if err := json.Unmarshal(data, c); err != nil {
		return fmt.Errorf("restore the books: %w", err)
	}
	return nil
}

// judgeStatus is what others may look at while the judge works: each value is
// consistent in itself.
type judgeStatus struct {
	live   atomic.Bool  // caught up once since the start: commands are taken
	canary atomic.Int64 // receive time of the last canary judged, Unix ms
	view   atomic.Pointer[judgeView]
	alarms atomic.Pointer[map[alarms.Tally]int]
	// unarmed are the rules that watch nothing somewhere, as of the last change.
	unarmed atomic.Pointer[[]rules.Unarmed]
	saved   atomic.Uint64 // position of the snapshot on disk: a replay begins behind it
}

// judgeView is the judge at one position.
type judgeView struct {
	position       uint64
	total          uint64 // messages in the input log up to position
	missing        uint64 // of those, lost or trimmed before this gateway could count them
	counts         counts
	armed, unarmed int
}

func (s *judgeStatus) publish(j *judge) {
	s.view.Store(&judgeView{position: j.position, total: j.total, missing: j.missing, counts: j.counts, armed: j.armed, unarmed: j.unarmed})
}

// look is the judge as it last published itself.
func (s *judgeStatus) look() judgeView {
	if v := s.view.Load(); v != nil {
		return *v
	}
	return judgeView{}
}

func (s *judgeStatus) publishAlarms(book *alarms.Book) {
	count := book.Count()
	s.alarms.Store(&count)
}
