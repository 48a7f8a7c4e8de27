package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"fengsui/devices"
	"fengsui/rules/alarms"
)

// Quarantine gives the newest rejections, newest first.
type Quarantine interface {
	Rejections(limit int, wanted func(*devices.Rejection) bool) []devices.Rejection
}

// Replayer judges messages of the quarantine once more, by the decoders and the
// registry of now.
type Replayer interface {
	// Replay returns when all of them were judged. Those taken before are left out.
	Replay(ctx context.Context, messages []devices.Rejection) (Replay, error)
	// Replayed says whether a message was taken by a replay.
	Replayed(position uint64, index int) bool
}

// Replay is what became of replayed messages.
type Replay struct {
	Accepted    int            `json:"accepted"`
	Duplicate   int            `json:"duplicate"`   // nothing in them was new
	Repeated    int            `json:"repeated"`    // replayed before
	Gone        int            `json:"gone"`        // no longer in the log
	Quarantined map[string]int `json:"quarantined"` // still, by code
}

// Count adds a message.
func (r *Replay) Count(class, code string) {
	switch class {
	case "accepted":
		r.Accepted++
	case "duplicate":
		r.Duplicate++
	case "repeated":
		r.Repeated++
	default:
		if r.Quarantined == nil {
			r.Quarantined = map[string]int{}
		}
		r.Quarantined[code]++
	}
}

// rejectionView is a rejection with its time.
type rejectionView struct {
	Received alarms.Time `json:"received"`
	devices.Rejection
}

// rejectionFilter chooses rejections. Empty parts choose all.
type rejectionFilter struct {
	Site   string    `json:"site"`
	Device string    `json:"device"`
	Code   string    `json:"code"`
	Source string    `json:"source"`
	Topic  string    `json:"topic"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
}

func readRejectionFilter(q *query) rejectionFilter {
	f := rejectionFilter{
		Site: q.text("site"), Device: q.text("device"), Code: q.text("code"), Source: q.text("source"), Topic: q.text("topic"),
		From: q.time("from", time.Time{}), To: q.time("to", time.Time{}),
	}
	if f.Device != "" && f.Site == "" {
		q.fail("device", "say at which site")
	}
	return f
}

func (f *rejectionFilter) wants(r *devices.Rejection) bool {
	switch {
	case f.Site != "" && !f.about(r),
		f.Code != "" && r.Code != f.Code,
		f.Source != "" && r.Source != f.Source,
		f.Topic != "" && r.Topic != f.Topic,
		!f.From.IsZero() && r.Received < f.From.UnixMilli(),
		!f.To.IsZero() && r.Received >= f.To.UnixMilli():
		return false
	}
	return true
}

// about reports whether the message is the site's, or the device's: as it was
// read, else as its topic says.
func (f *rejectionFilter) about(r *devices.Rejection) bool {
	site, device, known := strings.Cut(r.Device, "/")
	if !known {
		parts := strings.Split(r.Topic, "/")
		if len(parts) != 4 || parts[0] != "v1" {
			return false
		}
		site, device = parts[1], parts[2]
	}
	return site == f.Site && (f.Device == "" || device == f.Device)
}

// quarantined lists the rejections that are wanted, newest first, without those
// of messages that were taken after all.
func (s *Server) quarantined(limit int, f *rejectionFilter) []devices.Rejection {
	return s.o.Quarantine.Rejections(limit, func(r *devices.Rejection) bool {
		return f.wants(r) && (s.o.Replayer == nil || !r.Whole || !s.o.Replayer.Replayed(r.Position, r.Index))
	})
}

func (s *Server) listQuarantine(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := newQuery(r, "site", "device", "code", "source", "topic", "from", "to", "limit")
	f := readRejectionFilter(q)
	limit := q.number("limit", listDefault, 1, listMost)
	if q.err != nil {
		return q.err
	}
	list := []rejectionView{}
	for _, r := range s.quarantined(limit, &f) {
		list = append(list, rejectionView{alarms.Time(r.Received), r})
	}
	answer(w, http.StatusOK, map[string][]rejectionView{"quarantine": list})
	return nil
}

// reason is why messages under one topic are in quarantine.
type reason struct {
	Code   string      `json:"code"`
	Topic  string      `json:"topic"`
	Count  int         `json:"count"`
	First  alarms.Time `json:"first"`
	Last   alarms.Time `json:"last"`
	Detail string      `json:"detail"` // of the last one
	Hint   string      `json:"hint"`
}

// listReasons groups the quarantine by code and topic, the most frequent first.
func (s *Server) listReasons(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := newQuery(r, "site", "device", "code", "source", "topic", "from", "to")
	f := readRejectionFilter(q)
	if q.err != nil {
		return q.err
	}
	type key struct{ code, topic string }
	groups := map[key]*reason{}
	list := []*reason{}
	for _, r := range s.quarantined(rejectionsKept, &f) {
		g := groups[key{r.Code, r.Topic}]
		if g == nil {
			g = &reason{Code: r.Code, Topic: r.Topic, Last: alarms.Time(r.Received), Detail: r.Detail, Hint: r.Hint}
			groups[key{r.Code, r.Topic}] = g
			list = append(list, g)
		}
		g.Count++
		g.First = alarms.Time(r.Received)
	}
	slices.SortStableFunc(list, func(a, b *reason) int { return cmp.Compare(b.Count, a.Count) })
	answer(w, http.StatusOK, map[string][]*reason{"reasons": first(list, listMost)})
	return nil
}

// replayChunk is how many messages one call replays, so that it ends in good
// time and its caller can show how far it is.
const replayChunk = 500

// replayView is what became of a chunk, and where the next one begins.
type replayView struct {
	Replay
	Next uint64 `json:"next"` // goes into after; 0: that was all
	Left int    `json:"left"` // messages behind next
}

// replay judges messages of the quarantine once more, oldest first. Its list is
// bounded, and what the input log no longer holds cannot be replayed: the answer
// says how many those were.
func (s *Server) replay(w http.ResponseWriter, r *http.Request, who Identity) error {
	var body struct {
		rejectionFilter
		After uint64 `json:"after"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if s.o.Replayer == nil {
		return problem(http.StatusNotFound, "not_here", "nothing can be replayed here")
	}
	chunk, left := s.toReplay(&body.rejectionFilter, body.After)
	done, err := s.o.Replayer.Replay(r.Context(), chunk)
	if err != nil {
		return err
	}
	if done.Quarantined == nil {
		done.Quarantined = map[string]int{}
	}
	v := replayView{Replay: done, Left: left}
	if left > 0 {
		v.Next = chunk[len(chunk)-1].Position
	}
	s.o.Logger.Info("quarantine replayed", "by", who.Name, "accepted", done.Accepted, "duplicate", done.Duplicate, "gone", done.Gone, "left", left)
	answer(w, http.StatusOK, v)
	return nil
}

// toReplay chooses the oldest whole messages that are wanted behind a position,
// each once; an entry of the log is not torn in two.
func (s *Server) toReplay(f *rejectionFilter, after uint64) (chunk []devices.Rejection, left int) {
	list := s.o.Quarantine.Rejections(rejectionsKept, func(r *devices.Rejection) bool {
		return r.Whole && r.Position > after && f.wants(r)
	})
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b devices.Rejection) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Index, b.Index))
	})
	list = slices.CompactFunc(list, func(a, b devices.Rejection) bool { return a.Position == b.Position && a.Index == b.Index })
	n := min(replayChunk, len(list))
	for n > 0 && n < len(list) && list[n].Position == list[n-1].Position {
		n++
	}
	return list[:n], len(list) - n
}
