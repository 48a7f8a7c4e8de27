package console

import (
	"encoding/hex"
	"net/http"
	"strings"

	"fengsui/devices"
)

// Decoder tells what a message would become and why, without taking it.
type Decoder interface {
	Explain(in devices.Incoming) *devices.Explanation
}

// decodeRequest is a message as somebody pastes it.
type decodeRequest struct {
	Topic    string `json:"topic"`
	Payload  string `json:"payload"`
	Hex      bool   `json:"hex"` // the payload is written in hexadecimal
	Client   string `json:"client"`
	User     string `json:"user"`
	Source   string `json:"source"`
	Retained bool   `json:"retained"`
}

func (s *Server) decodeMessage(w http.ResponseWriter, r *http.Request, _ Identity) error {
	var q decodeRequest
	if err := decode(r, &q); err != nil {
		return err
	}
	if s.o.Decoder == nil {
		return problem(http.StatusNotFound, "not_here", "this console cannot decode messages")
	}
	if q.Topic == "" {
		return problem(http.StatusBadRequest, "bad_request", "topic: say under which topic the message is published")
	}
	payload := []byte(q.Payload)
	if q.Hex {
		raw, err := hex.DecodeString(strings.Join(strings.Fields(q.Payload), ""))
		if err != nil {
			return problem(http.StatusBadRequest, "bad_request", "payload: %v", err)
		}
		payload = raw
	}
	answer(w, http.StatusOK, s.o.Decoder.Explain(devices.Incoming{
		Topic: q.Topic, Payload: payload, Client: q.Client, User: q.User, Source: q.Source, Retained: q.Retained,
	}))
	return nil
}
