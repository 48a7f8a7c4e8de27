package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// What a phone on a mine's thin line may have to load, gzipped.
const (
	budgetJS    = 60 << 10
	budgetChart = 30 << 10 // when the first trend is looked at
	budgetCSS   = 10 << 10
)

const buildFile = "BUILD"

// Page is where the source of the console page stands and where its build goes.
type Page struct {
	Web  string // the folder with src, package-lock.json and node_modules
	Dist string
}

// Sizes of what was built, gzipped.
type Sizes struct{ JS, Chart, CSS int }

func (s Sizes) String() string {
	return fmt.Sprintf("JS %.1f kB, chart %.1f kB, CSS %.1f kB gzipped", float64(s.JS)/1024, float64(s.Chart)/1024, float64(s.CSS)/1024)
}

func (s Sizes) withinBudget() error {
	if s.JS > budgetJS || s.Chart > budgetChart || s.CSS > budgetCSS {
		return fmt.Errorf("the page is over its budget: %s; at most JS %d kB, chart %d kB, CSS %d kB", s, budgetJS>>10, budgetChart>>10, budgetCSS>>10)
	}
	return nil
}

// SourceHash is over everything that decides what dist becomes.
func (p Page) SourceHash() (string, error) {
	files := []string{"package-lock.json", "tsconfig.json"}
	for _, dir := range []string{"src", "build"} {
		err := filepath.WalkDir(filepath.Join(p.Web, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			name, err := filepath.Rel(p.Web, path)
			files = append(files, filepath.ToSlash(name))
			return err
		})
		if err != nil {
			return "", err
		}
	}
	slices.Sort(files)
	h := sha256.New()
	fmt.Fprintln(h, "esbuild", esbuildVersion())
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join(p.Web, filepath.FromSlash(name)))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, name, len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// BuiltFrom reports whether dist is the complete build of the sources with this
// hash: BUILD is the last file to be written.
func (p Page) BuiltFrom(hash string) bool {
	have, err := os.ReadFile(filepath.Join(p.Dist, buildFile))
	return err == nil && strings.TrimSpace(string(have)) == hash
}

// Build bundles the page into dist. It refuses to write a page over the budget.
func (p Page) Build(hash string) (Sizes, error) {
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: p.Web,
		EntryPointsAdvanced: []api.EntryPoint{
			{InputPath: "src/main.tsx", OutputPath: "main"},
			{InputPath: "src/chart.ts", OutputPath: "chart"}, // main loads it when it is needed
			{InputPath: "src/ticker.ts", OutputPath: "ticker"},
			{InputPath: "src/theme.css", OutputPath: "theme"},
		},
		Outdir:            p.Dist,
		Bundle:            true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Target:            api.ES2022,
		Format:            api.FormatESModule,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		LegalComments:     api.LegalCommentsNone, // LICENSES.txt has them
		Metafile:          true,
		Define:            map[string]string{"BUILD": fmt.Sprintf("%q", hash)},
		LogLevel:          api.LogLevelSilent,
	})
	if len(result.Errors) > 0 {
		return Sizes{}, errors.New(strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
	}
	licences, err := licences(p.Web, result.Metafile)
	if err != nil {
		return Sizes{}, err
	}
	out := map[string][]byte{"LICENSES.txt": licences}
	for _, f := range result.OutputFiles {
		out[filepath.Base(f.Path)] = f.Contents
	}
	sizes := Sizes{JS: gzipped(out["main.js"]), Chart: gzipped(out["chart.js"]), CSS: gzipped(out["theme.css"])}
	if err := sizes.withinBudget(); err != nil {
		return sizes, err
	}
	if out["index.html"], err = os.ReadFile(filepath.Join(p.Web, "src", "index.html")); err != nil {
		return sizes, err
	}
	out["index.html"] = bytes.ReplaceAll(out["index.html"], []byte("%BUILD%"), []byte(hash))
	return sizes, p.write(out, hash)
}

// write replaces what is in dist, BUILD last, so that a build that was broken
// off is never taken for a complete one.
func (p Page) write(files map[string][]byte, hash string) error {
	if err := os.MkdirAll(p.Dist, 0o777); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(p.Dist, buildFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for name, text := range files {
		if err := replaceFile(filepath.Join(p.Dist, name), text); err != nil {
			return err
		}
	}
	return replaceFile(filepath.Join(p.Dist, buildFile), []byte(hash+"\n"))
}

// replaceFile lets somebody who reads at the same time see the old file or the
// new one, never half of one.
func replaceFile(path string, text []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// licences collects the licence of every package that went into the bundle.
func licences(web, metafile string) ([]byte, error) {
	var meta struct {
		Inputs map[string]struct{} `json:"inputs"`
	}
	if err := json.Unmarshal([]byte(metafile), &meta); err != nil {
		return nil, fmt.Errorf("read esbuild's list of inputs: %w", err)
	}
	var packages []string
	for path := range meta.Inputs {
		if dir, ok := packageDir(path); ok && !slices.Contains(packages, dir) {
			packages = append(packages, dir)
		}
	}
	slices.Sort(packages)
	var out bytes.Buffer
	for _, dir := range packages {
		var pkg struct{ Name, Version, License string }
		text, err := os.ReadFile(filepath.Join(web, dir, "package.json"))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &pkg); err != nil {
			return nil, fmt.Errorf("%s/package.json: %w", dir, err)
		}
		licence, err := os.ReadFile(filepath.Join(web, dir, "LICENSE"))
		if err != nil {
			return nil, fmt.Errorf("the licence of %s: %w", pkg.Name, err)
		}
		fmt.Fprintf(&out, "%s %s (%s)\n\n%s\n\n", pkg.Name, pkg.Version, pkg.License, bytes.TrimSpace(licence))
	}
	return out.Bytes(), nil
}

// packageDir is the folder of the package a bundled file belongs to.
func packageDir(path string) (string, bool) {
	const root = "node_modules/"
	at := strings.LastIndex(path, root)
	if at < 0 {
		return "", false
	}
	parts := strings.Split(path[at+len(root):], "/")
	depth := 1
	if strings.HasPrefix(parts[0], "@") {
		depth = 2
	}
	return path[:at+len(root)] + strings.Join(parts[:depth], "/"), true
}

// gzipped is the size at the strength the gateway compresses with.
func gzipped(text []byte) int {
	var size counter
	w, _ := gzip.NewWriterLevel(&size, gzip.BestCompression)
	w.Write(text)
	w.Close()
	return int(size)
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func esbuildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/evanw/esbuild" {
			return m.Version
		}
	}
	return ""
}
