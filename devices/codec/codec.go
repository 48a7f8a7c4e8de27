// Package codec reads what devices send: one file a wire format, each turning a
// payload into samples of names and numbers.
//
// In: the bytes of one message. Out: a [Sample] for every moment the message
// tells of, and an [Error] with code, byte offset, field and remedy for
// everything in it that could not be used: one bad field costs that field, not
// the message. [House] reads the gateway's own format, [Mapper] any other JSON by
// a [Mapping], which is data. What survives a crash: nothing; a format that carries no state
// needs nothing. What it will not do: know a device, a field or a range, or
// decide what time a sample without a credible one gets.
package codec

import "fmt"

// Sample is what a payload says about one moment. It and all it refers to are
// valid until the callback it was given to returns.
type Sample struct {
	Site    []byte // of a foreign format, which names its device itself; else empty
	Device  []byte
	Time    int64 // the device's own time, Unix ms; only where Timed
	Timed   bool  // the device said when, in a form that could be read
	Untimed bool  // the device said when, in a form that could not be read
	Array   bool  // it was one of an array
	Seq     uint64
	Values  []Value

	// Errors are about single fields, or, where they name no field, about the
	// sample as a whole, which then has no values, or what was cut off behind them.
	Errors []*Error
	// More counts fields that were refused like those in Errors but are not
	// listed, so that one hostile payload cannot fill a log.
	More int
}

// Value is one named number. A field that was null has none and is left out.
type Value struct {
	Name   []byte
	Number float64 // always finite
	Doubt  Doubt   // what the format itself says of it
	Item   *Item   // of a mapping: what else it asks for; nil in the house format
}

// Counts reports whether the value is what a counter shows.
func (v *Value) Counts() bool { return v.Item != nil && v.Item.Counter != nil && v.Doubt != Useless }

// Codes of errors. Devices are told them, so they stay as they are.
const (
	CodeEmpty       = "empty"         // no payload
	CodeTooLarge    = "too_large"     // more bytes, samples or fields than accepted
	CodeTooDeep     = "too_deep"      // nested deeper than accepted
	CodeBadJSON     = "bad_json"      // not JSON, cut off, or two objects glued together
	CodeNotAnObject = "not_an_object" // JSON, but not an object where one belongs
	CodeNoValues    = "no_values"     // an object without "values"
	CodeDuplicate   = "duplicate_key" // ts, seq or values twice in one object
	CodeBadTime     = "bad_time"      // a ts that could not be read
	CodeBadSeq      = "bad_seq"       // a seq that is not a whole number from 0
	CodeNotANumber  = "not_a_number"  // a text where a number belongs
	CodeNotFinite   = "not_finite"    // NaN, Infinity, or a number out of all bounds
	CodeNested      = "nested"        // an object or array where a number belongs
	CodeUnknownWord = "unknown_word"  // a text that the route's words do not hold
	CodeSensorFault = "sensor_fault"  // the device itself reports a fault of a sensor
)

// Error says what was wrong with a payload or with one field of it.
type Error struct {
	Code   string
	Offset int    // byte of the payload at which it is wrong, from 0
	Field  string // the field it costs; empty where it costs the sample or the payload
	Detail string // what was found, for people
	Hint   string // what to send instead
}

func (e *Error) Error() string {
	if e.Field != "" {
		return fmt.Sprintf("byte %d: field %q: %s", e.Offset, e.Field, e.Detail)
	}
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Detail)
}
