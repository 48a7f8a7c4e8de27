// Package configs carries the files an operator edits: the built-in kinds of
// devices, the default rules, and an example of every config file.
//
// In: nothing. Out: the files as an embedded file system. They do not survive
// anything; "fengsui init" copies them to a folder, which then wins. It will not
// parse them: that is done by who uses them.
package configs

import (
	"embed"
	"io/fs"
)

//go:embed fengsui.yaml devices.yaml kinds routes rules demo
var files embed.FS

// Kinds are the built-in kinds of devices.
func Kinds() fs.FS { return sub("kinds") }

// Rules are the default rules.
func Rules() fs.FS { return sub("rules") }

// Routes are examples of foreign formats, to copy and change.
func Routes() fs.FS { return sub("routes") }

// DemoDevices is the devices file of the simulated county of "fengsui demo".
func DemoDevices() ([]byte, error) { return files.ReadFile("demo/devices.yaml") }

// All is everything, as "fengsui init" writes it.
func All() fs.FS { return files }

func sub(folder string) fs.FS {
	f, err := fs.Sub(files, folder)
	if err != nil {
		panic(err) // the folder is named in the embed directive
	}
	return f
}
