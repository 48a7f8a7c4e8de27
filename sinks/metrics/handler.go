package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
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

// Handler serves the metrics to anybody: who may look is the business of the
// server that mounts it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		ErrorHandling:       promhttp.ContinueOnError, // a wrong figure must not hide the others
		ErrorLog:            logWriter{m.logger},
	})
}

// logWriter is where promhttp tells of figures it could not gather.
type logWriter struct{ logger *slog.Logger }

func (l logWriter) Println(v ...any) {
	l.logger.Error("metrics could not all be gathered", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}
