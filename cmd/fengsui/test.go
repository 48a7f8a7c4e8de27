package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fengsui/configs"
	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/ruletest"
)

// errFailed asks for exit status 1; what failed was already shown.
var errFailed = errors.New("failed")

// runTest is "fengsui test": the tests of rules, which lie beside them.
func runTest(t terminal, args []string) error {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	path := flags.String("config", "", "test the rules of this config `file` (default: the built-in ones)")
	coverage := flags.Bool("coverage", false, "list the steps of rules that no test expects; they fail")
	lang := flags.String("lang", systemLanguage(os.Getenv), "`language` of the messages: zh or en")
	flags.Usage = func() {
		fmt.Fprint(t.err, "fengsui test [flags] [FILE…]: run the tests of rules (*_test.yaml beside them), or only those of some files\n")
		flags.PrintDefaults()
	}
	if err := parseFlags(t, flags, args, len(args)); err != nil {
		return err
	}
	cfg := defaultConfig()
	var err error
	if *path != "" {
		if cfg, err = loadConfig(*path); err != nil {
			return err
		}
	}
	files, set, err := readTests(cfg, flags.Args())
	if err != nil {
		return err
	}
	results, failed := testRules(t, files, *lang)
	if *coverage {
		failed = reportGaps(t, set, results, *lang) || failed
	}
	if failed {
		return errFailed
	}
	return nil
}

// systemLanguage is what the people at this machine read.
func systemLanguage(env func(string) string) string {
	if strings.HasPrefix(cmp.Or(env("LC_ALL"), env("LC_MESSAGES"), env("LANG")), "zh") {
		return "zh"
	}
	return "en"
}

// say picks one of the languages of a text.
func say(lang string, t devices.Text) string {
	if lang == "en" {
		return t.EN
	}
	return t.ZH
}

// readTests reads the tests beside the rules, or those of some files.
func readTests(cfg Config, only []string) ([]*ruletest.File, []*rules.Rule, error) {
	kinds, err := devices.LoadKinds(kindsFolder(cfg))
	if err != nil {
		return nil, nil, err
	}
	set, err := readRules(cfg, kinds)
	if err != nil {
		return nil, nil, err
	}
	if len(only) == 0 {
		files, err := ruletest.Load(rulesFolder(cfg), kinds, set)
		if err == nil && len(files) == 0 {
			err = errors.New("there are no tests: no *_test.yaml beside the rules")
		}
		return files, set, err
	}
	var files []*ruletest.File
	var errs []error
	for _, name := range only {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("read rule tests: %w", err)
		}
		f, err := ruletest.Parse(name, text, kinds, set)
		errs = append(errs, err)
		files = append(files, f)
	}
	return files, set, errors.Join(errs...)
}

// testRules runs files of tests and prints a line for each.
func testRules(t terminal, files []*ruletest.File, lang string) (results []ruletest.Result, failed bool) {
	tests, failures := 0, 0
	begin := time.Now()
	for _, f := range files {
		start := time.Now()
		r := f.Run()
		took := time.Since(start).Round(time.Millisecond)
		results = append(results, r)
		tests, failures = tests+r.Tests, failures+len(r.Failures)
		word := "ok  "
		if len(r.Failures) > 0 {
			word = "FAIL"
		}
		fmt.Fprintf(t.out, say(lang, devices.Text{ZH: "%s  %-34s %4d 项测试  %v\n", EN: "%s  %-34s %4d tests  %v\n"}), word, filepath.Base(r.File), r.Tests, took)
		for _, x := range r.Failures {
			fmt.Fprintf(t.out, "\n%s: %s\n  %s\n%s\n", x.Place, x.Test, say(lang, x.What), x.Timeline)
		}
	}
	took := time.Since(begin).Round(time.Millisecond)
	if failures > 0 {
		fmt.Fprintf(t.out, say(lang, devices.Text{ZH: "%d 项测试，%d 处与期望不符，用时 %v\n", EN: "%d tests, %d expectations not met, in %v\n"}), tests, failures, took)
		return results, true
	}
	fmt.Fprintf(t.out, say(lang, devices.Text{ZH: "%d 项测试全部通过，用时 %v\n", EN: "%d tests passed in %v\n"}), tests, took)
	return results, false
}

// reportGaps lists what no test expects.
func reportGaps(t terminal, set []*rules.Rule, results []ruletest.Result, lang string) bool {
	gaps := ruletest.Coverage(set, results)
	for _, g := range gaps {
		fmt.Fprintf(t.out, say(lang, devices.Text{ZH: "未覆盖：%s %s（%s）没有测试期望它出现\n", EN: "not covered: %s %s (%s): no test expects it\n"}), g.Rule.ID, g.Level, say(lang, g.Rule.Title))
	}
	if len(gaps) == 0 {
		fmt.Fprintln(t.out, say(lang, devices.Text{ZH: "所有规则的每一级都有测试", EN: "every level of every rule has a test"}))
	}
	return len(gaps) > 0
}

func kindsFolder(cfg Config) fs.FS {
	if cfg.Kinds != "" {
		return os.DirFS(cfg.Kinds)
	}
	return configs.Kinds()
}

func rulesFolder(cfg Config) fs.FS {
	if cfg.Rules != "" {
		return os.DirFS(cfg.Rules)
	}
	return configs.Rules()
}
