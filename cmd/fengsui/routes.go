package main

import (
	"fmt"
	"os"
	"time"

	"fengsui/devices"
)

// decoder explains messages by what is registered now.
type decoder struct {
	inventory *inventory
	routes    *devices.Routes
	now       func() time.Time
}

func (d decoder) Explain(in devices.Incoming) *devices.Explanation {
	if in.Source == "" {
		in.Source = embeddedSource
	}
	in.Received = d.now().UnixMilli()
	return devices.Explain(d.inventory.registry(), d.routes, in)
}

// readRoutes reads the route files that the config lists, which make readings
// of the foreign formats of devices that cannot be changed. They are tried in
// the order of the list.
func readRoutes(cfg Config, kinds []*devices.Kind) (*devices.Routes, error) {
	var files []devices.RouteText
	for _, name := range cfg.Routes {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read routes: %w", err)
		}
		files = append(files, devices.RouteText{Name: name, Text: text})
	}
	return devices.ParseRoutes(files, kinds)
}
