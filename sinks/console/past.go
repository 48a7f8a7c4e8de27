package console

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/alarms"
)

// History gives the past of a field of a device: about n points, and from when
// on it knows everything; the zero time: from the beginning. Where nothing was
// heard for longer than gap stands a point of NaN.
type History interface {
	Query(d *devices.Device, field string, from, to time.Time, n int, gap time.Duration) (points []PastPoint, known time.Time)
}

// PastPoint is what was measured in a stretch of time: at its end.
type PastPoint struct {
	Time           int64 // Unix ms
	Min, Max, Last float32
	Doubtful       bool // some of it was not of good quality
}

// MarshalJSON is [ms, min, max, last], with a 1 behind where some was doubtful.
func (p PastPoint) MarshalJSON() ([]byte, error) {
	out := strconv.AppendInt([]byte{'['}, p.Time, 10)
	for _, f := range [...]float32{p.Min, p.Max, p.Last} {
		out = append(out, ',')
		if f-f != 0 { // infinite, or no number
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, float64(f), 'f', -1, 32)
	}
	if p.Doubtful {
		out = append(out, ",1"...)
	}
	return append(out, ']'), nil
}

const (
	pointsDefault = 600
	pointsMost    = 5000
	pastDefault   = 30 * time.Minute
	// gapIntervals is how many intervals of silence are a gap in the line.
	gapIntervals = 2.5
)

// pastView is the past of one field. Known is from when on it is complete.
type pastView struct {
	Site     string             `json:"site"`
	Device   string             `json:"device"`
	Field    string             `json:"field"`
	Unit     string             `json:"unit"`
	Points   []PastPoint        `json:"points"`
	Limits   []rules.FieldLimit `json:"limits"`
	Complete bool               `json:"complete"`
	Known    alarms.Time        `json:"known"` // null: from the beginning
}

// readings is the past of one point, with the limits that rules set to it.
func (s *Server) readings(w http.ResponseWriter, r *http.Request, _ Identity) error {
	q := newQuery(r, "field", "from", "to", "points")
	to := q.time("to", s.o.Hub.Now())
	from := q.time("from", to.Add(-pastDefault))
	n := q.number("points", pointsDefault, 2, pointsMost)
	if !from.Before(to) {
		q.fail("from", "must be before to")
	}
	if q.err != nil {
		return q.err
	}
	d, err := s.device(r)
	if err != nil {
		return err
	}
	f, ok := d.Kind.Field(q.text("field"))
	if !ok {
		q.fail("field", "%.64q is no field of %s", q.text("field"), d.Kind.ID)
		return q.err
	}
	if s.o.History == nil {
		return problem(http.StatusNotFound, "no_history", "this gateway keeps no history; give it memory with history.memory")
	}
	gap := time.Duration(gapIntervals * float64(d.ExpectedInterval()))
	points, known := s.o.History.Query(d, f.Name, from, to, n, cmp.Or(gap, time.Minute))
	v := pastView{
		Site: d.Site.ID, Device: d.ID, Field: f.Name, Unit: f.Unit, Points: points, Limits: []rules.FieldLimit{},
		Complete: !known.After(from),
	}
	if !v.Complete {
		v.Known = alarms.Time(known.UnixMilli())
	}
	if v.Points == nil {
		v.Points = []PastPoint{}
	}
	if s.o.Limits != nil {
		v.Limits = s.o.Limits(d, f.Name)
	}
	answer(w, http.StatusOK, v)
	return nil
}
