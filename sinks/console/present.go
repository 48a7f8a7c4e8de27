package console

import (
	"cmp"
	"encoding/json"
	"slices"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

var (
	noFlags    = []string{}
	noContacts = []devices.Contact{}
)

// standing is an alarm as it stands now, with its JSON.
type standing struct {
	alarms.Alarm
	json json.RawMessage
}

// present is every alarm that is not closed, and the newest of those that are.
// It is the fold of the alarm log; the hub's lock guards it.
type present struct {
	open   map[string]*standing
	closed map[string]*standing
	order  []closing // closed alarms in the order they were closed
	keep   int       // closed alarms kept
	counts AlarmCounts
	// changed is set when the set of open alarms, or a level of theirs, changed.
	changed bool
}

// closing is one time that an alarm was closed; it may have opened again since.
type closing struct {
	id  string
	seq uint64
}

func newPresent(keep int) *present {
	return &present{open: map[string]*standing{}, closed: map[string]*standing{}, keep: keep}
}

// apply takes the state of an alarm after an event, and its JSON.
func (p *present) apply(a *alarms.Alarm, text json.RawMessage) {
	if a.ID == "" {
		return // not about an alarm
	}
	s := &standing{Alarm: *a, json: text}
	wasOpen := p.open[a.ID]
	if wasOpen != nil {
		p.counts.add(&wasOpen.Alarm, -1)
	}
	p.changed = p.changed || wasOpen == nil || a.State == alarms.Closed || wasOpen.Level != a.Level
	if a.State == alarms.Closed {
		delete(p.open, a.ID)
		p.close(s)
		return
	}
	delete(p.closed, a.ID)
	p.open[a.ID] = s
	p.counts.add(&s.Alarm, +1)
}

func (p *present) close(s *standing) {
	p.closed[s.ID] = s
	p.order = append(p.order, closing{s.ID, s.Seq})
	for len(p.closed) > p.keep {
		if oldest := p.order[0]; p.holds(oldest) {
			delete(p.closed, oldest.id)
		}
		p.order = p.order[1:]
	}
	if len(p.order) > 2*p.keep+16 {
		p.order = slices.DeleteFunc(p.order, func(c closing) bool { return !p.holds(c) })
	}
}

func (p *present) holds(c closing) bool {
	s := p.closed[c.id]
	return s != nil && s.Seq == c.seq
}

func (p *present) find(id string) *standing {
	if s := p.open[id]; s != nil {
		return s
	}
	return p.closed[id]
}

// worstFirst lists the open alarms as people should look at them.
func (p *present) worstFirst() []*standing {
	list := make([]*standing, 0, len(p.open))
	for _, s := range p.open {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *standing) int { return compareWorst(&a.Alarm, &b.Alarm) })
	return list
}

// compareWorst puts the higher level first, then the newer alarm.
func compareWorst(a, b *alarms.Alarm) int {
	return cmp.Or(
		cmp.Compare(b.Level.Rank(), a.Level.Rank()),
		compareNewest(a, b),
	)
}

func compareNewest(a, b *alarms.Alarm) int {
	return cmp.Or(cmp.Compare(b.RaisedTime, a.RaisedTime), cmp.Compare(a.ID, b.ID))
}

// AlarmCounts counts the alarms that are not closed.
type AlarmCounts struct {
	Open           int `json:"open"`
	ActiveUnacked  int `json:"active_unacked"`
	ActiveAcked    int `json:"active_acked"`
	ClearedUnacked int `json:"cleared_unacked"`
	Shelved        int `json:"shelved"`
	Suppressed     int `json:"suppressed"`
	LevelCounts
}

// LevelCounts counts alarms by their level.
type LevelCounts struct {
	Red    int `json:"red"`
	Orange int `json:"orange"`
	Yellow int `json:"yellow"`
	Blue   int `json:"blue"`
	Fault  int `json:"fault"`
}

func (c *LevelCounts) add(l rules.Level, n int) {
	switch l {
	case rules.Red:
		c.Red += n
	case rules.Orange:
		c.Orange += n
	case rules.Yellow:
		c.Yellow += n
	case rules.Blue:
		c.Blue += n
	case rules.Fault:
		c.Fault += n
	}
}

func (c *AlarmCounts) add(a *alarms.Alarm, n int) {
	c.Open += n
	switch a.State {
	case alarms.ActiveUnacked:
		c.ActiveUnacked += n
	case alarms.ActiveAcked:
		c.ActiveAcked += n
	case alarms.ClearedUnacked:
		c.ClearedUnacked += n
	}
	if slices.Contains(a.Flags, "shelved") {
		c.Shelved += n
	}
	if slices.Contains(a.Flags, "suppressed") {
		c.Suppressed += n
	}
	c.LevelCounts.add(a.Level, n)
}
