package rules

import (
	"time"

	"fengsui/devices"
)

// Basis is where a limit comes from. Only a verified one may be shown as "per
// GB …"; everything else is a platform default until somebody checked the text.
type Basis struct {
	Text   string `yaml:"text" json:"text"`
	Status string `yaml:"status" json:"status"` // verified, unverified, platform_default, site_document
}

// Limit is a number, or a design value of the site or device times Factor plus
// Offset. A rule whose parameter is missing is not armed at that point.
type Limit struct {
	Value  float64 `yaml:"value,omitempty"`
	Param  string  `yaml:"param,omitempty"`
	Factor float64 `yaml:"factor,omitempty"` // 0 means 1
	Offset float64 `yaml:"offset,omitempty"`
}

// Step is one level of a rule's ladder.
type Step struct {
	Level Level         `yaml:"level"`
	Limit Limit         `yaml:"limit"`
	For   time.Duration `yaml:"for,omitempty"` // in event time; must hold this long before the level is reached
}

// Clear says when a step is left again: the value must be better than the
// step's limit by Hysteresis (in the field's unit), or than Limit where that is
// given, for the time For.
type Clear struct {
	Limit      *Limit        `yaml:"limit,omitempty"`
	Hysteresis float64       `yaml:"hysteresis,omitempty"`
	For        time.Duration `yaml:"for,omitempty"`
}

// Rule says at which values of a field a device of a kind is how dangerous.
// It is data: configs/rules/*.yaml.
type Rule struct {
	ID      string            `yaml:"id"`
	Kind    string            `yaml:"kind"`
	Field   string            `yaml:"field"`
	Title   devices.Text      `yaml:"title"`
	Advice  devices.Text      `yaml:"advice"`
	Basis   Basis             `yaml:"basis"`
	Worse   devices.Direction `yaml:"worse"` // high or low
	Steps   []Step            `yaml:"steps"`
	Clear   Clear             `yaml:"clear"`
	Latch   bool              `yaml:"latch,omitempty"` // stays until a person resets it
	Version string            `yaml:"-"`               // hash of the rule's own text
}
