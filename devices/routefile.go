package devices

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/devices/codec"
)

// A route file describes one foreign format. See configs/routes for files to
// copy, and [codec.Path] for how a place in a payload is written.
type routeFile struct {
	Format Text        `yaml:"format"`
	Routes []routeForm `yaml:"routes"`
}

// routeForm is one route as an operator writes it.
type routeForm struct {
	// Topic pattern: levels that are literals, + or {name}; # at the end takes
	// the rest. House topics (v1/{site}/{device}/…) are never routed.
	Topic string `yaml:"topic"`
	// Sources the route is for: names of brokers, or embedded. Default: all.
	Sources []string `yaml:"sources,omitempty"`
	// Codec: mapping (default), or house for house payloads under foreign topics.
	Codec string `yaml:"codec,omitempty"`

	// Site and Device: a text such as YD-{sn} made of what was captured from the
	// topic, from a path of Samples, or is {client} or {user}; or {path: …}. By
	// default {site} and {device} where they are captured, else those of the
	// credential, else the client id.
	Site   *nameForm `yaml:"site,omitempty"`
	Device *nameForm `yaml:"device,omitempty"`

	// Status makes the topic one of presence: words for online and offline.
	Status *statusForm `yaml:"status,omitempty"`

	Skip    int               `yaml:"skip,omitempty"`    // bytes before the JSON text
	Samples string            `yaml:"samples,omitempty"` // to what speaks of one device; default: the payload
	Time    timeForm          `yaml:"time,omitempty"`
	History *conditionForm    `yaml:"history,omitempty"` // what marks history; is: [always] for a topic of history
	Quality map[string]string `yaml:"quality,omitempty"` // captured {quality} → good, suspect or bad; what is not listed is suspect

	Sentinels []float64   `yaml:"sentinels,omitempty"` // of every value, as sent: no measurement
	Nothing   []string    `yaml:"nothing,omitempty"`   // texts that stand for no value
	Values    []valueForm `yaml:"values,omitempty"`
}

type nameForm struct {
	From   string            `yaml:"from,omitempty"`
	Path   string            `yaml:"path,omitempty"`
	Strip  string            `yaml:"strip,omitempty"` // cut off the front
	Table  map[string]string `yaml:"table,omitempty"`
	Base64 bool              `yaml:"base64,omitempty"`
}

func (n *nameForm) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&n.From) == nil {
		return nil
	}
	type plain nameForm
	return unmarshal((*plain)(n))
}

type statusForm struct {
	Path    string   `yaml:"path,omitempty"`
	Online  []string `yaml:"online"`
	Offline []string `yaml:"offline"`
}

type conditionForm struct {
	Path string   `yaml:"path"`
	Is   []string `yaml:"is"`
}

// timeForm says where and how times are written. What is captured as {time}
// comes before the paths; where nothing is found, the time of arrival counts.
type timeForm struct {
	Paths   []string `yaml:"paths,omitempty"`
	Formats []string `yaml:"formats,omitempty"` // auto, s, ms, us, rfc3339, yyyy-MM-dd HH:mm:ss …
	Zone    string   `yaml:"zone,omitempty"`    // of times that name none; default Asia/Shanghai
	TZLies  string   `yaml:"tz_lies,omitempty"` // +08:00: the clock says UTC and means this
}

type valueForm struct {
	Path  string              `yaml:"path"`
	Names map[string]itemForm `yaml:"names,omitempty"` // by the captured {field}; others are left out
	Fault bool                `yaml:"fault,omitempty"` // fault codes: all but those under nothing are told
	Item  itemFields          `yaml:",inline"`
}

// itemForm is what becomes of one value; a mere text is its field.
type itemForm struct {
	Item itemFields `yaml:",inline"`
}

func (f *itemForm) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&f.Item.Field) == nil {
		return nil
	}
	return unmarshal(&f.Item)
}

type itemFields struct {
	Field       string             `yaml:"field,omitempty"`        // empty: the captured {field}
	Device      string             `yaml:"device,omitempty"`       // in a table of names: whose it is
	Unit        string             `yaml:"unit,omitempty"`         // it is sent in; the field's own is in its name
	MolarMass   float64            `yaml:"molar_mass,omitempty"`   // g/mol, to turn ppm into mg/m³
	MolarVolume float64            `yaml:"molar_volume,omitempty"` // L/mol: 24.45 at 25 °C, 22.41 at 0 °C
	Scale       float64            `yaml:"scale,omitempty"`        // before the unit
	Offset      float64            `yaml:"offset,omitempty"`       // after the scale, before the unit
	Words       map[string]float64 `yaml:"words,omitempty"`
	Sentinels   []float64          `yaml:"sentinels,omitempty"`
	Nothing     []string           `yaml:"nothing,omitempty"`
	ZeroIsFault bool               `yaml:"zero_is_fault,omitempty"`
	Hex         bool               `yaml:"hex,omitempty"`
	Bits        map[string]string  `yaml:"bits,omitempty"` // "3" or "4-7" → field
	Split       string             `yaml:"split,omitempty"`
	Parts       []itemForm         `yaml:"parts,omitempty"` // "" passes one over
	CT          *ratioForm         `yaml:"ct,omitempty"`    // current transformer: a number or {param: ct_ratio}
	PT          *ratioForm         `yaml:"pt,omitempty"`
	Counter     *counterForm       `yaml:"counter,omitempty"`
}

type ratioForm struct {
	Value float64 `yaml:"value,omitempty"`
	Param string  `yaml:"param,omitempty"`
}

func (r *ratioForm) UnmarshalYAML(unmarshal func(any) error) error {
	if unmarshal(&r.Value) == nil {
		return nil
	}
	type plain ratioForm
	return unmarshal((*plain)(r))
}

type counterForm struct {
	Rollover float64 `yaml:"rollover,omitempty"` // the first number it does not reach: 65536
	As       string  `yaml:"as,omitempty"`       // total (default): goes on over resets; increment: since the last sample
}

// ParseRoutes reads route files and makes their routes ready, tried in the
// order given. It reports all that is wrong, each with file:line:column.
func ParseRoutes(files []RouteText, kinds []*Kind) (*Routes, error) {
	routes := &Routes{}
	fields := map[string]*Field{}
	for _, k := range kinds {
		for _, f := range k.Fields {
			fields[f.Name] = f
		}
	}
	var errs []error
	for _, f := range files {
		var form routeFile
		doc, err := ReadDocument(f.Name, f.Text, &form)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := routeCompiler{doc: doc, fields: fields}
		if len(form.Routes) == 0 {
			c.wrong("$", "the file has no routes")
		}
		for i := range form.Routes {
			r := c.route(&form.Routes[i], fmt.Sprintf("$.routes[%d]", i))
			r.Name = fmt.Sprintf("%s, route %d", f.Name, i+1)
			routes.list = append(routes.list, r)
		}
		errs = append(errs, c.errs...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return routes, nil
}

// RouteText is one file of routes.
type RouteText struct {
	Name string
	Text []byte
}

// routeCompiler turns one file's forms into routes and collects complaints.
type routeCompiler struct {
	doc    *Document
	fields map[string]*Field
	errs   []error
}

func (c *routeCompiler) wrong(at, format string, args ...any) {
	c.errs = append(c.errs, c.doc.Errorf(at, format, args...))
}

func (c *routeCompiler) route(f *routeForm, at string) *Route {
	r := &Route{Topic: f.Topic, Sources: f.Sources, levels: strings.Split(f.Topic, "/")}
	c.topic(r, at+".topic")
	o := codec.MappingOptions{Topic: captureNames(r.levels), Skip: f.Skip, Samples: c.path(f.Samples, at+".samples")}
	o.Site, o.Device = c.name(f.Site, at+".site"), c.name(f.Device, at+".device")
	o.Time, o.Clock = c.time(&f.Time, at+".time")
	o.History = c.condition(f.History, at+".history")
	o.Quality = c.quality(f.Quality, at+".quality")
	if f.Skip < 0 || f.Skip > 64 {
		c.wrong(at+".skip", "skip is %d, want 0 to 64 bytes", f.Skip)
	}
	switch f.Codec {
	case "", "mapping":
	case "house":
		r.house = true
	default:
		c.wrong(at+".codec", "unknown codec %q, want mapping or house", f.Codec)
	}
	if s := f.Status; s != nil {
		r.status = &statusWords{online: s.Online, offline: s.Offline}
		if s.Path != "" {
			p := c.plainPath(s.Path, at+".status.path")
			r.status.path = &p
		}
		if len(s.Online)+len(s.Offline) == 0 {
			c.wrong(at+".status", "status knows no words; want online: [...] and offline: [...]")
		}
	}
	for i := range f.Values {
		o.Values = append(o.Values, c.value(f, &f.Values[i], fmt.Sprintf("%s.values[%d]", at, i)))
	}
	if len(f.Values) == 0 && !r.house && r.status == nil {
		c.wrong(at, "the route leads to no values; want values, status, or codec: house")
	}
	c.checkCaptures(&o, at)
	r.mapping = codec.NewMapping(o)
	return r
}

// topic checks a pattern.
func (c *routeCompiler) topic(r *Route, at string) {
	if r.Topic == "" {
		c.wrong(at, "the topic is empty; want a pattern such as tele/{device}/SENSOR")
	}
	for i, l := range r.levels {
		switch {
		case l == "#" && i < len(r.levels)-1:
			c.wrong(at, "topic %q: # may only be the last level", r.Topic)
		case strings.ContainsAny(l, "+#") && len(l) > 1:
			c.wrong(at, "topic %q: + and # stand alone in their level", r.Topic)
		case strings.ContainsAny(l, "{}") && (!strings.HasPrefix(l, "{") || !strings.HasSuffix(l, "}") || len(l) < 3 || strings.Count(l, "{")+strings.Count(l, "}") != 2):
			c.wrong(at, "topic %q: a capture is a whole level, like {device}", r.Topic)
		}
	}
	if isHouse(strings.NewReplacer("{", "", "}", "").Replace(r.Topic)) && (strings.HasSuffix(r.Topic, "/telemetry") || strings.HasSuffix(r.Topic, "/status")) {
		c.wrong(at, "topic %q is one of the gateway's own format and is never routed", r.Topic)
	}
}

func (c *routeCompiler) path(text, at string) codec.Path {
	p, err := codec.ParsePath(text)
	if err != nil {
		c.wrong(at, "%v", err)
	}
	return p
}

// plainPath is one that leads to one place.
func (c *routeCompiler) plainPath(text, at string) codec.Path {
	p := c.path(text, at)
	if !p.Plain() {
		c.wrong(at, "path %q may lead to many places; want keys and numbers in brackets", text)
	}
	return p
}

func (c *routeCompiler) name(f *nameForm, at string) *codec.Text {
	if f == nil {
		return nil
	}
	t := &codec.Text{Parts: codec.ParseText(f.From), Strip: f.Strip, Table: f.Table, Base64: f.Base64}
	switch {
	case (f.Path == "") == (f.From == ""):
		c.wrong(at, "want either a text such as YD-{sn} or a path")
	case f.Path != "":
		p := c.plainPath(f.Path, at+".path")
		t.Path = &p
	}
	return t
}

func (c *routeCompiler) time(f *timeForm, at string) (paths []codec.Path, clock *codec.Clock) {
	for i, text := range f.Paths {
		paths = append(paths, c.plainPath(text, fmt.Sprintf("%s.paths[%d]", at, i)))
	}
	o := codec.ClockOptions{Formats: f.Formats}
	var err error
	if o.Zone, err = parseZone(f.Zone); err != nil {
		c.wrong(at+".zone", "%v", err)
	}
	if o.Lies, err = parseOffset(f.TZLies); err != nil {
		c.wrong(at+".tz_lies", "%v", err)
	}
	clock, err = codec.NewClock(o)
	if err != nil {
		c.wrong(at+".formats", "%v", err)
	}
	return paths, clock
}

// parseZone reads Asia/Shanghai or +08:00.
func parseZone(text string) (*time.Location, error) {
	switch {
	case text == "" || text == "Asia/Shanghai":
		return codec.Beijing, nil
	case text[0] == '+' || text[0] == '-':
		offset, err := parseOffset(text)
		return time.FixedZone(text, int(offset.Seconds())), err
	}
	zone, err := time.LoadLocation(text)
	if err != nil {
		return nil, fmt.Errorf("zone %q is unknown, want one such as Asia/Shanghai or +08:00", text)
	}
	return zone, nil
}

// parseOffset reads +08:00; "" is none.
func parseOffset(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse("-07:00", text)
	if err != nil {
		return 0, fmt.Errorf("offset %q: want one such as +08:00", text)
	}
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second, nil
}

// offsetText writes what parseOffset reads.
func offsetText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return time.Unix(0, 0).In(time.FixedZone("", int(d.Seconds()))).Format("-07:00")
}

func (c *routeCompiler) condition(f *conditionForm, at string) *codec.Condition {
	if f == nil {
		return nil
	}
	if f.Path == "" && !slices.Equal(f.Is, []string{"always"}) || len(f.Is) == 0 {
		c.wrong(at, "want a path and the words that mean history, or is: [always]")
	}
	return &codec.Condition{Path: c.plainPath(f.Path, at+".path"), Words: f.Is, Always: f.Path == ""}
}

func (c *routeCompiler) quality(words map[string]string, at string) map[string]codec.Doubt {
	known := map[string]codec.Doubt{"good": codec.NoDoubt, "suspect": codec.Doubtful, "bad": codec.Useless}
	out := map[string]codec.Doubt{}
	for word, says := range words {
		d, ok := known[says]
		if !ok {
			c.wrong(at+"."+word, "unknown quality %q, want good, suspect or bad", says)
		}
		out[word] = d
	}
	return out
}

func (c *routeCompiler) value(r *routeForm, f *valueForm, at string) codec.Rule {
	rule := codec.Rule{Path: c.path(f.Path, at+".path"), Fault: f.Fault}
	if f.Path == "" {
		c.wrong(at, "want a path to the value")
	}
	captured := slices.Contains(rule.Path.Captures(), "field")
	switch {
	case f.Fault:
		rule.Item = &codec.Item{Nothing: slices.Concat(f.Item.Nothing, r.Nothing)}
	case f.Names != nil:
		if f.Item.Field != "" || !captured {
			c.wrong(at+".names", "names belong to a path that captures {field}, instead of field")
		}
		rule.Names = map[string]*codec.Item{}
		for _, name := range slices.Sorted(maps.Keys(f.Names)) {
			item := f.Names[name]
			rule.Names[name] = c.item(r, &item.Item, at+".names."+name, true)
		}
	default:
		if f.Item.Field == "" && !captured && len(f.Item.Bits) == 0 && f.Item.Split == "" {
			c.wrong(at, "which field is this? want field: …, or {field} captured in the path")
		}
		rule.Item = c.item(r, &f.Item, at, false)
	}
	return rule
}

// item compiles what becomes of one value.
func (c *routeCompiler) item(r *routeForm, f *itemFields, at string, named bool) *codec.Item {
	it := &codec.Item{
		Field: f.Field, Device: f.Device, Words: f.Words, ZeroIsFault: f.ZeroIsFault, Hex: f.Hex, Split: f.Split,
		Sentinels: slices.Concat(f.Sentinels, r.Sentinels), Nothing: slices.Concat(f.Nothing, r.Nothing),
		Scale: 1, Offset: f.Offset,
	}
	if f.Scale != 0 {
		it.Scale = f.Scale
	}
	if f.Field != "" || named && len(f.Bits) == 0 && f.Split == "" {
		c.field(f.Field, at+".field")
	}
	c.unit(it, f, at)
	c.bits(it, f.Bits, at+".bits")
	for i := range f.Parts {
		part := fmt.Sprintf("%s.parts[%d]", at, i)
		if f.Parts[i].Item.Field == "" {
			it.Parts = append(it.Parts, nil)
			continue
		}
		it.Parts = append(it.Parts, c.item(r, &f.Parts[i].Item, part, true))
	}
	if (f.Split == "") != (len(f.Parts) == 0) {
		c.wrong(at, "split and parts belong together: {split: \",\", parts: [tilt_x_deg, tilt_y_deg]}")
	}
	for key, ratio := range map[string]*ratioForm{"ct": f.CT, "pt": f.PT} {
		switch {
		case ratio == nil:
		case ratio.Param != "":
			it.Ratio = append(it.Ratio, ratio.Param)
		case ratio.Value > 0:
			it.Scale, it.Offset = it.Scale*ratio.Value, it.Offset*ratio.Value
		default:
			c.wrong(at+"."+key, "want a ratio above 0, or {param: ct_ratio}")
		}
	}
	slices.Sort(it.Ratio)
	it.Counter = c.counter(f.Counter, at+".counter")
	return it
}

func (c *routeCompiler) counter(f *counterForm, at string) *codec.Counter {
	if f == nil {
		return nil
	}
	if f.Rollover < 0 {
		c.wrong(at+".rollover", "want the first number the counter does not reach, such as 65536")
	}
	if f.As != "" && f.As != "total" && f.As != "increment" {
		c.wrong(at+".as", "unknown word %q, want total or increment", f.As)
	}
	return &codec.Counter{Rollover: f.Rollover, Increment: f.As == "increment"}
}

// field checks that some kind has the field.
func (c *routeCompiler) field(name, at string) *Field {
	f, ok := c.fields[name]
	if !ok {
		c.wrong(at, "no kind has a field %q%s", name, DidYouMean(name, slices.Collect(maps.Keys(c.fields))))
	}
	return f
}

// unit works the unit a value is sent in into its scale and offset.
func (c *routeCompiler) unit(it *codec.Item, f *itemFields, at string) {
	target := c.fields[f.Field]
	if f.Unit == "" || target == nil {
		if f.Unit != "" && f.Field == "" {
			c.wrong(at+".unit", "a unit belongs to a field: name the field too")
		}
		return
	}
	from := f.Unit
	if from == "ppm" && target.Unit == "mg/m³" {
		if f.MolarMass <= 0 || f.MolarVolume <= 0 {
			c.wrong(at+".unit", "ppm becomes mg/m³ only with molar_mass (g/mol) and molar_volume (L/mol; 24.45 at 25 °C and 101.325 kPa)")
			return
		}
		it.Scale *= f.MolarMass / f.MolarVolume
		it.Offset *= f.MolarMass / f.MolarVolume
		return
	}
	scale, offset, err := convert(from, target.Unit)
	if err != nil {
		c.wrong(at+".unit", "field %s: %v", f.Field, err)
		return
	}
	it.Scale, it.Offset = it.Scale*scale, it.Offset*scale+offset
}

// bits reads "3" and "4-7".
func (c *routeCompiler) bits(it *codec.Item, bits map[string]string, at string) {
	for _, key := range slices.Sorted(maps.Keys(bits)) {
		b := codec.Bits{Field: bits[key]}
		first, last, several := strings.Cut(key, "-")
		if !several {
			last = first
		}
		var errFirst, errLast error
		b.From, errFirst = strconv.Atoi(first)
		b.To, errLast = strconv.Atoi(last)
		if errFirst != nil || errLast != nil || b.From < 0 || b.To < b.From || b.To > 52 {
			c.wrong(at, "bit %q: want a number from 0 to 52, or 4-7 for several", key)
			continue
		}
		c.field(b.Field, at+"."+key)
		it.Bits = append(it.Bits, b)
	}
}

// checkCaptures finds names in templates that nothing captures.
func (c *routeCompiler) checkCaptures(o *codec.MappingOptions, at string) {
	for key, t := range map[string]*codec.Text{"site": o.Site, "device": o.Device} {
		if t == nil {
			continue
		}
		for _, p := range t.Parts {
			if p.Capture != "" && !o.Captures(p.Capture) {
				c.wrong(at+"."+key, "nothing captures {%s}: neither the topic nor a path", p.Capture)
			}
		}
	}
}
