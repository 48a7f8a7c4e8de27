// Package devices says what the gateway knows of the things that send: kinds of
// devices and their fields (data, not code: configs/kinds), sites, devices and
// their states and credentials, and what a message of theirs becomes: a [Reading]
// with a time and a quality on every value, or a [Rejection] that says why not.
//
// In: kinds, sites and devices from YAML and from the registry bucket; messages
// of the input log, whose payloads devices/codec reads. Out: readings that rules
// can judge and sinks can write, and the entries of the readings log. What
// survives a crash: nothing by itself; the registry is loaded from its file and
// bucket, what the [Intake] remembers is part of the judge's snapshot. What it
// will not do: decide whether a value is dangerous for a site, or refuse a
// reading for its clock.
package devices

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"
)

// Text is something people read, in both languages; zh is the source.
type Text struct {
	ZH string `yaml:"zh" json:"zh"`
	EN string `yaml:"en" json:"en"`
}

// State is the life of a device from the gateway's point of view. Only what is
// in service can be silent.
type State string

const (
	Planned       State = "planned"
	Commissioning State = "commissioning"
	InService     State = "in_service"
	OutOfService  State = "out_of_service"
	Retired       State = "retired"
)

// States lists every state, in the order of a device's life.
var States = [...]State{Planned, Commissioning, InService, OutOfService, Retired}

// Judged reports whether readings of a device in this state may change levels.
// Planned and commissioning ones may: whoever switches a detector on before the
// paperwork is done still wants to hear of gas. Only a person's decision, out of
// service or retired, silences a device.
func (s State) Judged() bool { return s != OutOfService && s != Retired }

// Direction is the side of a range on which danger lies.
type Direction string

const (
	High Direction = "high" // a higher value is worse
	Low  Direction = "low"  // a lower value is worse: dry beach, freeboard, oxygen
	// Both is only for the danger side of a range: displacements have a sign, and
	// running off either end is as bad.
	Both Direction = "both"
)

// Field is one measured quantity; its unit is the suffix of its name.
type Field struct {
	Name      string          `yaml:"name"`
	Title     Text            `yaml:"title"`
	Unit      string          `yaml:"unit"`                // as shown to people: "%LEL", "mA", "m"
	Range     [2]float64      `yaml:"range"`               // what the sensor can credibly say, both ends included
	Danger    Direction       `yaml:"danger,omitempty"`    // over-range on this side counts as the worst level, to be verified
	Sentinels []float64       `yaml:"sentinels,omitempty"` // numbers that mean "no value"
	MaxDelta  *MaxDelta       `yaml:"max_delta,omitempty"` // a value further from those before it is suspect
	States    map[string]Text `yaml:"states,omitempty"`    // for enumerations: what each number says

	hash  uint64    // of the name, the same in every process
	codes []float64 // the keys of States
}

// MaxDelta is how far a value may lie from the one before it: Value, or a design
// value of the device or its site times Factor. Where Per is given, that far in
// this time or less, and proportionally further in longer ones.
type MaxDelta struct {
	Value  float64       `yaml:"value,omitempty"`
	Param  string        `yaml:"param,omitempty"`
	Factor float64       `yaml:"factor,omitempty"` // 0 means 1
	Per    time.Duration `yaml:"per,omitempty"`
}

// Kind is a type of device.
type Kind struct {
	ID       string        `yaml:"kind"`
	Name     Text          `yaml:"name"`
	Interval time.Duration `yaml:"interval"`          // how often a device of this kind speaks when nothing happens
	Silence  time.Duration `yaml:"silence"`           // silent for longer is an alarm; default: 3 × interval, at least 10 min
	Lateness time.Duration `yaml:"lateness"`          // readings up to this much late still change levels
	Events   bool          `yaml:"events,omitempty"`  // a change is sent at once, so between two readings the last one holds
	Include  []string      `yaml:"include,omitempty"` // sets of fields shared with other kinds
	Fields   []*Field      `yaml:"fields"`

	byName map[string]*Field
}

// Person to call about a site.
type Contact struct {
	Role  string `yaml:"role" json:"role"` // "enterprise", "township", "responsible"
	Name  string `yaml:"name" json:"name"`
	Phone string `yaml:"phone,omitempty" json:"phone,omitempty"`
}

// Site is a place with devices: an enterprise, a pond, a slope.
type Site struct {
	ID       string             `yaml:"id" json:"id"`
	Name     Text               `yaml:"name" json:"name"`
	Area     string             `yaml:"area,omitempty" json:"area"`
	Params   map[string]float64 `yaml:"params,omitempty" json:"params,omitempty"` // design values rules refer to
	Contacts []Contact          `yaml:"contacts,omitempty" json:"contacts,omitempty"`
	Advice   *Text              `yaml:"advice,omitempty" json:"advice,omitempty"` // the site's own instruction; wins over the rule's

	Position  *Position             `yaml:"position,omitempty" json:"position,omitempty"`
	Documents map[string]Provenance `yaml:"documents,omitempty" json:"documents,omitempty"`   // where its params come from, by their names
	CameraRef string                `yaml:"camera_ref,omitempty" json:"camera_ref,omitempty"` // how the video platform calls its camera
}

// Position is a place on the map. Maps of different providers disagree by some
// 500 m, so a position without its datum is none.
type Position struct {
	Lat   float64 `yaml:"lat" json:"lat"`
	Lon   float64 `yaml:"lon" json:"lon"`
	Datum string  `yaml:"datum" json:"datum"` // WGS-84 (receivers) or GCJ-02 (most maps in China)
}

// Provenance is the document in which a design value stands.
type Provenance struct {
	Document string `yaml:"document" json:"document"`
	Date     string `yaml:"date,omitempty" json:"date,omitempty"` // 2026-03-01
}

// Device is one sender of readings. In readings that come back from the
// readings log only the identifying fields (Site.ID, Site.Area, ID, Kind.ID)
// are set.
type Device struct {
	Site     *Site
	ID       string
	Kind     *Kind
	Name     Text
	State    State
	Since    time.Time          // when it entered its state; zero: from the beginning
	Interval time.Duration      // overrides the kind's when > 0
	Params   map[string]float64 // overrides the site's
	By       string             // who put it into its state
	Position *Position

	Baselines []Baseline // by field, then oldest first

	// TZLies is how far ahead of UTC the device's clock runs while it says UTC.
	TZLies time.Duration

	index int    // place in its registry
	key   string // its Key, made once; empty outside a registry
}

// Baseline is what a field of a device read when it was installed or last
// surveyed: what has moved since is told against it. It holds from its date
// until the next one of the same field.
type Baseline struct {
	Field string    `json:"field" yaml:"field"`
	Value float64   `json:"value" yaml:"value"`
	From  time.Time `json:"from" yaml:"from"`
}

// Key is the name of a device across sites: "site/device".
func (d *Device) Key() string {
	if d.key != "" {
		return d.key
	}
	return d.Site.ID + "/" + d.ID
}

// Param looks a design value up, first at the device, then at its site.
func (d *Device) Param(name string) (float64, bool) {
	if v, ok := d.Params[name]; ok {
		return v, true
	}
	v, ok := d.Site.Params[name]
	return v, ok
}

// MaxDelta is how far a value of the field may lie from the one before it; not ok
// where nothing is said of the field, or nobody has set the design value.
func (d *Device) MaxDelta(f *Field) (limit float64, ok bool) {
	switch m := f.MaxDelta; {
	case m == nil:
		return 0, false
	case m.Param == "":
		return m.Value, true
	default:
		v, ok := d.Param(m.Param)
		if m.Factor != 0 {
			v *= m.Factor
		}
		return v, ok && v > 0
	}
}

// Baseline is the newest baseline of a field that holds at a time, Unix ms.
func (d *Device) Baseline(field string, at int64) (value float64, ok bool) {
	for i := range d.Baselines {
		if b := &d.Baselines[i]; b.Field == field && b.From.UnixMilli() <= at {
			value, ok = b.Value, true
		}
	}
	return value, ok
}

// ExpectedInterval is how often the device should speak.
func (d *Device) ExpectedInterval() time.Duration {
	if d.Interval > 0 {
		return d.Interval
	}
	return d.Kind.Interval
}

// SilenceLimit is how long the device may be silent before that is an alarm.
func (d *Device) SilenceLimit() time.Duration {
	if d.Interval > 0 {
		return max(3*d.Interval, 10*time.Minute)
	}
	if d.Kind.Silence > 0 {
		return d.Kind.Silence
	}
	return max(3*d.Kind.Interval, 10*time.Minute)
}

// Field finds a field of the kind by name.
func (k *Kind) Field(name string) (*Field, bool) {
	f, ok := k.byName[name]
	return f, ok
}

// Index must be called once after the fields are set, before Field is used.
func (k *Kind) Index() error {
	k.byName = make(map[string]*Field, len(k.Fields))
	for _, f := range k.Fields {
		if k.byName[f.Name] != nil {
			return fmt.Errorf("kind %s: field %s is declared twice", k.ID, f.Name)
		}
		k.byName[f.Name] = f
		if err := f.prepare(); err != nil {
			return fmt.Errorf("kind %s: field %s: %w", k.ID, f.Name, err)
		}
	}
	return nil
}

func (f *Field) prepare() error {
	h := fnv.New64a()
	h.Write([]byte(f.Name))
	f.hash, f.codes = h.Sum64(), f.codes[:0]
	for code := range f.States {
		n, err := strconv.Atoi(code)
		if err != nil {
			return fmt.Errorf("state %q is not a whole number", code)
		}
		f.codes = append(f.codes, float64(n))
	}
	return nil
}
