// Command build makes the console page: it bundles web/src into web/dist, from
// where the gateway embeds it.
//
// In: web/src, the packages named in web/package-lock.json (installed with npm
// when they are missing or not those of the lock). Out: web/dist with fixed
// file names, the licences of what was bundled, and BUILD, a hash of everything
// that went in, by which a second run knows that there is nothing to do. What
// survives a crash: BUILD is written last, so half a build is built again. What
// it will not do: fetch anything but the locked packages, run their install
// scripts, or let the page grow over its budget.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"
)

func main() {
	check := flag.Bool("check", false, "check the types (tsc --noEmit) before building")
	watch := flag.Bool("watch", false, "build again whenever a source changes, until interrupted")
	dir := flag.String("web", "", "the web folder; found from the current directory when empty")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *check, *watch); err != nil {
		fmt.Fprintln(os.Stderr, "console page:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, check, watch bool) error {
	web, err := webDir(dir)
	if err != nil {
		return err
	}
	page := Page{Web: web, Dist: filepath.Join(web, "dist")}
	if err := build(ctx, page, check); err != nil || !watch {
		return err
	}
	return rebuildOnChange(ctx, page, check)
}

// build brings dist up to date; it is quick when it already is.
func build(ctx context.Context, page Page, check bool) error {
	hash, err := page.SourceHash()
	if err != nil {
		return err
	}
	if page.BuiltFrom(hash) && !check {
		return nil
	}
	if err := installPackages(ctx, page.Web); err != nil {
		return err
	}
	if check {
		if err := checkTypes(ctx, page.Web); err != nil {
			return err
		}
	}
	sizes, err := page.Build(hash)
	if err != nil {
		return err
	}
	fmt.Printf("console page %s: %s\n", hash[:12], sizes)
	return nil
}

// rebuildOnChange looks at the sources twice a second: few files, so a look is
// cheaper than a file watcher is complicated. A broken source is reported and
// waited out.
func rebuildOnChange(ctx context.Context, page Page, check bool) error {
	fmt.Println("watching", filepath.Join(page.Web, "src"))
	last, _ := page.SourceHash()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(500 * time.Millisecond):
		}
		hash, err := page.SourceHash()
		if err == nil && hash == last {
			continue
		}
		last = hash
		if err == nil {
			err = build(ctx, page, check)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// webDir finds sinks/console/web from wherever inside the module we were started.
func webDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		web := filepath.Join(at, "sinks", "console", "web")
		if _, err := os.Stat(filepath.Join(web, "package-lock.json")); err == nil {
			return web, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("no sinks/console/web above the current directory: run inside the repository or give -web")
		}
		at = up
	}
}

// installPackages runs npm ci when node_modules is not what the lock file says.
func installPackages(ctx context.Context, web string) error {
	match, err := packagesMatch(web)
	if err != nil || match {
		return err
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return errors.New("the packages of the page are not installed and npm is not found: install Node.js 20 or later")
	}
	fmt.Println("npm ci in", web)
	return runIn(ctx, web, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
}

// lockFile is the part of package-lock.json, and of npm's record of what it
// installed, that says which package stands where.
type lockFile struct {
	Packages map[string]struct {
		Version   string `json:"version"`
		Integrity string `json:"integrity"`
		Optional  bool   `json:"optional"` // for other operating systems: may be absent
	} `json:"packages"`
}

// packagesMatch compares npm's record of what is installed with the lock file.
func packagesMatch(web string) (bool, error) {
	wanted, err := readLock(filepath.Join(web, "package-lock.json"))
	if err != nil {
		return false, err
	}
	installed, err := readLock(filepath.Join(web, "node_modules", ".package-lock.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for path, want := range wanted.Packages {
		have, ok := installed.Packages[path]
		if path == "" || !ok && want.Optional {
			continue
		}
		if !ok || have.Version != want.Version || have.Integrity != want.Integrity {
			return false, nil
		}
	}
	return true, nil
}

func readLock(path string) (lock lockFile, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return lock, err
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		return lock, fmt.Errorf("%s: %w", path, err)
	}
	return lock, nil
}

func checkTypes(ctx context.Context, web string) error {
	tsc := filepath.Join(web, "node_modules", ".bin", "tsc")
	if runtime.GOOS == "windows" {
		tsc += ".cmd"
	}
	if err := runIn(ctx, web, tsc, "--noEmit", "--pretty", "false"); err != nil {
		return fmt.Errorf("type check: %w", err)
	}
	return nil
}

func runIn(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %v: %w", filepath.Base(name), args, err)
	}
	return nil
}
