package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"fengsui/rules/alarms"
)

const (
	pollEvents = 1000 // events in one answer
	pollWait   = 25   // seconds
	pollLonger = 30
)

// poll is the stream for who cannot hold a websocket: the same frames, some at
// a time.
func (s *Server) poll(w http.ResponseWriter, r *http.Request, who Identity) error {
	q := newQuery(r, "epoch", "after", "limit", "wait")
	after, given := q.seq("after")
	limit := q.number("limit", pollEvents, 1, pollEvents)
	wait := time.Duration(q.number("wait", pollWait, 0, pollLonger)) * time.Second
	if q.err != nil {
		return q.err
	}
	if err := s.loaded(); err != nil {
		return err
	}
	frames, err := s.hub.pollFrames(r.Context(), who, q.text("epoch"), after, given, limit, wait)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, map[string][]json.RawMessage{"frames": frames})
	return nil
}

// pollFrames begins like a socket and gives what there is; when there is nothing
// it waits for the first event.
func (h *Hub) pollFrames(ctx context.Context, who Identity, epoch string, after uint64, given bool, limit int, wait time.Duration) ([]json.RawMessage, error) {
	l, stop := h.listen()
	defer stop()
	if !given {
		epoch = ""
	} else if epoch == "" {
		h.mu.RLock()
		epoch = h.epoch // the answer's hello says which it was
		h.mu.RUnlock()
	}
	st, err := h.begin(epoch, after, uint64(h.o.Events))
	if err != nil {
		return nil, err
	}
	var events []*frame
	if st.resume {
		if events, err = h.waitFor(ctx, l, st.place, limit, wait); errors.Is(err, errAnew) {
			st, err = h.anew()
		}
		if err != nil {
			return nil, err
		}
	}
	return h.pollAnswer(who, st, events)
}

// waitFor gives the events after a place as soon as there are any, or none.
func (h *Hub) waitFor(ctx context.Context, l *listener, at place, limit int, wait time.Duration) ([]*frame, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		events, err := h.after(at, limit, nil)
		if errors.Is(err, errOlder) {
			events, err = h.replay(ctx, at, limit)
		}
		if err != nil || len(events) > 0 || wait == 0 {
			return events, err
		}
		select {
		case <-l.wake:
		case <-timer.C:
			wait = 0
		case <-h.ended:
			wait = 0
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (h *Hub) pollAnswer(who Identity, st start, events []*frame) ([]json.RawMessage, error) {
	h.mu.RLock()
	health, head := h.healthNow, h.seq
	h.mu.RUnlock()
	hello, err := newFrame("hello", serverHello{
		Epoch: st.epoch, Seq: head, Time: alarms.Time(h.o.Now().UnixMilli()), Build: h.o.Build, User: who.Name, Role: who.Role,
	})
	if err != nil {
		return nil, err
	}
	frames := []*frame{hello}
	if st.resume {
		resume, err := newFrame("resume", span{From: st.seq + 1, To: st.seq + uint64(len(events))})
		if err != nil {
			return nil, err
		}
		frames = append(frames, resume)
	}
	frames = append(append(frames, st.frames...), events...)
	if health != nil {
		frames = append(frames, health)
	}
	texts := make([]json.RawMessage, len(frames))
	for i, f := range frames {
		texts[i] = f.text
	}
	return texts, nil
}
