package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

// needPackages skips a test that needs the page's npm packages where they are
// not installed; with FENGSUI_REAL=1 that is a failure.
func needPackages(t *testing.T) string {
	t.Helper()
	web, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	missing := ""
	if ok, err := packagesMatch(web); err != nil || !ok {
		missing = "the npm packages of the page are not installed: go generate ./sinks/console"
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not found: install Node.js 20 or later"
	}
	if missing == "" {
		return web
	}
	if os.Getenv("FENGSUI_REAL") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

func TestTypes(t *testing.T) {
	web := needPackages(t)
	if err := checkTypes(t.Context(), web); err != nil {
		t.Fatal(err)
	}
}

// TestPage runs the page's own tests (web/test) in node, over what esbuild
// makes of them.
func TestPage(t *testing.T) {
	web := needPackages(t)
	tests, err := filepath.Glob(filepath.Join(web, "test", "*.test.ts"))
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests of the page found in %s: %v", web, err)
	}
	out := t.TempDir()
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:   web,
		EntryPoints:     tests,
		Outdir:          out,
		OutExtension:    map[string]string{".js": ".mjs"},
		Bundle:          true,
		Write:           true,
		Platform:        api.PlatformNode,
		Format:          api.FormatESModule,
		Target:          api.ES2022,
		JSX:             api.JSXAutomatic,
		JSXImportSource: "preact",
		Sourcemap:       api.SourceMapInline,
		LogLevel:        api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		t.Fatal(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
	}
	bundled, err := filepath.Glob(filepath.Join(out, "*.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", append([]string{"--enable-source-maps", "--test"}, bundled...)...)
	node.Env = append(os.Environ(), "TESTDATA="+filepath.Join(web, "..", "testdata"))
	text, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, text)
	}
	t.Logf("%s", text[strings.LastIndex(string(text), "# tests"):])
}

func TestBuild(t *testing.T) {
	web := needPackages(t)
	page := Page{Web: web, Dist: t.TempDir()}
	hash, err := page.SourceHash()
	if err != nil {
		t.Fatal(err)
	}
	if page.BuiltFrom(hash) {
		t.Fatal("an empty dist counts as built")
	}
	sizes, err := page.Build(hash)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(sizes)
	if !page.BuiltFrom(hash) {
		t.Error("a finished build does not count as built")
	}
	for name, holds := range map[string]string{
		"index.html":   `<meta name="build" content="` + hash + `">`,
		"main.js":      hash,
		"chart.js":     "u-over", // what uPlot calls the layer under the pointer
		"theme.css":    "prefers-reduced-motion",
		"LICENSES.txt": "@preact/signals-core",
	} {
		text, err := os.ReadFile(filepath.Join(page.Dist, name))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(text), holds) {
			t.Errorf("%s does not contain %q", name, holds)
		}
	}
	html, _ := os.ReadFile(filepath.Join(page.Dist, "index.html"))
	for _, inline := range []string{"style=", "<style", "onclick", "<script>"} {
		if strings.Contains(string(html), inline) {
			t.Errorf("index.html contains %s, which the page's content security policy forbids", inline)
		}
	}
}

func TestBuildStaysWithinBudget(t *testing.T) {
	if err := (Sizes{JS: budgetJS, Chart: budgetChart, CSS: budgetCSS}).withinBudget(); err != nil {
		t.Error(err)
	}
	for _, over := range []Sizes{{JS: budgetJS + 1}, {Chart: budgetChart + 1}, {CSS: budgetCSS + 1}} {
		if over.withinBudget() == nil {
			t.Errorf("a page over its budget passes: %+v", over)
		}
	}
}

func TestHashSeesEveryChange(t *testing.T) {
	web := t.TempDir()
	for name, text := range map[string]string{
		"package-lock.json": "{}", "tsconfig.json": "{}", "src/main.tsx": "a", "src/parts/x.ts": "b", "build/main.go": "c",
	} {
		writeFile(t, filepath.Join(web, name), text)
	}
	page := Page{Web: web}
	seen := map[string]string{}
	note := func(change string) {
		t.Helper()
		hash, err := page.SourceHash()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[hash]; ok {
			t.Errorf("%s: the same hash as %s", change, other)
		}
		seen[hash] = change
	}
	note("the start")
	writeFile(t, filepath.Join(web, "src/parts/x.ts"), "B")
	note("another text")
	writeFile(t, filepath.Join(web, "src/parts/y.ts"), "")
	note("an empty file more")
	writeFile(t, filepath.Join(web, "package-lock.json"), "{ }")
	note("another lock file")
}

func TestPackagesMatch(t *testing.T) {
	const lock = `{"packages":{"":{},"node_modules/a":{"version":"1.0.0","integrity":"x"},"node_modules/b":{"version":"2.0.0","optional":true}}}`
	for name, c := range map[string]struct {
		installed string
		want      bool
	}{
		"nothing installed":            {"", false},
		"all of it":                    {`{"packages":{"node_modules/a":{"version":"1.0.0","integrity":"x"},"node_modules/b":{"version":"2.0.0"}}}`, true},
		"without another system's":     {`{"packages":{"node_modules/a":{"version":"1.0.0","integrity":"x"}}}`, true},
		"another version":              {`{"packages":{"node_modules/a":{"version":"1.0.1","integrity":"x"}}}`, false},
		"the same version, other text": {`{"packages":{"node_modules/a":{"version":"1.0.0","integrity":"y"}}}`, false},
		"a package missing":            {`{"packages":{}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			web := t.TempDir()
			writeFile(t, filepath.Join(web, "package-lock.json"), lock)
			if c.installed != "" {
				writeFile(t, filepath.Join(web, "node_modules", ".package-lock.json"), c.installed)
			}
			got, err := packagesMatch(web)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("match = %v, want %v", got, c.want)
			}
		})
	}
}

// TestLockNamesNoRegistry holds what .npmrc asks npm for: whoever installs
// takes the packages from the registry configured there.
func TestLockNamesNoRegistry(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), `"resolved"`) {
		t.Error(`package-lock.json contains "resolved" addresses; .npmrc says to omit them`)
	}
}

func TestPackageDir(t *testing.T) {
	for path, want := range map[string]string{
		"node_modules/preact/dist/preact.mjs":          "node_modules/preact",
		"node_modules/@preact/signals/dist/s.mjs":      "node_modules/@preact/signals",
		"node_modules/a/node_modules/b/index.js":       "node_modules/a/node_modules/b",
		"../../node_modules/preact/hooks/src/index.js": "../../node_modules/preact",
		"src/main.tsx": "",
	} {
		if got, _ := packageDir(path); got != want {
			t.Errorf("packageDir(%q) = %q, want %q", path, got, want)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}
