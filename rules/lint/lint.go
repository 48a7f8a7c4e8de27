// Package lint finds what is allowed in rules and devices and yet probably not
// meant: levels that flutter or never show, windows that never fill, rules that
// are armed nowhere, design values that nobody reads.
//
// In: kinds, rules and devices that were read without an error, and the texts
// they were read from. Out: findings, each with its place, what is odd and what
// to do about it. Nothing survives a crash; there is nothing to keep. What it
// will not do: read files, or refuse anything.
package lint

import (
	"cmp"
	"fmt"
	"slices"

	"fengsui/devices"
	"fengsui/rules"
)

// Severity says what a finding means for who wants to start the gateway.
type Severity string

const (
	Error   Severity = "error"   // it does not start with this
	Warning Severity = "warning" // it starts, and something is probably not as meant
	Note    Severity = "note"    // so that nobody is surprised
)

// Finding is one thing to look at.
type Finding struct {
	File     string       `json:"file"`
	Line     int          `json:"line"`
	Column   int          `json:"column"`
	Severity Severity     `json:"severity"`
	Code     string       `json:"code"`
	Message  devices.Text `json:"message"`
	Remedy   devices.Text `json:"remedy"`
}

// Text is a file as it was read.
type Text struct {
	Name string
	Data []byte
}

// Input is all that an operator writes.
type Input struct {
	Kinds     []*devices.Kind
	Rules     []*rules.Rule
	RuleTexts []Text
	Devices   *devices.File
	Text      Text // of the devices; its name is empty where they are in no file
}

// Find looks at everything. The findings come in the order of their files and
// lines.
func Find(in Input) ([]Finding, error) {
	l := &linter{Input: in, rulePlaces: map[string]place{}, kinds: map[string]*devices.Kind{}}
	for _, k := range in.Kinds {
		l.kinds[k.ID] = k
	}
	if err := l.read(); err != nil {
		return nil, err
	}
	registry, err := in.Devices.Registry(in.Kinds)
	if err != nil {
		return nil, err
	}
	for _, r := range in.Rules {
		l.rule(r, l.kinds[r.Kind])
	}
	l.armed(registry)
	l.params(registry)
	slices.SortStableFunc(l.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(l.found, func(a, b Finding) bool { return a == b }), nil
}

type linter struct {
	Input
	kinds      map[string]*devices.Kind
	rulePlaces map[string]place // by the id of the rule
	devices    *devices.Document
	found      []Finding
}

// place is where something stands in a file.
type place struct {
	file string
	doc  *devices.Document
	path string
}

func (p place) at(part string) place { return place{p.file, p.doc, p.path + part} }

func (l *linter) find(p place, s Severity, code string, message, remedy devices.Text) {
	f := Finding{File: p.file, Line: 1, Column: 1, Severity: s, Code: code, Message: message, Remedy: remedy}
	if p.doc != nil {
		f.Line, f.Column = p.doc.Position(p.path)
	}
	l.found = append(l.found, f)
}

// read finds the places of rules; the files were read before, and are sound.
func (l *linter) read() error {
	for _, text := range l.RuleTexts {
		var file map[string]any
		doc, err := tree(text, &file)
		if err != nil {
			return fmt.Errorf("look for rules: %w", err)
		}
		list, _ := file["rules"].([]any)
		for i := range list {
			entry, _ := list[i].(map[string]any)
			id, _ := entry["id"].(string)
			l.rulePlaces[id] = place{text.Name, doc, fmt.Sprintf("$.rules[%d]", i)}
		}
	}
	if l.Text.Name == "" {
		return nil
	}
	var all map[string]any
	var err error
	l.devices, err = tree(l.Text, &all)
	return err
}

// tree reads a file without asking what it is about.
func tree(text Text, into *map[string]any) (*devices.Document, error) {
	return devices.ReadDocument(text.Name, text.Data, into)
}

// text says the same in both languages.
func because(what, why devices.Text) devices.Text {
	return devices.Text{ZH: what.ZH + "：" + why.ZH, EN: what.EN + ": " + why.EN}
}

func text(zh, en string, args ...any) devices.Text {
	return devices.Text{ZH: fmt.Sprintf(zh, args...), EN: fmt.Sprintf(en, args...)}
}
