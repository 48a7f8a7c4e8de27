package influx

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fengsui/ingest/journal"
	"fengsui/sinks"
)

// These tests run a runner, the sink and an HTTP server at the edge in one
// bubble of time: half an hour of faults takes no time.

// pipes is a network of in-memory connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	mu   sync.Mutex
	down bool // connections are refused
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// lineLog is a log of lines in memory, one an entry.
type lineLog struct{ lines []string }

func (l *lineLog) Last() journal.Mark {
	return journal.Mark{Seq: uint64(len(l.lines)), Total: uint64(len(l.lines))}
}

func (l *lineLog) Read(ctx context.Context, from uint64, fn func(journal.Record) error) error {
	for seq := from; seq <= uint64(len(l.lines)); seq++ {
		if err := fn(journal.Record{Seq: seq, Time: time.Now(), Count: 1, Total: seq, Data: []byte(l.lines[seq-1])}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

type place struct {
	mu sync.Mutex
	at uint64
}

func (p *place) Load(context.Context) (uint64, error) { return 0, nil }

func (p *place) Save(_ context.Context, seq uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = seq
	return nil
}

func (p *place) saved() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// TestFaultsAtTheEdge: half an hour of a fault, in the middle of a backlog. The
// cursor never passes what was not accepted; a fault that a person must mend is
// named, others are tried again at a decent pace; and when it is over everything
// is stored and nothing put aside, without anybody's help.
func TestFaultsAtTheEdge(t *testing.T) {
	const lines, good, fault = 1000, 300, 30 * time.Minute
	status := func(code int, headers ...string) func(p *pipes, w http.ResponseWriter) {
		return func(_ *pipes, w http.ResponseWriter) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			answer(w, code, `{"code":"x","message":"in the server's words"}`)
		}
	}
	cut := func(text string) func(p *pipes, w http.ResponseWriter) {
		return func(_ *pipes, w http.ResponseWriter) {
			conn, buf, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			buf.WriteString(text)
			buf.Flush()
			conn.Close()
		}
	}
	hang := func(p *pipes, _ http.ResponseWriter) { time.Sleep(10 * time.Minute) }
	for _, c := range []struct {
		name    string
		fault   func(p *pipes, w http.ResponseWriter)
		stopped string // what a person is told
		tries   int    // at most
	}{
		{"401", status(401), "put a valid one into the token file", 185},
		{"403", status(403), "give it write access", 185},
		{"404", status(404), "check influx.url, influx.org and influx.bucket", 185},
		{"429", status(429, "Retry-After", "120"), "", 19},
		{"503", status(503, "Retry-After", "60"), "", 34},
		{"503 without a word", status(503), "", 400},
		{"500", status(500), "", 400},
		{"a proxy's 502", status(502), "", 400},
		{"a proxy's 400 to everything", status(400), "InfluxDB refuses every line", 185 * 60},
		{"a reset", cut(""), "", 400},
		{"half an answer", cut("HTTP/1.1 204 No Con"), "", 400},
		{"half an error", cut("HTTP/1.1 500 Oh\r\nContent-Length: 1000\r\n\r\n{\"code\":"), "", 400},
		{"no answer", hang, "", 60},
		{"gone", func(p *pipes, w http.ResponseWriter) {
			p.mu.Lock()
			p.down = true
			p.mu.Unlock()
			cut("")(p, w)
		}, "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, f := newPipes(), &fakeInflux{stored: map[string]int{}}
				edge := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					f.mu.Lock()
					failing := len(f.stored) >= good && f.judge != nil
					if failing {
						f.requests++
						f.mu.Unlock()
						c.fault(p, w)
						return
					}
					f.mu.Unlock()
					f.ServeHTTP(w, r)
				})}
				f.judge = func(f *fakeInflux, w http.ResponseWriter, lines []string) { f.accept(w, lines) }
				go edge.Serve(p)

				tokens := filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(tokens, []byte("one"), 0o600); err != nil {
					t.Fatal(err)
				}
				sink := newLineSink(t, Options{URL: "http://influx", TokenFile: tokens, MaxLines: 100})
				sink.server.conns.DialContext, sink.server.conns.Proxy = p.dial, nil
				cursor := &place{}
				r := sinks.NewRunner(sinks.RunnerOptions{Sink: sink, Log: &lineLog{lines: numbered("m", lines)}, Cursor: cursor, MaxUnits: 100})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- r.Run(ctx) }()

				time.Sleep(fault)
				s := r.Status()
				if s.Position != good || cursor.saved() > good || s.LagEntries != lines-good {
					t.Errorf("in the fault: position %d, cursor %d, %d entries behind", s.Position, cursor.saved(), s.LagEntries)
				}
				if s.Error == "" || !strings.Contains(s.Stopped, c.stopped) || (s.Stopped == "") != (c.stopped == "") {
					t.Errorf("in the fault: error %q, stopped %q", s.Error, s.Stopped)
				}
				f.mu.Lock()
				if f.requests > c.tries {
					t.Errorf("%d requests in the fault, want at most %d", f.requests, c.tries)
				}
				f.judge = nil
				f.mu.Unlock()
				p.mu.Lock()
				p.down = false
				p.mu.Unlock()

				time.Sleep(11 * time.Minute) // a Retry-After and a hang are waited for
				f.mu.Lock()
				for i, line := range numbered("m", lines) {
					if f.stored[line] == 0 {
						t.Fatalf("line %d never came", i)
					}
				}
				f.mu.Unlock()
				if s := r.Status(); s.LagEntries != 0 || s.Error != "" || s.Stopped != "" || s.Rejected != 0 || cursor.saved() != lines {
					t.Errorf("afterwards: %+v, cursor %d", s, cursor.saved())
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				sink.server.Close()
				edge.Close()
			})
		})
	}
}

// TestARotatedTokenGoesOnByItself: the file is changed while the sink stands
// still, and nobody tells it so.
func TestARotatedTokenGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, f := newPipes(), &fakeInflux{stored: map[string]int{}}
		f.judge = func(f *fakeInflux, w http.ResponseWriter, lines []string) {
			if f.tokens[len(f.tokens)-1] != "Token new" {
				answer(w, 401, `{"code":"unauthorized"}`)
				return
			}
			f.accept(w, lines)
		}
		edge := &http.Server{Handler: f}
		go edge.Serve(p)
		tokens := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(tokens, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		sink := newLineSink(t, Options{URL: "http://influx", TokenFile: tokens})
		sink.server.conns.DialContext, sink.server.conns.Proxy = p.dial, nil
		r := sinks.NewRunner(sinks.RunnerOptions{Sink: sink, Log: &lineLog{lines: numbered("m", 10)}, Cursor: &place{}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		time.Sleep(time.Minute)
		if s := r.Status(); s.Stopped == "" {
			t.Errorf("status %+v", s)
		}
		if err := os.WriteFile(tokens, []byte("new"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if s := r.Status(); s.Stopped != "" || s.LagEntries != 0 {
			t.Errorf("15 s after the token was changed: %+v", s)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		sink.server.Close()
		edge.Close()
	})
}
