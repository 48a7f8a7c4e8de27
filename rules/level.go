// Package rules turns readings into levels: which rule, at which point, says
// how dangerous it is now.
//
// In: rules (YAML, configs/rules), readings with quality, the judge's clock,
// and the ups and downs of sources. Out: a [Change] whenever the level of a rule
// at a point changes, by a reading or by a timer. Level-triggered: what an alarm
// becomes of it is decided in rules/alarms. What survives a crash: the snapshot;
// everything in it can be rebuilt by replaying the input log. What it will not
// do: read the wall clock, remember who acknowledged what, talk to anybody.
package rules

import (
	"fmt"

	"fengsui/devices"
)

// Level is how bad it is; higher is worse. The number is never shown to people.
type Level uint8

const (
	Normal Level = iota
	Blue         // 蓝
	Yellow       // 黄
	Orange       // 橙
	Red          // 红
	// Fault is a family of its own (device fault, silence, a lost source), not a
	// step of the ladder: it is never compared with the four levels.
	Fault
)

var levelWords = [...]string{"normal", "blue", "yellow", "orange", "red", "fault"}

func (l Level) String() string {
	if int(l) < len(levelWords) {
		return levelWords[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

var levelNames = [...]devices.Text{
	{ZH: "正常", EN: "normal"}, {ZH: "蓝色", EN: "blue"}, {ZH: "黄色", EN: "yellow"},
	{ZH: "橙色", EN: "orange"}, {ZH: "红色", EN: "red"}, {ZH: "故障", EN: "fault"},
}

// Name is what people call it.
func (l Level) Name() devices.Text {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return devices.Text{ZH: l.String(), EN: l.String()}
}

// ParseLevel is the inverse of String.
func ParseLevel(word string) (Level, error) {
	for i, w := range levelWords {
		if w == word {
			return Level(i), nil
		}
	}
	return Normal, fmt.Errorf("unknown level %q, want one of %v", word, levelWords)
}

func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

func (l *Level) UnmarshalText(b []byte) (err error) {
	*l, err = ParseLevel(string(b))
	return err
}

// Rank orders levels by how urgently people should look: red first, faults
// after the four levels.
func (l Level) Rank() int {
	if l == Fault {
		return 1
	}
	if l == Normal {
		return 0
	}
	return int(l) + 1
}

// Change says that a rule's level at a point is now Level. Repeating it changes
// nothing: the receiver compares it with what it holds.
type Change struct {
	Rule   *Rule
	Device *devices.Device // nil for a site as a whole and for the gateway itself (a lost source)
	Field  *devices.Field  // nil where the rule is about the device as a whole
	Site   *devices.Site   // only where the rule is about a site as a whole
	Source string          // for a lost source: its name
	Reason string          // for a lost source: why, in words

	Level Level
	// The reading that led to the level, or what the rule's measure made of it;
	// zero for silence, NaN for a state that was never heard.
	Value    float64
	Limit    float64 // of Level, in the unit of Value; of the level left where Level is Normal
	Quality  devices.Quality
	Sample   int64 // event time of the reading, Unix ms
	Received int64 // receive time of the reading, Unix ms

	Unverified bool // 待核实: over-range or an unconfirmed jump
	Backfill   bool // 补报: decided by history, wakes nobody
	Suppressed bool // folded under another alarm (a whole site silent, a lost source)
}

// Unit is that of Value and Limit.
func (c *Change) Unit() string {
	switch {
	case c.Rule.Unit != "":
		return c.Rule.Unit
	case c.Field != nil:
		return c.Field.Unit
	}
	return ""
}
