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

// Quarantine gives the newest rejections, newest first, as far as they are known.
type Quarantine interface {
	Rejections(limit int, wanted func(*devices.Rejection) bool) []devices.Rejection
	Reach() Reach
	// Search finds older ones until all are known or ctx ends.
	Search(ctx context.Context) error
}

// Reach is how far back the quarantine is known.
type Reach struct {
	Since     alarms.Time `json:"since"`     // null: all that is in the log
	Searching bool        `json:"searching"` // ask again for what lies before
}

// searchFor is how long one call searches; the next one goes on from there.
const searchFor = 5 * time.Second

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

// rejections lists those that are wanted, newest first; where those known are
// fewer than that, older ones are searched for.
func (s *Server) rejections(ctx context.Context, limit int, wanted func(*devices.Rejection) bool) ([]devices.Rejection, Reach, error) {
	list := s.o.Quarantine.Rejections(limit, wanted)
	if len(list) < limit && s.o.Quarantine.Reach().Searching {
		ctx, stop := context.WithTimeout(ctx, searchFor)
		defer stop()
		if err := s.o.Quarantine.Search(ctx); err != nil {
			return nil, Reach{}, err
		}
		list = s.o.Quarantine.Rejections(limit, wanted)
	}
	return list, s.o.Quarantine.Reach(), nil
}

// quarantined lists the rejections that are wanted, without those of messages that
// were taken after all.
func (s *Server) quarantined(ctx context.Context, limit int, f *rejectionFilter) ([]devices.Rejection, Reach, error) {
	return s.rejections(ctx, limit, func(r *devices.Rejection) bool {
		return f.wants(r) && (s.o.Replayer == nil || !r.Whole || !s.o.Replayer.Replayed(r.Position, r.Index))
	})
}

type quarantineView struct {
	Quarantine []rejectionView `json:"quarantine"`
	Reach
}

func (s *Server) listQuarantine(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := newQuery(r, "site", "device", "code", "source", "topic", "from", "to", "limit")
	f := readRejectionFilter(q)
	limit := q.number("limit", listDefault, 1, listMost)
	if q.err != nil {
		return q.err
	}
	found, reach, err := s.quarantined(r.Context(), limit, &f)
	if err != nil {
		return err
	}
	view := quarantineView{Quarantine: []rejectionView{}, Reach: reach}
	for _, r := range found {
		view.Quarantine = append(view.Quarantine, rejectionView{alarms.Time(r.Received), r})
	}
	answer(w, http.StatusOK, view)
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

type reasonsView struct {
	Reasons []*reason `json:"reasons"`
	Reach
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
	found, reach, err := s.quarantined(r.Context(), rejectionsKept, &f)
	if err != nil {
		return err
	}
	for _, r := range found {
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
	answer(w, http.StatusOK, reasonsView{first(list, listMost), reach})
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
	Reach
}

// replay judges messages of the quarantine once more, oldest first: nothing while
// the oldest are still searched for. Its list is bounded, and what the input log no
// longer holds cannot be replayed: the answer says how many those were.
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
	chunk, left, reach, err := s.toReplay(r.Context(), &body.rejectionFilter, body.After)
	if err != nil {
		return err
	}
	done, err := s.o.Replayer.Replay(r.Context(), chunk)
	if err != nil {
		return err
	}
	if done.Quarantined == nil {
		done.Quarantined = map[string]int{}
	}
	v := replayView{Replay: done, Left: left, Reach: reach}
	if left > 0 {
		v.Next = chunk[len(chunk)-1].Position
	}
	s.o.Logger.Info("quarantine replayed", "by", who.Name, "accepted", done.Accepted, "duplicate", done.Duplicate, "gone", done.Gone, "left", left)
	answer(w, http.StatusOK, v)
	return nil
}

// toReplay chooses the oldest whole messages that are wanted behind a position,
// each once; an entry of the log is not torn in two.
func (s *Server) toReplay(ctx context.Context, f *rejectionFilter, after uint64) (chunk []devices.Rejection, left int, reach Reach, err error) {
	list, reach, err := s.rejections(ctx, rejectionsKept, func(r *devices.Rejection) bool {
		return r.Whole && r.Position > after && f.wants(r)
	})
	if err != nil || reach.Searching {
		return nil, 0, reach, err
	}
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b devices.Rejection) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Index, b.Index))
	})
	list = slices.CompactFunc(list, func(a, b devices.Rejection) bool { return a.Position == b.Position && a.Index == b.Index })
	n := min(replayChunk, len(list))
	for n > 0 && n < len(list) && list[n].Position == list[n-1].Position {
		n++
	}
	return list[:n], len(list) - n, reach, nil
}
