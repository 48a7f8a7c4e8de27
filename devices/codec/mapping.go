package codec

import (
	"math"
	"slices"
	"strings"
)

// Mapping is a foreign JSON format as data: where in a payload the devices,
// times and values stand, and what each becomes. It does not change once made
// and may be used by many goroutines, each with a [Mapper] of its own.
//
// A message is walked in three steps: Samples leads to each thing that speaks
// of one device (the payload itself, when empty); there Device, Time and the
// like are read; then each of Values leads from it to numbers. What paths
// capture on the way under the names device, site, time, field and quality wins
// over what was read before; a value belongs to the moment and device captured
// for it, so values of many moments may stand in any order.
type Mapping struct {
	MappingOptions
	slots   []string // names of captures: those of the topic first
	device  int      // slots of the captures that have a meaning
	site    int
	time    int
	field   int
	quality int
	base    int // of SenML
	// deep says that values capture parts of the device's name, so that it must
	// be put together for each of them.
	deep bool
}

// MappingOptions is what a mapping says.
type MappingOptions struct {
	Topic   []string // names captured from the topic, in their order
	Skip    int      // bytes before the JSON text, where it does not begin with { or [
	Samples Path
	Site    *Text // nil: the capture "site", or nothing
	Device  *Text // nil: the capture "device", or nothing
	Time    []Path
	Clock   *Clock
	History *Condition // what says that a message is no news
	Quality map[string]Doubt
	Values  []Rule
}

// Names of captures that have a meaning. Client and user of the message stand
// before those of the topic.
const (
	captureDevice  = "device"
	captureSite    = "site"
	captureTime    = "time"
	captureField   = "field"
	captureQuality = "quality"
	captureClient  = "client"
	captureUser    = "user"
	captureBase    = "base"
)

// Doubt is what the format itself says of a value.
type Doubt uint8

const (
	NoDoubt Doubt = iota
	Doubtful
	Useless // a sentinel, a fault code: no measurement
)

// Text is a name made from captures: "YD-{sn}", or what lies at a path, which a
// table may then replace.
type Text struct {
	Parts []TextPart
	Path  *Path  // in the sample, or else in the payload; instead of Parts
	Strip string // cut off the front
	Table map[string]string
	// Base64 says that the text holds bytes; they are written in hexadecimal.
	Base64 bool
}

// TextPart is a literal, or the capture of a name.
type TextPart struct {
	Literal string
	Capture string
	slot    int
}

// Condition is met where one of the words stands at the path.
type Condition struct {
	Path   Path
	Words  []string
	Always bool
}

// Rule leads to values and says what becomes of them: of each by its captured
// name, or of all the same.
type Rule struct {
	Path  Path
	Item  *Item            // nil: by name
	Names map[string]*Item // by the captured field; nil: the name is the field's
	// Fault marks fault codes: a word other than those of Item.Words is told to
	// the installer and is no value.
	Fault bool
}

// Item is what becomes of one value.
type Item struct {
	Field       string // empty: the captured name
	Device      string // of a table of names: the device it belongs to
	Scale       float64
	Offset      float64
	Words       map[string]float64 // what texts, or codes, stand for
	Sentinels   []float64          // as sent, before scale and offset
	Nothing     []string           // texts that stand for no value
	ZeroIsFault bool
	Hex         bool     // numbers are written in hexadecimal
	Bits        []Bits   // the number is a set of flags
	Split       string   // the text is a list, separated by this
	Parts       []*Item  // of the list; nil: passed over
	Ratio       []string // parameters of the device to multiply by
	Counter     *Counter
}

// Bits is one flag, or a number of some bits, in a value.
type Bits struct {
	From, To int // both included
	Field    string
}

// Counter says that a field counts up until it is reset or rolls over.
type Counter struct {
	Rollover  float64 // the first number it does not reach; 0: it never rolls over
	Increment bool    // the field is what came since the last sample, not the sum
}

// NewMapping makes the walk through a payload ready: every capture gets its place.
func NewMapping(o MappingOptions) *Mapping {
	m := &Mapping{MappingOptions: o, slots: []string{captureClient, captureUser}}
	for _, name := range o.Topic {
		m.slot(name)
	}
	m.device, m.site, m.time = m.slot(captureDevice), m.slot(captureSite), m.slot(captureTime)
	m.field, m.quality, m.base = m.slot(captureField), m.slot(captureQuality), m.slot(captureBase)
	m.bindPath(&m.Samples)
	m.Values = slices.Clone(o.Values)
	for i := range m.Values {
		m.bindPath(&m.Values[i].Path)
	}
	m.Site, m.Device = m.bindText(o.Site, captureSite), m.bindText(o.Device, captureDevice)
	for _, p := range slices.Concat(m.Site.Parts, m.Device.Parts) {
		m.deep = m.deep || slices.ContainsFunc(m.Values, func(r Rule) bool { return p.Capture != "" && slices.Contains(r.Path.Captures(), p.Capture) })
	}
	if m.Clock == nil {
		m.Clock = &Clock{}
	}
	return m
}

// slot is the place of a capture.
func (m *Mapping) slot(name string) int {
	if i := slices.Index(m.slots, name); i >= 0 {
		return i
	}
	m.slots = append(m.slots, name)
	return len(m.slots) - 1
}

func (m *Mapping) bindPath(p *Path) {
	p.steps = slices.Clone(p.steps)
	for i := range p.steps {
		s := &p.steps[i]
		if s.capture != "" {
			s.slot = m.slot(s.capture)
		}
		s.binds = slices.Clone(s.binds)
		for k := range s.binds {
			s.binds[k].slot = m.slot(s.binds[k].name)
		}
	}
}

func (m *Mapping) bindText(t *Text, usual string) *Text {
	bound := Text{Parts: []TextPart{{Capture: usual}}}
	if t != nil {
		bound = *t
	}
	bound.Parts = slices.Clone(bound.Parts)
	for i := range bound.Parts {
		if name := bound.Parts[i].Capture; name != "" {
			bound.Parts[i].slot = m.slot(name)
		}
	}
	return &bound
}

// Captures reports whether any path, or the topic, captures under the name.
func (o *MappingOptions) Captures(name string) bool {
	if name == captureClient || name == captureUser || slices.Contains(o.Topic, name) || slices.Contains(o.Samples.Captures(), name) {
		return true
	}
	return slices.ContainsFunc(o.Values, func(r Rule) bool { return slices.Contains(r.Path.Captures(), name) })
}

// ParseText reads a template such as "YD-{sn}".
func ParseText(template string) (parts []TextPart) {
	for template != "" {
		literal, rest, open := strings.Cut(template, "{")
		name, after, closed := strings.Cut(rest, "}")
		if !open || !closed {
			return append(parts, TextPart{Literal: template})
		}
		if literal != "" {
			parts = append(parts, TextPart{Literal: literal})
		}
		parts = append(parts, TextPart{Capture: name})
		template = after
	}
	return parts
}

// value applies scale and offset. What multiplies to no number stays as it is
// found out to be none.
func (it *Item) value(n float64) float64 {
	if it.Scale == 1 && it.Offset == 0 {
		return n
	}
	// A scale such as 0.001 is no binary number; the ninth decimal is beyond
	// every sensor.
	v := n*it.Scale + it.Offset
	if math.Abs(v) < 1e6 {
		return math.Round(v*1e9) / 1e9
	}
	return v
}

// textual reports whether a number's letters matter, not only its size.
func (it *Item) textual() bool { return len(it.Words) > 0 || len(it.Nothing) > 0 || it.Hex }
