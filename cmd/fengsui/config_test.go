package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fengsui/configs"
	"fengsui/devices"
	"io/fs"
)

// The reference config says what the defaults are, so it must decode to them.
func TestReferenceConfigIsTheDefaults(t *testing.T) {
	text, err := fs.ReadFile(configs.All(), "fengsui.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := Config{}
	if _, err := devices.ReadDocument("fengsui.yaml", text, &got); err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.HTTP.Origins, want.Brokers, want.Notify, want.Routes = []string{}, []Broker{}, []NotifyConfig{}, []string{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("configs/fengsui.yaml decodes to\n%+v\nthe defaults are\n%+v", got, want)
	}
}

func TestConfigMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"typo", "data: data\nhttp: {lisen: \":80\"}\n", `fengsui.yaml:2:8: unknown key "lisen"`},
		{"nearest", "jurnal: {keep: 1h}\n", `"journal"`},
		{"nothing arrives", "mqtt: {listen: \"\"}\n", "nothing could arrive"},
		{"bad level", "log: loud\n", `fengsui.yaml:1:6: "loud" is no log level`},
		{"two of a name", "brokers:\n  - {name: a, url: \"tcp://b:1\"}\n  - {name: a, url: \"tcp://c:1\"}\n", `fengsui.yaml:3:12: name "a" is taken`},
		{"name of the intake", "brokers: [{name: embedded, url: \"tcp://b:1\"}]\n", `"embedded" is taken`},
		{"no scheme", "brokers: [{name: a, url: \"b:1883\"}]\n", "want tcp://host:1883"},
		{"half an influx", "influx: {url: \"http://x\"}\n", "influx needs url, org, bucket and token_file"},
		{"no address", "http: {url: console.example}\n", "want the address of the console"},
		{"tiny journal", "journal: {max_bytes: 5}\n", "want at least 1073741824"},
		{"no duration", "history_after: soon\n", "fengsui.yaml:1:"},
		{"empty", "", "the file is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "fengsui.yaml")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := loadConfig(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("loadConfig says %v, want it to contain %q", err, tt.want)
			}
		})
	}
}

// What init writes must be sound, and must never be written over.
func TestInitWritesASoundConfiguration(t *testing.T) {
	folder := t.TempDir()
	var out, errs bytes.Buffer
	term := terminal{strings.NewReader(""), &out, &errs}
	if status := execute(t.Context(), term, []string{"init", folder}); status != 0 {
		t.Fatalf("init: status %d: %s", status, errs.String())
	}
	config := filepath.Join(folder, "fengsui.yaml")
	if status := execute(t.Context(), term, []string{"check", "-config", config, "-lang", "en"}); status != 0 {
		t.Fatalf("check: status %d: %s", status, out.String())
	}
	if !strings.Contains(out.String(), "is sound") || !strings.Contains(out.String(), "0 warnings") {
		t.Errorf("check says %q", out.String())
	}
	if status := execute(t.Context(), term, []string{"test", "-config", config, "-coverage"}); status != 0 {
		t.Errorf("test: status %d: %s", status, out.String())
	}
	if status := execute(t.Context(), term, []string{"init", folder}); status == 0 || !strings.Contains(errs.String(), "is there already") {
		t.Errorf("a second init: status %d: %s", status, errs.String())
	}
}
