package influx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fengsui/sinks"
)

// refuseFirst answers as a parser does: a request with a bad line is refused as
// a whole, and only the first bad line is named.
func refuseFirst(f *fakeInflux, w http.ResponseWriter, lines []string) {
	for _, line := range lines {
		if strings.Contains(line, "bad") {
			answer(w, 400, `{"code":"invalid","message":"unable to parse '%s': missing fields"}`, line)
			return
		}
	}
	f.accept(w, lines)
}

// dropSome answers as the storage does: it stores the rest and counts what it
// left out.
func dropSome(reason func(line string) string) func(f *fakeInflux, w http.ResponseWriter, lines []string) {
	return func(f *fakeInflux, w http.ResponseWriter, lines []string) {
		dropped, why := 0, ""
		for _, line := range lines {
			if r := reason(line); r != "" {
				dropped++
				why = r
				continue
			}
			f.stored[line]++
		}
		if dropped == 0 {
			w.WriteHeader(204)
			return
		}
		answer(w, 422, `{"code":"unprocessable entity","message":"failure writing points to database: partial write: %s dropped=%d"}`, why, dropped)
	}
}

func typeConflict(line string) string {
	if strings.HasPrefix(line, "clash,") {
		return `field type conflict: input field \"v\" on measurement \"clash\" is type float, already exists as type integer`
	}
	return ""
}

func TestEveryLineOfABatchIsStored(t *testing.T) {
	f := newFakeInflux(t, nil)
	s := newLineSink(t, Options{URL: f.URL, MaxLines: 100})
	lines := numbered("m", 950)
	if err := s.Write(t.Context(), records(1, lines...)); err != nil {
		t.Fatal(err)
	}
	if len(f.stored) != 950 || f.requests != 10 {
		t.Errorf("%d lines stored in %d requests, want 950 in 10", len(f.stored), f.requests)
	}
	if f.tokens[0] != "Token s3cret-token" {
		t.Errorf("authorization %q", f.tokens[0])
	}
	if got := s.server.Stats(); got != (Stats{Accepted: 950}) {
		t.Errorf("stats %+v", got)
	}
}

// TestRefusedLinesAreIsolated: whatever the way of refusing, the refused lines
// are put aside, each once, and all others are stored, at a bounded cost.
func TestRefusedLinesAreIsolated(t *testing.T) {
	interleaved := func(a, b []string) (lines []string) {
		for i := range a {
			lines = append(lines, a[i], b[i])
		}
		return lines
	}
	spoil := func(lines []string, at ...int) []string {
		for _, i := range at {
			lines[i] = fmt.Sprintf("bad-%d", i)
		}
		return lines
	}
	for _, c := range []struct {
		name     string
		judge    func(f *fakeInflux, w http.ResponseWriter, lines []string)
		lines    []string
		bad      func(line string) bool
		requests int
	}{
		{"one line that does not parse", refuseFirst, spoil(numbered("m", 1000), 617),
			func(l string) bool { return strings.HasPrefix(l, "bad") }, 2*10 + 1},
		{"several lines that do not parse", refuseFirst, spoil(numbered("m", 1000), 0, 1, 500, 999),
			func(l string) bool { return strings.HasPrefix(l, "bad") }, 70},
		{"a kind whose field has another type", dropSome(typeConflict), interleaved(numbered("m", 1000), numbered("clash", 1000)),
			func(l string) bool { return strings.HasPrefix(l, "clash") }, 3},
		{"all lines too old", dropSome(func(string) string { return "dropped 1 points outside retention policy of duration 1h" }), numbered("m", 1000),
			func(string) bool { return true }, 1},
		{"old and new lines in turn", dropSome(func(line string) string {
			if timeOf([]byte(line)) < 1782541925000+500_000 {
				return "dropped 1 points outside retention policy of duration 1h"
			}
			return ""
		}), interleaved(numbered("a", 1000), slices.Collect(reversed(numbered("b", 1000)))),
			func(l string) bool { return timeOf([]byte(l)) < 1782541925000+500_000 }, 25},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeInflux(t, c.judge)
			s := newLineSink(t, Options{URL: f.URL})
			if err := s.Write(t.Context(), records(1, c.lines...)); err != nil {
				t.Fatal(err)
			}
			rejected := map[string]int{}
			for _, r := range s.rejections {
				rejected[r.line]++
				if !strings.Contains(r.reason, "unable to parse") && !strings.Contains(r.reason, "partial write") {
					t.Errorf("reason %q", r.reason)
				}
			}
			var bad uint64
			for _, line := range c.lines {
				if c.bad(line) {
					bad++
				}
				if c.bad(line) && rejected[line] != 1 {
					t.Errorf("%s was put aside %d times", line, rejected[line])
				}
				if !c.bad(line) && (f.stored[line] == 0 || rejected[line] > 0) {
					t.Errorf("%s was stored %d times and put aside %d times", line, f.stored[line], rejected[line])
				}
			}
			if got := s.server.Stats(); got.Rejected != bad || got.Accepted != uint64(len(c.lines))-bad {
				t.Errorf("stats %+v, want %d rejected of %d", got, bad, len(c.lines))
			}
			if f.requests > c.requests {
				t.Errorf("%d requests, want at most %d", f.requests, c.requests)
			}
		})
	}
}

func reversed(lines []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range slices.Backward(lines) {
			if !yield(line) {
				return
			}
		}
	}
}

// TestAServerThatRefusesEverythingEmptiesNothingIntoQuarantine: 400 to all may
// as well be a proxy on the way.
func TestAServerThatRefusesEverythingEmptiesNothingIntoQuarantine(t *testing.T) {
	f := newFakeInflux(t, func(_ *fakeInflux, w http.ResponseWriter, _ []string) { answer(w, 400, "<html>Bad Request</html>") })
	s := newLineSink(t, Options{URL: f.URL})
	for _, n := range []int{5000, 1} {
		err := s.Write(t.Context(), records(1, numbered("m", n)...))
		var stopped *sinks.Stopped
		if !errors.As(err, &stopped) || !strings.Contains(stopped.Reason, "refuses every line") {
			t.Errorf("%d lines: got %v, want Stopped", n, err)
		}
	}
	if len(s.rejections) > 0 || s.server.Stats() != (Stats{}) {
		t.Errorf("%d lines were put aside", len(s.rejections))
	}
	if f.requests > 60 {
		t.Errorf("%d requests to find that out", f.requests)
	}
}

// TestALonelyBadLine is judged against a line that was accepted before.
func TestALonelyBadLine(t *testing.T) {
	f := newFakeInflux(t, refuseFirst)
	s := newLineSink(t, Options{URL: f.URL})
	good := numbered("m", 1)
	if err := s.Write(t.Context(), records(1, good...)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), records(2, "bad")); err != nil {
		t.Fatal(err)
	}
	if len(s.rejections) != 1 || s.rejections[0].line != "bad" {
		t.Errorf("put aside: %v", s.rejections)
	}
	if f.stored[good[0]] != 2 {
		t.Errorf("the good line was stored %d times, want once more as a proof", f.stored[good[0]])
	}
}

func TestTooLargeRequestsShrink(t *testing.T) {
	f := newFakeInflux(t, func(f *fakeInflux, w http.ResponseWriter, lines []string) {
		if len(lines) > 100 {
			answer(w, 413, `{"code":"request too large"}`)
			return
		}
		f.accept(w, lines)
	})
	s := newLineSink(t, Options{URL: f.URL, MaxLines: 1000})
	if err := s.Write(t.Context(), records(1, numbered("m", 1000)...)); err != nil {
		t.Fatal(err)
	}
	before := f.requests
	if err := s.Write(t.Context(), records(1001, numbered("m", 620)...)); err != nil {
		t.Fatal(err)
	}
	if len(f.stored) != 1000 || len(s.rejections) > 0 {
		t.Errorf("%d stored, %d put aside", len(f.stored), len(s.rejections))
	}
	if again := f.requests - before; again != 10 {
		t.Errorf("%d requests for 620 lines; the size that fits was not remembered", again)
	}
}

func TestConfigurationFaultsStopTheSink(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header [2]string
		want   string
	}{
		{"wrong token", 401, [2]string{}, "put a valid one into the token file"},
		{"token without permission", 403, [2]string{}, "give it write access"},
		{"no bucket", 404, [2]string{}, "check influx.url, influx.org and influx.bucket"},
		{"a redirect", 301, [2]string{"Location", "https://influx.example/api/v2/write"}, "redirected to https://influx.example/api/v2/write"},
		{"a web server that takes anything", 200, [2]string{}, "no InfluxDB 2"},
		{"wrong method", 405, [2]string{}, "what stands between"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeInflux(t, func(_ *fakeInflux, w http.ResponseWriter, _ []string) {
				if c.header[0] != "" {
					w.Header().Set(c.header[0], c.header[1])
				}
				answer(w, c.status, `{"code":"x","message":"in the server's words"}`)
			})
			s := newLineSink(t, Options{URL: f.URL})
			err := s.Write(t.Context(), records(1, numbered("m", 100)...))
			var stopped *sinks.Stopped
			if !errors.As(err, &stopped) {
				t.Fatalf("got %v, want Stopped", err)
			}
			if !strings.Contains(stopped.Reason, c.want) || !strings.Contains(stopped.Reason, "in the server's words") {
				t.Errorf("reason %q does not say %q and what the server said", stopped.Reason, c.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the token stands in %q", err)
			}
			if f.requests != 1 {
				t.Errorf("%d requests", f.requests)
			}
			if c.name != "a web server that takes anything" {
				pinged := s.server.Ping(t.Context())
				if !errors.As(pinged, &stopped) {
					t.Errorf("ping says %v, want Stopped", pinged)
				}
			}
		})
	}
}

func TestFaultsThatPass(t *testing.T) {
	for _, c := range []struct {
		name  string
		judge func(f *fakeInflux, w http.ResponseWriter, lines []string)
		busy  time.Duration
		isOff bool
	}{
		{name: "internal error", judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) { answer(w, 500, `{"code":"internal error"}`) }},
		{name: "a gateway in between", judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) { answer(w, 502, "<html>") }},
		{name: "too many requests", busy: 7 * time.Second, isOff: true, judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) {
			w.Header().Set("Retry-After", "7")
			answer(w, 429, "")
		}},
		{name: "not ready", isOff: true, judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) { answer(w, 503, "") }},
		{name: "a reset in the answer", judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) { reset(w, "") }},
		{name: "half an answer", judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) { reset(w, "HTTP/1.1 204 No Con") }},
		{name: "half an error", judge: func(_ *fakeInflux, w http.ResponseWriter, _ []string) {
			reset(w, "HTTP/1.1 500 Internal\r\nContent-Length: 1000\r\nContent-Type: application/json\r\n\r\n{\"code\":")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeInflux(t, c.judge)
			s := newLineSink(t, Options{URL: f.URL})
			batch := records(1, numbered("m", 100)...)
			err := s.Write(t.Context(), batch)
			var stopped *sinks.Stopped
			if err == nil || errors.As(err, &stopped) {
				t.Fatalf("got %v, want an error that passes", err)
			}
			var busy *sinks.Busy
			if errors.As(err, &busy) != c.isOff || c.isOff && busy.After != c.busy {
				t.Errorf("got %#v", err)
			}
			f.mu.Lock()
			f.judge = nil
			f.mu.Unlock()
			if err := s.Write(t.Context(), batch); err != nil || len(f.stored) != 100 {
				t.Errorf("after the fault: %v, %d stored", err, len(f.stored))
			}
			if len(s.rejections) > 0 {
				t.Errorf("put aside: %v", s.rejections)
			}
		})
	}
}

// reset sends some bytes and then a TCP reset.
func reset(w http.ResponseWriter, text string) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	buf.WriteString(text)
	buf.Flush()
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestAHangEndsAtTheTimeout(t *testing.T) {
	release := make(chan struct{})
	hang := newFakeInflux(t, func(_ *fakeInflux, w http.ResponseWriter, _ []string) { <-release })
	s := newLineSink(t, Options{URL: hang.URL, Timeout: 50 * time.Millisecond})
	err := s.Write(t.Context(), records(1, numbered("m", 10)...))
	if err == nil || !strings.Contains(err.Error(), "reach InfluxDB") {
		t.Errorf("got %v", err)
	}
	close(release)
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := newLineSink(t, Options{URL: "http://" + l.Addr().String()})
	err = s.Write(t.Context(), records(1, numbered("m", 10)...))
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "bucket=") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledWriteSaysSo(t *testing.T) {
	f := newFakeInflux(t, nil)
	s := newLineSink(t, Options{URL: f.URL})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, records(1, numbered("m", 10)...)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestARotatedTokenIsReadAgain: the file is corrected, the gateway goes on.
func TestARotatedTokenIsReadAgain(t *testing.T) {
	f := newFakeInflux(t, nil)
	f.judge = func(f *fakeInflux, w http.ResponseWriter, lines []string) {
		if f.tokens[len(f.tokens)-1] != "Token new" {
			answer(w, 401, `{"code":"unauthorized","message":"unauthorized access"}`)
			return
		}
		f.accept(w, lines)
	}
	file := filepath.Join(t.TempDir(), "token")
	s := newLineSink(t, Options{URL: f.URL, TokenFile: file})
	batch := records(1, numbered("m", 10)...)
	for _, c := range []struct{ text, want string }{
		{"", "must hold one line"},
		{"one\ntwo\n", "must hold one line"},
		{"old\n", "does not know the token"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := s.Write(t.Context(), batch)
		var stopped *sinks.Stopped
		if !errors.As(err, &stopped) || !strings.Contains(stopped.Reason, c.want) {
			t.Errorf("token %q: got %v, want %q", c.text, err, c.want)
		}
	}
	if err := os.WriteFile(file, []byte(" new\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), records(11, numbered("m", 10)...)); err != nil {
		t.Errorf("a token that works needs no file: %v", err)
	}
}

func TestAMissingTokenFileStopsTheSink(t *testing.T) {
	f := newFakeInflux(t, nil)
	s := newLineSink(t, Options{URL: f.URL, TokenFile: filepath.Join(t.TempDir(), "absent")})
	err := s.Write(t.Context(), records(1, "m v=1 1"))
	var stopped *sinks.Stopped
	if !errors.As(err, &stopped) || !strings.Contains(stopped.Reason, "absent") || f.requests > 0 {
		t.Errorf("got %v after %d requests", err, f.requests)
	}
}

// TestWhatIsSettledIsNotSentAgain: a batch that failed in the middle goes on
// there, and its rejected lines are told once.
func TestWhatIsSettledIsNotSentAgain(t *testing.T) {
	f := newFakeInflux(t, nil)
	failing := true
	f.judge = func(f *fakeInflux, w http.ResponseWriter, lines []string) {
		if failing && strings.Contains(lines[0], "v=30 ") {
			answer(w, 500, "")
			return
		}
		refuseFirst(f, w, lines)
	}
	s := newLineSink(t, Options{URL: f.URL, MaxLines: 10})
	lines := numbered("m", 50)
	lines[5] = "bad"
	batch := records(1, lines...)
	for range 3 {
		if err := s.Write(t.Context(), batch); err == nil {
			t.Fatal("no error")
		}
	}
	f.mu.Lock()
	failing = false
	f.mu.Unlock()
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if len(s.rejections) != 1 || len(f.stored) != 49 || s.server.Stats() != (Stats{Accepted: 49, Rejected: 1}) {
		t.Errorf("%d put aside, %d stored, stats %+v", len(s.rejections), len(f.stored), s.server.Stats())
	}
	if n := f.stored[lines[20]]; n != 1 {
		t.Errorf("a line of a settled part was stored %d times", n)
	}

	f.stored = map[string]int{}
	if err := s.Write(t.Context(), batch); err != nil || len(f.stored) != 49 {
		t.Errorf("an accepted batch that comes again was not written again: %v, %d stored", err, len(f.stored))
	}
}

// TestAnyMixOfFaults: whatever lines are bad and whatever fails on the way,
// every good line is stored and every bad one is put aside exactly once.
func TestAnyMixOfFaults(t *testing.T) {
	f := newFakeInflux(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		lines := numbered("m", rapid.IntRange(1, 60).Draw(rt, "lines"))
		good := numbered("sure", 1)[0] // some line is good, or nothing could be told apart
		lines = append(lines, good)
		bad := map[string]bool{}
		for i := range lines[:len(lines)-1] {
			if rapid.IntRange(0, 9).Draw(rt, "bad") == 0 {
				lines[i] = fmt.Sprintf("bad-%d", i)
				bad[lines[i]] = true
			}
		}
		faults := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 413, 429, 500, 503, -1}), 0, 20).Draw(rt, "faults")
		parsed := rapid.Bool().Draw(rt, "parsed first")

		f.mu.Lock()
		f.stored = map[string]int{}
		f.judge = func(f *fakeInflux, w http.ResponseWriter, lines []string) {
			status := 0
			if len(faults) > 0 {
				status, faults = faults[0], faults[1:]
			}
			switch {
			case status == -1:
				reset(w, "")
			case status == 413 && len(lines) > 1, status > 413:
				answer(w, status, "")
			case parsed:
				refuseFirst(f, w, lines)
			default:
				dropSome(func(line string) string {
					if bad[line] {
						return "something is wrong"
					}
					return ""
				})(f, w, lines)
			}
		}
		f.mu.Unlock()

		s := newLineSink(t, Options{URL: f.URL, MaxLines: rapid.IntRange(1, 70).Draw(rt, "max lines")})
		// A first batch that is accepted lets single bad lines be told from a bad way.
		f.mu.Lock()
		judge := f.judge
		f.judge = nil
		f.mu.Unlock()
		if err := s.Write(t.Context(), records(1, good)); err != nil {
			rt.Fatal(err)
		}
		f.mu.Lock()
		f.judge = judge
		f.mu.Unlock()

		batch := records(2, lines...)
		for try := 0; ; try++ {
			err := s.Write(t.Context(), batch)
			if err == nil {
				break
			}
			var stopped *sinks.Stopped
			if errors.As(err, &stopped) || try > 30 {
				rt.Fatalf("attempt %d: %v", try, err)
			}
		}
		aside := map[string]int{}
		for _, r := range s.rejections {
			aside[r.line]++
		}
		for _, line := range lines {
			if bad[line] && (aside[line] != 1 || f.stored[line] > 0) || !bad[line] && (aside[line] > 0 || f.stored[line] == 0) {
				rt.Fatalf("%s: stored %d times, put aside %d times", line, f.stored[line], aside[line])
			}
		}
	})
}

func TestPing(t *testing.T) {
	for _, c := range []struct {
		status int
		ok     bool
	}{{204, true}, {400, true}, {401, false}, {404, false}, {503, false}} {
		f := newFakeInflux(t, func(_ *fakeInflux, w http.ResponseWriter, _ []string) { w.WriteHeader(c.status) })
		s := newLineSink(t, Options{URL: f.URL})
		if err := s.server.Ping(t.Context()); (err == nil) != c.ok {
			t.Errorf("%d: %v", c.status, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 1, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                              0,
		"120":                           2 * time.Minute,
		"-5":                            0,
		"soon":                          0,
		"Wed, 01 Jul 2026 08:01:30 GMT": 90 * time.Second,
		"Wed, 01 Jul 2026 07:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestOptionsSayWhatIsWrong(t *testing.T) {
	fine := Options{URL: "http://influx:8086", Org: "o", Bucket: "b", TokenFile: "f"}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) {}, ""},
		{func(o *Options) { o.URL = "influx:8086" }, "influx.url"},
		{func(o *Options) { o.URL = "http://user:pass@influx" }, "neither a password"},
		{func(o *Options) { o.Org = "" }, "influx.org"},
		{func(o *Options) { o.Bucket = "" }, "influx.bucket"},
		{func(o *Options) { o.TokenFile = "" }, "influx.token_file"},
		{func(o *Options) { o.Token = "t" }, "not both"},
	} {
		o := fine
		c.change(&o)
		_, err := New(o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", o, err, c.want)
		}
	}
}

// FuzzRefusal: whatever a server answers, its text is only believed as far as it
// makes sense, and no line gets lost between the guilty and the innocent.
func FuzzRefusal(f *testing.F) {
	f.Add(`partial write: field type conflict: input field \"v\" on measurement \"clash\" is type float, already exists as type integer dropped=3`)
	f.Add(`partial write: points beyond retention policy dropped=99999999999999999999`)
	f.Fuzz(func(t *testing.T, text string) {
		r := &refusal{status: 422, text: text}
		var lines [][]byte
		for _, line := range append(numbered("m", 5), numbered("clash", 5)...) {
			lines = append(lines, []byte(line))
		}
		guilty, innocent := r.sort(lines)
		if len(guilty)+len(innocent) != len(lines) || len(r.arrange(lines)) != len(lines) {
			t.Errorf("%d guilty, %d innocent of %d", len(guilty), len(innocent), len(lines))
		}
		if n, ok := r.dropped(); ok && n < 0 {
			t.Errorf("%d dropped", n)
		}
	})
}
