package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"fengsui/devices"
)

const deviceUsage = `fengsui device add -kind KIND [flags] SITE DEVICE   register a device, print its password once
fengsui device password SITE DEVICE                 make up a new password
fengsui device revoke SITE DEVICE                   make its password void and drop its connection
fengsui device list [-site SITE]                    who is there

Each takes -config FILE and talks to the gateway that runs with it.
`

// runDevice is "fengsui device".
func runDevice(ctx context.Context, t terminal, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(t.err, deviceUsage)
		return errUsage
	}
	flags := flag.NewFlagSet("device "+args[0], flag.ContinueOnError)
	path := flags.String("config", "fengsui.yaml", "config `file` of the running gateway")
	switch verb, rest := args[0], args[1:]; verb {
	case "add":
		return deviceAdd(ctx, t, flags, path, rest)
	case "password":
		return deviceCredential(ctx, t, flags, path, rest, "POST")
	case "revoke":
		return deviceCredential(ctx, t, flags, path, rest, "DELETE")
	case "list":
		return deviceList(ctx, t, flags, path, rest)
	default:
		fmt.Fprint(t.err, deviceUsage)
		return errUsage
	}
}

// newClient parses the flags and finds the gateway.
func newClient(t terminal, flags *flag.FlagSet, path *string, args []string, positional int) (*apiClient, error) {
	if err := parseFlags(t, flags, args, positional); err != nil {
		return nil, err
	}
	if flags.NArg() < positional {
		fmt.Fprintf(t.err, "fengsui %s: %d arguments are missing\n\n", flags.Name(), positional-flags.NArg())
		flags.Usage()
		return nil, errUsage
	}
	cfg, err := loadConfig(*path)
	if err != nil {
		return nil, err
	}
	return newAPIClient(cfg)
}

// issued is the API's answer that shows a credential.
type issued struct {
	Site       string
	Device     string
	Credential struct{ User, Password string }
}

func (i issued) print(t terminal) {
	fmt.Fprintf(t.out, "%s/%s\n", i.Site, i.Device)
	if i.Credential.Password == "" {
		fmt.Fprintln(t.out, "  keeps the password it had")
		return
	}
	fmt.Fprintf(t.out, "  MQTT user      %s\n  MQTT password  %s   (shown this once)\n  topic          v1/%s/%s/telemetry\n",
		i.Credential.User, i.Credential.Password, i.Site, i.Device)
}

func deviceAdd(ctx context.Context, t terminal, flags *flag.FlagSet, path *string, args []string) error {
	kind := flags.String("kind", "", "`kind` of device, such as combustible_gas")
	name := flags.String("name", "", "`name` for people (default: the device id)")
	state := flags.String("state", string(devices.InService), "planned, commissioning, in_service, out_of_service or retired")
	interval := flags.Duration("interval", 0, "how often it speaks, where that differs from its kind")
	client, err := newClient(t, flags, path, args, 2)
	if err != nil {
		return err
	}
	d := devices.DeviceConfig{
		Site: flags.Arg(0), ID: flags.Arg(1), Kind: *kind, State: devices.State(*state), Since: time.Now().UTC().Truncate(time.Second),
		Name: devices.Text{ZH: *name, EN: *name}, Interval: devices.Duration(*interval),
	}
	if *name == "" {
		d.Name = devices.Text{ZH: d.ID, EN: d.ID}
	}
	var answer issued
	if err := client.call(ctx, "POST", "/devices", d, &answer); err != nil {
		return fmt.Errorf("add %s: %w", d.Key(), err)
	}
	answer.print(t)
	return nil
}

func deviceCredential(ctx context.Context, t terminal, flags *flag.FlagSet, path *string, args []string, method string) error {
	client, err := newClient(t, flags, path, args, 2)
	if err != nil {
		return err
	}
	site, device := flags.Arg(0), flags.Arg(1)
	var answer issued
	target := "/devices/" + url.PathEscape(site) + "/" + url.PathEscape(device) + "/credential"
	if err := client.call(ctx, method, target, nil, &answer); err != nil {
		return fmt.Errorf("%s/%s: %w", site, device, err)
	}
	if method == "DELETE" {
		fmt.Fprintf(t.out, "%s/%s can no longer connect\n", site, device)
		return nil
	}
	answer.print(t)
	return nil
}

func deviceList(ctx context.Context, t terminal, flags *flag.FlagSet, path *string, args []string) error {
	site := flags.String("site", "", "only this `site`")
	client, err := newClient(t, flags, path, args, 0)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DEVICE\tKIND\tSTATE\tONLINE\tLAST SEEN")
	for after := ""; ; {
		var page struct {
			Devices []struct {
				ID, Site, Kind, State string
				Online                bool
				LastSeen              *time.Time `json:"last_seen"`
			}
			Next string
		}
		query := url.Values{"limit": {"500"}, "after": {after}}
		if *site != "" {
			query.Set("site", *site)
		}
		if err := client.call(ctx, "GET", "/devices?"+query.Encode(), nil, &page); err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		for _, d := range page.Devices {
			seen := "never"
			if d.LastSeen != nil {
				seen = d.LastSeen.Local().Format(time.DateTime)
			}
			fmt.Fprintf(table, "%s/%s\t%s\t%s\t%v\t%s\n", d.Site, d.ID, d.Kind, d.State, d.Online, seen)
		}
		if after = page.Next; after == "" {
			return table.Flush()
		}
	}
}
