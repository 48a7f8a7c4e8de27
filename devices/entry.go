package devices

import (
	"encoding/binary"
	"fmt"
	"math"
)

// ReadingsEntry is one entry of the readings log: what became of the messages
// at the positions From to To of the input log.
type ReadingsEntry struct {
	From, To   uint64
	Readings   []Reading
	Rejections []Rejection
}

// The entry is laid out as
//
//	version(1) from to-from(uvarints)
//	readings(uvarint) { device time received seq flags values { field how number } }
//	rejections(uvarint) { … }
//
// A device, site, kind or field is a number, counted from 0 in the order of
// first use; at its first use its names follow. Times are differences from the
// reading before. A number is m/10^k where that is exact, which is what sensors
// send, else eight bytes.
const entryVersion = 2

// A value's "how" byte: quality in the lowest two bits, then over, then raw or
// the number of decimals.
const (
	howQuality  = 0b0000_0011
	howOver     = 0b0000_0100
	howRaw      = 0b0000_1000
	howDecimals = 4 // shift
)

// AppendReadings appends an entry to dst.
func AppendReadings(dst []byte, e ReadingsEntry) []byte {
	var w ReadingsEncoder
	return w.Append(dst, e)
}

// ReadingsEncoder writes entries and keeps its memory between them. The zero
// value is ready.
type ReadingsEncoder struct {
	devices map[*Device]int
	sites   map[*Site]int
	kinds   map[*Kind]int
	fields  map[*Field]int
}

func (w *ReadingsEncoder) begin() {
	if w.devices == nil {
		*w = ReadingsEncoder{map[*Device]int{}, map[*Site]int{}, map[*Kind]int{}, map[*Field]int{}}
	}
	clear(w.devices)
	clear(w.sites)
	clear(w.kinds)
	clear(w.fields)
}

// Append appends an entry to dst.
func (w *ReadingsEncoder) Append(dst []byte, e ReadingsEntry) []byte {
	w.begin()
	dst = append(dst, entryVersion)
	dst = binary.AppendUvarint(dst, e.From)
	dst = binary.AppendUvarint(dst, e.To-e.From)
	dst = binary.AppendUvarint(dst, uint64(len(e.Readings)))
	time, received := int64(0), int64(0)
	for i := range e.Readings {
		r := &e.Readings[i]
		dst = w.device(dst, r.Device)
		dst = binary.AppendVarint(dst, r.Time-time)
		dst = binary.AppendVarint(dst, r.Received-received)
		dst = binary.AppendUvarint(dst, r.Seq)
		dst = append(dst, byte(r.Flags))
		dst = binary.AppendUvarint(dst, uint64(len(r.Values)))
		for j := range r.Values {
			dst = w.value(dst, &r.Values[j])
		}
		time, received = r.Time, r.Received
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.Rejections)))
	for i := range e.Rejections {
		dst = appendRejection(dst, &e.Rejections[i])
	}
	return dst
}

// number appends what stands for key, and reports whether its names must follow.
func number[K comparable](dst []byte, known map[K]int, key K) (_ []byte, first bool) {
	n, ok := known[key]
	if !ok {
		n = len(known)
		known[key] = n
	}
	return binary.AppendUvarint(dst, uint64(n)), !ok
}

func (w *ReadingsEncoder) device(dst []byte, d *Device) []byte {
	dst, first := number(dst, w.devices, d)
	if !first {
		return dst
	}
	if dst, first = number(dst, w.sites, d.Site); first {
		dst = appendText(dst, d.Site.ID)
		dst = appendText(dst, d.Site.Area)
	}
	if dst, first = number(dst, w.kinds, d.Kind); first {
		dst = appendText(dst, d.Kind.ID)
	}
	return appendText(dst, d.ID)
}

func (w *ReadingsEncoder) value(dst []byte, v *Value) []byte {
	dst, first := number(dst, w.fields, v.Field)
	if first {
		dst = appendText(dst, v.Field.Name)
	}
	how := byte(v.Quality) & howQuality
	if v.Over {
		how |= howOver
	}
	if m, decimals, ok := decimal(v.Number); ok {
		dst = append(dst, how|decimals<<howDecimals)
		return binary.AppendVarint(dst, m)
	}
	dst = append(dst, how|howRaw)
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Number))
}

var powers = [...]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6}

// decimal finds m and the fewest decimals with f == m/10^decimals exactly.
func decimal(f float64) (m int64, decimals byte, ok bool) {
	if !(math.Abs(f) < 1e9) || f == 0 && math.Signbit(f) {
		return 0, 0, false
	}
	for i, p := range powers {
		if m := math.Round(f * p); m/p == f {
			return int64(m), byte(i), true
		}
	}
	return 0, 0, false
}

func appendRejection(dst []byte, r *Rejection) []byte {
	dst = binary.AppendUvarint(dst, r.Position)
	dst = binary.AppendVarint(dst, int64(r.Index))
	dst = binary.AppendVarint(dst, r.Received)
	for _, s := range [...]string{r.Source, r.Client, r.Topic, r.Device, r.Code, r.Field, r.Detail, r.Hint} {
		dst = appendText(dst, s)
	}
	if r.Whole {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// DecodeReadings reads an entry. What it returns is the caller's.
func DecodeReadings(data []byte) (ReadingsEntry, error) {
	var d ReadingsDecoder
	return d.Decode(data)
}

// ReadingsDecoder reads entries and keeps what they name: the same device,
// site, kind or field is the same pointer in every entry. They are light: only
// what identifies them is set. The zero value is ready.
type ReadingsDecoder struct {
	devices map[deviceName]*Device
	sites   map[siteName]*Site
	kinds   map[string]*Kind
	fields  map[fieldKey]*Field

	// Of the entry at hand.
	reader
	deviceAt []*Device
	siteAt   []*Site
	kindAt   []*Kind
	fieldAt  []*Field
	readings []Reading
	values   []Value
}

type (
	siteName   struct{ id, area string }
	deviceName struct {
		site *Site
		kind *Kind
		id   string
	}
	fieldKey struct {
		kind *Kind
		name string
	}
)

// mostNames are kept; a log with more than that in it makes the decoder forget
// all and begin anew.
const mostNames = 1 << 20

// Decode reads an entry. Its readings are valid until the next call; their
// devices and fields stay.
func (d *ReadingsDecoder) Decode(data []byte) (ReadingsEntry, error) {
	d.begin(data)
	if v := d.byte(); v != entryVersion {
		return ReadingsEntry{}, fmt.Errorf("readings entry: version %d, want %d", v, entryVersion)
	}
	e := ReadingsEntry{From: d.uvarint()}
	e.To = e.From + d.uvarint()
	e.Readings = d.entryReadings()
	for n := d.count(11); n > 0 && d.err == nil; n-- {
		e.Rejections = append(e.Rejections, d.rejection())
	}
	if d.err == nil && len(d.data) > 0 {
		d.fail(fmt.Errorf("%d bytes too many", len(d.data)))
	}
	if d.err != nil {
		return ReadingsEntry{}, fmt.Errorf("readings entry: %w", d.err)
	}
	return e, nil
}

func (d *ReadingsDecoder) begin(data []byte) {
	if d.devices == nil || len(d.devices)+len(d.fields) > mostNames {
		d.devices, d.sites = map[deviceName]*Device{}, map[siteName]*Site{}
		d.kinds, d.fields = map[string]*Kind{}, map[fieldKey]*Field{}
	}
	d.reader = reader{data: data}
	d.deviceAt, d.siteAt, d.kindAt, d.fieldAt = d.deviceAt[:0], d.siteAt[:0], d.kindAt[:0], d.fieldAt[:0]
	d.readings, d.values = d.readings[:0], d.values[:0]
}

func (d *ReadingsDecoder) entryReadings() []Reading {
	n := d.count(6)
	time, received := int64(0), int64(0)
	for ; n > 0 && d.err == nil; n-- {
		r := Reading{Device: d.device()}
		time += d.varint()
		received += d.varint()
		r.Time, r.Received, r.Seq, r.Flags = time, received, d.uvarint(), Flags(d.byte())
		from := len(d.values)
		for m := d.count(3); m > 0 && d.err == nil; m-- {
			d.values = append(d.values, d.value(r.Device))
		}
		r.Values = d.values[from:len(d.values):len(d.values)]
		d.readings = append(d.readings, r)
	}
	return d.readings
}

// index reads a number, and reports whether names follow because it is the
// first of its kind.
func (d *ReadingsDecoder) index(known int) (n int, first bool) {
	v := d.uvarint()
	if v > uint64(known) {
		d.fail(fmt.Errorf("name %d is used before name %d", v, known))
		return 0, false
	}
	return int(v), v == uint64(known) && d.err == nil
}

func (d *ReadingsDecoder) device() *Device {
	n, first := d.index(len(d.deviceAt))
	if d.err != nil {
		return nil
	}
	if !first {
		return d.deviceAt[n]
	}
	site, kind := d.site(), d.kind()
	id := d.text()
	if d.err != nil {
		return nil
	}
	device := d.devices[deviceName{site, kind, string(id)}]
	if device == nil {
		device = &Device{Site: site, Kind: kind, ID: string(id)}
		d.devices[deviceName{site, kind, device.ID}] = device
	}
	d.deviceAt = append(d.deviceAt, device)
	return device
}

func (d *ReadingsDecoder) site() *Site {
	n, first := d.index(len(d.siteAt))
	if d.err != nil {
		return nil
	}
	if !first {
		return d.siteAt[n]
	}
	id, area := d.text(), d.text()
	site := d.sites[siteName{string(id), string(area)}]
	if site == nil {
		site = &Site{ID: string(id), Area: string(area)}
		d.sites[siteName{site.ID, site.Area}] = site
	}
	d.siteAt = append(d.siteAt, site)
	return site
}

func (d *ReadingsDecoder) kind() *Kind {
	n, first := d.index(len(d.kindAt))
	if d.err != nil {
		return nil
	}
	if !first {
		return d.kindAt[n]
	}
	id := d.text()
	kind := d.kinds[string(id)]
	if kind == nil {
		kind = &Kind{ID: string(id)}
		d.kinds[kind.ID] = kind
	}
	d.kindAt = append(d.kindAt, kind)
	return kind
}

func (d *ReadingsDecoder) value(device *Device) (v Value) {
	n, first := d.index(len(d.fieldAt))
	switch {
	case d.err != nil:
		return v
	case first:
		v.Field = d.field(device.Kind, d.text())
		d.fieldAt = append(d.fieldAt, v.Field)
	default:
		v.Field = d.fieldAt[n]
	}
	how := d.byte()
	v.Quality, v.Over = Quality(how&howQuality), how&howOver != 0
	if how&howRaw != 0 {
		v.Number = math.Float64frombits(d.uint64())
		return v
	}
	decimals := int(how >> howDecimals)
	if decimals >= len(powers) {
		d.fail(fmt.Errorf("a number with %d decimals", decimals))
		return v
	}
	v.Number = float64(d.varint()) / powers[decimals]
	return v
}

func (d *ReadingsDecoder) field(kind *Kind, name []byte) *Field {
	f := d.fields[fieldKey{kind, string(name)}]
	if f == nil {
		f = &Field{Name: string(name)}
		d.fields[fieldKey{kind, f.Name}] = f
	}
	return f
}

func (d *ReadingsDecoder) rejection() (r Rejection) {
	r.Position, r.Index, r.Received = d.uvarint(), int(d.varint()), d.varint()
	for _, s := range [...]*string{&r.Source, &r.Client, &r.Topic, &r.Device, &r.Code, &r.Field, &r.Detail, &r.Hint} {
		*s = string(d.text())
	}
	r.Whole = d.byte() != 0
	return r
}
