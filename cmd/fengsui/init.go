package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"fengsui/configs"
)

// runInit is "fengsui init": it writes a configuration to start from.
func runInit(t terminal, args []string) error {
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	if err := parseFlags(t, flags, args, 1); err != nil {
		return err
	}
	folder := "."
	if flags.NArg() == 1 {
		folder = flags.Arg(0)
	}
	files := configs.All()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, "demo/") {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return writeNew(filepath.Join(folder, filepath.FromSlash(name)), startFrom(name, string(text)))
	})
	if err != nil {
		return err
	}
	config := filepath.Join(folder, "fengsui.yaml")
	fmt.Fprintf(t.out, "wrote %s, with devices, kinds, rules and example routes beside it\nnext: edit it, then  fengsui check -config %s  and  fengsui run -config %s\n", config, config, config)
	return nil
}

// startFrom points the written config at the files written beside it.
func startFrom(name, text string) string {
	if name != "fengsui.yaml" {
		return text
	}
	return strings.NewReplacer(`devices: ""`, "devices: devices.yaml", `kinds: ""`, "kinds: kinds", `rules: ""`, "rules: rules").Replace(text)
}

// writeNew never overwrites what somebody may have edited.
func writeNew(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", name, err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; choose an empty folder", name)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
