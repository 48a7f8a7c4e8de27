package console

import (
	_ "embed"
	"net/http"
)

//go:embed help/help.html
var helpPage []byte

//go:embed help/help.css
var helpStyle []byte

// openAPIDocument describes the API; a test holds it and the routes together.
//
//go:embed openapi.json
var openAPIDocument []byte

// help serves one page for people with a meter and a screwdriver.
func (s *Server) help(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/help.css" {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(helpStyle)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(helpPage)
}
