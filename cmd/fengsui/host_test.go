package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fengsui/rules/alarms"
)

// runToEnd runs the binary, as another user if asked to, until it ends, and
// returns its status and what it says.
func (g *gateway) runToEnd(user uint32, args ...string) (status int, says string) {
	g.t.Helper()
	name, err := built()
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = g.dir
	if user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		g.t.Fatalf("%v did not end:\n%s", args, out)
	}
	if err != nil && cmd.ProcessState == nil {
		g.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// open lets every user reach a folder of the test.
func open(t *testing.T, folder string) {
	t.Helper()
	for ; strings.HasPrefix(folder, os.TempDir()) && folder != os.TempDir(); folder = filepath.Dir(folder) {
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMistakesOnTheHost is what an operator gets wrong on the machine itself:
// each ends at once, with one message that says what, where and what to do.
func TestMistakesOnTheHost(t *testing.T) {
	const nobody = 65534
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := taken.Addr().String()
	_, port, _ := net.SplitHostPort(busy)
	run := []string{"run", "-config", "fengsui.yaml"}
	tests := []struct {
		name   string
		args   []string // default: run
		change func(g *gateway)
		config func(config string) string
		user   uint32
		status int // default 1
		want   []string
	}{
		{name: "a typo in the config", config: func(c string) string { return c + "jurnal: {keep: 1h}\n" },
			want: []string{`fengsui.yaml:6:1: unknown key "jurnal", did you mean "journal"?`}},
		{name: "a disk that is never full", config: func(c string) string { return c + "disk: {warn_percent: 95}\n" },
			want: []string{"fengsui.yaml:6:7:", "warn_percent is 95 and alarm_percent 90"}},
		{name: "an unknown overflow", config: func(c string) string { return c + "disk: {overflow: drop}\n" },
			want: []string{"fengsui.yaml:6:18:", `overflow is "drop"; want refuse or drop_oldest`}},
		{name: "no config file", args: []string{"run", "-config", "nope.yaml"},
			want: []string{"there is no config file nope.yaml", "-config FILE", "fengsui init"}},
		{name: "a folder for a config file", args: []string{"run", "-config", "."},
			want: []string{". is a folder", "-config ./fengsui.yaml"}},
		{name: "a config file of somebody else's", user: nobody, change: func(g *gateway) { os.Chmod(filepath.Join(g.dir, "fengsui.yaml"), 0o600) },
			want: []string{"config file fengsui.yaml may not be read by this user", "run fengsui as the user it belongs to"}},
		{name: "the console's port is taken", config: func(c string) string { return "http: {listen: \"" + busy + "\"}\n" + without(c, "http:") },
			want: []string{port, "taken by another program", "ss -ltnp", "http.listen"}},
		{name: "the intake's port is taken", config: func(c string) string { return "mqtt: {listen: \"" + busy + "\"}\n" + without(c, "mqtt:") },
			want: []string{port, "another program has this port", "ss -ltnp", "mqtt.listen"}},
		{name: "a data folder of somebody else's", user: nobody, change: func(g *gateway) {
			g.write("data/x", "")
			for _, name := range []string{"fengsui.yaml", "devices.yaml"} {
				os.Chmod(filepath.Join(g.dir, name), 0o644)
			}
		}, want: []string{"the data folder data may not be written by this user", "chown -R USER data", "permission denied"}},
		{name: "a data folder that cannot be made", config: func(c string) string { return "data: /proc/nowhere\n" + without(c, "data:") },
			want: []string{"the data folder /proc/nowhere cannot be made", "on a disk that is mounted (data)"}},
		{name: "no certificate", config: func(c string) string { return c + "tls: {cert_file: site.crt, key_file: site.key}\n" },
			want: []string{"site.crt", "no such file", "fengsui cert"}},
		{name: "a certificate that is none", config: func(c string) string { return c + "tls: {cert_file: devices.yaml, key_file: devices.yaml}\n" },
			want: []string{"tls.cert_file devices.yaml", "both must be PEM", "fengsui cert"}},
		{name: "an unknown command", args: []string{"rnu"}, status: 2, want: []string{`there is no command "rnu", did you mean run?`}},
		{name: "an unknown flag", args: []string{"run", "-confg", "x"}, status: 2,
			want: []string{"fengsui run: flag provided but not defined: -confg, did you mean -config?", "fengsui run -h"}},
		{name: "a word too many", args: []string{"run", "fengsui.yaml"}, status: 2, want: []string{`unexpected "fengsui.yaml"`}},
		{name: "secrets that are not there", args: []string{"check", "-lang", "en"}, config: func(c string) string {
			return c + "metrics: {token_file: a}\ninflux: {url: \"http://x\", org: o, bucket: b, token_file: c}\nbrokers:\n  - {name: county, url: \"tcp://x:1\", username: u, password_file: d, ca_file: e}\n"
		}, want: []string{"6:23  error    a cannot be read (no such file or directory)", "7:58  error    c cannot be read",
			"d cannot be read (no such file or directory); it should hold the password of u at the broker county", "e cannot be read"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.user != 0 && os.Getuid() != 0 {
				needReal(t, false, "the right to run as somebody else")
			}
			g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), "")
			config := without(readFile(t, g.config()), "disk:")
			if tt.config != nil {
				config = tt.config(config)
			}
			g.write("fengsui.yaml", config)
			if tt.change != nil {
				tt.change(g)
			}
			if tt.user != 0 {
				name, err := built()
				if err != nil {
					t.Fatal(err)
				}
				open(t, filepath.Dir(name))
				open(t, g.dir)
			}
			args, status := tt.args, tt.status
			if args == nil {
				args = run
			}
			if status == 0 {
				status = 1
			}
			got, says := g.runToEnd(tt.user, args...)
			if got != status {
				t.Errorf("status %d, want %d", got, status)
			}
			for _, want := range tt.want {
				if !strings.Contains(says, want) {
					t.Errorf("it does not say %q:\n%s", want, says)
				}
			}
			if lines := strings.Count(says, "fengsui: "); lines > 1 {
				t.Errorf("it complains %d times:\n%s", lines, says)
			}
		})
	}
}

// without drops the line of a config that begins so.
func without(config, key string) string {
	var kept []string
	for line := range strings.Lines(config) {
		if !strings.HasPrefix(line, key) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// TestMissingSecretsSilenceNobodyElse: the password of one broker and the token
// of the scrapers are gone after a restart. The gateway starts, the lost source
// is an alarm that says why, and devices are watched.
func TestMissingSecretsSilenceNobodyElse(t *testing.T) {
	g := newGateway(t, siteYAML(t, "s", "pw", oneGasDetector), fmt.Sprintf(
		"metrics: {token_file: gone}\nbrokers:\n  - {name: county, url: \"tcp://%s\", username: u, password_file: secrets/county}\n", freeAddress(t)))
	g.start()
	lost := g.waitAlarm("the lost source", func(a *alarms.Alarm) bool { return a.Rule == "source_down" && a.Device == "county" })
	pub(t, g.mqtt, "v1/s/d/telemetry", `{"values":{"gas_lel_pct":70}}`, "-u", "s", "-P", "pw")
	g.waitAlarm("the gas alarm", func(a *alarms.Alarm) bool { return a.Device == "d" })
	for _, want := range []string{"gone cannot be read", "secrets/county cannot be read", "the password of u at the broker county"} {
		if !strings.Contains(g.output.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, e := range g.events() {
		if e.Alarm.ID == lost.ID && !strings.Contains(e.Note, "secrets/county: no such file") {
			t.Errorf("the alarm's reason is %q", e.Note)
		}
	}
}
