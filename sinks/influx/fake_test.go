package influx

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fengsui/ingest/journal"
	"fengsui/sinks"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeInflux stores lines and answers as its judge tells it to.
type fakeInflux struct {
	*httptest.Server

	mu       sync.Mutex
	stored   map[string]int // how often each line was stored
	requests int
	tokens   []string
	// judge answers a request; nil stores everything. It may store what it likes.
	judge func(f *fakeInflux, w http.ResponseWriter, lines []string)
}

func newFakeInflux(t testing.TB, judge func(f *fakeInflux, w http.ResponseWriter, lines []string)) *fakeInflux {
	f := &fakeInflux{stored: map[string]int{}, judge: judge}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeInflux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	f.tokens = append(f.tokens, r.Header.Get("Authorization"))
	zipped, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		http.Error(w, "not gzip", http.StatusTeapot)
		return
	}
	body, _ := io.ReadAll(zipped)
	lines := strings.Split(string(body), "\n")
	if f.judge == nil {
		f.accept(w, lines)
		return
	}
	f.judge(f, w, lines)
}

func (f *fakeInflux) accept(w http.ResponseWriter, lines []string) {
	for _, line := range lines {
		f.stored[line]++
	}
	w.WriteHeader(http.StatusNoContent)
}

func answer(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, format, args...)
}

// rejection is a line given to OnRejected.
type rejection struct{ line, reason string }

// lineSink writes records that hold one line each.
type lineSink struct {
	*writer
	rejections []rejection
}

func newLineSink(t testing.TB, o Options) *lineSink {
	t.Helper()
	s := &lineSink{}
	if o.Org == "" {
		o.Org, o.Bucket = "fengsui", "fengsui"
	}
	if o.Token == "" && o.TokenFile == "" {
		o.Token = "s3cret-token"
	}
	o.OnRejected = func(line, reason string) { s.rejections = append(s.rejections, rejection{line, reason}) }
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s.writer = newWriter(server, time.Millisecond)
	return s
}

func (s *lineSink) Name() string { return "lines" }

func (s *lineSink) Write(ctx context.Context, batch []journal.Record) error {
	return s.write(ctx, batch, func(rec journal.Record) error {
		s.buf = append(s.buf, rec.Data...)
		s.ends = append(s.ends, len(s.buf))
		return nil
	})
}

var _ sinks.Sink = (*lineSink)(nil)

// records makes a batch of lines; first is the position of the first.
func records(first uint64, lines ...string) (batch []journal.Record) {
	for i, line := range lines {
		batch = append(batch, journal.Record{Seq: first + uint64(i), Count: 1, Data: []byte(line)})
	}
	return batch
}

// numbered makes n lines of a measurement, one a second.
func numbered(measurement string, n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("%s,device=d v=%d %d", measurement, i, 1782541925000+1000*i))
	}
	return lines
}
