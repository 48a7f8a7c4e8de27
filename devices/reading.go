package devices

// Quality of a value or of a whole reading; the worst counts.
type Quality uint8

const (
	Good    Quality = iota
	Suspect         // credible enough to judge, not to trust: beyond the range on the dangerous side, or a jump
	Bad             // not a measurement: sentinel, impossible value
)

var qualityWords = [...]string{"good", "suspect", "bad"}

// String is the word people and the API read.
func (q Quality) String() string {
	if int(q) < len(qualityWords) {
		return qualityWords[q]
	}
	return "unknown"
}

// Flags of a reading.
type Flags uint8

const (
	// History marks what is not news: it came in an array, is marked as history
	// or retained, is older than a reading already held, or came faster than it
	// can have been measured.
	History Flags = 1 << iota
	// ClockSuspect marks a reading whose own time was not credible; Time is then
	// the receive time.
	ClockSuspect
	// TooLate marks a reading later than its kind's lateness: stored, changes no level.
	TooLate
	// Backfill marks history older than the gateway's history_after: it wakes nobody.
	Backfill
	// Unjudged marks a reading of a device that is out of service or retired:
	// stored and shown, changes no level.
	Unjudged
)

// Value is one field of a reading.
type Value struct {
	Field   *Field
	Number  float64
	Quality Quality
	// Over marks a value beyond the range on the dangerous side: it counts as the
	// worst level and must be verified.
	Over bool
}

// Reading is what one device measured at one moment.
type Reading struct {
	Device   *Device
	Time     int64  // event time, Unix ms
	Received int64  // receive time, Unix ms
	Seq      uint64 // the device's own counter, 0 where it has none
	Flags    Flags
	Values   []Value
}

// Quality is the worst of the reading's values. A reading whose time is not its
// own is suspect, though its values may be as good as any.
func (r *Reading) Quality() Quality {
	worst := Good
	if r.Flags&ClockSuspect != 0 {
		worst = Suspect
	}
	for i := range r.Values {
		worst = max(worst, r.Values[i].Quality)
	}
	return worst
}

// Judged reports whether the reading may change a level. Values of Bad quality
// never do, even in a reading that is judged.
func (r *Reading) Judged() bool { return r.Flags&(TooLate|Unjudged) == 0 }

// Rejection says why a message, or one field of it, was quarantined.
type Rejection struct {
	Position uint64 `json:"position"` // of the input log
	Index    int    `json:"index"`    // of the message in its entry
	Received int64  `json:"-"`        // Unix ms
	Source   string `json:"source"`
	Client   string `json:"client,omitempty"`
	Topic    string `json:"topic"`
	Device   string `json:"device,omitempty"` // "site/device", where that is known
	Code     string `json:"code"`             // a word from Codes: unknown_device, bad_json, unknown_field, …
	Field    string `json:"field,omitempty"`  // the field it is about, if it is about one
	Byte     int    `json:"byte,omitempty"`   // of the payload at which it is wrong, from 1; 0: not at one place
	Detail   string `json:"detail"`           // what was wrong and where, for people
	Hint     string `json:"hint,omitempty"`   // what to send instead, where that is known
	Whole    bool   `json:"whole"`            // the whole message was quarantined, not one field
}

// Codes of rejections, besides those of the wire format (see devices/codec).
const (
	CodeBadTopic       = "bad_topic"       // not v1/{site}/{device}/telemetry or /status
	CodeUnknownSite    = "unknown_site"    // no such site in the registry
	CodeUnknownDevice  = "unknown_device"  // the site has no such device
	CodeBadStatus      = "bad_status"      // a status other than online or offline
	CodeUnknownField   = "unknown_field"   // the device's kind has no such field
	CodeDuplicateField = "duplicate_field" // twice in one object, with different values
	CodeForeignDevice  = "foreign_device"  // the message speaks of a device its credential does not cover
	CodeNoParam        = "no_param"        // a value must be multiplied by a parameter the device does not have
	CodeBadClock       = "bad_clock"       // the device's clock is wrong; its readings get their time of arrival
	CodeGatewayFault   = "gateway_fault"   // the gateway itself tripped over the message
	CodeMore           = "more"            // further fields of the message were refused; only the first are listed
)
