package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"fengsui/rules/alarms"
)

// Problem is an error that the caller of the API can do something about.
type Problem struct {
	Status  int    // of HTTP
	Code    string // for programs
	Message string // for people
	Path    string // in the body: what the problem is with
	By      string // of a conflict: who was faster
	At      alarms.Time
	Retry   int // seconds after which to try again
}

func (p *Problem) Error() string { return p.Message }

func problem(status int, code, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// errorBody is the one shape of errors.
type errorBody struct {
	Error errorText `json:"error"`
}

type errorText struct {
	Code    string      `json:"code"`
	Message string      `json:"message"`
	Path    string      `json:"path,omitempty"`
	By      string      `json:"by,omitempty"`
	At      alarms.Time `json:"at,omitempty"`
}

func fail(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, errorBody{errorText{Code: code, Message: message}})
}

// refuse answers an error: a problem as it is, anything else as ours.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		if r.Context().Err() != nil {
			return // nobody is listening any more
		}
		s.o.Logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		fail(w, http.StatusInternalServerError, "internal", "the gateway could not do this; its log says why")
		return
	}
	if p.Retry > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(p.Retry))
	}
	answer(w, p.Status, errorBody{errorText{Code: p.Code, Message: p.Message, Path: p.Path, By: p.By, At: p.At}})
}

// answer writes JSON. What cannot be written any more concerns nobody.
func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer could not be encoded"}}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// maxBody is the largest request body taken.
const maxBody = 64 << 10

// decode reads a JSON body, strictly: a key we do not know is a mistake that the
// caller wants to hear of. An empty body leaves v as it is.
func decode(r *http.Request, v any) error { return decodeUpTo(r, v, maxBody) }

func decodeUpTo(r *http.Request, v any, most int64) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	switch {
	case int64(len(text)) > most:
		_, _ = io.CopyN(io.Discard, r.Body, maxBody) // who is still sending would not hear the answer
		return problem(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d bytes", most)
	case err != nil:
		return problem(http.StatusBadRequest, "bad_body", "the body cannot be read: %v", err)
	case len(bytes.TrimSpace(text)) == 0:
		return nil
	}
	return strictly(text, v)
}

// remoteHost is the address a request came from, without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// secure adds the headers every answer carries.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// contentPolicy lets the page load its own files and talk to this gateway, and
// nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; " +
	"connect-src 'self'; media-src 'self'; worker-src 'self'; manifest-src 'self'; " +
	"img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
