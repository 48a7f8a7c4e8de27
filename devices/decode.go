package devices

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"fengsui/devices/codec"
)

// Decoded is a message as far as it can be read without knowing what came
// before it. It is reused; the zero value is ready.
type Decoded struct {
	in       Incoming
	registry *Registry // it was read against
	device   *Device   // whose samples are being read
	speakers []*Device // devices it speaks of; those of a foreign format only where something of theirs is usable
	presence Presence  // of a status message
	usable   bool      // something of it can be kept
	delivery uint64    // fingerprint of the delivery; 0 at QoS 0

	levels     []string // what a route captured of the topic
	samples    []sample
	counted    []counted // values that counters show
	values     []Value
	rejections []Rejection
	more       int // rejections not listed
}

// sample is one moment a message tells of.
type sample struct {
	device   *Device
	own      int64 // the device's own time, Unix ms
	timed    bool
	untimed  bool
	array    bool
	seq      uint64
	content  uint64 // fingerprint of seq and values
	from, to int    // its values
}

// maxRejections are listed of one message; further ones are counted.
const maxRejections = 16

// Decode reads a message: topic, payload, fields and the quality of each value.
// It changes no state and may run in any goroutine, for different Decodeds at
// the same time. The message's payload and strings must stay until Accept.
func (i *Intake) Decode(in Incoming, out *Decoded) { i.decode(i.registry.Load(), in, out) }

func (i *Intake) decode(r *Registry, in Incoming, d *Decoded) {
	clear(d.rejections)
	*d = Decoded{in: in, registry: r, speakers: d.speakers[:0], levels: d.levels[:0], counted: d.counted[:0], samples: d.samples[:0], values: d.values[:0], rejections: d.rejections[:0]}
	defer i.decodeFault(d)
	key, leaf, ok := splitTopic(in.Topic)
	if ok {
		if device, known := r.DeviceByKey(key); known {
			d.house(i, device, leaf)
			return
		}
	}
	if i.routes != nil && !isHouse(in.Topic) {
		var route *Route
		if route, d.levels = i.routes.find(in.Source, in.Topic, d.levels); route != nil {
			d.deliver()
			d.route(i, route)
			return
		}
	}
	if !ok {
		d.reject(CodeBadTopic, "", "the topic is not v1/{site}/{device}/telemetry or …/status", "a foreign format needs a route in the gateway's configuration")
		return
	}
	d.unknownDevice(r, key)
}

// deliver remembers the delivery of a message that may be accepted.
func (d *Decoded) deliver() {
	if d.in.PacketID != 0 {
		d.delivery = deliveryPrint(&d.in)
	}
}

// house reads a message in the gateway's own format.
func (d *Decoded) house(i *Intake, device *Device, leaf string) {
	d.deliver()
	switch leaf {
	case "telemetry":
		d.hear(device)
		d.telemetry(i)
	case "status":
		d.hear(device)
		d.status()
	default:
		d.reject(CodeBadTopic, "", fmt.Sprintf("nothing is received under %q", clip(leaf)), "publish to v1/{site}/{device}/telemetry or …/status")
	}
}

// hear says that what follows is of this device.
func (d *Decoded) hear(device *Device) {
	d.device = device
	d.speakers = append(d.speakers, device)
}

// splitTopic cuts v1/{site}/{device}/{leaf} into "site/device" and leaf.
func splitTopic(topic string) (key, leaf string, ok bool) {
	rest, ok := strings.CutPrefix(topic, "v1/")
	if !ok {
		return "", "", false
	}
	end := strings.LastIndexByte(rest, '/')
	if end < 0 {
		return "", "", false
	}
	key, leaf = rest[:end], rest[end+1:]
	middle := strings.IndexByte(key, '/')
	ok = middle > 0 && middle < len(key)-1 && strings.IndexByte(key[middle+1:], '/') < 0
	return key, leaf, ok
}

func (d *Decoded) unknownDevice(r *Registry, key string) {
	site, id, _ := strings.Cut(key, "/")
	if CheckSiteID(site) != nil || CheckDeviceID(id) != nil {
		d.reject(CodeBadTopic, "", fmt.Sprintf("%q is no site and device", clip(key)), "ids are 1 to 64 of A–Z, a–z, 0–9, '.', '_' and '-'; devices and gateway are no sites")
		return
	}
	if _, ok := r.Site(site); !ok {
		d.reject(CodeUnknownSite, "", fmt.Sprintf("no site %q is registered", site), r.nearestSite(site))
		return
	}
	d.reject(CodeUnknownDevice, "", fmt.Sprintf("site %q has no device %q", site, id), r.nearestDevice(site, id))
}

// maxCandidates bounds how many names are compared for a hint: unknown devices
// may arrive by the thousand a second.
const maxCandidates = 500

func (r *Registry) nearestSite(id string) string {
	if len(r.sites) > maxCandidates {
		return ""
	}
	ids := make([]string, 0, len(r.sites))
	for s := range r.Sites() {
		ids = append(ids, s.ID)
	}
	return nearest(id, ids)
}

func (r *Registry) nearestDevice(site, id string) string {
	siblings := r.bySite[site]
	if len(siblings) > maxCandidates {
		return ""
	}
	ids := make([]string, len(siblings))
	for i, d := range siblings {
		ids[i] = d.ID
	}
	return nearest(id, ids)
}

// status reads a status message. Blanks, quotes and case are forgiven.
func (d *Decoded) status() {
	const longest = 32
	if len(d.in.Payload) <= longest {
		word := strings.ToLower(strings.Trim(string(d.in.Payload), " \t\r\n\x00\""))
		switch word {
		case "online":
			d.presence, d.usable = Online, true
			return
		case "offline":
			d.presence, d.usable = Offline, true
			return
		}
	}
	d.reject(CodeBadStatus, "", fmt.Sprintf("the status is %q", clip(string(d.in.Payload))), "send online or offline, as plain text")
}

func (d *Decoded) telemetry(i *Intake) {
	house := i.houses.Get().(*codec.House)
	if err := house.Decode(d.in.Payload, d.sample); err != nil {
		d.rejectPayload(err)
	}
	i.houses.Put(house) // one that trips is not used again
}

func (d *Decoded) rejectPayload(err error) {
	var refused *codec.Error
	if errors.As(err, &refused) {
		d.rejectError(refused)
	}
}

// sample takes one sample of the payload.
func (d *Decoded) sample(s *codec.Sample) error {
	x := sample{device: d.device, own: s.Time - d.device.TZLies.Milliseconds(), timed: s.Timed, untimed: s.Untimed, array: s.Array, seq: s.Seq, from: len(d.values)}
	for _, e := range s.Errors {
		d.rejectError(e)
	}
	d.more += s.More
	refused := len(s.Errors) + s.More
	d.values = slices.Grow(d.values, len(s.Values))
	for i := range s.Values {
		if !d.value(&x, &s.Values[i]) {
			refused++
		}
	}
	x.to = len(d.values)
	// An object that brings no values though nothing in it was refused says at
	// least that the device is alive.
	if x.to > x.from || refused == 0 {
		d.usable = true
		x.content = d.contentPrint(&x)
		d.samples = append(d.samples, x)
	}
	return nil
}

// value takes one named number, and reports whether it was of use.
func (d *Decoded) value(x *sample, v *codec.Value) bool {
	f, ok := d.device.Kind.byName[string(v.Name)]
	if !ok {
		d.unknownField(string(v.Name))
		return false
	}
	value := Value{Field: f, Number: v.Number}
	if v.Item == nil {
		value.Quality, value.Over = f.assess(v.Number)
	} else if !d.mapped(&value, v) {
		return false
	}
	for i := x.from; i < len(d.values); i++ {
		if held := &d.values[i]; held.Field == f {
			if d.twice(held, value) {
				d.shows(i, v)
			}
			return true
		}
	}
	if v.Counts() {
		d.shows(len(d.values), v)
	}
	d.values = append(d.values, value)
	return true
}

// mapped gives a value what its route says of it.
func (d *Decoded) mapped(value *Value, v *codec.Value) bool {
	for _, name := range v.Item.Ratio {
		ratio, ok := d.device.Param(name)
		if !ok {
			d.reject(CodeNoParam, value.Field.Name, fmt.Sprintf("the route multiplies %s by the parameter %s, which %s does not have", value.Field.Name, name, d.device.Key()), "give the device or its site params: {"+name+": …}")
			return false
		}
		value.Number *= ratio
	}
	if math.IsInf(value.Number, 0) {
		d.reject(codec.CodeNotFinite, value.Field.Name, fmt.Sprintf("%s is beyond all numbers once it is multiplied by %s", value.Field.Name, strings.Join(v.Item.Ratio, ", ")), "check the parameters of the device and its site")
		return false
	}
	if !v.Counts() {
		value.Quality, value.Over = value.Field.assess(value.Number)
	}
	switch v.Doubt {
	case codec.Useless:
		value.Quality, value.Over = Bad, false
	case codec.Doubtful:
		value.Quality = max(value.Quality, Suspect)
	}
	return true
}

// twice decides between two values of one field in one object: what is a
// measurement comes before what is not, and of two the one nearer to danger.
// Neither is trusted. It reports whether the other one is held now.
func (d *Decoded) twice(held *Value, other Value) (better bool) {
	if held.Number == other.Number {
		return false
	}
	better = other.Quality != Bad
	if (held.Quality != Bad) == better {
		better = held.Field.nearer(other.Number, held.Number)
	}
	if better {
		*held = other
	}
	held.Quality = max(held.Quality, Suspect)
	d.reject(CodeDuplicateField, held.Field.Name, held.Field.Name+" stands twice in one object, with different values", "send each field once")
	return better
}

// nearer reports whether a lies nearer to danger than b, which is another number.
func (f *Field) nearer(a, b float64) bool {
	switch {
	case f.Danger == Low:
		return a < b
	case f.Danger == Both && math.Abs(a) != math.Abs(b):
		return math.Abs(a) > math.Abs(b)
	}
	return a > b
}

func (d *Decoded) unknownField(name string) {
	if d.full() {
		return
	}
	fields := d.device.Kind.Fields
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	d.reject(CodeUnknownField, clip(name), fmt.Sprintf("the kind %s has no field %q", d.device.Kind.ID, clip(name)), nearest(name, names))
}

// assess says how far a number can be trusted as a value of the field.
func (f *Field) assess(n float64) (q Quality, over bool) {
	if slices.Contains(f.Sentinels, n) {
		return Bad, false
	}
	if len(f.codes) > 0 {
		if slices.Contains(f.codes, n) {
			return Good, false
		}
		return Bad, false
	}
	low, high := f.Range[0], f.Range[1]
	switch {
	case low == high: // a kind made by hand, without ranges
		return Good, false
	case n < low:
		over = f.Danger == Low || f.Danger == Both
	case n > high:
		over = f.Danger == High || f.Danger == Both
	default:
		return Good, false
	}
	if over {
		return Suspect, true
	}
	return Bad, false
}

// full reports, and counts, that no more rejections of this message are listed.
func (d *Decoded) full() bool {
	if len(d.rejections) < maxRejections {
		return false
	}
	d.more++
	return true
}

func (d *Decoded) rejectError(e *codec.Error) {
	detail := fmt.Sprintf("at byte %d: %s", e.Offset, e.Detail)
	before := len(d.rejections)
	if d.reject(e.Code, e.Field, detail, e.Hint); len(d.rejections) > before {
		d.rejections[before].Byte = e.Offset + 1
	}
}

// reject records why the message, or a field of it, is quarantined. What comes
// from the message is copied, since rejections outlive it.
func (d *Decoded) reject(code, field, detail, hint string) {
	if d.full() {
		return
	}
	d.rejections = append(d.rejections, d.rejection(code, field, detail, hint))
}

func (d *Decoded) rejection(code, field, detail, hint string) Rejection {
	return Rejection{
		Position: d.in.Position, Index: d.in.Index, Received: d.in.Received,
		Source: strings.Clone(d.in.Source), Client: strings.Clone(d.in.Client), Topic: strings.Clone(d.in.Topic), Device: d.deviceKey(),
		Code: code, Field: field, Detail: detail, Hint: hint,
	}
}

// deviceKey names the device that is being read, "" for none.
func (d *Decoded) deviceKey() string {
	if d.device == nil {
		return ""
	}
	return d.device.Key()
}

// clip shortens a text from outside for a log or an answer.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
