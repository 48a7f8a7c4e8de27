package console

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// A snapshot says once what many alarms have in common: ten thousand of them are
// one megabyte instead of ten. Each alarm is a row
//
//	[id, seq, [shared…], device, value, raised, sample, received, {rest}]
//
// in which shared are numbers of objects of the frame's list "shared", raised is
// in Unix ms, sample in ms after it and received in ms after that, and rest,
// which may be missing, is what else is neither null nor empty. All of it put
// together is the alarm, see alarm.json.

// sharedRule is what all alarms of a rule have in common.
type sharedRule struct {
	Kind        string       `json:"kind"`
	Field       string       `json:"field"`
	Rule        string       `json:"rule"`
	RuleVersion string       `json:"rule_version"`
	Unit        string       `json:"unit"`
	Title       devices.Text `json:"title"`
	Advice      devices.Text `json:"advice"`
	Basis       rules.Basis  `json:"basis"`
}

// sharedSite is what all alarms of a site have in common. Its contacts are told
// apart by their text.
type sharedSite struct {
	Site     string            `json:"site"`
	SiteName devices.Text      `json:"site_name"`
	Area     string            `json:"area"`
	Contacts []devices.Contact `json:"contacts"`
}

type siteKey struct {
	site, area, contacts string
	name                 devices.Text
}

// sharedName is what many devices are called.
type sharedName struct {
	DeviceName devices.Text `json:"device_name"`
}

// sharedStand is how many alarms stand.
type sharedStand struct {
	Level      rules.Level  `json:"level"`
	WorstLevel rules.Level  `json:"worst_level"`
	State      alarms.State `json:"state"`
	Flags      []string     `json:"flags"`
	Limit      *float64     `json:"limit"`
	Quality    string       `json:"quality"`
}

type standKey struct {
	level, worst   rules.Level
	state          alarms.State
	flags, quality string
	flagged        int // how many, so that an empty one is not none
	limit          float64
	limited        bool
}

// rowRest is what most alarms do not have.
type rowRest struct {
	ClearedTime  alarms.Time `json:"cleared_time,omitzero"`
	ClosedTime   alarms.Time `json:"closed_time,omitzero"`
	AckedBy      string      `json:"acked_by,omitzero"`
	AckedTime    alarms.Time `json:"acked_time,omitzero"`
	ShelvedUntil alarms.Time `json:"shelved_until,omitzero"`
	ShelvedBy    string      `json:"shelved_by,omitzero"`
	ClosedBy     string      `json:"closed_by,omitzero"`
	Disposition  string      `json:"disposition,omitzero"`
}

// compactor gathers the rows of one frame.
type compactor struct {
	rules  map[sharedRule]int
	sites  map[siteKey]int
	names  map[devices.Text]int
	stands map[standKey]int
	count  int // shared objects
	shared []byte
	rows   []byte
	err    error
}

func newCompactor() *compactor {
	return &compactor{rules: map[sharedRule]int{}, sites: map[siteKey]int{}, names: map[devices.Text]int{}, stands: map[standKey]int{}}
}

func (c *compactor) add(a *alarms.Alarm) {
	if len(c.rows) > 0 {
		c.rows = append(c.rows, ',')
	}
	row := append(c.rows, '[')
	row = append(appendText(row, a.ID), ',')
	row = append(strconv.AppendUint(row, a.Seq, 10), ",["...)
	for i, n := range c.numbersOf(a) {
		if i > 0 {
			row = append(row, ',')
		}
		row = strconv.AppendInt(row, int64(n), 10)
	}
	row = append(appendText(append(row, "],"...), a.Device), ',')
	row = append(appendNumber(row, a.Value), ',')
	row = append(appendTime(row, a.RaisedTime, 0), ',')
	row = append(appendTime(row, a.SampleTime, a.RaisedTime), ',')
	row = appendTime(row, a.ReceivedTime, a.SampleTime)
	rest := rowRest{a.ClearedTime, a.ClosedTime, a.AckedBy, a.AckedTime, a.ShelvedUntil, a.ShelvedBy, a.ClosedBy, a.Disposition}
	if rest != (rowRest{}) {
		row = append(append(row, ','), c.encode(rest)...)
	}
	c.rows = append(row, ']')
}

// numbersOf are the numbers of what the alarm shares with others.
func (c *compactor) numbersOf(a *alarms.Alarm) [4]int {
	rule := sharedRule{a.Kind, a.Field, a.Rule, a.RuleVersion, a.Unit, a.Title, a.Advice, a.Basis}
	site := siteKey{site: a.Site, area: a.Area, contacts: contactsText(a.Contacts), name: a.SiteName}
	stand := standKey{level: a.Level, worst: a.WorstLevel, state: a.State, flags: strings.Join(a.Flags, "\x00"), flagged: len(a.Flags), quality: a.Quality, limited: a.Limit != nil}
	if a.Limit != nil {
		stand.limit = *a.Limit
	}
	return [4]int{
		number(c, c.rules, rule, func() any { return rule }),
		number(c, c.sites, site, func() any {
			return sharedSite{a.Site, a.SiteName, a.Area, append(noContacts, a.Contacts...)}
		}),
		number(c, c.names, a.DeviceName, func() any { return sharedName{a.DeviceName} }),
		number(c, c.stands, stand, func() any {
			return sharedStand{a.Level, a.WorstLevel, a.State, append(noFlags, a.Flags...), finite(a.Limit), a.Quality}
		}),
	}
}

func contactsText(list []devices.Contact) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Role + "\x00" + c.Name + "\x00" + c.Phone + "\x01")
	}
	return b.String()
}

// number is that of a shared object, which is written when it is the first.
func number[K comparable](c *compactor, numbers map[K]int, key K, object func() any) int {
	n, known := numbers[key]
	if known {
		return n
	}
	n = c.count
	numbers[key] = n
	c.count++
	if n > 0 {
		c.shared = append(c.shared, ',')
	}
	c.shared = append(c.shared, c.encode(object())...)
	return n
}

func (c *compactor) encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil && c.err == nil {
		c.err = fmt.Errorf("encode snapshot: %w", err)
	}
	return text
}

// finite leaves out a number that is none.
func finite(f *float64) *float64 {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return nil
	}
	return f
}

func appendNumber(dst []byte, f *float64) []byte {
	if f = finite(f); f == nil {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, *f, 'g', -1, 64)
}

func appendTime(dst []byte, t, since alarms.Time) []byte {
	if t == 0 {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, int64(t-since), 10)
}

// appendText quotes an id; those of people's making may hold anything.
func appendText(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			text, _ := json.Marshal(s) // a string has a JSON
			return append(dst, text...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// frame is the part of a snapshot that was gathered.
func (c *compactor) frame(epoch []byte, seq uint64, part, parts int) *frame {
	head := fmt.Appendf(nil, `{"snapshot":{"epoch":%s,"seq":%d,"part":%d,"parts":%d,"shared":[`, epoch, seq, part, parts)
	text := make([]byte, 0, len(head)+len(c.shared)+len(c.rows)+16)
	text = append(append(append(text, head...), c.shared...), `],"alarms":[`...)
	return &frame{text: append(append(text, c.rows...), "]}}"...), large: true}
}
