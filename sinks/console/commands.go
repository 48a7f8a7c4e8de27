package console

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"fengsui/rules/alarms"
)

// Commander carries out what people want of alarms; it answers when the events
// are on disk, or with an [alarms.Refusal].
type Commander interface {
	Command(ctx context.Context, c alarms.Command) ([]alarms.Event, error)
}

// needs is what a verb takes from the body beside a note.
type needs struct{ until, disposition bool }

var verbs = map[alarms.Verb]needs{
	alarms.Ack:        {},
	alarms.Unack:      {},
	alarms.Note:       {},
	alarms.Shelve:     {until: true},
	alarms.Unshelve:   {},
	alarms.ResetLatch: {},
	alarms.Close:      {disposition: true},
}

const (
	maxKey     = 200     // characters of Idempotency-Key
	maxMinutes = 24 * 60 // of shelving; the judge decides what is too long
)

// commandBody is the body of a command.
type commandBody struct {
	Note        string      `json:"note"`
	Disposition string      `json:"disposition"`
	Until       alarms.Time `json:"until"`
	Minutes     int         `json:"minutes"`
}

// commandAnswer says at which event of the stream the command has arrived.
type commandAnswer struct {
	Seq   uint64          `json:"seq"`
	Alarm json.RawMessage `json:"alarm"`
}

// command is the call that does verb to an alarm.
func (s *Server) command(verb alarms.Verb, n needs) func(http.ResponseWriter, *http.Request, Identity) error {
	return func(w http.ResponseWriter, r *http.Request, who Identity) error {
		c, err := s.readCommand(r, verb, n, who)
		if err != nil {
			return err
		}
		events, err := s.o.Commander.Command(r.Context(), c)
		var refused *alarms.Refusal
		if errors.As(err, &refused) {
			return refusedProblem(refused)
		}
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return s.unchanged(w, c.Alarm)
		}
		last := &events[len(events)-1]
		last.Alarm.Seq = last.Seq
		s.o.Logger.Info("command", "verb", verb, "alarm", c.Alarm, "by", c.By, "seq", last.Seq)
		answer(w, http.StatusOK, commandAnswer{Seq: last.Seq, Alarm: encodeAlarm(&last.Alarm)})
		return nil
	}
}

// unchanged answers a command that was carried out before.
func (s *Server) unchanged(w http.ResponseWriter, id string) error {
	a, err := s.alarm(id)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, commandAnswer{Seq: a.Seq, Alarm: a.json})
	return nil
}

func (s *Server) readCommand(r *http.Request, verb alarms.Verb, n needs, who Identity) (alarms.Command, error) {
	var body commandBody
	if err := decode(r, &body); err != nil {
		return alarms.Command{}, err
	}
	c := alarms.Command{
		Alarm: r.PathValue("id"), Verb: verb, By: who.Name,
		Note: strings.TrimSpace(body.Note), Disposition: body.Disposition,
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		if len(key) > maxKey {
			return c, problem(http.StatusUnprocessableEntity, "bad_key", "Idempotency-Key has %d characters; at most %d", len(key), maxKey)
		}
		c.Key = scopedKey(who.Name, c.Alarm, verb, key)
	}
	if !n.disposition && body.Disposition != "" {
		return c, problem(http.StatusUnprocessableEntity, "not_for_this", "disposition belongs to close, not to %s", verb)
	}
	if !n.until && (body.Until != 0 || body.Minutes != 0) {
		return c, problem(http.StatusUnprocessableEntity, "not_for_this", "until and minutes belong to shelve, not to %s", verb)
	}
	if !n.until {
		return c, nil
	}
	until, err := s.shelfEnd(body)
	c.Until = until
	return c, err
}

// scopedKey keeps one client's key from answering for another person, alarm or
// verb.
func scopedKey(name, alarm string, verb alarms.Verb, key string) string {
	sum := sha256.Sum256([]byte(name + "\x00" + alarm + "\x00" + string(verb) + "\x00" + key))
	return hex.EncodeToString(sum[:16])
}

func (s *Server) shelfEnd(body commandBody) (int64, error) {
	switch {
	case body.Minutes != 0 && body.Until != 0:
		return 0, problem(http.StatusUnprocessableEntity, "bad_until", "give minutes or until, not both")
	case body.Minutes < 0 || body.Minutes > maxMinutes:
		return 0, problem(http.StatusUnprocessableEntity, "bad_until", "minutes: want 1 to %d", maxMinutes)
	case body.Minutes != 0:
		return s.o.Hub.Now().Add(time.Duration(body.Minutes) * time.Minute).UnixMilli(), nil
	}
	return int64(body.Until), nil
}

func refusedProblem(r *alarms.Refusal) *Problem {
	p := &Problem{Status: http.StatusUnprocessableEntity, Code: r.Code, Message: r.Message, By: r.By, At: r.At}
	switch r.Kind {
	case alarms.NotFound:
		p.Status = http.StatusNotFound
	case alarms.Conflict:
		p.Status = http.StatusConflict
	}
	if p.Code == "" {
		p.Code = string(r.Kind)
	}
	return p
}
