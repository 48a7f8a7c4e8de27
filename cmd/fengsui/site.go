package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"

	"fengsui/devices"
)

const siteUsage = `fengsui site add [flags] SITE       register a site
fengsui site set [flags] SITE       change what the flags say of a site, and nothing else
fengsui site show SITE              what is registered of it
fengsui site list                   all sites and what is open there
fengsui site remove SITE            remove a site without devices

Each takes -config FILE and talks to the gateway that runs with it; "fengsui site
add -h" shows the flags.
`

// runSite is "fengsui site".
func runSite(ctx context.Context, t terminal, args []string) error {
	return verbs{
		"add":    siteStore("PUT", http.Header{"If-None-Match": {"*"}}),
		"set":    siteStore("PATCH", nil),
		"show":   siteShow,
		"list":   siteList,
		"remove": siteRemove,
	}.run(ctx, t, "site", siteUsage, args)
}

func sitePath(site string) string { return "/sites/" + url.PathEscape(site) }

// fields collects what flags say of a site or device, as the API takes it.
type fields map[string]any

// object is the object under a key, made where it is not there yet.
func (f fields) object(key string) map[string]any {
	o, ok := f[key].(map[string]any)
	if !ok {
		o = map[string]any{}
		f[key] = o
	}
	return o
}

// text is a flag that becomes a text.
func (f fields) text(c *call, flag, key, usage string) {
	c.flags.Func(flag, usage, func(s string) error { f[key] = s; return nil })
}

// name is a flag for a name; one language stands for both until the other is given.
func (f fields) name(c *call, key string) {
	c.flags.Func("name", "`name` for people", func(s string) error {
		f.object(key)["zh"] = s
		if _, given := f.object(key)["en"]; !given {
			f.object(key)["en"] = s
		}
		return nil
	})
	c.flags.Func("name-en", "`name` in English", func(s string) error { f.object(key)["en"] = s; return nil })
}

// common declares the flags that sites and devices share.
func (f fields) common(c *call) {
	f.name(c, "name")
	c.flags.Func("param", "design value, `name=number`; without a number it is taken away; may be repeated", func(s string) error {
		name, value, _ := strings.Cut(s, "=")
		if value == "" {
			f.object("params")[name] = nil
			return nil
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("want name=number, such as crest_elev_m=186.2")
		}
		f.object("params")[name] = n
		return nil
	})
	c.flags.Func("position", "`lat,lon,datum`, such as 35.1,118.2,GCJ-02; the datum is WGS-84 or GCJ-02", func(s string) error {
		p := fields{}
		if _, err := fmt.Sscanf(strings.ReplaceAll(s, ",", " "), "%g %g %s", p.number("lat"), p.number("lon"), p.word("datum")); err != nil {
			return fmt.Errorf("want lat,lon,datum")
		}
		f["position"] = map[string]any(p)
		return nil
	})
}

func (f fields) number(key string) *float64 { n := new(float64); f[key] = n; return n }
func (f fields) word(key string) *string    { s := new(string); f[key] = s; return s }

// siteStore registers a site or changes one.
func siteStore(method string, header http.Header) func(ctx context.Context, c *call) error {
	return func(ctx context.Context, c *call) error {
		site := fields{}
		site.common(c)
		site.text(c, "area", "area", "`area` it lies in")
		site.text(c, "camera", "camera_ref", "`id` of its camera at the video platform")
		c.flags.Func("contact", "whom to call, `role:name:phone`; the role is enterprise, township or responsible; may be repeated, and takes the place of those there", func(s string) error {
			parts := strings.SplitN(s, ":", 3)
			if len(parts) != 3 {
				return fmt.Errorf("want role:name:phone")
			}
			list, _ := site["contacts"].([]any)
			site["contacts"] = append(list, map[string]string{"role": parts[0], "name": parts[1], "phone": parts[2]})
			return nil
		})
		c.flags.Func("advice", "the site's own `instruction` for whoever is on duty", func(s string) error {
			site["advice"] = map[string]string{"zh": s, "en": s}
			return nil
		})
		c.flags.Func("document", "where a design value stands, `name=document[@2026-03-01]`; may be repeated", func(s string) error {
			name, rest, _ := strings.Cut(s, "=")
			document, date, _ := strings.Cut(rest, "@")
			site.object("documents")[name] = map[string]string{"document": document, "date": date}
			return nil
		})
		client, err := c.client(1)
		if err != nil {
			return err
		}
		client.header = header
		if err := client.call(ctx, method, sitePath(c.arg(0)), site, nil); err != nil {
			return fmt.Errorf("%s: %w", c.arg(0), err)
		}
		fmt.Fprintf(c.out, "site %s is registered and judged by\n", c.arg(0))
		return nil
	}
}

func siteShow(ctx context.Context, c *call) error {
	asJSON := c.flags.Bool("json", false, "as the API gives it")
	client, err := c.client(1)
	if err != nil {
		return err
	}
	return c.show(ctx, client, sitePath(c.arg(0)), *asJSON, &devices.Site{})
}

// show prints the config of a site or device, in the form of the devices file.
func (c *call) show(ctx context.Context, client *apiClient, path string, asJSON bool, config any) error {
	var whole json.RawMessage
	if err := client.call(ctx, "GET", path, nil, &whole); err != nil {
		return err
	}
	if asJSON {
		fmt.Fprintf(c.out, "%s\n", whole)
		return nil
	}
	answer := struct {
		Config any
		InFile bool `json:"in_file"`
	}{Config: config}
	if err := json.Unmarshal(whole, &answer); err != nil {
		return err
	}
	if answer.InFile {
		fmt.Fprintln(c.out, "# stands in the devices file")
	}
	return writeYAML(c.out, answer.Config)
}

func writeYAML(w io.Writer, v any) error {
	text, err := yaml.MarshalWithOptions(v, yaml.UseLiteralStyleIfMultiline(true))
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

func siteList(ctx context.Context, c *call) error {
	asJSON := c.flags.Bool("json", false, "as the API gives it")
	client, err := c.client(0)
	if err != nil {
		return err
	}
	var whole json.RawMessage
	if err := client.call(ctx, "GET", "/sites", nil, &whole); err != nil {
		return fmt.Errorf("list sites: %w", err)
	}
	if *asJSON {
		fmt.Fprintf(c.out, "%s\n", whole)
		return nil
	}
	var list struct {
		Sites []struct {
			ID, Area, Level string
			Name            devices.Text
			Devices, Online int
		}
	}
	if err := json.Unmarshal(whole, &list); err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SITE\tNAME\tAREA\tDEVICES\tONLINE\tLEVEL")
	for _, s := range list.Sites {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\n", s.ID, s.Name.ZH, s.Area, s.Devices, s.Online, s.Level)
	}
	return table.Flush()
}

func siteRemove(ctx context.Context, c *call) error {
	client, err := c.client(1)
	if err != nil {
		return err
	}
	if err := client.call(ctx, "DELETE", sitePath(c.arg(0)), nil, nil); err != nil {
		return fmt.Errorf("remove %s: %w", c.arg(0), err)
	}
	fmt.Fprintf(c.out, "site %s is gone\n", c.arg(0))
	return nil
}
