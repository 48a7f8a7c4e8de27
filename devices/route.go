package devices

import (
	"slices"
	"strings"

	"fengsui/devices/codec"
)

// Route says how messages under a foreign topic are read: which topics, through
// which sources, by which codec, and whose they are.
type Route struct {
	Name    string // file and place, for people
	Topic   string // levels, each a literal, + or {name}; a last # takes the rest
	Sources []string

	levels  []string
	mapping *codec.Mapping // for a house or status route: only who speaks
	house   bool
	status  *statusWords
}

// statusWords tells what a status message says.
type statusWords struct {
	path            *codec.Path // nil: the payload itself is the word
	online, offline []string
}

// Routes are all routes, in the order in which they are tried. House topics are
// never routed.
type Routes struct{ list []*Route }

// All lists the routes in their order.
func (r *Routes) All() []*Route {
	if r == nil {
		return nil
	}
	return r.list
}

// Covers reports whether a route takes messages of the topic and source.
func (r *Routes) Covers(source, topic string) bool {
	route, _ := r.find(source, topic, nil)
	return route != nil
}

// Filters are the MQTT filters under which the messages of the routes come
// through a source, besides the gateway's own v1/#.
func (r *Routes) Filters(source string) (filters []string) {
	for _, route := range r.All() {
		if !route.takes(source) || route.levels[0] == "v1" {
			continue
		}
		levels := slices.Clone(route.levels)
		for i, l := range levels {
			if strings.HasPrefix(l, "{") {
				levels[i] = "+"
			}
		}
		if f := strings.Join(levels, "/"); !slices.Contains(filters, f) {
			filters = append(filters, f)
		}
	}
	return filters
}

// find returns the first route that takes the topic, and what its levels capture.
func (r *Routes) find(source, topic string, captures []string) (*Route, []string) {
	if r == nil {
		return nil, captures
	}
	for _, route := range r.list {
		if all, ok := route.match(topic, captures[:0]); ok && route.takes(source) {
			return route, all
		}
	}
	return nil, captures
}

func (r *Route) takes(source string) bool {
	return len(r.Sources) == 0 || slices.Contains(r.Sources, source)
}

// match compares level by level and appends what {name} stands for.
func (r *Route) match(topic string, captures []string) ([]string, bool) {
	rest, more := topic, true
	for _, want := range r.levels {
		if want == "#" {
			return captures, true
		}
		if !more {
			return captures, false
		}
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case want == "+":
		case want != "" && want[0] == '{':
			captures = append(captures, level)
		case want != level:
			return captures, false
		}
	}
	return captures, !more
}

// captureNames lists what the levels of a topic capture.
func captureNames(levels []string) (names []string) {
	for _, l := range levels {
		if strings.HasPrefix(l, "{") {
			names = append(names, strings.Trim(l, "{}"))
		}
	}
	return names
}

// isHouse reports whether a topic is of the gateway's own format, whatever
// devices there are: the sites of foreign formats are no sites.
func isHouse(topic string) bool {
	key, _, ok := splitTopic(topic)
	site, _, _ := strings.Cut(key, "/")
	return ok && site != "devices" && site != "gateway"
}

// MayPublish reports whether a credential may publish under a topic: its own
// topics, and those of a route, whose messages are then only believed about the
// credential's own devices.
func (r *Routes) MayPublish(c *Credential, source, topic string) bool {
	return c.MayPublish(topic) || !isHouse(topic) && r.Covers(source, topic)
}

// route reads a message of a foreign topic.
func (d *Decoded) route(i *Intake, r *Route) {
	w := i.mappers.Get().(*codec.Mapper)
	e := codec.Envelope{Client: d.in.Client, User: d.in.User, Topic: d.levels, Now: d.in.Received}
	switch {
	case r.house:
		if site, device, _ := w.Word(r.mapping, e, d.in.Payload, nil); d.speaker(site, device) {
			d.speakers = append(d.speakers, d.device)
			d.telemetry(i)
		}
	case r.status != nil:
		if site, device, word := w.Word(r.mapping, e, d.in.Payload, r.status.path); d.speaker(site, device) {
			d.speakers = append(d.speakers, d.device)
			d.routedStatus(r.status, string(word))
		}
	default:
		if err := w.Decode(r.mapping, e, d.in.Payload, d.routed); err != nil {
			d.device = nil
			d.rejectPayload(err)
		}
	}
	i.mappers.Put(w) // one that trips is not used again
}

// routed takes one sample of a foreign payload.
func (d *Decoded) routed(s *codec.Sample) error {
	if !d.speaker(s.Site, s.Device) {
		return nil
	}
	before := len(d.samples)
	if err := d.sample(s); err != nil {
		return err
	}
	if len(d.samples) > before && !slices.Contains(d.speakers, d.device) {
		d.speakers = append(d.speakers, d.device)
	}
	return nil
}

// speaker finds the device a sample is of, and checks that the message may speak
// for it. What the route leaves open the credential says, or the client id.
func (d *Decoded) speaker(site, device []byte) bool {
	d.device = nil
	ownSite, ownDevice, _ := strings.Cut(d.in.User, "/")
	id, name := string(site), string(device)
	if id == "" {
		id = ownSite
	}
	if name == "" {
		if name = ownDevice; name == "" {
			name = d.in.Client
		}
	}
	if id == "" {
		d.reject(CodeUnknownSite, "", "nothing says which site "+clip(name)+" belongs to", "name it in the route (site: …), or let the message come under the credential of a site or device")
		return false
	}
	found, ok := d.registry.Device(id, name)
	if !ok {
		d.unknownDevice(d.registry, id+"/"+name)
		return false
	}
	if u := d.in.User; u != "" && u != id && u != found.Key() {
		d.reject(CodeForeignDevice, "", "the message speaks of "+found.Key()+", but came under the credential "+clip(u), "an edge gateway uses the credential of its site")
		return false
	}
	d.device = found
	return true
}

// routedStatus reads a status word of a foreign format.
func (d *Decoded) routedStatus(s *statusWords, word string) {
	word = strings.Trim(word, " \t\r\n\x00\"")
	switch {
	case slices.Contains(s.online, word):
		d.presence, d.usable = Online, true
	case slices.Contains(s.offline, word):
		d.presence, d.usable = Offline, true
	default:
		d.reject(CodeBadStatus, "", "the status is "+clip(word), "the route knows: "+strings.Join(slices.Concat(s.online, s.offline), ", "))
	}
}
