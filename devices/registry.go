package devices

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// DeviceConfig is a device as people register it: the form it has in
// devices.yaml and, as JSON, in the registry bucket.
type DeviceConfig struct {
	Site     string             `json:"site" yaml:"site"`
	ID       string             `json:"id" yaml:"id"`
	Kind     string             `json:"kind" yaml:"kind"`
	Name     Text               `json:"name" yaml:"name,omitempty"`   // default: the id
	State    State              `json:"state" yaml:"state,omitempty"` // default: in_service, so that nothing is unwatched by omission
	Since    time.Time          `json:"since,omitzero" yaml:"since,omitempty"`
	By       string             `json:"by,omitempty" yaml:"by,omitempty"`             // who put it into its state
	Interval Duration           `json:"interval,omitempty" yaml:"interval,omitempty"` // default: the kind's
	Params   map[string]float64 `json:"params,omitempty" yaml:"params,omitempty"`     // override the site's

	Position  *Position  `json:"position,omitempty" yaml:"position,omitempty"`
	Baselines []Baseline `json:"baselines,omitempty" yaml:"baselines,omitempty"` // dated zero points of fields

	// TZLies is set, to "+08:00", where the device counts local time as UTC.
	TZLies string `json:"tz_lies,omitempty" yaml:"tz_lies,omitempty"`
}

// Key is the name of a device across sites: "site/device".
func (c *DeviceConfig) Key() string { return c.Site + "/" + c.ID }

// Duration is a time.Duration that is written as people write it: "10m0s".
type Duration time.Duration

func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with a unit, e.g. 10m", text)
	}
	*d = Duration(v)
	return nil
}

// UnmarshalYAML spares the YAML package its way by UnmarshalText, which walks the
// whole document for every value: a file of many devices would take minutes.
func (d *Duration) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if err := unmarshal(&text); err != nil {
		return err
	}
	return d.UnmarshalText([]byte(text))
}

// RegistryOptions is all that is registered.
type RegistryOptions struct {
	Kinds   []*Kind
	Sites   []*Site
	Devices []DeviceConfig
}

// Registry is an immutable snapshot of all kinds, sites and devices. A change
// is a new Registry.
type Registry struct {
	kinds   map[string]*Kind
	sites   map[string]*Site
	devices []*Device // sorted by site, then id
	byKey   map[string]*Device
	bySite  map[string][]*Device
	hash    string
}

// NewRegistry checks and indexes everything registered. It reports all that is
// wrong, not only the first.
func NewRegistry(o RegistryOptions) (*Registry, error) {
	r := &Registry{
		kinds:  make(map[string]*Kind, len(o.Kinds)),
		sites:  make(map[string]*Site, len(o.Sites)),
		byKey:  make(map[string]*Device, len(o.Devices)),
		bySite: make(map[string][]*Device, len(o.Sites)),
	}
	var errs []error
	for _, k := range o.Kinds {
		errs = append(errs, r.addKind(k))
	}
	for _, s := range o.Sites {
		errs = append(errs, r.addSite(s))
	}
	for _, c := range o.Devices {
		errs = append(errs, r.addDevice(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(r.devices, compareDevices)
	for i, d := range r.devices {
		d.index = i
		r.bySite[d.Site.ID] = append(r.bySite[d.Site.ID], d)
	}
	hash, err := r.fingerprint()
	if err != nil {
		return nil, err
	}
	r.hash = hash
	return r, nil
}

func compareDevices(a, b *Device) int {
	if c := strings.Compare(a.Site.ID, b.Site.ID); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

func (r *Registry) addKind(k *Kind) error {
	if r.kinds[k.ID] != nil {
		return fmt.Errorf("kind %q is registered twice", k.ID)
	}
	r.kinds[k.ID] = k
	if k.byName == nil {
		return k.Index()
	}
	return nil
}

func (r *Registry) addSite(s *Site) error {
	if err := CheckSiteID(s.ID); err != nil {
		return &partError{"id", err}
	}
	if r.sites[s.ID] != nil {
		return &partError{"id", fmt.Errorf("site %q is registered twice", s.ID)}
	}
	if err := cmp.Or(checkParams(s.Params), checkPosition(s.Position), s.checkDocuments(), s.checkContacts()); err != nil {
		return err
	}
	r.sites[s.ID] = s
	return nil
}

func (r *Registry) addDevice(c DeviceConfig) error {
	d, err := r.resolve(c)
	if err != nil {
		return fmt.Errorf("device %s: %w", c.Key(), err)
	}
	if r.byKey[d.Key()] != nil {
		return &partError{"id", fmt.Errorf("device %s is registered twice", c.Key())}
	}
	r.byKey[d.Key()] = d
	r.devices = append(r.devices, d)
	return nil
}

func (r *Registry) resolve(c DeviceConfig) (*Device, error) {
	if err := CheckDeviceID(c.ID); err != nil {
		return nil, &partError{"id", err}
	}
	site, ok := r.sites[c.Site]
	if !ok {
		return nil, &partError{"site", fmt.Errorf("unknown site %q%s", c.Site, DidYouMean(c.Site, slices.Collect(maps.Keys(r.sites))))}
	}
	kind, ok := r.kinds[c.Kind]
	if !ok {
		return nil, &partError{"kind", fmt.Errorf("unknown kind %q%s", c.Kind, DidYouMean(c.Kind, slices.Collect(maps.Keys(r.kinds))))}
	}
	if c.State == "" {
		c.State = InService
	}
	if err := checkState(c.State); err != nil {
		return nil, &partError{"state", err}
	}
	if c.Interval < 0 {
		return nil, &partError{"interval", fmt.Errorf("interval %s is negative", time.Duration(c.Interval))}
	}
	if err := cmp.Or(checkParams(c.Params), checkPosition(c.Position)); err != nil {
		return nil, err
	}
	baselines, err := checkBaselines(c.Baselines, kind)
	if err != nil {
		return nil, err
	}
	lies, err := parseOffset(c.TZLies)
	if err != nil {
		return nil, &partError{"tz_lies", err}
	}
	if c.Name == (Text{}) {
		c.Name = Text{ZH: c.ID, EN: c.ID}
	}
	return &Device{
		key: c.Key(), Site: site, ID: c.ID, Kind: kind, Name: c.Name, State: c.State,
		Since: c.Since, Interval: time.Duration(c.Interval), Params: c.Params, By: c.By, Position: c.Position, Baselines: baselines, TZLies: lies,
	}, nil
}

// partError says which part of a site or device is wrong, so that a file can
// say where.
type partError struct {
	part string
	err  error
}

func (e *partError) Error() string { return e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

// PartOf is the part of a site or device that an error is about, as in
// "baselines[1].field"; empty where it is about the whole.
func PartOf(err error) string {
	var part *partError
	if errors.As(err, &part) {
		return part.part
	}
	return ""
}

// Datums lists the datums a position can have.
var Datums = [...]string{"WGS-84", "GCJ-02"}

func checkPosition(p *Position) error {
	switch {
	case p == nil:
		return nil
	case !(p.Lat >= -90 && p.Lat <= 90):
		return &partError{"position.lat", fmt.Errorf("latitude %v, want -90 to 90", p.Lat)}
	case !(p.Lon >= -180 && p.Lon <= 180):
		return &partError{"position.lon", fmt.Errorf("longitude %v, want -180 to 180", p.Lon)}
	case !slices.Contains(Datums[:], p.Datum):
		return &partError{"position.datum", fmt.Errorf("unknown datum %q, want WGS-84 (receivers) or GCJ-02 (most maps in China)", p.Datum)}
	}
	return nil
}

func (s *Site) checkDocuments() error {
	for _, name := range slices.Sorted(maps.Keys(s.Documents)) {
		if _, ok := s.Params[name]; !ok {
			return &partError{"documents." + name, fmt.Errorf("there is no parameter %q to document%s", name, DidYouMean(name, slices.Collect(maps.Keys(s.Params))))}
		}
		if date := s.Documents[name].Date; date != "" {
			if _, err := time.Parse(time.DateOnly, date); err != nil {
				return &partError{"documents." + name + ".date", fmt.Errorf("date %q, want one like 2026-03-01", date)}
			}
		}
	}
	return nil
}

// Roles lists who can be called about a site, in the order of calling.
var Roles = [...]string{"enterprise", "township", "responsible"}

func (s *Site) checkContacts() error {
	for i, c := range s.Contacts {
		if !slices.Contains(Roles[:], c.Role) {
			return &partError{fmt.Sprintf("contacts[%d].role", i), fmt.Errorf("unknown role %q, want one of: %s", c.Role, strings.Join(Roles[:], ", "))}
		}
		if c.Name == "" {
			return &partError{fmt.Sprintf("contacts[%d].name", i), errors.New("a contact needs a name, of a person or of a duty room")}
		}
	}
	return nil
}

func checkState(s State) error {
	if slices.Contains(States[:], s) {
		return nil
	}
	words := make([]string, len(States))
	for i, known := range States {
		words[i] = string(known)
	}
	return fmt.Errorf("unknown state %q, want one of: %s", s, strings.Join(words, ", "))
}

func checkParams(params map[string]float64) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if v := params[name]; math.IsNaN(v) || math.IsInf(v, 0) {
			return &partError{"params." + name, fmt.Errorf("parameter %s is %v, want a number", name, v)}
		}
	}
	return nil
}

// checkBaselines returns them by field, then oldest first.
func checkBaselines(baselines []Baseline, kind *Kind) ([]Baseline, error) {
	for i, b := range baselines {
		at := fmt.Sprintf("baselines[%d]", i)
		if _, ok := kind.Field(b.Field); !ok {
			return nil, &partError{at + ".field", fmt.Errorf("unknown field %q of %s%s", b.Field, kind.ID, DidYouMean(b.Field, kind.fieldNames()))}
		}
		if math.IsNaN(b.Value) || math.IsInf(b.Value, 0) {
			return nil, &partError{at + ".value", fmt.Errorf("the baseline of %s is %v, want a number", b.Field, b.Value)}
		}
		if b.From.IsZero() {
			return nil, &partError{at + ".from", fmt.Errorf("the baseline of %s needs the time from which it holds, e.g. from: 2026-03-01T00:00:00+08:00", b.Field)}
		}
	}
	sorted := slices.Clone(baselines)
	slices.SortFunc(sorted, func(a, b Baseline) int {
		return cmp.Or(strings.Compare(a.Field, b.Field), a.From.Compare(b.From))
	})
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; a.Field == b.Field && a.From.Equal(b.From) {
			return nil, &partError{"baselines", fmt.Errorf("two baselines of %s hold from the same time, %s; keep one", b.Field, b.From.Format(time.RFC3339))}
		}
	}
	return sorted, nil
}

func (k *Kind) fieldNames() []string { return slices.Collect(maps.Keys(k.byName)) }

// ValidID reports whether s can be the id of a site or device.
func ValidID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// CheckDeviceID says what is wrong with a device id, which is part of topics.
func CheckDeviceID(s string) error {
	if !ValidID(s) {
		return fmt.Errorf("id %q: want 1 to 64 of A–Z, a–z, 0–9, '.', '_' and '-'", s)
	}
	return nil
}

// CheckSiteID says what is wrong with a site id. The ids devices and gateway
// belong to foreign topics (v1/devices/me/telemetry, v1/gateway/telemetry).
func CheckSiteID(s string) error {
	if s == "devices" || s == "gateway" {
		return fmt.Errorf("site id %q is taken by a foreign topic format, choose another", s)
	}
	if err := CheckDeviceID(s); err != nil {
		return fmt.Errorf("site %w", err)
	}
	return nil
}

// DidYouMean ends a complaint about an unknown word with the nearest known one, or
// with nothing.
func DidYouMean(word string, candidates []string) string {
	slices.Sort(candidates)
	if near := nearest(word, candidates); near != "" {
		return fmt.Sprintf(", did you mean %q?", near)
	}
	return ""
}

// Device finds a device of a site.
func (r *Registry) Device(site, id string) (*Device, bool) {
	d, ok := r.byKey[site+"/"+id]
	return d, ok
}

// DeviceByKey finds a device by "site/device".
func (r *Registry) DeviceByKey(key string) (*Device, bool) {
	d, ok := r.byKey[key]
	return d, ok
}

// Site finds a site.
func (r *Registry) Site(id string) (*Site, bool) {
	s, ok := r.sites[id]
	return s, ok
}

// Kind finds a kind.
func (r *Registry) Kind(id string) (*Kind, bool) {
	k, ok := r.kinds[id]
	return k, ok
}

// Len is the number of devices.
func (r *Registry) Len() int { return len(r.devices) }

// Devices yields every device, sorted by site and id.
func (r *Registry) Devices() iter.Seq[*Device] { return slices.Values(r.devices) }

// DevicesOf yields the devices of a site, sorted by id.
func (r *Registry) DevicesOf(site string) iter.Seq[*Device] { return slices.Values(r.bySite[site]) }

// Sites yields every site, sorted by id.
func (r *Registry) Sites() iter.Seq[*Site] { return sortedValues(r.sites) }

// Kinds yields every kind, sorted by id.
func (r *Registry) Kinds() iter.Seq[*Kind] { return sortedValues(r.kinds) }

func sortedValues[V any](m map[string]V) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(m[key]) {
				return
			}
		}
	}
}

// Hash names the content: two registries with the same content have the same
// hash, in whatever order it was registered.
func (r *Registry) Hash() string { return r.hash }

func (r *Registry) fingerprint() (string, error) {
	h := sha256.New()
	out := json.NewEncoder(h)
	for k := range r.Kinds() {
		if err := out.Encode(k); err != nil {
			return "", fmt.Errorf("hash kind %s: %w", k.ID, err)
		}
	}
	for s := range r.Sites() {
		if err := out.Encode(s); err != nil {
			return "", fmt.Errorf("hash site %s: %w", s.ID, err)
		}
	}
	for d := range r.Devices() {
		if err := out.Encode(d.Config()); err != nil {
			return "", fmt.Errorf("hash device %s: %w", d.Key(), err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Config is the device as it was registered.
func (d *Device) Config() DeviceConfig {
	return DeviceConfig{
		Site: d.Site.ID, ID: d.ID, Kind: d.Kind.ID, Name: d.Name, State: d.State,
		Since: d.Since, Interval: Duration(d.Interval), Params: d.Params, By: d.By, Position: d.Position, Baselines: d.Baselines, TZLies: offsetText(d.TZLies),
	}
}
