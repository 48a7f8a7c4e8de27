package codec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fastjson/fastfloat"
)

// Clock reads times as the devices of one format write them. The zero value
// takes epochs by their size, and the usual written forms as Beijing time where
// they name no zone.
type Clock struct {
	formats []timeFormat
	zone    *time.Location
	lies    time.Duration
}

// Beijing is the zone of devices that name none. It has a fixed offset: devices
// know nothing of the summer times before 1992.
var Beijing = time.FixedZone("CST", 8*3600)

// ClockOptions says how times are written.
type ClockOptions struct {
	Formats []string       // tried in turn; default: auto
	Zone    *time.Location // of times that name none; default Beijing
	// Lies is what a clock that says UTC really runs ahead of it: 8 h for
	// firmware that prints local time with a Z, or counts an epoch from it.
	Lies time.Duration
}

type timeFormat struct {
	unit   float64 // ms of a number's unit; 0: told by its size
	layout string  // empty: a number
	zoned  bool    // the layout names a zone
	utc    bool    // with the letter Z alone
}

// NewClock reads the formats: auto, s, ms, us, rfc3339, or a pattern such as
// yyyy-MM-dd HH:mm:ss.
func NewClock(o ClockOptions) (*Clock, error) {
	c := &Clock{zone: o.Zone, lies: o.Lies}
	for _, text := range o.Formats {
		formats, err := parseFormat(text)
		if err != nil {
			return nil, err
		}
		c.formats = append(c.formats, formats...)
	}
	return c, nil
}

// usual are the forms that auto knows, after a number told by its size.
var usual = []timeFormat{
	{},
	{layout: time.RFC3339, zoned: true},
	{layout: "2006-01-02T15:04:05"}, {layout: "2006-01-02 15:04:05"}, {layout: "2006/01/02 15:04:05"},
	{layout: "20060102T150405Z", zoned: true, utc: true}, {layout: "20060102T150405"},
	{layout: "15:04:05 01/02/2006 MST", zoned: true},
}

func parseFormat(text string) ([]timeFormat, error) {
	switch text {
	case "auto":
		return usual, nil
	case "s":
		return []timeFormat{{unit: 1000}}, nil
	case "ms":
		return []timeFormat{{unit: 1}}, nil
	case "us":
		return []timeFormat{{unit: 0.001}}, nil
	case "rfc3339":
		return []timeFormat{{layout: time.RFC3339, zoned: true}}, nil
	}
	layout, zoned, utc := layoutOf(text)
	if !strings.Contains(layout, "2006") && !strings.Contains(layout, "06") || !strings.Contains(layout, "15") {
		return nil, fmt.Errorf("time format %q: want auto, s, ms, us, rfc3339 or a pattern such as yyyy-MM-dd HH:mm:ss", text)
	}
	return []timeFormat{{layout: layout, zoned: zoned, utc: utc}}, nil
}

// layoutOf turns a pattern of yyyy MM dd HH mm ss SSS, with literals in single
// quotes and XXX (+08:00) or zzz (UTC) for the zone, into Go's form.
func layoutOf(pattern string) (layout string, zoned, utc bool) {
	words := strings.NewReplacer("yyyy", "2006", "yy", "06", "MM", "01", "dd", "02", "HH", "15", "mm", "04", "ss", "05", "SSS", "000", "XXX", "Z07:00", "zzz", "MST")
	var b strings.Builder
	for i, part := range strings.Split(pattern, "'") {
		if i%2 == 1 {
			b.WriteString(part) // a literal
			utc = utc || part == "Z"
			continue
		}
		b.WriteString(words.Replace(part))
		zoned = zoned || strings.Contains(part, "XXX") || strings.Contains(part, "zzz")
	}
	return b.String(), zoned || utc, utc
}

// Read is Unix ms of a time as a device wrote it.
func (c *Clock) Read(text []byte) (ms int64, ok bool) {
	text = bytes.TrimSpace(text)
	formats := c.formats
	if len(formats) == 0 {
		formats = usual
	}
	for i := range formats {
		if ms, ok := c.read(&formats[i], text); ok {
			return ms, true
		}
	}
	return 0, false
}

func (c *Clock) read(f *timeFormat, text []byte) (ms int64, ok bool) {
	if f.layout != "" {
		zone := c.location()
		if f.utc {
			zone = time.UTC
		}
		t, err := time.ParseInLocation(f.layout, string(text), zone)
		if err != nil {
			return 0, false
		}
		if f.zoned {
			t = t.Add(-c.lies)
		}
		return t.UnixMilli(), true
	}
	if f.unit == 0 {
		if ms, ok := c.compact(text); ok {
			return ms, true
		}
	}
	n, err := fastfloat.Parse(string(text))
	if err != nil {
		return 0, false
	}
	if f.unit != 0 {
		if n *= f.unit; n < -1e14 || n > 1e14 {
			return 0, false
		}
		ms, ok = int64(n), n == n
	} else {
		ms, ok = epoch(n)
	}
	return ms - c.lies.Milliseconds(), ok
}

// compact reads 20220627143205 and 20220627143205123, which no epoch is: as
// milliseconds it would be the year 2610.
func (c *Clock) compact(text []byte) (ms int64, ok bool) {
	if (len(text) != 14 && len(text) != 17) || text[0] != '2' || text[1] != '0' {
		return 0, false
	}
	t, err := time.ParseInLocation("20060102150405", string(text[:14]), c.location())
	if err != nil {
		return 0, false
	}
	ms = t.UnixMilli()
	if len(text) == 17 {
		n, err := strconv.ParseUint(string(text[14:]), 10, 16)
		return ms + int64(n), err == nil
	}
	return ms, true
}

func (c *Clock) location() *time.Location {
	if c.zone == nil {
		return Beijing
	}
	return c.zone
}
