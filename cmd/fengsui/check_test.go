package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fengsui/rules/lint"
)

var update = flag.Bool("update", false, "write what commands say now into testdata")

// edit is a mistake that somebody makes in one of the files init wrote.
type edit struct{ file, old, new string }

var (
	oddities = []edit{
		{"devices.yaml", "dry_beach_min_m: 50", "dry_beach_mim_m: 50"},
		{"devices.yaml", "rated_current_a: 100", "supply_note_a: 100"},
		{"kinds/electrical_fire.yaml", "events: true # a change is sent at once\n", ""},
		{"rules/combustible_gas.yaml", "clear: {limit: 0.5, for: 5m}", "clear: {hysteresis: 0}"},
		{"rules/slope_movement.yaml", "measure: {rate: {over: 8h, per: 1h, samples: 8}}", "measure: {rate: {over: 3h, per: 1h, samples: 8}}"},
	}
	mistakes = []edit{
		{"devices.yaml", "kind: tailings_pond", "kind: tailing_pond"},
		{"rules/combustible_gas.yaml", "field: co_ppm", "field: co_pmm"},
		{"rules/combustible_gas.yaml", "{level: red, limit: 2}", "{level: red, limit: 0.9}"},
		{"rules/tailings_pond.yaml", "worse: low", "wrose: low"},
	}
)

// checked writes a configuration with edits in it and runs check.
func checked(t *testing.T, edits []edit, flags ...string) (status int, said string) {
	t.Helper()
	folder := t.TempDir()
	var out bytes.Buffer
	term := terminal{strings.NewReader(""), &out, &out}
	if status := execute(t.Context(), term, []string{"init", folder}); status != 0 {
		t.Fatal(out.String())
	}
	out.Reset()
	for _, e := range edits {
		name := filepath.Join(folder, e.file)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), e.old) {
			t.Fatalf("%s does not say %q", e.file, e.old)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status = execute(t.Context(), term, append([]string{"check", "-config", filepath.Join(folder, "fengsui.yaml")}, flags...))
	return status, strings.ReplaceAll(out.String(), folder+string(filepath.Separator), "")
}

func TestCheckSaysWhereAndWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name   string
		edits  []edit
		status int
	}{{"oddities", oddities, 0}, {"mistakes", mistakes, 1}} {
		for _, lang := range []string{"zh", "en"} {
			status, said := checked(t, test.edits, "-lang", lang)
			if status != test.status {
				t.Errorf("%s: status %d, want %d", test.name, status, test.status)
			}
			golden := filepath.Join("testdata", "check_"+test.name+"_"+lang+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(said), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if said != string(want) {
				t.Errorf("%s says\n%s\nwant\n%s", golden, said, want)
			}
		}
	}
}

func TestCheckAsJSON(t *testing.T) {
	_, said := checked(t, oddities, "-json")
	var got checkup
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if got.Warnings == 0 || got.Errors != 0 || got.Devices != 3 || got.Armed == 0 {
		t.Errorf("it counts %+v", got)
	}
	for _, f := range got.Findings {
		if f.File == "" || f.Line == 0 || f.Column == 0 || f.Code == "" || f.Severity != lint.Warning && f.Severity != lint.Note {
			t.Errorf("a finding without a place or a word: %+v", f)
		}
	}
	if _, said := checked(t, nil, "-json"); !strings.Contains(said, `"findings": []`) {
		t.Errorf("nothing found: %s", said)
	}
}

func TestCheckOfABrokenConfig(t *testing.T) {
	_, said := checked(t, []edit{{"fengsui.yaml", "log: info", "lag: info"}}, "-lang", "en")
	if !strings.Contains(said, `unknown key "lag", did you mean "log"?`) || !strings.Contains(said, "1 errors") {
		t.Errorf("it says %s", said)
	}
}
