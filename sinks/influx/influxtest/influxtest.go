// Package influxtest starts a real InfluxDB 2 server for tests and asks it what
// it holds.
//
// The server's binary is looked for in FENGSUI_INFLUXD, then where .ci/influxd
// puts it. A server that runs already is used instead when FENGSUI_INFLUX_URL
// and FENGSUI_INFLUX_TOKEN are set. Without either the test is skipped, or fails
// when FENGSUI_REAL=1.
package influxtest

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Version is the release of the server that .ci/influxd builds.
const Version = "v2.7.12"

// Server is a running InfluxDB with an organization and a bucket of the test's own.
type Server struct {
	URL    string
	Org    string
	Bucket string
	Token  string // may do everything

	binary, dir string
	process     *exec.Cmd // nil: somebody else's server
	log         bytes.Buffer
}

// Start starts a server, or skips the test. It is stopped with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	if running := os.Getenv("FENGSUI_INFLUX_URL"); running != "" {
		return use(t, running)
	}
	s := &Server{Org: "fengsui", Bucket: "fengsui", Token: "influxtest-token", binary: binary(t), dir: t.TempDir()}
	s.URL = "http://" + freeAddress(t)
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("influxd:\n%s", tail(s.log.Bytes(), 4<<10))
		}
	})
	s.Resume(t)
	s.call(t, http.MethodPost, "/api/v2/setup", map[string]any{
		"username": "influxtest", "password": "influxtest-password", "org": s.Org, "bucket": s.Bucket, "token": s.Token,
	})
	return s
}

// use takes a server that is there, with a bucket for this test alone.
func use(t testing.TB, address string) *Server {
	s := &Server{URL: strings.TrimSuffix(address, "/"), Token: os.Getenv("FENGSUI_INFLUX_TOKEN")}
	var orgs struct{ Orgs []struct{ ID, Name string } }
	s.decode(t, http.MethodGet, "/api/v2/orgs?limit=1", nil, &orgs)
	if len(orgs.Orgs) == 0 {
		t.Fatal("influxtest: the token of FENGSUI_INFLUX_TOKEN sees no organization")
	}
	s.Org = orgs.Orgs[0].Name
	s.Bucket = s.NewBucket(t, 0)
	return s
}

func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("FENGSUI_INFLUXD"); path != "" {
		return path
	}
	cache := os.Getenv("FENGSUI_CACHE")
	if home, err := os.UserCacheDir(); cache == "" && err == nil {
		cache = filepath.Join(home, "fengsui")
	}
	path := filepath.Join(cache, "influxd-"+Version)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const missing = "influxtest: no influxd; build one with .ci/influxd, or set FENGSUI_INFLUXD, or FENGSUI_INFLUX_URL and FENGSUI_INFLUX_TOKEN"
	if os.Getenv("FENGSUI_REAL") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// Ours reports whether the server was started here, so that it may be killed.
func (s *Server) Ours() bool { return s.binary != "" }

// Kill ends the server as a power cut would. What it acknowledged is on disk.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	s.process.Process.Kill()
	s.process.Wait()
	s.process = nil
}

// Resume starts the server again after Kill, with its data and address.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	address := strings.TrimPrefix(s.URL, "http://")
	s.process = exec.Command(s.binary,
		"--bolt-path", filepath.Join(s.dir, "influxd.bolt"),
		"--sqlite-path", filepath.Join(s.dir, "influxd.sqlite"),
		"--engine-path", filepath.Join(s.dir, "engine"),
		"--http-bind-address", address,
		"--reporting-disabled", "--log-level", "warn")
	s.process.Env = append(os.Environ(), "HOME="+s.dir)
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	if err := s.process.Start(); err != nil {
		t.Fatalf("influxtest: start influxd: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for !s.healthy(ctx) {
		if ctx.Err() != nil {
			t.Fatalf("influxtest: influxd does not answer:\n%s", tail(s.log.Bytes(), 4<<10))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/health", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// NewBucket makes another bucket that keeps points for a while; 0 is for ever.
func (s *Server) NewBucket(t testing.TB, keep time.Duration) string {
	t.Helper()
	name := fmt.Sprintf("fengsui-test-%d", time.Now().UnixNano())
	var made struct{ ID string }
	s.decode(t, http.MethodPost, "/api/v2/buckets", map[string]any{
		"orgID": s.orgID(t), "name": name,
		"retentionRules": []map[string]any{{"type": "expire", "everySeconds": int(keep.Seconds())}},
	}, &made)
	t.Cleanup(func() {
		if !s.Ours() {
			s.call(t, http.MethodDelete, "/api/v2/buckets/"+made.ID, nil)
		}
	})
	return name
}

// NewToken makes a token that may do something ("read", "write") with a bucket.
func (s *Server) NewToken(t testing.TB, action, bucket string) string {
	t.Helper()
	org := s.orgID(t)
	var buckets struct{ Buckets []struct{ ID string } }
	s.decode(t, http.MethodGet, "/api/v2/buckets?name="+url.QueryEscape(bucket), nil, &buckets)
	if len(buckets.Buckets) == 0 {
		t.Fatalf("influxtest: no bucket %s", bucket)
	}
	var made struct{ Token string }
	s.decode(t, http.MethodPost, "/api/v2/authorizations", map[string]any{
		"orgID": org,
		"permissions": []map[string]any{{"action": action, "resource": map[string]any{
			"type": "buckets", "id": buckets.Buckets[0].ID, "orgID": org,
		}}},
	}, &made)
	return made.Token
}

func (s *Server) orgID(t testing.TB) string {
	t.Helper()
	var orgs struct{ Orgs []struct{ ID string } }
	s.decode(t, http.MethodGet, "/api/v2/orgs?org="+url.QueryEscape(s.Org), nil, &orgs)
	if len(orgs.Orgs) == 0 {
		t.Fatalf("influxtest: no organization %s", s.Org)
	}
	return orgs.Orgs[0].ID
}

// Write writes line protocol past the code under test, with times in ms.
func (s *Server) Write(t testing.TB, bucket, lines string) {
	t.Helper()
	s.send(t, http.MethodPost, "/api/v2/write?precision=ms&org="+url.QueryEscape(s.Org)+"&bucket="+url.QueryEscape(bucket),
		"text/plain", []byte(lines))
}

// Query runs Flux and returns the rows, each by column name.
func (s *Server) Query(t testing.TB, flux string) []map[string]string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": flux, "type": "flux", "dialect": map[string]any{"header": true}})
	if err != nil {
		t.Fatal(err)
	}
	answer := s.send(t, http.MethodPost, "/api/v2/query?org="+url.QueryEscape(s.Org), "application/json", body)
	rows, err := parse(answer)
	if err != nil {
		t.Fatalf("influxtest: %v in the answer to\n%s\n%s", err, flux, answer)
	}
	return rows
}

// Points returns the points of a measurement, one row each with its tags and
// fields as columns, oldest first.
func (s *Server) Points(t testing.TB, bucket, measurement string) []map[string]string {
	t.Helper()
	return s.Query(t, fmt.Sprintf(`from(bucket: %q) |> range(start: 1970-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)
		|> filter(fn: (r) => r._measurement == %q)
		|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
		|> drop(columns: ["_start", "_stop"]) |> group() |> sort(columns: ["_time"])`, bucket, measurement))
}

// Count returns how many values of a field a measurement holds.
func (s *Server) Count(t testing.TB, bucket, measurement, field string) int {
	t.Helper()
	rows := s.Query(t, fmt.Sprintf(`from(bucket: %q) |> range(start: 1970-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)
		|> filter(fn: (r) => r._measurement == %q and r._field == %q) |> group() |> count()`, bucket, measurement, field))
	if len(rows) == 0 {
		return 0
	}
	var n int
	fmt.Sscan(rows[0]["_value"], &n)
	return n
}

// parse reads CSV without annotations: tables, an empty line between them, each
// with a header.
func parse(text []byte) (rows []map[string]string, err error) {
	for _, table := range bytes.Split(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n\n")) {
		if len(bytes.TrimSpace(table)) == 0 {
			continue
		}
		records, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
		if err != nil {
			return nil, err
		}
		for _, record := range records[1:] {
			row := map[string]string{}
			for i, column := range records[0] {
				if column != "" && column != "result" && column != "table" {
					row[column] = record[i]
				}
			}
			if reason := row["error"]; reason != "" && len(records[0]) < 5 {
				return nil, errors.New(reason)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func (s *Server) call(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	return s.send(t, method, path, "application/json", text)
}

func (s *Server) decode(t testing.TB, method, path string, body, answer any) {
	t.Helper()
	if err := json.Unmarshal(s.call(t, method, path, body), answer); err != nil {
		t.Fatalf("influxtest: %s %s: %v", method, path, err)
	}
}

func (s *Server) send(t testing.TB, method, path, contentType string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+s.Token)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("influxtest: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("influxtest: %s %s: %s %v\n%s", method, path, resp.Status, err, answer)
	}
	return answer
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
