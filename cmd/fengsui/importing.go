package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"fengsui/devices"
)

// registered is all sites and devices, in the form of the devices file.
type registered struct {
	Sites   []*devices.Site        `json:"sites" yaml:"sites"`
	Devices []devices.DeviceConfig `json:"devices" yaml:"devices"`
}

// deviceImport registers what a file in the form of the devices file says: all of
// it, or nothing.
func deviceImport(ctx context.Context, c *call) error {
	passwords := c.flags.Bool("passwords", false, "make up passwords for devices that have none, and print them once")
	client, err := c.client(1)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(*c.config)
	if err != nil {
		return err
	}
	kinds, err := devices.LoadKinds(kindsFolder(cfg))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.arg(0))
	if err != nil {
		return err
	}
	file, err := devices.ParseDevices(c.arg(0), text, kinds)
	if err != nil {
		return err
	}
	if len(file.Credentials) > 0 {
		return fmt.Errorf("%s: password_hash is not imported; leave it out and make passwords with -passwords", c.arg(0))
	}
	var answer struct {
		Sites, Devices int
		Credentials    []struct{ User, Password string }
	}
	body := struct {
		registered
		Passwords bool `json:"passwords"`
	}{registered{file.Sites, file.Devices}, *passwords}
	if err := client.call(ctx, "POST", "/registry", body, &answer); err != nil {
		return fmt.Errorf("import %s: %w", c.arg(0), err)
	}
	fmt.Fprintf(c.out, "%d sites and %d devices are registered and judged by\n", answer.Sites, answer.Devices)
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, issued := range answer.Credentials {
		if issued.Password != "" {
			fmt.Fprintf(table, "%s\t%s\n", issued.User, issued.Password)
		}
	}
	return table.Flush()
}

// deviceExport prints all that is registered as a devices file.
func deviceExport(ctx context.Context, c *call) error {
	client, err := c.client(0)
	if err != nil {
		return err
	}
	var all registered
	if err := client.call(ctx, "GET", "/registry", nil, &all); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return writeYAML(c.out, all)
}
