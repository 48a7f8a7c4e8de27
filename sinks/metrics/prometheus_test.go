package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// needTool finds a program, or skips the test; with FENGSUI_REAL=1 it must be there.
func needTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("FENGSUI_REAL") == "1" {
		t.Fatalf("%s is missing (Debian: apt install prometheus)", name)
	}
	t.Skipf("%s is missing (Debian: apt install prometheus)", name)
	return ""
}

// TestPromtool holds names, help and format against Prometheus' own checks.
func TestPromtool(t *testing.T) {
	promtool := needTool(t, "promtool")
	server := httptest.NewServer(observed(example()).Handler())
	defer server.Close()
	resp, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = resp.Body
	if out, err := check.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestConfigs holds the scrape config and the alert rules that are handed out.
func TestConfigs(t *testing.T) {
	promtool := needTool(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "fengsui.rules.yml"},
		{"test", "rules", "fengsui.rules_test.yml"},
	} {
		check := exec.Command(promtool, args...)
		check.Dir = "../../configs/prometheus"
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestRulesUseMetricsThatExist keeps the alert rules in step with the metrics.
func TestRulesUseMetricsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../configs/prometheus/fengsui.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	families := gather(t, observed(example()))
	found := 0
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }) {
		if !strings.HasPrefix(word, "fengsui_") {
			continue
		}
		found++
		if families[word] == nil && families[strings.TrimSuffix(word, "_bucket")] == nil {
			t.Errorf("fengsui.rules.yml uses %s, which does not exist", word)
		}
	}
	if found < 10 {
		t.Errorf("found only %d metrics in the rules", found)
	}
}

// TestPrometheusScrapes lets a real Prometheus scrape the page, with the
// token of another machine, and asks it for what it got.
func TestPrometheusScrapes(t *testing.T) {
	prometheus := needTool(t, "prometheus")
	page := observed(example()).Handler()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		page.ServeHTTP(w, r)
	}))
	defer gateway.Close()
	api := startPrometheus(t, prometheus, gateway.Listener.Addr().String())

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []struct{ query, want string }{
		{`fengsui_messages_received_total{source="embedded"}`, "100"},
		{`fengsui_sink_lag_seconds{sink="influx"}`, "1.5"},
		{`histogram_quantile(0.5, fengsui_stage_seconds_bucket{stage="kept"})`, "0.00375"},
		{`fengsui_build_info{version="1.2.3"}`, "1"},
	} {
		if got := query(t, ctx, api, c.query); got != c.want {
			t.Errorf("%s = %s, want %s", c.query, got, c.want)
		}
	}
}

func startPrometheus(t *testing.T, binary, target string) (api string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`{global: {scrape_interval: 1s}, scrape_configs: [{job_name: fengsui, authorization: {credentials: s3cret}, static_configs: [{targets: [%q]}]}]}`, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := freeAddress(t)
	var log bytes.Buffer
	server := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+listen)
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("prometheus:\n%s", &log)
		}
	})
	return "http://" + listen
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// query asks until there is an answer: the first scrape takes its time.
func query(t *testing.T, ctx context.Context, api, expr string) string {
	t.Helper()
	for {
		if value, ok := ask(ctx, api, expr); ok {
			return value
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no answer to %s", expr)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ask(ctx context.Context, api, expr string) (value string, ok bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return "", false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", false
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil || len(answer.Data.Result) == 0 {
		return "", false
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), true
}
