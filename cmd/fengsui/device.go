package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"fengsui/devices"
)

const deviceUsage = `fengsui device add -kind KIND [flags] SITE DEVICE   register a device, print its password once
fengsui device set [flags] SITE DEVICE              change what the flags say of a device, and nothing else
fengsui device show SITE DEVICE                     what is registered of it
fengsui device list [-site SITE]                    who is there
fengsui device watch SITE DEVICE                    see a new device come in, step by step
fengsui device remove SITE DEVICE                   remove it, and its password
fengsui device password SITE DEVICE                 make up a new password
fengsui device revoke SITE DEVICE                   make its password void and drop its connection
fengsui device import FILE                          register many, in the form of the devices file
fengsui device export                               all that is registered, in that form

Each takes -config FILE and talks to the gateway that runs with it; "fengsui device
add -h" shows the flags.
`

// runDevice is "fengsui device".
func runDevice(ctx context.Context, t terminal, args []string) error {
	return verbs{
		"add":      deviceAdd,
		"set":      deviceSet,
		"show":     deviceShow,
		"list":     deviceList,
		"watch":    deviceWatch,
		"remove":   deviceRemove,
		"password": deviceCredential("POST"),
		"revoke":   deviceCredential("DELETE"),
		"import":   deviceImport,
		"export":   deviceExport,
	}.run(ctx, t, "device", deviceUsage, args)
}

// issued is the API's answer that shows a credential.
type issued struct {
	Site       string
	Device     string
	Credential struct{ User, Password string }
}

// print shows all that whoever attaches the device needs next.
func (i issued) print(c *call) {
	fmt.Fprintf(c.out, "%s/%s\n", i.Site, i.Device)
	for _, address := range c.reach.mqtt {
		fmt.Fprintf(c.out, "  MQTT address   %s\n", address)
	}
	if i.Credential.Password == "" {
		fmt.Fprintln(c.out, "  keeps the password it had")
	} else {
		fmt.Fprintf(c.out, "  MQTT user      %s\n  MQTT password  %s   (shown this once)\n", i.Credential.User, i.Credential.Password)
	}
	fmt.Fprintf(c.out, "  topic          v1/%s/%s/telemetry\n", i.Site, i.Device)
	fmt.Fprintf(c.out, "see what arrives of it, and if not, why:\n  %s/?device=%s/%s\n  fengsui device watch -config %s %s %s\n",
		c.reach.console, i.Site, i.Device, *c.config, i.Site, i.Device)
}

func deviceAdd(ctx context.Context, c *call) error {
	kind := c.flags.String("kind", "", "`kind` of device, such as combustible_gas")
	name := c.flags.String("name", "", "`name` for people (default: the device id)")
	state := c.flags.String("state", string(devices.InService), "planned, commissioning, in_service, out_of_service or retired")
	interval := c.flags.Duration("interval", 0, "how often it speaks, where that differs from its kind")
	client, err := c.client(2)
	if err != nil {
		return err
	}
	d := devices.DeviceConfig{
		Site: c.arg(0), ID: c.arg(1), Kind: *kind, State: devices.State(*state), Since: time.Now().UTC().Truncate(time.Second),
		Name: devices.Text{ZH: *name, EN: *name}, Interval: devices.Duration(*interval),
	}
	if *name == "" {
		d.Name = devices.Text{ZH: d.ID, EN: d.ID}
	}
	var answer issued
	if err := client.call(ctx, "POST", "/devices", d, &answer); err != nil {
		return fmt.Errorf("add %s: %w", d.Key(), err)
	}
	answer.print(c)
	return nil
}

// deviceCredential makes up a new password, or makes the one there is void.
func deviceCredential(method string) func(ctx context.Context, c *call) error {
	return func(ctx context.Context, c *call) error {
		client, err := c.client(2)
		if err != nil {
			return err
		}
		site, device := c.arg(0), c.arg(1)
		var answer issued
		if err := client.call(ctx, method, devicePath(site, device)+"/credential", nil, &answer); err != nil {
			return fmt.Errorf("%s/%s: %w", site, device, err)
		}
		if method == "DELETE" {
			fmt.Fprintf(c.out, "%s/%s can no longer connect\n", site, device)
			return nil
		}
		answer.print(c)
		return nil
	}
}

func devicePath(site, device string) string {
	return "/devices/" + url.PathEscape(site) + "/" + url.PathEscape(device)
}

// deviceSet changes what the flags say. A state alone can be changed of a device
// in the devices file, too.
func deviceSet(ctx context.Context, c *call) error {
	d := fields{}
	d.common(c)
	d.text(c, "kind", "kind", "`kind` of device")
	d.text(c, "interval", "interval", "how often it speaks, such as `30s`")
	d.text(c, "state", "state", "planned, commissioning, in_service, out_of_service or retired")
	c.flags.Func("baseline", "zero points, `field=value@2026-03-01T00:00:00+08:00`; may be repeated, and take the place of those there", func(s string) error {
		field, rest, _ := strings.Cut(s, "=")
		value, from, _ := strings.Cut(rest, "@")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("want field=value@time")
		}
		list, _ := d["baselines"].([]any)
		d["baselines"] = append(list, map[string]any{"field": field, "value": n, "from": from})
		return nil
	})
	client, err := c.client(2)
	if err != nil {
		return err
	}
	method, target := "PATCH", devicePath(c.arg(0), c.arg(1))
	if _, state := d["state"]; state && len(d) == 1 {
		method, target = "PUT", target+"/state"
	}
	var now struct{ Config devices.DeviceConfig }
	if err := client.call(ctx, method, target, d, &now); err != nil {
		return fmt.Errorf("%s/%s: %w", c.arg(0), c.arg(1), err)
	}
	fmt.Fprintf(c.out, "%s is judged by as %s since %s\n", now.Config.Key(), now.Config.State, now.Config.Since.Local().Format(time.DateTime))
	return nil
}

func deviceShow(ctx context.Context, c *call) error {
	asJSON := c.flags.Bool("json", false, "as the API gives it")
	client, err := c.client(2)
	if err != nil {
		return err
	}
	return c.show(ctx, client, devicePath(c.arg(0), c.arg(1)), *asJSON, &devices.DeviceConfig{})
}

func deviceRemove(ctx context.Context, c *call) error {
	client, err := c.client(2)
	if err != nil {
		return err
	}
	if err := client.call(ctx, "DELETE", devicePath(c.arg(0), c.arg(1)), nil, nil); err != nil {
		return fmt.Errorf("remove %s/%s: %w", c.arg(0), c.arg(1), err)
	}
	fmt.Fprintf(c.out, "%s/%s is gone; its alarms are over\n", c.arg(0), c.arg(1))
	return nil
}

func deviceList(ctx context.Context, c *call) error {
	site := c.flags.String("site", "", "only this `site`")
	asJSON := c.flags.Bool("json", false, "as the API gives it, a page a line")
	client, err := c.client(0)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
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
		var whole json.RawMessage
		if err := client.call(ctx, "GET", "/devices?"+query.Encode(), nil, &whole); err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		if err := json.Unmarshal(whole, &page); err != nil {
			return err
		}
		if *asJSON {
			fmt.Fprintf(c.out, "%s\n", whole)
		}
		for _, d := range page.Devices {
			seen := "never"
			if d.LastSeen != nil {
				seen = d.LastSeen.Local().Format(time.DateTime)
			}
			fmt.Fprintf(table, "%s/%s\t%s\t%s\t%v\t%s\n", d.Site, d.ID, d.Kind, d.State, d.Online, seen)
		}
		if after = page.Next; after != "" {
			continue
		}
		if *asJSON {
			return nil
		}
		return table.Flush()
	}
}
