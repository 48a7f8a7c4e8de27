package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fengsui/rules/alarms"
	"fengsui/sinks"
)

// alertmanager is a real one on a free port.
type alertmanager struct {
	t       *testing.T
	address string
	dir     string
	cmd     *exec.Cmd
}

func startAlertmanager(t *testing.T) *alertmanager {
	t.Helper()
	path, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		path, err = exec.LookPath("alertmanager")
	}
	needReal(t, err == nil, "prometheus-alertmanager")
	m := &alertmanager{t: t, address: freeAddress(t), dir: t.TempDir()}
	config := "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
	if err := os.WriteFile(filepath.Join(m.dir, "alertmanager.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	m.run(path)
	return m
}

func (m *alertmanager) run(path string) {
	m.t.Helper()
	m.cmd = exec.Command(path, "--config.file="+filepath.Join(m.dir, "alertmanager.yml"), "--storage.path="+m.t.TempDir(),
		"--web.listen-address="+m.address, "--cluster.listen-address=")
	var said lockedBuffer
	m.cmd.Stdout, m.cmd.Stderr = &said, &said
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(m.kill)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + m.address + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("Alertmanager does not answer: %v\n%s", err, said.String())
		}
	}
}

func (m *alertmanager) kill() {
	if m.cmd != nil {
		m.cmd.Process.Kill()
		m.cmd.Wait()
		m.cmd = nil
	}
}

// forget restarts it; what it knew is gone.
func (m *alertmanager) forget() {
	m.t.Helper()
	path := m.cmd.Path
	m.kill()
	m.run(path)
}

// alerts lists what stands of what the test is about: "gas-01 combustible_gas_high red".
func (m *alertmanager) alerts() ([]string, error) {
	resp, err := http.Get("http://" + m.address + "/api/v2/alerts")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var list []struct {
		Labels map[string]string
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, err
	}
	words := []string{}
	for _, a := range list {
		if device := a.Labels["device"]; device == "gas-01" || device == "sink notify_am-2" { // the machine may have troubles of its own
			words = append(words, device+" "+a.Labels["alertname"]+" "+a.Labels["severity"])
		}
	}
	slices.Sort(words)
	return words, nil
}

func (m *alertmanager) waitAlerts(g *gateway, what string, want ...string) {
	m.t.Helper()
	g.eventually(what, func() error {
		got, err := m.alerts()
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("Alertmanager has %q, want %q", got, want)
		}
		return err
	})
}

// TestAlertmanager: from a publish to two real Alertmanagers and back. One that
// restarts and forgets is told again; the end is the end at both.
func TestAlertmanager(t *testing.T) {
	one, two := startAlertmanager(t), startAlertmanager(t)
	g := newGateway(t, siteYAML(t, "canteen", "pw", "id: gas-01, kind: combustible_gas, state: in_service"),
		fmt.Sprintf("notify:\n  - {name: am-1, type: alertmanager, url: \"http://%s\", repeat: 1s}\n  - {name: am-2, type: alertmanager, url: \"http://%s/\", repeat: 1s}\n", one.address, two.address))
	g.start()
	login := []string{"-u", "canteen", "-P", "pw"}
	at := time.Now().Add(-6 * time.Minute).UnixMilli()
	publish := func(ms int64, percent float64) {
		pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", fmt.Sprintf(`{"ts":%d,"values":{"gas_lel_pct":%g}}`, at+ms, percent), login...)
	}
	yellow, red := "gas-01 combustible_gas_high yellow", "gas-01 combustible_gas_high red"
	publish(0, 30)
	one.waitAlerts(g, "the alarm at the first Alertmanager", yellow)
	two.waitAlerts(g, "the alarm at the second Alertmanager", yellow)
	publish(1000, 70)
	one.waitAlerts(g, "the worse level", red)
	two.waitAlerts(g, "the worse level", red)

	one.forget()
	one.waitAlerts(g, "what stands, after Alertmanager forgot it", red)
	g.kill()
	g.start()
	two.waitAlerts(g, "what stands, after the gateway was killed", red)

	a := g.waitAlarm("the alarm", func(a *alarms.Alarm) bool { return a.Field == "gas_lel_pct" })
	publish(10_000, 0.4)
	publish(330_000, 0.3)
	g.waitAlarm("the condition over", func(b *alarms.Alarm) bool { return b.ID == a.ID && slices.Contains(b.Flags, "latched") })
	if _, err := g.request("POST", "/api/v1/alarms/"+a.ID+"/reset", map[string]string{"note": "checked on site"}, nil); err != nil {
		t.Fatal(err)
	}
	one.waitAlerts(g, "the end at the first")
	two.waitAlerts(g, "the end at the second")
	if sent := g.metric("fengsui_sink_sent_total", `sink="notify_am-1"`); sent < 2 {
		t.Errorf("%v alerts sent", sent)
	}

	two.kill()
	g.waitAlarm("the trouble of an Alertmanager that is gone, though nothing is to be told", func(a *alarms.Alarm) bool {
		return a.Rule == "gateway_trouble" && a.Device == "sink notify_am-2"
	})
	one.waitAlerts(g, "that trouble at the other one", "sink notify_am-2 gateway_trouble fault")
	g.stop()
}

// hookServer is an endpoint of a test, with what it was told.
type hookServer struct {
	*httptest.Server
	mu    sync.Mutex
	calls []hookCall
	// answer is called before a call is answered, with how many there were.
	answer func(w http.ResponseWriter, n int)
}

type hookCall struct {
	key  string
	Step string
	Late bool
	Text struct{ ZH string }
}

func newHookServer(t *testing.T) *hookServer {
	h := &hookServer{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c := hookCall{key: r.Header.Get("Idempotency-Key")}
		if err := json.Unmarshal(body, &c); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		h.mu.Lock()
		h.calls = append(h.calls, c)
		n, answer := len(h.calls), h.answer
		h.mu.Unlock()
		if answer != nil {
			answer(w, n)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hookServer) told() []hookCall {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// TestAKillBetweenCallAndCursor: a gateway that dies while an endpoint takes its
// message sends the same message again, with the same key, and nothing twice
// that it had written down.
func TestAKillBetweenCallAndCursor(t *testing.T) {
	h := newHookServer(t)
	g := newGateway(t, siteYAML(t, "canteen", "pw", "id: gas-01, kind: combustible_gas, state: in_service", "id: gas-02, kind: combustible_gas, state: in_service"),
		fmt.Sprintf("notify: [{name: duty, url: %q, levels: [red]}]\n", h.URL))
	cut := make(chan struct{})
	h.answer = func(_ http.ResponseWriter, n int) {
		if n == 2 {
			g.cmd.Process.Kill() // kill -9: the call was taken, nobody hears so
			close(cut)
		}
	}
	g.start()
	login := []string{"-u", "canteen", "-P", "pw"}
	pub(t, g.mqtt, "v1/canteen/gas-01/telemetry", `{"values":{"gas_lel_pct":70}}`, login...)
	g.eventually("the first message", func() error {
		if len(h.told()) < 1 {
			return fmt.Errorf("none")
		}
		return nil
	})
	pub(t, g.mqtt, "v1/canteen/gas-02/telemetry", `{"values":{"gas_lel_pct":80}}`, login...)
	<-cut
	g.kill()
	g.start()
	g.eventually("the second message once more", func() error {
		if n := len(h.told()); n < 3 {
			return fmt.Errorf("%d messages", n)
		}
		return nil
	})
	calls := h.told()
	if calls[1].key == "" || calls[1].key != calls[2].key || calls[0].key == calls[1].key {
		t.Errorf("keys %q, %q, %q", calls[0].key, calls[1].key, calls[2].key)
	}
	if !strings.Contains(calls[2].Text.ZH, "【监测报警·红色】测试站点") || !strings.Contains(calls[2].Text.ZH, "当前 80 %LEL，限值 50 %LEL") {
		t.Errorf("the message reads %s", calls[2].Text.ZH)
	}
	g.eventually("all is told", func() error {
		if lag := g.metric("fengsui_sink_lag_entries", `sink="notify_duty"`); lag != 0 {
			return fmt.Errorf("%v entries behind", lag)
		}
		return nil
	})
	if n := len(h.told()); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	g.stop()
}

// TestNotifyTestSendsAMarkedMessage: an operator sees what the endpoint answers.
func TestNotifyTestSendsAMarkedMessage(t *testing.T) {
	h := newHookServer(t)
	folder := t.TempDir()
	config := filepath.Join(folder, "fengsui.yaml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("fengsui.yaml", fmt.Sprintf("notify: [{name: duty, url: %q, secret_headers: {Authorization: token}}]\n", h.URL))
	write("token", "Bearer s3cret")
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		status := execute(t.Context(), terminal{strings.NewReader(""), &out, &out}, args)
		return status, out.String()
	}
	if status, out := run("notify", "test", "-config", config, "duty"); status != 0 || !strings.Contains(out, "duty answered 200 OK") || !strings.Contains(out, "was taken") {
		t.Errorf("status %d: %s", status, out)
	}
	if calls := h.told(); len(calls) != 1 || calls[0].Step != "test" || !strings.Contains(calls[0].Text.ZH, "测试消息，无需处置") {
		t.Errorf("sent %+v", calls)
	}
	h.answer = func(w http.ResponseWriter, _ int) { http.Error(w, "no such duty room", 404) }
	if status, out := run("notify", "test", "-config", config, "duty"); status != 1 || !strings.Contains(out, "duty answered 404 Not Found: no such duty room") || !strings.Contains(out, "correct url or method") {
		t.Errorf("status %d: %s", status, out)
	}
	if status, out := run("notify", "test", "-config", config, "night"); status != 1 || !strings.Contains(out, `has no notify endpoint "night"; it has [duty]`) {
		t.Errorf("status %d: %s", status, out)
	}
	if status, out := run("check", "-config", config); status != 0 {
		t.Errorf("check: status %d: %s", status, out)
	}
	os.Remove(filepath.Join(folder, "token"))
	if status, out := run("check", "-config", config); status != 1 || !strings.Contains(out, "notify endpoint duty: secret_headers: Authorization: open") {
		t.Errorf("check: status %d: %s", status, out)
	}
}

// TestNotifyMistakes: with place and remedy, before anything starts.
func TestNotifyMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{name: a, url: "http://h", levles: [red]}`, `fengsui.yaml:2:32: unknown key "levles", did you mean "levels"?`},
		{`{name: a, url: "http://h", levels: [rad]}`, `fengsui.yaml:2:40: levels: "rad" is none`},
		{`{name: a, url: "http://h?k=1"}`, `fengsui.yaml:2:20: url: has a query`},
		{`{name: a, url: "http://h", type: email}`, `fengsui.yaml:2:38: type: "email" is none; want webhook or alertmanager`},
		{`{name: a, url: "http://h", type: alertmanager, template: x}`, `an alertmanager takes no template`},
		{`{name: a, url: "http://h", repeat: 1m}`, `a webhook takes no labels and no repeat`},
		{`{name: a, url: "http://h", template: '{{json .Txt}}'}`, `fengsui.yaml:2:42: template: tried with "test": template: template:1:7: executing "template" at <.Txt>: can't evaluate field Txt`},
		{`{name: a, url: "http://h", steps: [risen]}`, `"risen"`},
		{`{name: a, url: "http://h", ca_file: none.pem}`, `fengsui.yaml:2:41: ca_file: open`},
		{"{name: a, url: \"http://h\"}\n  - {name: a, url: \"http://h\"}", `fengsui.yaml:3:12: name "a" is taken`},
	} {
		path := filepath.Join(t.TempDir(), "fengsui.yaml")
		if err := os.WriteFile(path, []byte("notify:\n  - "+c.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadConfig(path)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n%v\nwant %s", c.text, err, c.want)
		}
	}
}

// TestWhatIsRejectedIsKept: a bounded file for people to look at.
func TestWhatIsRejectedIsKept(t *testing.T) {
	folder := t.TempDir()
	r := newRejected(folder, "influx", newLogger(io.Discard, "info"))
	r.add("a,b=c d=1 2", "field type conflict")
	text := readFile(t, filepath.Join(folder, "rejected", "influx.jsonl"))
	if !strings.Contains(text, `"reason":"field type conflict","what":"a,b=c d=1 2"`) {
		t.Errorf("kept %s", text)
	}
	huge := strings.Repeat("x", 1<<20)
	for range 40 {
		r.add(huge, "too large")
	}
	var size int64
	for _, name := range []string{"influx.jsonl", "influx.jsonl.1"} {
		info, err := os.Stat(filepath.Join(folder, "rejected", name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 2*maxRejected || size < maxRejected {
		t.Errorf("%d bytes are kept", size)
	}
}

// TestSinkTroubles: what of a sink is an alarm, and what is only its daily life.
func TestSinkTroubles(t *testing.T) {
	for _, c := range []struct {
		status sinks.Status
		want   string
	}{
		{sinks.Status{}, ""},
		{sinks.Status{Lag: time.Hour}, ""},
		{sinks.Status{Error: "connection refused", Lag: time.Minute}, ""},
		{sinks.Status{Error: "connection refused", Lag: 4 * time.Minute}, "数分钟未能送出，数据留在日志中 · nothing was accepted for minutes; what it should get waits in the log: connection refused"},
		{sinks.Status{Trouble: "put aside"}, "部分消息对方未接收 · not everything was taken: put aside"},
		{sinks.Status{Trouble: "put aside", Stopped: "put a valid token into the file", Error: "401", Lag: time.Hour}, "已停止，数据留在日志中 · it stands, what it should get waits in the log: put a valid token into the file"},
		{sinks.Status{Lost: 3, Stopped: "put a valid token into the file"}, "日志中有 3 条记录缺失或损坏，未能送达 · 3 entries of its log are missing or damaged and never reach it"},
	} {
		if got := sinkTrouble(c.status); got != c.want {
			t.Errorf("%+v: %q, want %q", c.status, got, c.want)
		}
	}
}
