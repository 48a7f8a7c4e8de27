package console

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"fengsui/devices"
	"fengsui/rules"
)

// Options are the parts of a [Server]. Those without a default must be set.
type Options struct {
	// Listen is the address: host:port. Empty: only Handler serves.
	Listen string
	// TLS with a certificate makes it HTTPS; nil: plain HTTP.
	TLS *tls.Config
	// Origins may open the stream and send commands beside the gateway's own
	// address: https://console.example, for a reverse proxy under another name.
	Origins []string

	Hub       HubOptions // Build is filled in from Page
	People    *People    // required
	Commander Commander  // required
	Directory Directory  // required

	Page       *Page      // default: the embedded page
	Registrar  Registrar  // nil: devices cannot be registered here
	Quarantine Quarantine // default: the newest rejections of the readings log
	Replayer   Replayer   // nil: what was quarantined stays so
	Progress   Progress   // nil: nothing is known of how far a device's messages come
	Decoder    Decoder    // nil: no message is explained here
	Door       Door       // nil: no refused connections are listed
	History    History    // nil: no history
	// Limits are the lines that rules draw in the picture of a field; nil: none.
	Limits     func(d *devices.Device, field string) []rules.FieldLimit
	Schematics fs.FS        // drawings of sites, {site}.svg; nil: none
	Metrics    http.Handler // of /metrics; nil: none
	// MetricsToken lets a scraper in that is not on this machine.
	MetricsToken string
	// Ready says why the gateway is not ready beyond what the console sees itself
	// (the alarms are loaded, the canary is fresh); nil error: it is.
	Ready func() error

	Logger *slog.Logger
}

// Server serves the console: page, API and stream on one port.
type Server struct {
	o        Options
	hub      *Hub
	page     *Page
	upgrader *websocket.Upgrader
	listener net.Listener
	handler  http.Handler
}

// NewServer takes the port, so that it is known at once when it cannot be had.
func NewServer(o Options) (*Server, error) {
	if o.People == nil || o.Commander == nil || o.Directory == nil || o.Hub.Alarms == nil {
		return nil, errors.New("console: Hub.Alarms, People, Commander and Directory are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Page == nil {
		page, err := EmbeddedPage()
		if err != nil {
			return nil, err
		}
		o.Page = page
	}
	if o.Hub.Build == "" {
		o.Hub.Build = o.Page.Build
	}
	if o.Hub.Logger == nil {
		o.Hub.Logger = o.Logger
	}
	o.Hub.setDefaults()
	s := &Server{o: o, hub: NewHub(o.Hub), page: o.Page}
	if s.o.Quarantine == nil {
		s.o.Quarantine = s.hub.rejections
	}
	s.upgrader = &websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   1024, WriteBufferSize: 1024,
		WriteBufferPool:   &sync.Pool{},
		CheckOrigin:       sameOrigin(o.Origins),
		EnableCompression: true, // of snapshots, see socket.send
		Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
			s.refuse(w, r, problem(status, "bad_handshake", "%v", reason))
		},
	}
	sameSite := http.NewCrossOriginProtection()
	for _, origin := range o.Origins {
		if err := sameSite.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("console: origin %q: %w; want https://host", origin, err)
		}
	}
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusForbidden, "foreign_origin", "this came from another site than the gateway's own page")
	}))
	s.handler = secure(sameSite.Handler(s.mux()))
	if o.Listen == "" {
		return s, nil
	}
	return s, s.listen()
}

func (s *Server) listen() error {
	l, err := net.Listen("tcp", s.o.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("console: the port of %s is taken by another program; stop it (ss -ltnp shows which it is) or choose another http.listen: %w", s.o.Listen, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("console: listening on %s is not allowed to this user; choose a port above 1023 in http.listen: %w", s.o.Listen, err)
	case err != nil:
		return fmt.Errorf("console: listen on %s (http.listen): %w", s.o.Listen, err)
	}
	if s.o.TLS != nil {
		config := s.o.TLS.Clone()
		config.NextProtos = []string{"http/1.1"} // websockets know no other
		l = tls.NewListener(l, config)
	}
	s.listener = l
	return nil
}

// Addr is where the console listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close frees the address of a Server that will not be run.
func (s *Server) Close() {
	if s.listener != nil {
		_ = s.listener.Close() // it may have been run, and closed it
	}
}

// Hub is the hub that this server's streams come from.
func (s *Server) Hub() *Hub { return s.hub }

// Handler serves everything, for tests and for other listeners.
func (s *Server) Handler() http.Handler { return s.handler }

// shutdownWait is how long requests under way may take when the gateway stops.
const shutdownWait = 5 * time.Second

// Run serves until ctx ends, and returns when every socket has been told.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		return errors.New("console: no address to listen on was given")
	}
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug),
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	var hubErr, peopleErr, serveErr error
	parts.Go(func() { hubErr = s.hub.Run(ctx) })
	parts.Go(func() { peopleErr = s.o.People.Run(ctx) })
	parts.Go(func() {
		defer stop() // without a listener there is nothing to run for
		serveErr = server.Serve(s.listener)
	})
	<-ctx.Done()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
	defer cancel()
	if err := server.Shutdown(wait); err != nil {
		s.o.Logger.Warn("requests were still under way when the console stopped", "error", err)
		_ = server.Close() // cuts them off
	}
	parts.Wait()
	if errors.Is(serveErr, http.ErrServerClosed) {
		serveErr = nil
	}
	if err := errors.Join(hubErr, peopleErr, serveErr); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// healthz says that the process is up, and nothing more.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "up"})
}

// readyz says whether what the console shows can be trusted.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if reason := s.notReady(); reason != "" {
		fail(w, http.StatusServiceUnavailable, "not_ready", reason)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (s *Server) notReady() string {
	if s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			return err.Error()
		}
	}
	if !s.hub.Loaded() {
		return errNotLoaded.Error()
	}
	h := s.hub.Health()
	if now := s.o.Hub.Now().UnixMilli(); now-int64(h.Time) > BlindAfter.Milliseconds() {
		return "the gateway has not told its health for 3 s"
	}
	return h.Blind()
}

// metrics lets scrapers on this machine in; others need a token.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if s.o.Metrics == nil {
		fail(w, http.StatusNotFound, "not_found", "there are no metrics here")
		return
	}
	if !s.mayScrape(r) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		fail(w, http.StatusUnauthorized, "sign_in", "metrics are open on loopback only; from elsewhere they need a bearer token (metrics.token_file)")
		return
	}
	s.o.Metrics.ServeHTTP(w, r)
}

func (s *Server) mayScrape(r *http.Request) bool {
	if r.Header.Get("Authorization") != "" {
		given, want := r.Header.Get("Authorization"), "Bearer "+s.o.MetricsToken
		if s.o.MetricsToken != "" && subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1 {
			return true
		}
		_, err := s.identify(r)
		return err == nil
	}
	proxied := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
	return isLoopback(remoteHost(r)) && !proxied && ownName(r.Host)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// ownName refuses names that a foreign page may have pointed at this machine.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || isLoopback(strings.Trim(host, "[]"))
}
