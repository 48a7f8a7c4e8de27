package console

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// Directory knows what is registered and what is connected.
type Directory interface {
	// Registry is the one in force now.
	Registry() *devices.Registry
	// Presence says whether a device is connected and when it spoke last; zero:
	// not in the time that is remembered.
	Presence(d *devices.Device) (online bool, lastSeen time.Time)
}

// Refused is something a client asked the intake for and did not get.
type Refused struct {
	First   alarms.Time `json:"first"`
	Time    alarms.Time `json:"time"` // of the last attempt
	Source  string      `json:"source"`
	Address string      `json:"address"`
	Client  string      `json:"client"`
	User    string      `json:"user"`   // as the client said, whether or not it was true
	Action  string      `json:"action"` // connect, publish or subscribe
	Topic   string      `json:"topic"`
	Code    string      `json:"code"`
	Reason  string      `json:"reason"`
	Count   int         `json:"count"` // attempts that were the same
}

// Door gives what was refused at the intake, newest first.
type Door interface {
	Refused(limit int) []Refused
}

func (s *Server) listAlarms(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q, err := readAlarmQuery(r)
	if err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	list, next, err := s.hub.pick(q)
	if err != nil {
		return err
	}
	out := struct {
		Alarms []json.RawMessage `json:"alarms"`
		Next   string            `json:"next"`
	}{make([]json.RawMessage, len(list)), next}
	for i, a := range list {
		out.Alarms[i] = a.json
	}
	answer(w, http.StatusOK, out)
	return nil
}

// loaded is an error while the alarms are not known: an empty answer would say
// that there are none.
func (s *Server) loaded() error {
	if s.hub.Loaded() {
		return nil
	}
	p := problem(http.StatusServiceUnavailable, "starting", "%v", errNotLoaded)
	p.Retry = 1
	return p
}

// alarm finds an alarm by the id in the path.
func (s *Server) alarm(id string) (*standing, error) {
	if err := s.loaded(); err != nil {
		return nil, err
	}
	a, ok := s.hub.alarm(id)
	if !ok {
		return nil, noAlarm(id)
	}
	return a, nil
}

func noAlarm(id string) error {
	return problem(http.StatusNotFound, "not_found", "no alarm has the id %.80q", id)
}

func (s *Server) oneAlarm(w http.ResponseWriter, r *http.Request, _ Identity) error {
	a, err := s.alarm(r.PathValue("id"))
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, a.json)
	return nil
}

func (s *Server) timeline(w http.ResponseWriter, r *http.Request, _ Identity) error {
	a, err := s.alarm(r.PathValue("id"))
	if err != nil {
		return err
	}
	events, err := s.hub.timeline(r.Context(), a)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string][]json.RawMessage{"events": events})
	return nil
}

func (s *Server) listConsoles(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	answer(w, http.StatusOK, map[string][]Console{"consoles": s.hub.Consoles()})
	return nil
}

// siteView is a site as the console shows it.
type siteView struct {
	ID        string            `json:"id"`
	Name      devices.Text      `json:"name"`
	Area      string            `json:"area"`
	Contacts  []devices.Contact `json:"contacts"`
	Schematic bool              `json:"schematic"`
	Devices   int               `json:"devices"`
	Online    int               `json:"online"`
	Open      LevelCounts       `json:"open"`
	Level     rules.Level       `json:"level"`
}

func (s *Server) listSites(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	if err := s.loaded(); err != nil {
		return err
	}
	registry, worst := s.o.Directory.Registry(), s.hub.worst()
	list := []siteView{}
	for site := range registry.Sites() {
		list = append(list, s.siteView(registry, site, worst))
	}
	answer(w, http.StatusOK, map[string][]siteView{"sites": list})
	return nil
}

func (s *Server) siteView(registry *devices.Registry, site *devices.Site, worst worst) siteView {
	v := siteView{
		ID: site.ID, Name: site.Name, Area: site.Area, Contacts: site.Contacts,
		Schematic: s.hasSchematic(site.ID), Open: worst.site[site.ID], Level: worst.level[site.ID],
	}
	if v.Contacts == nil {
		v.Contacts = noContacts
	}
	for d := range registry.DevicesOf(site.ID) {
		v.Devices++
		if online, _ := s.o.Directory.Presence(d); online {
			v.Online++
		}
	}
	return v
}

func schematicName(site string) string { return site + ".svg" }

func (s *Server) hasSchematic(site string) bool {
	if s.o.Schematics == nil {
		return false
	}
	_, err := fs.Stat(s.o.Schematics, schematicName(site))
	return err == nil
}

// maxSchematic is the largest drawing served.
const maxSchematic = 4 << 20

// schematic serves the drawing of a site as it is. It is somebody's file: opened
// by itself it may run nothing, and the page must clean it before use.
func (s *Server) schematic(w http.ResponseWriter, r *http.Request, _ Identity) error {
	site := r.PathValue("site")
	if devices.CheckSiteID(site) != nil || !s.hasSchematic(site) {
		return problem(http.StatusNotFound, "not_found", "there is no drawing of site %.64q", site)
	}
	f, err := s.o.Schematics.Open(schematicName(site))
	if err != nil {
		return err
	}
	defer f.Close()
	svg, err := io.ReadAll(io.LimitReader(f, maxSchematic+1))
	if err != nil {
		return err
	}
	if len(svg) > maxSchematic {
		return problem(http.StatusNotFound, "too_large", "the drawing of site %s has more than %d bytes", site, maxSchematic)
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	_, _ = w.Write(svg)
	return nil
}

// kindView is a kind of device as the console needs it: words and units.
type kindView struct {
	ID       string       `json:"id"`
	Name     devices.Text `json:"name"`
	Interval float64      `json:"interval_seconds"`
	Fields   []fieldView  `json:"fields"`
}

type fieldView struct {
	Name   string                  `json:"name"`
	Title  devices.Text            `json:"title"`
	Unit   string                  `json:"unit"`
	Range  [2]float64              `json:"range"`
	Danger devices.Direction       `json:"danger"`
	States map[string]devices.Text `json:"states"`
}

func (s *Server) listKinds(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	list := []kindView{}
	for kind := range s.o.Directory.Registry().Kinds() {
		v := kindView{ID: kind.ID, Name: kind.Name, Interval: kind.Interval.Seconds(), Fields: []fieldView{}}
		for _, f := range kind.Fields {
			states := f.States
			if states == nil {
				states = map[string]devices.Text{}
			}
			v.Fields = append(v.Fields, fieldView{f.Name, f.Title, f.Unit, f.Range, f.Danger, states})
		}
		list = append(list, v)
	}
	answer(w, http.StatusOK, map[string][]kindView{"kinds": list})
	return nil
}

// deviceView is a device as the console shows it.
type deviceView struct {
	ID       string        `json:"id"`
	Site     string        `json:"site"`
	Area     string        `json:"area"`
	Kind     string        `json:"kind"`
	Name     devices.Text  `json:"name"`
	State    devices.State `json:"state"`
	Online   bool          `json:"online"`
	LastSeen alarms.Time   `json:"last_seen"`
	Interval float64       `json:"interval_seconds"`
	Silence  float64       `json:"silence_seconds"`
	Level    rules.Level   `json:"level"`
	Values   []Value       `json:"values"`
}

func (s *Server) view(d *devices.Device, level rules.Level) deviceView {
	v := deviceView{
		ID: d.ID, Site: d.Site.ID, Area: d.Site.Area, Kind: d.Kind.ID, Name: d.Name, State: d.State,
		Interval: d.ExpectedInterval().Seconds(), Silence: d.SilenceLimit().Seconds(), Level: level,
	}
	var seen time.Time
	var received int64
	v.Online, seen = s.o.Directory.Presence(d)
	v.Values, received = s.hub.values.latest(d.Key())
	if !seen.IsZero() {
		received = max(received, seen.UnixMilli())
	}
	v.LastSeen = alarms.Time(received)
	return v
}

func (s *Server) listDevices(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q, err := readDeviceQuery(r)
	if err != nil {
		return err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	worst := s.hub.worst()
	online := func(d *devices.Device) bool { online, _ := s.o.Directory.Presence(d); return online }
	level := func(d *devices.Device) rules.Level { return worst.device[d.Key()] }
	list, next := q.pick(slices.Collect(s.o.Directory.Registry().Devices()), online, level)
	views := make([]deviceView, len(list))
	for i, d := range list {
		views[i] = s.view(d, level(d))
	}
	answer(w, http.StatusOK, struct {
		Devices []deviceView `json:"devices"`
		Next    string       `json:"next"`
	}{views, next})
	return nil
}

func (s *Server) device(r *http.Request) (*devices.Device, error) {
	d, ok := s.o.Directory.Registry().Device(r.PathValue("site"), r.PathValue("device"))
	if !ok {
		return nil, problem(http.StatusNotFound, "not_found", "no device %.64q is registered at site %.64q", r.PathValue("device"), r.PathValue("site"))
	}
	return d, nil
}

func (s *Server) listRefused(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := newQuery(r, "limit")
	limit := q.number("limit", listDefault, 1, listMost)
	if q.err != nil {
		return q.err
	}
	list := []Refused{}
	if s.o.Door != nil {
		list = append(list, s.o.Door.Refused(limit)...)
	}
	answer(w, http.StatusOK, map[string][]Refused{"refused": list})
	return nil
}
