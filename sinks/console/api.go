package console

import (
	"net/http"
	"strings"
)

// route is one call of the API. An open one answers anybody.
type route struct {
	pattern string // method and path below /api/v1
	open    bool
	role    Role
	handle  func(w http.ResponseWriter, r *http.Request, who Identity) error
}

const apiRoot = "/api/v1"

// routes is the whole API; a test compares it with openapi.json.
func (s *Server) routes() []route {
	list := []route{
		{pattern: "GET /openapi.json", open: true, handle: s.openAPI},
		{pattern: "POST /session", open: true, handle: s.signIn},
		{pattern: "GET /session", role: Viewer, handle: s.whoAmI},
		{pattern: "DELETE /session", role: Viewer, handle: s.signOut},
		{pattern: "PUT /session/password", role: Viewer, handle: s.ownPassword},

		{pattern: "GET /stream", open: true, handle: s.stream}, // the first frame may carry a token
		{pattern: "GET /events", role: Viewer, handle: s.poll},
		{pattern: "GET /consoles", role: Viewer, handle: s.listConsoles},

		{pattern: "GET /alarms", role: Viewer, handle: s.listAlarms},
		{pattern: "GET /alarms/{id}", role: Viewer, handle: s.oneAlarm},
		{pattern: "GET /alarms/{id}/events", role: Viewer, handle: s.timeline},

		{pattern: "GET /sites", role: Viewer, handle: s.listSites},
		{pattern: "GET /sites/{site}", role: Viewer, handle: s.oneSite},
		{pattern: "PUT /sites/{site}", role: Admin, handle: s.putSite},
		{pattern: "PATCH /sites/{site}", role: Admin, handle: s.patchSite},
		{pattern: "DELETE /sites/{site}", role: Admin, handle: s.removeSite},
		{pattern: "GET /sites/{site}/schematic", role: Viewer, handle: s.schematic},
		{pattern: "GET /kinds", role: Viewer, handle: s.listKinds},
		{pattern: "GET /devices", role: Viewer, handle: s.listDevices},
		{pattern: "GET /devices/{site}/{device}", role: Viewer, handle: s.oneDevice},
		{pattern: "GET /devices/{site}/{device}/readings", role: Viewer, handle: s.readings},
		{pattern: "GET /devices/{site}/{device}/onboarding", role: Viewer, handle: s.onboarding},
		{pattern: "PUT /devices/{site}/{device}", role: Admin, handle: s.putDevice},
		{pattern: "PATCH /devices/{site}/{device}", role: Admin, handle: s.patchDevice},
		{pattern: "DELETE /devices/{site}/{device}", role: Admin, handle: s.removeDevice},
		{pattern: "PUT /devices/{site}/{device}/state", role: Operator, handle: s.setState},
		{pattern: "GET /registry", role: Admin, handle: s.exportRegistry},
		{pattern: "POST /registry", role: Admin, handle: s.importRegistry},
		{pattern: "GET /registry/changes", role: Operator, handle: s.listChanges},
		{pattern: "POST /devices", role: Admin, handle: s.addDevice},
		{pattern: "POST /devices/{site}/{device}/credential", role: Admin, handle: s.newCredential},
		{pattern: "DELETE /devices/{site}/{device}/credential", role: Admin, handle: s.revokeCredential},

		{pattern: "POST /decode", role: Operator, handle: s.decodeMessage},
		{pattern: "GET /quarantine", role: Operator, handle: s.listQuarantine},
		{pattern: "GET /quarantine/reasons", role: Operator, handle: s.listReasons},
		{pattern: "POST /quarantine/replay", role: Admin, handle: s.replay},
		{pattern: "GET /refused", role: Admin, handle: s.listRefused},

		{pattern: "GET /users", role: Admin, handle: s.listUsers},
		{pattern: "POST /users", role: Admin, handle: s.addUser},
		{pattern: "PATCH /users/{name}", role: Admin, handle: s.changeUser},
		{pattern: "DELETE /users/{name}", role: Admin, handle: s.removeUser},
		{pattern: "POST /users/{name}/tokens", role: Admin, handle: s.issueToken},
		{pattern: "DELETE /users/{name}/tokens", role: Admin, handle: s.revokeTokens},
	}
	for verb, needs := range verbs {
		list = append(list, route{pattern: "POST /alarms/{id}/" + string(verb), role: Operator, handle: s.command(verb, needs)})
	}
	return list
}

// mux puts everything that is served in its place.
func (s *Server) mux() *http.ServeMux {
	m := http.NewServeMux()
	for _, rt := range s.routes() {
		method, path, _ := strings.Cut(rt.pattern, " ")
		m.HandleFunc(method+" "+apiRoot+path, s.guard(rt))
	}
	m.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { s.noRoute(m, w, r) })
	m.HandleFunc("/healthz", s.healthz)
	m.HandleFunc("/readyz", s.readyz)
	m.HandleFunc("/metrics", s.metrics)
	m.HandleFunc("/help", s.help)
	m.HandleFunc("/help.css", s.help)
	m.Handle("/", s.page)
	return m
}

// guard lets in who may, and turns what goes wrong into the one shape.
func (s *Server) guard(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := s.identify(r)
		if rt.open {
			err = nil // it looks at who is nobody by itself
		}
		if err == nil && !rt.open && !who.Role.May(rt.role) {
			err = problem(http.StatusForbidden, "forbidden", "%s is %s; this needs %s", who.Name, who.Role, rt.role)
		}
		if err == nil {
			err = rt.handle(w, r, who)
		}
		if err != nil {
			s.refuse(w, r, err)
		}
	}
}

// identify finds who asks: by bearer token, else by cookie.
func (s *Server) identify(r *http.Request) (Identity, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Identity{}, problem(http.StatusUnauthorized, "sign_in", "Authorization: want Bearer and a token")
		}
		return s.o.People.Token(remoteHost(r), strings.TrimSpace(token))
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if who, ok := s.o.People.cookie(c.Value); ok {
			return who, nil
		}
	}
	return Identity{}, errSignIn
}

// noRoute answers for paths below /api/ that are not there, or not with this
// method.
func (s *Server) noRoute(m *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := m.Handler(other); pattern != "/api/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		fail(w, http.StatusNotFound, "not_found", "there is no "+r.URL.Path+"; "+apiRoot+"/openapi.json lists what there is")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	fail(w, http.StatusMethodNotAllowed, "bad_method", r.URL.Path+" takes "+strings.Join(allowed, ", "))
}
