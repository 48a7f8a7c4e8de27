package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fengsui/devices"
)

// decodeFolder is what fengsui init writes, with some routes switched on.
func decodeFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	if status := execute(t.Context(), terminal{nil, &out, &errs}, []string{"init", dir}); status != 0 {
		t.Fatalf("init: %s", errs.String())
	}
	path := filepath.Join(dir, "fengsui.yaml")
	text := strings.Replace(readFile(t, path), "routes: []", "routes: [routes/thingsboard.yaml, routes/tasmota.yaml, routes/cigem.yaml]", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func decodeCommand(t *testing.T, dir, in string, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	args = append([]string{"decode", "-config", filepath.Join(dir, "fengsui.yaml"), "-lang", "en", "-received", "2026-06-27T06:32:06Z"}, args...)
	status = execute(t.Context(), terminal{strings.NewReader(in), &o, &e}, args)
	return o.String(), e.String(), status
}

// TestDecodeShowsAnInstaller: each line of what it says that an installer needs.
func TestDecodeShowsAnInstaller(t *testing.T) {
	dir := decodeFolder(t)
	if err := os.WriteFile(filepath.Join(dir, "payload"), []byte(`{"values":{"gas_lel_pct":7}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const gas = "v1/canteen-01/gas-01/telemetry"
	tests := []struct {
		name string
		args []string
		in   string
		want []string
	}{
		{"the plain way", []string{"-topic", gas, `{"ts":1782541925000,"values":{"gas_lel_pct":12.6}}`}, "",
			[]string{"canteen-01/gas-01", "gas_lel_pct  12.6  %LEL  good", "as the device says", "accepted · 1 ✓\n"}},
		{"over range", []string{"-topic", gas, `{"values":{"gas_lel_pct":180}}`}, "", []string{"suspect, over range: counts as the worst level", "none in the payload"}},
		{"unknown field", []string{"-topic", gas, `{"values":{"gas_lell_pct":1,"valve_state":1}}`}, "",
			[]string{"✗ gas_lell_pct unknown_field", `{"values":{"gas_lell_pct":1,"valve_state":1…` + "\n    " + strings.Repeat(" ", 11) + "^\n", "→ gas_lel_pct", "1 closed"}},
		{"broken", []string{"-topic", gas, `{"values":{"gas_lel_pct":12,6}}`}, "",
			[]string{"at byte 28", strings.Repeat(" ", 32) + "^", "decimal comma", "no reading comes of it"}},
		{"unknown device", []string{"-topic", "v1/canteen-01/gas-02/telemetry", `{}`}, "", []string{"unknown_device", "→ gas-01"}},
		{"not used", []string{"-topic", gas, `{"values":{"gas_lel_pct":1},"fw":"1.2"}`}, "", []string{"not used\n  fw = \"1.2\""}},
		{"a file", []string{"-topic", gas, "@" + filepath.Join(dir, "payload")}, "", []string{"gas_lel_pct  7 "}},
		{"standard input", []string{"-topic", gas, "-"}, `{"values":{"gas_lel_pct":8}}`, []string{"gas_lel_pct  8 "}},
		{"hexadecimal", []string{"-topic", gas, "7b22 7661 6c75 6573 223a 7b22 6761 735f 6c65 6c5f 7063 7422 3a39 7d7d"}, "", []string{"gas_lel_pct  9 "}},
		{"eight hours ahead", []string{"-topic", gas, `{"ts":"2026-06-27T14:32:05Z","values":{"gas_lel_pct":1}}`}, "",
			[]string{"which cannot be", "clock wrong", "8.0 h ahead", `tz_lies: "+08:00"`}},
		{"single quotes", []string{"-topic", gas, `{'values': {'gas_lel_pct': 5}}`}, "", []string{"mended  single quotes taken as double", "accepted"}},
		{"a route", []string{"-topic", "v1/gateway/telemetry", "-user", "canteen-01", `{"gas-01":[{"ts":1782541925000,"values":{"gas_lel_pct":5}}]}`}, "",
			[]string{"thingsboard.yaml, route 1", `✗ `, `level 1 is "v1", not "tele"`, "canteen-01/gas-01", "gas_lel_pct  5 "}},
		{"nobody's", []string{"-topic", "v1/gateway/telemetry", `{"gas-01":[{"values":{"gas_lel_pct":5}}]}`}, "", []string{"nothing says which site"}},
		{"no route", []string{"-topic", "up/x", `{}`}, "", []string{"no route takes this topic", "bad_topic"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, status := decodeCommand(t, dir, tt.in, tt.args...)
			if status != 0 {
				t.Fatalf("status %d: %s", status, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestDecodeInJSON(t *testing.T) {
	out, errs, status := decodeCommand(t, decodeFolder(t), "", "-json", "-topic", "v1/canteen-01/gas-01/telemetry", `{"values":{"gas_lel_pct":12.6,"x":1}}`)
	var e devices.Explanation
	if err := json.Unmarshal([]byte(out), &e); err != nil || status != 0 {
		t.Fatalf("status %d: %v: %s", status, err, errs)
	}
	if e.Class != "accepted" || len(e.Samples) != 1 || e.Samples[0].Values[0].Number != 12.6 || len(e.Rejections) != 1 || e.Rejections[0].Byte != 31 {
		t.Errorf("%s", out)
	}
}

func TestDecodeWantsATopic(t *testing.T) {
	if _, errs, status := decodeCommand(t, decodeFolder(t), "", `{}`); status != 2 || !strings.Contains(errs, "want a topic and a payload") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// TestPointAt: the caret stands under the letter, however wide those before it are.
func TestPointAt(t *testing.T) {
	tests := []struct {
		text   string
		at     int
		line   string
		column int
	}{
		{`{"a":x}`, 5, `{"a":x}`, 5},
		{`{"名":x}`, 7, `{"名":x}`, 6},
		{"\x02\x00\xa3{x", 4, "···{x", 4},
		{strings.Repeat("一", 40) + "x", 120, "…" + strings.Repeat("一", 16) + "x", 33},
		{"short", 99, "short", 5},
	}
	for _, tt := range tests {
		if line, column := pointAt(tt.text, tt.at); line != tt.line || column != tt.column {
			t.Errorf("%q at %d: %q, column %d", tt.text, tt.at, line, column)
		}
	}
}
