package main

import (
	"os/exec"
	"strings"
	"testing"
)

// mayImport holds the direction of imports: for a package below a folder, the
// folders of this module it may import from (beside itself and what lies below
// it). The order of the folders, of the data and of the imports tell one story.
var mayImport = map[string][]string{
	"ingest/journal":    {},
	"ingest/broker":     {"ingest"},
	"ingest/mqtt":       {"ingest"},
	"ingest":            {"ingest/journal"},
	"devices/codec":     {},
	"devices/simulate":  {"devices", "configs"},
	"devices":           {"devices/codec"},
	"rules/alarms":      {"rules", "devices"},
	"rules/ruletest":    {"rules", "rules/alarms", "devices"},
	"rules":             {"devices"},
	"sinks/history":     {"sinks", "rules/alarms", "rules", "devices", "ingest/journal"},
	"sinks/influx":      {"sinks", "rules/alarms", "rules", "devices", "ingest/journal"},
	"sinks/notify":      {"sinks", "rules/alarms", "rules", "devices", "ingest/journal"},
	"sinks/metrics":     {"sinks", "rules/alarms", "rules", "devices", "ingest/journal"},
	"sinks/console/web": {},
	"sinks/console":     {"sinks", "rules/alarms", "rules", "devices", "ingest/journal"},
	"sinks":             {"rules/alarms", "rules", "devices", "ingest/journal"},
	"configs":           {},
	"cmd/fengsui":       {"ingest", "devices", "rules", "sinks", "configs"},
	"cmd/loadtest":      {"ingest", "devices", "rules", "sinks", "configs"},
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}: {{join .Imports " "}}`, "fengsui/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		path, imports, _ := strings.Cut(line, ": ")
		folder, rule := ruleFor(strings.TrimPrefix(path, "fengsui/"))
		if folder == "" {
			t.Errorf("%s stands in no folder of the layout", path)
			continue
		}
		for _, imported := range strings.Fields(imports) {
			target, ours := strings.CutPrefix(imported, "fengsui/")
			if ours && !allowed(folder, target, rule) {
				t.Errorf("%s imports %s; packages of %s may import only %v", path, imported, folder, rule)
			}
		}
	}
}

// ruleFor finds the innermost folder of the matrix the package stands in.
func ruleFor(path string) (folder string, rule []string) {
	for f, r := range mayImport {
		if (path == f || strings.HasPrefix(path, f+"/")) && len(f) > len(folder) {
			folder, rule = f, r
		}
	}
	return folder, rule
}

func allowed(folder, target string, rule []string) bool {
	if target == folder || strings.HasPrefix(target, folder+"/") && !isFolder(target) {
		return true
	}
	for _, may := range rule {
		if target == may || strings.HasPrefix(target, may+"/") && (strings.HasPrefix(folder, "cmd/") || !isFolder(target)) {
			return true
		}
	}
	return false
}

// isFolder reports whether the path has a rule of its own.
func isFolder(path string) bool {
	_, ok := mayImport[path]
	return ok
}
