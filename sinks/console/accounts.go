package console

import (
	"encoding/json"
	"net/http"
	"time"

	"fengsui/rules/alarms"
)

const cookieName = "fengsui_session"

// sessionView says who is signed in.
type sessionView struct {
	User    string      `json:"user"`
	Role    Role        `json:"role"`
	Expires alarms.Time `json:"expires"` // unless it is used before
}

// signIn begins a session, by name and password or by token.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request, _ Identity) error {
	var body struct {
		Name     string `json:"name"`
		Password string `json:"password"`
		Token    string `json:"token"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	var who Identity
	var err error
	if body.Token != "" {
		who, err = s.o.People.Token(remoteHost(r), body.Token)
	} else {
		who, err = s.o.People.password(r.Context(), remoteHost(r), body.Name, body.Password)
	}
	if err != nil {
		return err
	}
	value, who, expires, err := s.o.People.begin(r.Context(), who)
	if err != nil {
		return err
	}
	s.o.Logger.Info("signed in", "user", who.Name, "address", remoteHost(r))
	http.SetCookie(w, sessionCookie(r, value, int(longSession.Seconds())))
	answer(w, http.StatusOK, sessionView{who.Name, who.Role, alarms.Time(expires.UnixMilli())})
	return nil
}

// sessionCookie goes nowhere but to this gateway, and no script reads it.
func sessionCookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

func (s *Server) whoAmI(w http.ResponseWriter, _ *http.Request, who Identity) error {
	answer(w, http.StatusOK, sessionView{who.Name, who.Role, s.o.People.expires(who)})
	return nil
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request, who Identity) error {
	if err := s.o.People.end(r.Context(), who); err != nil {
		return err
	}
	http.SetCookie(w, sessionCookie(r, "", -1))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ownPassword lets people change their password; it signs them out everywhere.
func (s *Server) ownPassword(w http.ResponseWriter, r *http.Request, who Identity) error {
	var body struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if _, err := s.o.People.password(r.Context(), remoteHost(r), who.Name, body.Old); err != nil {
		return err
	}
	if err := s.o.People.SetPassword(r.Context(), who.Name, body.New); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) listUsers(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	answer(w, http.StatusOK, map[string][]User{"users": s.o.People.List()})
	return nil
}

// addUser registers a person; with "token": true the answer holds a token of
// theirs, this once.
func (s *Server) addUser(w http.ResponseWriter, r *http.Request, who Identity) error {
	var body struct {
		Name     string `json:"name"`
		Role     Role   `json:"role"`
		Password string `json:"password"`
		Token    bool   `json:"token"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	if body.Password == "" && !body.Token {
		return problem(http.StatusUnprocessableEntity, "no_way_in", "give a password, or ask for a token")
	}
	if err := s.o.People.Add(r.Context(), body.Name, body.Role, body.Password); err != nil {
		return err
	}
	s.o.Logger.Info("person added", "user", body.Name, "role", body.Role, "by", who.Name)
	out := map[string]any{"name": body.Name, "role": body.Role}
	if body.Token {
		token, err := s.o.People.IssueToken(r.Context(), body.Name)
		if err != nil {
			return err
		}
		out["token"] = token
	}
	answer(w, http.StatusCreated, out)
	return nil
}

// changeUser sets a role, a password, or both.
func (s *Server) changeUser(w http.ResponseWriter, r *http.Request, who Identity) error {
	var body struct {
		Role     Role   `json:"role"`
		Password string `json:"password"`
	}
	if err := decode(r, &body); err != nil {
		return err
	}
	name := r.PathValue("name")
	if body.Role == "" && body.Password == "" {
		return problem(http.StatusUnprocessableEntity, "nothing_to_do", "give a role, a password, or both")
	}
	if body.Role != "" {
		if err := s.o.People.SetRole(r.Context(), name, body.Role); err != nil {
			return err
		}
	}
	if body.Password != "" {
		if err := s.o.People.SetPassword(r.Context(), name, body.Password); err != nil {
			return err
		}
	}
	s.o.Logger.Info("person changed", "user", name, "by", who.Name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) removeUser(w http.ResponseWriter, r *http.Request, who Identity) error {
	name := r.PathValue("name")
	if err := s.o.People.Remove(r.Context(), name); err != nil {
		return err
	}
	s.o.Logger.Info("person removed", "user", name, "by", who.Name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) issueToken(w http.ResponseWriter, r *http.Request, who Identity) error {
	name := r.PathValue("name")
	token, err := s.o.People.IssueToken(r.Context(), name)
	if err != nil {
		return err
	}
	s.o.Logger.Info("token issued", "user", name, "by", who.Name)
	answer(w, http.StatusCreated, map[string]string{"token": token})
	return nil
}

func (s *Server) revokeTokens(w http.ResponseWriter, r *http.Request, who Identity) error {
	name := r.PathValue("name")
	if err := s.o.People.RevokeTokens(r.Context(), name); err != nil {
		return err
	}
	s.o.Logger.Info("tokens revoked", "user", name, "by", who.Name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// stream opens the websocket. Who has no cookie is let in as nobody, and must
// show a token in the first frame.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, who Identity) error {
	if who.Name == "" && r.Header.Get("Authorization") != "" {
		_, err := s.identify(r)
		return err
	}
	s.hub.open(w, r, who, s.o.People, s.upgrader)
	return nil
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	answer(w, http.StatusOK, json.RawMessage(openAPIDocument))
	return nil
}

// expires is when a session ends unless it is used; a bearer token does not.
func (p *People) expires(who Identity) alarms.Time {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if s := p.session[who.session]; s != nil {
		return s.Used + alarms.Time(idleSession/time.Millisecond)
	}
	return 0
}
