// Package influx writes readings and alarm events to InfluxDB 2.
//
// In: records of the readings log and of the alarm log, from a runner's cursor.
// Out: line protocol through the blocking write of influxdb-client-go, gzipped,
// in requests of at most 5,000 lines. A reading is a point of the measurement
// named like its kind, with the tags area, device and site and with every number
// a float; an alarm event is a point of alarm_event. What survives a crash:
// nothing here; the cursor is the runner's, and writing a point again replaces
// it. What it will not do: queue, retry by itself, drop a line without saying
// which, or log the token.
//
// Two readings of one device with the same millisecond become one point, as
// InfluxDB keeps one per series and time: field by field the later reading wins.
// So bad_fields speaks only where quality is above 0.
package influx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	"github.com/influxdata/influxdb-client-go/v2/api"

	"fengsui/sinks"
)

// Options of a server. URL, Org, Bucket and one of TokenFile and Token are
// required.
type Options struct {
	URL    string // http://host:8086 or https://…, with a path where a proxy wants one
	Org    string
	Bucket string
	// TokenFile holds an API token that may write the bucket. It is read again
	// whenever InfluxDB refuses the token.
	TokenFile string
	Token     string // instead of a file, for a token that comes from the environment

	Timeout  time.Duration // of one request; zero: 30 s
	MaxLines int           // of one request; zero: 5,000

	// OnRejected is told of every line that InfluxDB will never take, and why. It
	// is called by the sink's runner, in order, and should not block.
	OnRejected func(line, reason string)
	Logger     *slog.Logger // nil: discard
}

// Server is one bucket of an InfluxDB server.
type Server struct {
	o      Options
	client influxdb2.Client
	conns  *http.Transport
	logger *slog.Logger

	accepted, rejected atomic.Uint64
}

// New prepares a server; it does not connect.
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.MaxLines <= 0 {
		o.MaxLines = 5000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnRejected == nil {
		o.OnRejected = func(line, reason string) {}
	}
	conns := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     90 * time.Second,
	}
	tokens := &tokenSource{file: o.TokenFile, token: o.Token}
	return &Server{
		o:      o,
		conns:  conns,
		logger: o.Logger,
		client: influxdb2.NewClientWithOptions(o.URL, "", influxdb2.DefaultOptions().
			SetApplicationName("fengsui").
			SetPrecision(time.Millisecond).
			SetHTTPClient(&http.Client{Transport: &transport{base: conns, token: tokens}, Timeout: o.Timeout})),
	}, nil
}

func (o *Options) check() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("influx.url: want http://host:8086 or https://host")
	case u.User != nil || u.RawQuery != "":
		return errors.New("influx.url: must hold neither a password nor a query; the token goes into a file of its own")
	case o.Org == "":
		return errors.New("influx.org: is empty; name the organization that owns the bucket")
	case o.Bucket == "":
		return errors.New("influx.bucket: is empty; name the bucket to write to")
	case o.TokenFile == "" && o.Token == "":
		return errors.New("influx.token_file: is empty; name a file that holds an API token with write access to the bucket")
	case o.TokenFile != "" && o.Token != "":
		return errors.New("influx: give a token or a token file, not both")
	}
	return nil
}

// Close closes idle connections.
func (s *Server) Close() {
	s.client.Close()
	s.conns.CloseIdleConnections()
}

// Stats counts lines since start.
type Stats struct {
	Accepted uint64 // stored by InfluxDB
	Rejected uint64 // never to be taken; each was given to OnRejected
}

// Stats since start.
func (s *Server) Stats() Stats {
	return Stats{Accepted: s.accepted.Load(), Rejected: s.rejected.Load()}
}

// Ping finds out whether a write would be let in: the server answers, knows the
// organization and the bucket, and the token may write. It sends an empty
// write, which InfluxDB refuses for being empty only after all that.
func (s *Server) Ping(ctx context.Context) error {
	err := s.api(time.Millisecond).WriteRecord(ctx, "")
	var r *refusal
	if errors.As(err, &r) && r.status == http.StatusBadRequest {
		return nil
	}
	return explain(err)
}

// api is the blocking write with times in a precision.
func (s *Server) api(precision time.Duration) api.WriteAPIBlocking {
	options := *s.client.Options().WriteOptions()
	options.SetPrecision(precision)
	return api.NewWriteAPIBlocking(s.o.Org, s.o.Bucket, s.client.HTTPService(), &options)
}

// explain turns an error of the client into what a runner acts on: Stopped,
// Busy, or anything else for a fault that may pass.
func explain(err error) error {
	var noToken *tokenError
	if errors.As(err, &noToken) {
		return &sinks.Stopped{Reason: noToken.Error(), Err: err}
	}
	var r *refusal
	if !errors.As(err, &r) {
		return plain(err)
	}
	stopped := func(what string) error {
		return &sinks.Stopped{Reason: fmt.Sprintf("%s (%v)", what, r), Err: r}
	}
	switch {
	case r.status == http.StatusUnauthorized:
		return stopped("InfluxDB does not know the token; put a valid one into the token file")
	case r.status == http.StatusForbidden:
		return stopped("the token may not write the bucket; give it write access")
	case r.status == http.StatusNotFound:
		return stopped("InfluxDB knows no such bucket, organization or address; check influx.url, influx.org and influx.bucket")
	case r.status < 300:
		return stopped("what answers at influx.url is no InfluxDB 2; check the address")
	case r.status < 400:
		return stopped("influx.url is redirected to " + r.header.Get("Location") + "; use the final address")
	case r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable:
		return &sinks.Busy{After: retryAfter(r.header, time.Now()), Err: r}
	case r.status >= 500 || r.status == http.StatusRequestTimeout:
		return r
	}
	return stopped("InfluxDB refuses the requests themselves; check what stands between the gateway and it")
}

// plain cuts the library's and net/http's wrapping off, which repeat the URL.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("reach InfluxDB: %w", u.Err)
	}
	return err
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := time.ParseDuration(v + "s"); err == nil {
		return max(0, seconds)
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
