package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"fengsui/devices"
	"fengsui/ingest/journal"
)

// findUnreadable notes the files with secrets that the config names and that
// cannot be read, each with its place. "fengsui check" calls them mistakes;
// "fengsui run" says so and does without, since one file that is missing must
// not silence the alarms of all devices.
func (c *Config) findUnreadable(doc *devices.Document) {
	look := func(place, name, holds string) {
		if name == "" {
			return
		}
		if _, err := os.ReadFile(name); err != nil {
			c.unreadable = append(c.unreadable, doc.Errorf(place,
				"%s cannot be read (%v); it should hold %s, and be readable by the user the gateway runs as", name, reason(err), holds))
		}
	}
	look("$.metrics.token_file", c.Metrics.TokenFile, "the token of scrapers on other machines")
	if c.Influx != nil {
		look("$.influx.token_file", c.Influx.TokenFile, "an InfluxDB token that may write the bucket")
	}
	for i, b := range c.Brokers {
		look(fmt.Sprintf("$.brokers[%d].password_file", i), b.PasswordFile, "the password of "+b.Username+" at the broker "+b.Name)
		look(fmt.Sprintf("$.brokers[%d].ca_file", i), b.CAFile, "the certificates that may sign that of the broker "+b.Name)
	}
}

// reason is what went wrong with a file, without its name.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// configFileError says what to do where there is no config file.
func configFileError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no config file %s: name yours with -config FILE, or let fengsui init write one to start from", path)
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("%s is a folder: name the config file in it, as in -config %s/fengsui.yaml", path, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("config file %s may not be read by this user (%w): run fengsui as the user it belongs to, or give that one the right to read it", path, reason(err))
	}
	return fmt.Errorf("read config: %w", err)
}

// dataFolderError says what to do where the data folder cannot be used.
func dataFolderError(folder string, err error) error {
	switch {
	case errors.Is(err, journal.ErrLocked):
		return err
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder %s may not be written by this user: run fengsui as the user it belongs to, or give it to this one (chown -R USER %s), or name another one (data): %w", folder, folder, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("the data folder %s cannot be made: name one on a disk that is mounted (data): %w", folder, err)
	}
	return err
}
