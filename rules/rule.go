package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"fengsui/devices"
)

// Basis is where a limit comes from. Only a verified one may be shown as "per
// GB …"; everything else is a platform default until somebody checked the text.
type Basis struct {
	Text   string `yaml:"text" json:"text"`
	Status string `yaml:"status" json:"status"` // verified, unverified, platform_default, site_document
}

// What a basis may be.
const (
	Verified        = "verified"         // the number was read in the named text
	Unverified      = "unverified"       // the named text is believed to say so
	PlatformDefault = "platform_default" // no text claims it
	SiteDocument    = "site_document"    // a design value of the site
)

// Limit is a number, or a design value of the device or its site times Factor
// plus Offset. Where nobody set the design value, Default stands for it; without
// a default the rule is not armed at that point.
type Limit struct {
	Value   float64  `yaml:"value,omitempty"`
	Param   string   `yaml:"param,omitempty"`
	Default *float64 `yaml:"default,omitempty"`
	Factor  float64  `yaml:"factor,omitempty"` // 0 means 1
	Offset  float64  `yaml:"offset,omitempty"`
}

// Step is one level of a rule's ladder: reached at its limit and beyond, or,
// for fields that hold a state, at the numbers listed in Is.
type Step struct {
	Level Level         `yaml:"level"`
	Limit Limit         `yaml:"limit"`
	Is    []float64     `yaml:"is,omitempty"`
	For   time.Duration `yaml:"for,omitempty"` // in event time; must hold this long before the level is reached
}

// Clear says when a step is left again: the value must be better than the
// step's limit by Hysteresis (in the unit of the limit), or than Limit where that is
// given, for the time For.
type Clear struct {
	Limit      *Limit        `yaml:"limit,omitempty"`
	Hysteresis float64       `yaml:"hysteresis,omitempty"`
	For        time.Duration `yaml:"for,omitempty"`
}

// Quantity is what a rule may compare with its limits besides a value as it is.
type Quantity string

const (
	Rate   Quantity = "rate"   // the slope of the values in the window, per Per
	Delta  Quantity = "delta"  // the value minus the device's dated baseline of the field
	Sum    Quantity = "sum"    // the sum of the values in the window: amounts of an interval
	Growth Quantity = "growth" // how much a counter counted in the window
)

// Measure is what a rule compares with its limits instead of the value. The
// window at t is (t − Over, t], in event time.
type Measure struct {
	Quantity Quantity
	Over     time.Duration `json:",omitempty"`
	Per      time.Duration `json:",omitempty"` // of a rate: field units per this time
	Samples  int           `json:",omitempty"` // of a rate: nothing is said with fewer
	Span     time.Duration `json:",omitempty"` // of a rate: nor while they lie closer together than this, from first to last
}

// Confirm says that a step is reached only when N of the last Of samples were at
// its limit or beyond. Its zero value asks for none.
type Confirm struct {
	N  int `yaml:"n"`
	Of int `yaml:"of"`
}

// Expect is the state a field must reach after an action: while another field of
// the device is beyond its limit, the rule's own must be at one of Is within the
// time. Whatever is not known to be there is not there.
type Expect struct {
	Is     []float64
	Within time.Duration
	While  Trigger
}

// Trigger is a field beyond its limit.
type Trigger struct {
	Field string
	Worse devices.Direction
	Limit Limit
}

// Rule says at which values of a field a device of a kind is how dangerous.
// It is data: configs/rules/*.yaml.
//
// A rule that a file gives for several fields is one Rule for each, with the
// same ID.
type Rule struct {
	ID      string            `yaml:"id"`
	Kind    string            `yaml:"kind"`
	Field   string            `yaml:"field"`
	Title   devices.Text      `yaml:"title"`
	Advice  devices.Text      `yaml:"advice"`
	Basis   Basis             `yaml:"basis"`
	Measure *Measure          `yaml:"measure,omitempty" json:",omitempty"` // what is compared with the limits; nil: the value itself
	Unit    string            `yaml:"unit,omitempty" json:",omitempty"`    // of what is compared, where that is not the field's
	Worse   devices.Direction `yaml:"worse"`                               // high, low, or both: the size counts, whatever the sign; empty where the steps list states
	Steps   []Step            `yaml:"steps"`
	Confirm Confirm           `yaml:"confirm,omitempty" json:",omitzero"`
	Expect  *Expect           `yaml:"expect,omitempty" json:",omitempty"` // instead of limits: the state that must follow an action; its level is that of the one step
	Unless  string            `yaml:"unless,omitempty" json:",omitempty"` // a design value: where it is not 0, the site has nothing that the rule could watch
	Only    string            `yaml:"only,omitempty" json:",omitempty"`   // a design value: only where it is set and not 0 there is something to watch, such as an order in force
	Hold    []float64         `yaml:"hold,omitempty"`                     // states that say nothing: whatever the level is, it stays
	Clear   Clear             `yaml:"clear"`
	Latch   bool              `yaml:"latch,omitempty"` // stays until a person resets it
	Version string            `yaml:"-"`               // hash of the rule's own text
}

// concerns says that there is something at a device that the rule could watch.
func (r *Rule) concerns(d *devices.Device) bool {
	unless, _ := d.Param(r.Unless)
	only, _ := d.Param(r.Only)
	return unless == 0 && (r.Only == "" || only != 0)
}

// maxSteps is the height of a ladder: blue, yellow, orange, red.
const maxSteps = 4

// seal gives the rule its version.
func (r *Rule) seal() *Rule {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers that JSON cannot say do not pass validation
	}
	sum := sha256.Sum256(text)
	r.Version = hex.EncodeToString(sum[:4])
	return r
}

// Words in the names of fields that trip on their first sample, always: no `for`
// and no second sample stands between a leak, a flame or a detector's own word
// and the people who must know.
var atOnceWords = []string{
	"gas", "lel", "lelm", "o2", "smoke", "spark", "leak", "arc", "vapour",
	"co", "h2s", "nh3", "cl2", "so2", "no2", "hcl", "phosgene", "benzene", "co2",
}

func tripsAtOnce(field string) bool {
	if field == "detector_state" {
		return true
	}
	for word := range strings.SplitSeq(field, "_") {
		if slices.Contains(atOnceWords, word) {
			return true
		}
	}
	return false
}
