package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"fengsui/devices"
)

// Registrar changes what is registered. Errors that the caller can do something
// about are a [*Problem].
type Registrar interface {
	// Change makes a change, all of it or nothing, and returns when it is judged
	// by. It gives the credentials of the devices in it, where those were asked for.
	Change(ctx context.Context, c Change) ([]Credential, error)
	// NewCredential makes up another credential; the one before is void.
	NewCredential(ctx context.Context, site, device string) (Credential, error)
	// Revoke makes the credential of a device void and drops its connection.
	Revoke(ctx context.Context, site, device string) error
	// InFile says whether a site, or a device of it, stands in the devices file,
	// where alone it can be changed.
	InFile(site, device string) bool
	// Changes lists the newest changes, newest first.
	Changes(limit int) []RegistryChange
}

// Change is something to do to the registry.
type Change struct {
	By            string
	Match         Match
	Sites         []*devices.Site        // to register, or to put in place of the one there
	Devices       []devices.DeviceConfig // likewise
	States        map[string]devices.State
	RemoveSites   []string
	RemoveDevices []string // "site/device"
	Passwords     bool     // make up credentials for devices that have none
}

// RegistryChange is a change that was made.
type RegistryChange struct {
	Version uint64    `json:"version"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	File    bool      `json:"file"` // the devices file said something else at a start
	What    []string  `json:"what"`
}

// Credential is what a device signs in with over MQTT; it is shown once.
type Credential struct {
	User     string `json:"user"`
	Password string `json:"password"` // empty: the device had one before and keeps it
}

// Match is what must hold of the one thing that a change is about, so that
// nobody overwrites what he has not seen. The zero value asks for nothing.
type Match struct {
	Tags []string // If-Match: the tags it may have; "*": it exists
	None bool     // If-None-Match: *, it does not exist
}

func readMatch(r *http.Request) Match {
	m := Match{None: r.Header.Get("If-None-Match") == "*"}
	for tag := range strings.SplitSeq(r.Header.Get("If-Match"), ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			m.Tags = append(m.Tags, tag)
		}
	}
	return m
}

// Check compares with what is there.
func (m Match) Check(current any, there bool, what string) error {
	switch {
	case m.None && there:
		return problem(http.StatusPreconditionFailed, "changed", "%s is registered already", what)
	case len(m.Tags) == 0:
		return nil
	case !there:
		return problem(http.StatusPreconditionFailed, "changed", "%s is not registered any more", what)
	}
	tag := Tag(current)
	for _, t := range m.Tags {
		if t == "*" || t == tag {
			return nil
		}
	}
	return problem(http.StatusPreconditionFailed, "changed", "somebody changed %s meanwhile; read it again, it is %s now", what, tag)
}

// Tag names the content of a site or device, as an ETag.
func Tag(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return `"unknown"` // not reached: what is registered has no NaN
	}
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

var errFixedRegistry = problem(http.StatusNotFound, "not_here", "devices of this gateway are changed in its devices file only")

// change carries an order out.
func (s *Server) change(r *http.Request, who Identity, c Change) ([]Credential, error) {
	if s.o.Registrar == nil {
		return nil, errFixedRegistry
	}
	c.By = who.Name
	if len(c.Match.Tags) == 0 && !c.Match.None {
		c.Match = readMatch(r)
	}
	issued, err := s.o.Registrar.Change(r.Context(), c)
	if err == nil {
		s.o.Logger.Info("registry changed", "by", who.Name, "sites", len(c.Sites), "devices", len(c.Devices), "states", len(c.States), "removed", len(c.RemoveSites)+len(c.RemoveDevices))
	}
	return issued, err
}

// siteDetail is one site: as it is shown, and as it is registered.
type siteDetail struct {
	siteView
	Config devices.Site `json:"config"`
	InFile bool         `json:"in_file"`
}

func (s *Server) site(r *http.Request) (*devices.Site, error) {
	site, ok := s.o.Directory.Registry().Site(r.PathValue("site"))
	if !ok {
		return nil, problem(http.StatusNotFound, "not_found", "no site %.64q is registered", r.PathValue("site"))
	}
	return site, nil
}

func (s *Server) oneSite(w http.ResponseWriter, r *http.Request, _ Identity) error {
	site, err := s.site(r)
	if err != nil {
		return err
	}
	return s.showSite(w, http.StatusOK, site)
}

func (s *Server) showSite(w http.ResponseWriter, status int, site *devices.Site) error {
	d := siteDetail{siteView: s.siteView(s.o.Directory.Registry(), site, s.hub.worst()), Config: *site}
	d.InFile = s.o.Registrar != nil && s.o.Registrar.InFile(site.ID, "")
	w.Header().Set("ETag", Tag(site))
	answer(w, status, d)
	return nil
}

// putSite registers a site, or puts another one in its place.
func (s *Server) putSite(w http.ResponseWriter, r *http.Request, who Identity) error {
	config := devices.Site{ID: r.PathValue("site")}
	if err := decode(r, &config); err != nil {
		return err
	}
	return s.storeSite(w, r, who, config, Match{})
}

// patchSite changes some of a site: what is null goes, what is not named stays.
func (s *Server) patchSite(w http.ResponseWriter, r *http.Request, who Identity) error {
	site, err := s.site(r)
	if err != nil {
		return err
	}
	var config devices.Site
	if err := patch(r, site, &config); err != nil {
		return err
	}
	return s.storeSite(w, r, who, config, patched(r, site))
}

// patched is what must hold for a patch: that what was read is still there.
func patched(r *http.Request, read any) Match {
	if m := readMatch(r); len(m.Tags) > 0 {
		return m
	}
	return Match{Tags: []string{Tag(read)}}
}

func (s *Server) storeSite(w http.ResponseWriter, r *http.Request, who Identity, config devices.Site, m Match) error {
	if config.ID != r.PathValue("site") {
		return otherID("id", config.ID, r.PathValue("site"))
	}
	if _, err := s.change(r, who, Change{Sites: []*devices.Site{&config}, Match: m}); err != nil {
		return err
	}
	site, err := s.site(r)
	if err != nil {
		return err
	}
	return s.showSite(w, http.StatusOK, site)
}

func otherID(path, id, want string) error {
	p := problem(http.StatusUnprocessableEntity, "bad_value", "%.64q is not the %.64q of the address; things are not renamed, register another one", id, want)
	p.Path = path
	return p
}

func (s *Server) removeSite(w http.ResponseWriter, r *http.Request, who Identity) error {
	if _, err := s.change(r, who, Change{RemoveSites: []string{r.PathValue("site")}}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deviceDetail is one device: as it is shown, and as it is registered.
type deviceDetail struct {
	deviceView
	Config devices.DeviceConfig `json:"config"`
	InFile bool                 `json:"in_file"`
	// Credential is there once, where the device is new.
	Credential *Credential `json:"credential,omitempty"`
}

func (s *Server) oneDevice(w http.ResponseWriter, r *http.Request, _ Identity) error {
	d, err := s.device(r)
	if err != nil {
		return err
	}
	return s.showDevice(w, http.StatusOK, d, nil)
}

func (s *Server) showDevice(w http.ResponseWriter, status int, d *devices.Device, issued []Credential) error {
	v := deviceDetail{deviceView: s.view(d, s.hub.worst().device[d.Key()]), Config: d.Config()}
	v.InFile = s.o.Registrar != nil && s.o.Registrar.InFile(d.Site.ID, d.ID)
	if len(issued) == 1 {
		v.Credential = &issued[0]
	}
	w.Header().Set("ETag", Tag(v.Config))
	answer(w, status, v)
	return nil
}

// putDevice registers a device, or puts another one in its place. A new one gets
// a credential.
func (s *Server) putDevice(w http.ResponseWriter, r *http.Request, who Identity) error {
	config := devices.DeviceConfig{Site: r.PathValue("site"), ID: r.PathValue("device")}
	if err := decode(r, &config); err != nil {
		return err
	}
	return s.storeDevice(w, r, who, config, Match{}, true)
}

// patchDevice changes some of a device: what is null goes, what is not named
// stays.
func (s *Server) patchDevice(w http.ResponseWriter, r *http.Request, who Identity) error {
	d, err := s.device(r)
	if err != nil {
		return err
	}
	var config devices.DeviceConfig
	if err := patch(r, d.Config(), &config); err != nil {
		return err
	}
	return s.storeDevice(w, r, who, config, patched(r, d.Config()), false)
}

func (s *Server) storeDevice(w http.ResponseWriter, r *http.Request, who Identity, config devices.DeviceConfig, m Match, passwords bool) error {
	if config.Site != r.PathValue("site") {
		return otherID("site", config.Site, r.PathValue("site"))
	}
	if config.ID != r.PathValue("device") {
		return otherID("id", config.ID, r.PathValue("device"))
	}
	issued, err := s.change(r, who, Change{Devices: []devices.DeviceConfig{config}, Match: m, Passwords: passwords})
	if err != nil {
		return err
	}
	d, err := s.device(r)
	if err != nil {
		return err
	}
	return s.showDevice(w, http.StatusOK, d, issued)
}

// addDevice registers a device, or changes one, by its document alone.
func (s *Server) addDevice(w http.ResponseWriter, r *http.Request, who Identity) error {
	var config devices.DeviceConfig
	if err := decode(r, &config); err != nil {
		return err
	}
	issued, err := s.change(r, who, Change{Devices: []devices.DeviceConfig{config}, Passwords: true})
	if err != nil {
		return err
	}
	c := Credential{User: config.Key()}
	if len(issued) == 1 {
		c = issued[0]
	}
	return credentialAnswer(w, http.StatusCreated, config.Site, config.ID, c)
}

// setState is what an operator may change of a device, of one in the devices file
// too: who puts a detector out of service stands in front of it.
func (s *Server) setState(w http.ResponseWriter, r *http.Request, who Identity) error {
	d, err := s.device(r)
	if err != nil {
		return err
	}
	var body struct {
		State devices.State `json:"state"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if _, err := s.change(r, who, Change{States: map[string]devices.State{d.Key(): body.State}}); err != nil {
		return err
	}
	if d, err = s.device(r); err != nil {
		return err
	}
	return s.showDevice(w, http.StatusOK, d, nil)
}

func (s *Server) removeDevice(w http.ResponseWriter, r *http.Request, who Identity) error {
	if _, err := s.change(r, who, Change{RemoveDevices: []string{r.PathValue("site") + "/" + r.PathValue("device")}}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// registryView is all that is registered, in the form of the devices file.
type registryView struct {
	Hash    string                 `json:"hash"`
	Sites   []*devices.Site        `json:"sites"`
	Devices []devices.DeviceConfig `json:"devices"`
}

func (s *Server) exportRegistry(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	registry := s.o.Directory.Registry()
	v := registryView{Hash: registry.Hash(), Sites: []*devices.Site{}, Devices: []devices.DeviceConfig{}}
	for site := range registry.Sites() {
		v.Sites = append(v.Sites, site)
	}
	for d := range registry.Devices() {
		v.Devices = append(v.Devices, d.Config())
	}
	answer(w, http.StatusOK, v)
	return nil
}

// maxImport is the largest set of sites and devices taken at once.
const maxImport = 4 << 20

// importRegistry registers many sites and devices in one change.
func (s *Server) importRegistry(w http.ResponseWriter, r *http.Request, who Identity) error {
	var body struct {
		Sites     []*devices.Site        `json:"sites"`
		Devices   []devices.DeviceConfig `json:"devices"`
		Passwords bool                   `json:"passwords"`
	}
	if err := decodeUpTo(r, &body, maxImport); err != nil {
		return err
	}
	issued, err := s.change(r, who, Change{Sites: body.Sites, Devices: body.Devices, Passwords: body.Passwords})
	if err != nil {
		return err
	}
	if issued == nil {
		issued = []Credential{}
	}
	answer(w, http.StatusOK, map[string]any{"sites": len(body.Sites), "devices": len(body.Devices), "credentials": issued})
	return nil
}

func (s *Server) listChanges(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := newQuery(r, "limit")
	limit := q.number("limit", listDefault, 1, listMost)
	if q.err != nil {
		return q.err
	}
	if s.o.Registrar == nil {
		return errFixedRegistry
	}
	answer(w, http.StatusOK, map[string][]RegistryChange{"changes": s.o.Registrar.Changes(limit)})
	return nil
}

func credentialAnswer(w http.ResponseWriter, status int, site, device string, c Credential) error {
	answer(w, status, struct {
		Site       string     `json:"site"`
		Device     string     `json:"device"`
		Credential Credential `json:"credential"`
	}{site, device, c})
	return nil
}

func (s *Server) newCredential(w http.ResponseWriter, r *http.Request, who Identity) error {
	d, err := s.device(r)
	if err != nil {
		return err
	}
	if s.o.Registrar == nil {
		return errFixedRegistry
	}
	c, err := s.o.Registrar.NewCredential(r.Context(), d.Site.ID, d.ID)
	if err != nil {
		return err
	}
	s.o.Logger.Info("credential issued", "device", d.Key(), "by", who.Name)
	return credentialAnswer(w, http.StatusCreated, d.Site.ID, d.ID, c)
}

func (s *Server) revokeCredential(w http.ResponseWriter, r *http.Request, who Identity) error {
	d, err := s.device(r)
	if err != nil {
		return err
	}
	if s.o.Registrar == nil {
		return errFixedRegistry
	}
	if err := s.o.Registrar.Revoke(r.Context(), d.Site.ID, d.ID); err != nil {
		return err
	}
	s.o.Logger.Info("credential revoked", "device", d.Key(), "by", who.Name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// patch lays the body over what is there (RFC 7396) and reads the result.
func patch(r *http.Request, current, into any) error {
	text, err := json.Marshal(current)
	if err != nil {
		return err
	}
	var base map[string]any
	if err := json.Unmarshal(text, &base); err != nil {
		return err
	}
	var over map[string]any
	if err := decode(r, &over); err != nil {
		return err
	}
	merge(base, over)
	text, err = json.Marshal(base)
	if err != nil {
		return err
	}
	return strictly(text, into)
}

func merge(base, over map[string]any) {
	for key, v := range over {
		deeper, ok := v.(map[string]any)
		old, had := base[key].(map[string]any)
		switch {
		case v == nil:
			delete(base, key)
		case ok && had:
			merge(old, deeper)
		default:
			base[key] = v
		}
	}
}

// strictly reads JSON into a value. It complains about what the value has no
// place for, with the place in the text and the nearest name there is.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = errors.New("there is something after the first value")
	}
	if err == nil {
		return nil
	}
	p := problem(http.StatusBadRequest, "bad_body", "the body cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		p.Status, p.Code, p.Path = http.StatusUnprocessableEntity, "bad_value", wrong.Field
		p.Message = fmt.Sprintf("%s is a %s, want %s", wrong.Field, wrong.Value, kindOf(wrong.Type))
	}
	if _, name, ok := strings.Cut(err.Error(), `json: unknown field "`); ok {
		name = strings.TrimSuffix(name, `"`)
		p.Status, p.Code, p.Path = http.StatusUnprocessableEntity, "unknown_key", name
		p.Message = fmt.Sprintf("there is no key %q here%s", name, devices.DidYouMean(name, keysOf(into)))
	}
	return p
}

// kindOf says in words of JSON what belongs into a Go type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	}
	return "a number"
}

// keysOf lists the keys that a value reads from JSON, at every depth.
func keysOf(v any) []string {
	keys := map[string]bool{}
	collectKeys(reflect.TypeOf(v), keys)
	return slices.Collect(maps.Keys(keys))
}

func collectKeys(t reflect.Type, keys map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		collectKeys(t.Elem(), keys)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
				keys[name] = true
				collectKeys(f.Type, keys)
			}
		}
	}
}
