package console

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// query reads the parameters of a request; the first mistake is kept.
type query struct {
	values url.Values
	err    error
}

// newQuery refuses parameters the call does not know: a filter with a slip of
// the pen must not show everything.
func newQuery(r *http.Request, known ...string) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.fail("", "the query cannot be read: %v", err)
	}
	for name := range values {
		if !slices.Contains(known, name) {
			q.fail(name, "there is no such parameter; there is %s", strings.Join(known, ", "))
		}
	}
	return q
}

func (q *query) fail(name, format string, args ...any) {
	if q.err == nil {
		if name != "" {
			format = fmt.Sprintf("%.64q: ", name) + format
		}
		q.err = problem(http.StatusBadRequest, "bad_query", format, args...)
	}
}

func (q *query) text(name string) string { return q.values.Get(name) }

// words reads a comma-separated list of words, each one of those known.
func (q *query) words(name string, known ...string) []string {
	var list []string
	for _, text := range q.values[name] {
		for word := range strings.SplitSeq(text, ",") {
			if word == "" {
				continue
			}
			if len(known) > 0 && !slices.Contains(known, word) {
				q.fail(name, "%.64q is none of %s", word, strings.Join(known, ", "))
			}
			list = append(list, word)
		}
	}
	return list
}

func (q *query) number(name string, otherwise, least, most int) int {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		q.fail(name, "want a number from %d to %d", least, most)
		return otherwise
	}
	return n
}

func (q *query) seq(name string) (seq uint64, given bool) {
	text := q.text(name)
	if text == "" {
		return 0, false
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		q.fail(name, "want the number of an event")
	}
	return seq, true
}

// time reads RFC 3339, or Unix milliseconds.
func (q *query) time(name string, otherwise time.Time) time.Time {
	text := q.text(name)
	if text == "" {
		return otherwise
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		q.fail(name, "want a time such as 2026-06-27T06:45:00Z, or Unix milliseconds")
		return otherwise
	}
	return at
}

// yes reads true or false; given is false where neither was asked for.
func (q *query) yes(name string) (yes, given bool) {
	switch q.text(name) {
	case "":
		return false, false
	case "true":
		return true, true
	case "false":
		return false, true
	}
	q.fail(name, "want true or false")
	return false, false
}

// listDefault and listMost bound the answers of lists.
const (
	listDefault = 200
	listMost    = 1000
)

// alarmQuery chooses alarms.
type alarmQuery struct {
	open, closed bool
	levels       []string
	sites, kinds []string
	after        string
	limit        int
}

func readAlarmQuery(r *http.Request) (alarmQuery, error) {
	q := newQuery(r, "state", "level", "site", "kind", "after", "limit")
	a := alarmQuery{
		levels: q.words("level", "red", "orange", "yellow", "blue", "fault", "normal"),
		sites:  q.words("site"),
		kinds:  q.words("kind"),
		after:  q.text("after"),
		limit:  q.number("limit", listDefault, 1, listMost),
	}
	switch state := q.text("state"); state {
	case "", "active":
		a.open = true
	case "closed":
		a.closed = true
	case "all":
		a.open, a.closed = true, true
	default:
		q.fail("state", "%.64q is none of active, closed, all", state)
	}
	return a, q.err
}

func (a *alarmQuery) wants(s *standing) bool {
	return wanted(a.levels, s.Level.String()) && wanted(a.sites, s.Site) && wanted(a.kinds, s.Kind)
}

// wanted reports whether a word passes a filter; an empty filter passes all.
func wanted(filter []string, word string) bool {
	return len(filter) == 0 || slices.Contains(filter, word)
}

// compare is the order of the list: what is open worst first, otherwise the
// newest first.
func (a *alarmQuery) compare(x, y *alarms.Alarm) int {
	if a.closed {
		return compareNewest(x, y)
	}
	return compareWorst(x, y)
}

// pageMark names the last alarm of a page, so that the next page goes on behind
// it although others have come and gone.
func pageMark(a *alarms.Alarm) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s %d %s", a.Level, a.RaisedTime, a.ID))
}

func readPageMark(mark string) (alarms.Alarm, error) {
	var a alarms.Alarm
	bad := problem(http.StatusBadRequest, "bad_query", `"after": want the "next" of the page before`)
	text, err := base64.RawURLEncoding.DecodeString(mark)
	if err != nil {
		return a, bad
	}
	parts := strings.SplitN(string(text), " ", 3)
	if len(parts) != 3 {
		return a, bad
	}
	level, err := rules.ParseLevel(parts[0])
	if err != nil {
		return a, bad
	}
	raised, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return a, bad
	}
	return alarms.Alarm{ID: parts[2], Level: level, RaisedTime: alarms.Time(raised)}, nil
}

// pick chooses a page of alarms.
func (h *Hub) pick(a alarmQuery) (list []*standing, next string, err error) {
	var from *alarms.Alarm
	if a.after != "" {
		mark, err := readPageMark(a.after)
		if err != nil {
			return nil, "", err
		}
		from = &mark
	}
	h.mu.RLock()
	collect := func(from map[string]*standing) {
		for _, s := range from {
			if a.wants(s) {
				list = append(list, s)
			}
		}
	}
	if a.open {
		collect(h.present.open)
	}
	if a.closed {
		collect(h.present.closed)
	}
	h.mu.RUnlock()
	slices.SortFunc(list, func(x, y *standing) int { return a.compare(&x.Alarm, &y.Alarm) })
	if from != nil {
		at, found := slices.BinarySearchFunc(list, from, func(s *standing, m *alarms.Alarm) int { return a.compare(&s.Alarm, m) })
		if found {
			at++
		}
		list = list[at:]
	}
	if len(list) > a.limit {
		list = list[:a.limit]
		next = pageMark(&list[a.limit-1].Alarm)
	}
	return list, next, nil
}

// alarm finds one that is open, or was closed not too long ago.
func (h *Hub) alarm(id string) (*standing, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s := h.present.find(id)
	return s, s != nil
}

// worst is the worst level among open alarms, of a site and of its devices, and
// how many of each there are at a site.
type worst struct {
	site   map[string]LevelCounts
	level  map[string]rules.Level // by site
	device map[string]rules.Level // by "site/device"
}

func (h *Hub) worst() worst {
	w := worst{site: map[string]LevelCounts{}, level: map[string]rules.Level{}, device: map[string]rules.Level{}}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, s := range h.present.open {
		c := w.site[s.Site]
		c.add(s.Level, 1)
		w.site[s.Site] = c
		raise(w.level, s.Site, s.Level)
		raise(w.device, s.Site+"/"+s.Device, s.Level)
	}
	return w
}

func raise(m map[string]rules.Level, key string, l rules.Level) {
	if l.Rank() > m[key].Rank() {
		m[key] = l
	}
}

// deviceQuery chooses devices.
type deviceQuery struct {
	sites, kinds, states, levels []string
	online, onlineGiven          bool
	after                        string
	limit                        int
}

func readDeviceQuery(r *http.Request) (deviceQuery, error) {
	q := newQuery(r, "site", "kind", "state", "level", "online", "after", "limit")
	states := make([]string, len(devices.States))
	for i, s := range devices.States {
		states[i] = string(s)
	}
	d := deviceQuery{
		sites:  q.words("site"),
		kinds:  q.words("kind"),
		states: q.words("state", states...),
		levels: q.words("level", "red", "orange", "yellow", "blue", "fault", "normal"),
		after:  q.text("after"),
		limit:  q.number("limit", listDefault, 1, listMost),
	}
	d.online, d.onlineGiven = q.yes("online")
	return d, q.err
}

// pick chooses a page of the devices, which come sorted by site and id.
func (q *deviceQuery) pick(all []*devices.Device, online func(*devices.Device) bool, level func(*devices.Device) rules.Level) (list []*devices.Device, next string) {
	from := 0
	if q.after != "" {
		site, id, _ := strings.Cut(q.after, "/")
		at, found := slices.BinarySearchFunc(all, 0, func(d *devices.Device, _ int) int {
			return cmp.Or(cmp.Compare(d.Site.ID, site), cmp.Compare(d.ID, id))
		})
		if from = at; found {
			from++
		}
	}
	for _, d := range all[from:] {
		if !wanted(q.sites, d.Site.ID) || !wanted(q.kinds, d.Kind.ID) || !wanted(q.states, string(d.State)) {
			continue
		}
		if q.onlineGiven && online(d) != q.online || !wanted(q.levels, level(d).String()) {
			continue
		}
		if len(list) == q.limit {
			return list, list[q.limit-1].Key()
		}
		list = append(list, d)
	}
	return list, ""
}
