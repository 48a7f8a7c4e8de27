package metrics

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// maxScrapes at once; more are told to come back.
	maxScrapes = 4
	// scrapeTimeout ends a scrape that a hung owner holds up.
	scrapeTimeout = 10 * time.Second
)

// Handler serves the metrics: to this machine freely, to any other only with
// the token. With an empty token no other machine may look.
func (m *Metrics) Handler(token string) http.Handler {
	page := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		ErrorHandling:       promhttp.ContinueOnError, // a wrong figure must not hide the others
		ErrorLog:            logWriter{m.logger},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed, "method_not_allowed", "use GET")
		case local(r) || bearer(r, token):
			page.ServeHTTP(w, r)
		case token == "":
			refuse(w, http.StatusForbidden, "forbidden", "metrics are open to this machine only; set metrics.token_file to let others scrape with a bearer token")
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="fengsui metrics"`)
			refuse(w, http.StatusUnauthorized, "unauthorized", "a bearer token is needed; it is in the gateway's metrics.token_file")
		}
	})
}

// local reports whether the request comes from this machine itself, not from
// another one through a proxy on this machine.
func local(r *http.Request) bool {
	if r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Real-Ip") != "" {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// bearer compares in a time that tells nothing about the token.
func bearer(r *http.Request, token string) bool {
	scheme, given, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return false
	}
	a, b := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":%q}}`+"\n", code, message)
}

// logWriter is where promhttp tells of figures it could not gather.
type logWriter struct{ logger *slog.Logger }

func (l logWriter) Println(v ...any) {
	l.logger.Error("metrics could not all be gathered", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
