package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"fengsui/devices"
	"fengsui/rules"
	"fengsui/rules/lint"
	"fengsui/rules/ruletest"
)

// runCheck is "fengsui check": everything an operator writes, without touching
// the data. Errors are what keeps the gateway from starting; warnings are what is
// probably not meant.
func runCheck(t terminal, args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	config := flags.String("config", "fengsui.yaml", "config `file`")
	asJSON := flags.Bool("json", false, "print the findings as JSON")
	lang := flags.String("lang", systemLanguage(os.Getenv), "`language` of the messages: zh or en")
	if err := parseFlags(t, flags, args, 0); err != nil {
		return err
	}
	c := &checkup{Config: *config}
	if err := c.examine(); err != nil {
		return err
	}
	if *asJSON {
		out := json.NewEncoder(t.out)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		if err := out.Encode(c); err != nil {
			return err
		}
	} else {
		c.print(t, *lang)
	}
	if c.Errors > 0 {
		return errFailed
	}
	return nil
}

// checkup is what a check found.
type checkup struct {
	Config   string         `json:"config"`
	Devices  int            `json:"devices"`
	Rules    int            `json:"rules"`
	Armed    int            `json:"armed"` // rules at points
	Errors   int            `json:"errors"`
	Warnings int            `json:"warnings"`
	Findings []lint.Finding `json:"findings"`
}

// examine reads everything as far as it can be read, and looks for oddities in
// what is sound.
func (c *checkup) examine() error {
	c.Findings = []lint.Finding{}
	cfg, err := loadConfig(c.Config)
	if err != nil {
		c.wrong("", err)
		return nil
	}
	c.wrong("", errors.Join(cfg.unreadable...))
	_, err = loadCertificate(cfg.TLS, slog.New(slog.DiscardHandler))
	c.wrong("", err)
	c.wrong("", verifyNotify(cfg))
	kinds, err := devices.LoadKinds(kindsFolder(cfg))
	if c.wrong(folderName(cfg.Kinds, "built-in kinds"), err) {
		return nil
	}
	_, file, err := readDevices(cfg)
	c.wrong("", err)
	_, err = readRoutes(cfg, kinds)
	c.wrong("", err)
	rulesName := folderName(cfg.Rules, "built-in rules")
	set, err := readRules(cfg, kinds)
	if c.wrong(rulesName, err) {
		return nil
	}
	_, err = ruletest.Load(rulesFolder(cfg), kinds, set)
	c.wrong(rulesName, err)
	if c.Errors > 0 {
		return nil
	}
	return c.lint(cfg, kinds, file, set)
}

func folderName(folder, builtin string) string {
	if folder == "" {
		return builtin
	}
	return folder
}

// lint looks for what is allowed and odd.
func (c *checkup) lint(cfg Config, kinds []*devices.Kind, file *devices.File, set []*rules.Rule) error {
	registry, err := file.Registry(kinds)
	if err != nil {
		return err
	}
	c.Devices, c.Rules = registry.Len(), len(set)
	c.Armed = rules.NewEngine(rules.EngineOptions{Registry: registry, Rules: set}).Armed()
	in := lint.Input{Kinds: kinds, Rules: set, Devices: file}
	if in.RuleTexts, err = ruleTexts(rulesFolder(cfg), folderName(cfg.Rules, "built-in rules")); err != nil {
		return err
	}
	if cfg.Devices != "" {
		text, err := os.ReadFile(cfg.Devices)
		if err != nil {
			return fmt.Errorf("read devices: %w", err)
		}
		in.Text = lint.Text{Name: cfg.Devices, Data: text}
	}
	found, err := lint.Find(in)
	for _, f := range found {
		c.add(f)
	}
	return err
}

func ruleTexts(dir fs.FS, folder string) (texts []lint.Text, err error) {
	names, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.yaml") {
			continue
		}
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		texts = append(texts, lint.Text{Name: path.Join(folder, name), Data: text})
	}
	return texts, nil
}

func (c *checkup) add(f lint.Finding) {
	switch f.Severity {
	case lint.Error:
		c.Errors++
	case lint.Warning:
		c.Warnings++
	}
	c.Findings = append(c.Findings, f)
}

// placed is how every complaint about a file begins.
var placed = regexp.MustCompile(`(?s)^(.+?):(\d+):(\d+): (.*)$`)

// wrong takes every complaint an error is made of; names of files are in folder.
func (c *checkup) wrong(folder string, err error) bool {
	if err == nil {
		return false
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range all.Unwrap() {
			c.wrong(folder, e)
		}
		return true
	}
	message := err.Error()
	f := lint.Finding{File: c.Config, Severity: lint.Error, Code: "invalid", Line: 1, Column: 1}
	if m := placed.FindStringSubmatch(message); m != nil {
		f.File, message = path.Join(folder, m[1]), m[4]
		f.Line, _ = strconv.Atoi(m[2])
		f.Column, _ = strconv.Atoi(m[3])
	}
	f.Message = devices.Text{ZH: message, EN: message}
	c.add(f)
	return true
}

// print groups what was found by file.
func (c *checkup) print(t terminal, lang string) {
	words := map[lint.Severity]devices.Text{
		lint.Error: {ZH: "错误", EN: "error  "}, lint.Warning: {ZH: "警告", EN: "warning"}, lint.Note: {ZH: "提示", EN: "note   "},
	}
	file := ""
	for _, f := range c.Findings {
		if f.File != file {
			file = f.File
			fmt.Fprintln(t.out, file)
		}
		head := fmt.Sprintf("  %8s  %s  ", fmt.Sprintf("%d:%d", f.Line, f.Column), say(lang, words[f.Severity]))
		fmt.Fprintf(t.out, "%s%s\n", head, say(lang, f.Message))
		if remedy := say(lang, f.Remedy); remedy != "" {
			fmt.Fprintf(t.out, "%s→ %s\n", strings.Repeat(" ", width(head)), remedy)
		}
	}
	if c.Errors > 0 {
		fmt.Fprintf(t.out, say(lang, devices.Text{ZH: "%s：%d 个错误，%d 个警告；改正后再启动\n", EN: "%s: %d errors, %d warnings; mend them before you start it\n"}), c.Config, c.Errors, c.Warnings)
		return
	}
	fmt.Fprintf(t.out, say(lang, devices.Text{
		ZH: "%s 可用：%d 台设备，%d 条规则，在 %d 处布防；%d 个警告\n",
		EN: "%s is sound: %d devices, %d rules, armed at %d points; %d warnings\n",
	}), c.Config, c.Devices, c.Rules, c.Armed, c.Warnings)
}

// width counts columns of a terminal: Chinese characters take two.
func width(s string) (n int) {
	for _, c := range s {
		n++
		if unicode.Is(unicode.Han, c) {
			n++
		}
	}
	return n
}
