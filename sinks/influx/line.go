package influx

import (
	"math"
	"strconv"

	"fengsui/devices"
	"fengsui/rules/alarms"
)

// eventSlots is how many events of one millisecond keep apart.
const eventSlots = 1_000_000

// appendReading appends a reading as a line of line protocol, without the
// newline, or nothing, and reports which: some readings hold no values.
//
// A value of bad quality is no measurement and is not written as a number: one
// sentinel would spoil every mean. It is named in bad_fields, as is a suspect
// value, which is written. quality may be 1 without bad_fields: then the time is
// what is suspect.
func appendReading(dst []byte, r *devices.Reading) ([]byte, bool) {
	if len(r.Values) == 0 {
		return dst, false
	}
	dst = appendName(dst, r.Device.Kind.ID)
	dst = appendTag(dst, ",area=", r.Device.Site.Area)
	dst = appendTag(dst, ",device=", r.Device.ID)
	dst = appendTag(dst, ",site=", r.Device.Site.ID)
	dst = append(dst, ' ')
	allGood := true
	for i := range r.Values {
		v := &r.Values[i]
		allGood = allGood && v.Quality == devices.Good
		if writable(v) {
			dst = appendName(dst, v.Field.Name)
			dst = append(dst, '=')
			dst = appendNumber(dst, v.Number)
			dst = append(dst, ',')
		}
	}
	if !allGood {
		dst = appendBadFields(dst, r.Values)
	}
	dst = append(dst, "quality="...)
	dst = append(dst, '0'+byte(r.Quality()), ' ')
	return strconv.AppendInt(dst, r.Time, 10), true
}

func writable(v *devices.Value) bool {
	finite := v.Number-v.Number == 0
	return finite && v.Quality != devices.Bad
}

func appendBadFields(dst []byte, values []devices.Value) []byte {
	dst = append(dst, `bad_fields="`...)
	first := true
	for i := range values {
		if values[i].Quality == devices.Good {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendText(dst, values[i].Field.Name)
	}
	return append(dst, `",`...)
}

// appendEvent appends an alarm event as a line of line protocol with its time
// in nanoseconds: the millisecond of the event, and below it the event's
// position in the alarm log, so that two events of one millisecond keep apart
// and the same event written again replaces itself.
func appendEvent(dst []byte, e *alarms.Event, seq uint64) []byte {
	a := &e.Alarm
	dst = append(dst, "alarm_event"...)
	dst = appendTag(dst, ",area=", a.Area)
	dst = appendTag(dst, ",device=", a.Device)
	dst = appendTag(dst, ",kind=", a.Kind)
	dst = appendTag(dst, ",level=", a.Level.String())
	dst = appendTag(dst, ",rule=", a.Rule)
	dst = appendTag(dst, ",site=", a.Site)
	dst = appendTag(dst, ",type=", string(e.Type))
	dst = appendString(dst, " alarm=", a.ID)
	dst = appendString(dst, ",event=", e.ID)
	dst = appendString(dst, ",field=", a.Field)
	dst = appendOptional(dst, ",limit=", a.Limit)
	dst = append(dst, ",seq="...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = appendString(dst, ",state=", string(a.State))
	dst = appendOptional(dst, ",value=", a.Value)
	dst = appendString(dst, ",worst_level=", a.WorstLevel.String())
	dst = append(dst, ' ')
	return strconv.AppendInt(dst, int64(e.Time)*1_000_000+int64(seq%eventSlots), 10)
}

func appendOptional(dst []byte, key string, v *float64) []byte {
	if v == nil || *v-*v != 0 {
		return dst
	}
	return appendNumber(append(dst, key...), *v)
}

// appendTag appends a tag unless its value is empty, which InfluxDB refuses.
func appendTag(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendName(append(dst, key...), value)
}

// appendName appends a measurement, a tag value or a field key. Line protocol
// cannot hold a line break there, nor a backslash before a separator: control
// characters become spaces, a backslash becomes a slash.
func appendName(dst []byte, s string) []byte {
	clean := 0
	for i := 0; i < len(s); i++ {
		var with string
		switch c := s[i]; {
		case c == ',':
			with = `\,`
		case c == '=':
			with = `\=`
		case c == ' ' || c < ' ':
			with = `\ `
		case c == '\\':
			with = `/`
		default:
			continue
		}
		dst = append(append(dst, s[clean:i]...), with...)
		clean = i + 1
	}
	return append(dst, s[clean:]...)
}

func appendString(dst []byte, key, value string) []byte {
	dst = append(append(dst, key...), '"')
	return append(appendText(dst, value), '"')
}

// appendText appends what stands between the quotes of a string; control
// characters become spaces.
func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendNumber appends the shortest decimal that reads back as v. Integers and
// numbers of up to three decimals, which is nearly all that is measured, take a
// way five times shorter than strconv's.
func appendNumber(dst []byte, v float64) []byte {
	const exact = 1 << 53
	if v > -exact && v < exact && v == math.Trunc(v) {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	thousandths := math.Round(v * 1000)
	if thousandths > -exact && thousandths < exact && thousandths/1000 == v {
		return appendThousandths(dst, int64(thousandths))
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

func appendThousandths(dst []byte, n int64) []byte {
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	dst = strconv.AppendInt(dst, n/1000, 10)
	rest := n % 1000
	dst = append(dst, '.', '0'+byte(rest/100), '0'+byte(rest/10%10), '0'+byte(rest%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}
