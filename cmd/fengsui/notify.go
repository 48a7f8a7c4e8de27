package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"time"

	"fengsui/rules"
	"fengsui/sinks"
	"fengsui/sinks/notify"
)

// NotifyConfig is one endpoint outside that is told of alarms. Secrets stand in
// files, which are read for every call: a changed one counts at once.
type NotifyConfig struct {
	// Name of the endpoint in metrics, logs and alarms.
	Name string `yaml:"name"`
	// Type is webhook (default) or alertmanager: a Prometheus Alertmanager, one
	// entry for each of a highly available pair.
	Type string `yaml:"type"`
	// URL that is called; of an Alertmanager http://host:9093. No query, no
	// password: an address that is itself a secret, as of chat robots, stands in
	// URLFile instead.
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"`
	// Method is POST (default) or PUT.
	Method string `yaml:"method"`
	// Headers are sent as they stand; SecretHeaders name a file for each value.
	Headers       map[string]string `yaml:"headers"`
	SecretHeaders map[string]string `yaml:"secret_headers"`
	// SecretFile holds a key to sign with: Fengsui-Signature is then t=UNIX,v1=HEX,
	// the HMAC-SHA256 of "UNIX.BODY".
	SecretFile string `yaml:"secret_file"`
	// CAFile verifies the server's certificate; empty: the system's roots.
	CAFile string `yaml:"ca_file"`
	// Timeout of one call. Default 10s.
	Timeout time.Duration `yaml:"timeout"`

	// Template makes the body (Go's text/template over notify.Message, with the
	// function json); TemplateFile holds one instead. Default: all there is, as JSON.
	// A mistake in it is found by check and at the start.
	Template     string `yaml:"template"`
	TemplateFile string `yaml:"template_file"`
	// Answer must be part of a good answer, for endpoints that say 200 to all.
	Answer string `yaml:"answer"`
	// Steps a webhook is told of: raised, level_up, level_down, acknowledged,
	// resolved. Default raised, level_up, resolved.
	Steps []notify.Step `yaml:"steps"`
	// LateAfter is the age from which a step is told only if it still matters, as
	// it stands now. Default 10m.
	LateAfter time.Duration `yaml:"late_after"`

	// Levels, Sites, Areas and Kinds that it is told of; empty: all. The level
	// "fault" stands for troubles of devices and of the gateway itself.
	Levels []string `yaml:"levels"`
	Sites  []string `yaml:"sites"`
	Areas  []string `yaml:"areas"`
	Kinds  []string `yaml:"kinds"`
	// Drills: also told of 演练. Default false.
	Drills bool `yaml:"drills"`

	// Labels are added to every alert of an Alertmanager.
	Labels map[string]string `yaml:"labels"`
	// Repeat is how often an Alertmanager is told again what stands; what is not
	// repeated four times ends there by itself. Default 1m.
	Repeat time.Duration `yaml:"repeat"`
}

func (n *NotifyConfig) paths() []*string {
	return []*string{&n.URLFile, &n.SecretFile, &n.CAFile, &n.TemplateFile}
}

// resolveHeaders makes the files of secret headers relative to a folder.
func (n *NotifyConfig) resolveHeaders(resolve func(*string)) {
	for name, file := range n.SecretHeaders {
		resolve(&file)
		n.SecretHeaders[name] = file
	}
}

// endpoint is what both types of endpoints can do.
type endpoint interface {
	sinks.Sink
	Verify() error
	Try(ctx context.Context) (answer string, err error)
	Close()
}

// notifyContext is what endpoints share.
type notifyContext struct {
	standing  *notify.Standing
	bucket    notify.Bucket
	console   string
	onRefused func(name string) func(body, reason string)
	logger    *slog.Logger
}

// build makes an endpoint of its section.
func (n *NotifyConfig) build(c notifyContext) (endpoint, error) {
	filter, err := n.filter()
	if err != nil {
		return nil, err
	}
	common := notify.Common{
		Endpoint: notify.Endpoint{
			Name: n.Name, URL: n.URL, URLFile: n.URLFile, Method: n.Method, Headers: n.Headers,
			SecretHeaders: n.SecretHeaders, SecretFile: n.SecretFile, CAFile: n.CAFile, Timeout: n.Timeout,
		},
		Filter: filter, Console: c.console, Standing: c.standing, Logger: c.logger,
	}
	if c.onRefused != nil {
		common.OnRefused = c.onRefused("notify_" + n.Name)
	}
	switch n.Type {
	case "alertmanager":
		if n.Template != "" || n.TemplateFile != "" || n.Steps != nil || n.Answer != "" || n.LateAfter != 0 || n.Method != "" {
			return nil, fmt.Errorf("type: an alertmanager takes no template, steps, answer, late_after or method")
		}
		return notify.NewAlertmanager(notify.AlertmanagerOptions{
			Common: common, Labels: n.Labels, Repeat: n.Repeat,
		})
	case "", "webhook":
		if n.Labels != nil || n.Repeat != 0 {
			return nil, fmt.Errorf("type: a webhook takes no labels and no repeat; those are an alertmanager's")
		}
		template, err := n.template()
		if err != nil {
			return nil, err
		}
		return notify.NewWebhook(notify.WebhookOptions{
			Common: common, Steps: n.Steps, Template: template, Answer: n.Answer, LateAfter: n.LateAfter, Bucket: c.bucket,
		})
	}
	return nil, fmt.Errorf("type: %q is none; want webhook or alertmanager", n.Type)
}

func (n *NotifyConfig) filter() (notify.Filter, error) {
	f := notify.Filter{Sites: n.Sites, Areas: n.Areas, Kinds: n.Kinds, Drills: n.Drills}
	for _, word := range n.Levels {
		level, err := rules.ParseLevel(word)
		if err != nil || level == rules.Normal {
			return f, fmt.Errorf("levels: %q is none; want blue, yellow, orange, red or fault", word)
		}
		f.Levels = append(f.Levels, level)
	}
	return f, nil
}

func (n *NotifyConfig) template() (string, error) {
	if n.TemplateFile == "" {
		return n.Template, nil
	}
	if n.Template != "" {
		return "", fmt.Errorf("template_file: give a template or a file with one, not both")
	}
	text, err := os.ReadFile(n.TemplateFile)
	if err != nil {
		return "", fmt.Errorf("template_file: %w", err)
	}
	return string(text), nil
}

// keyOf finds the key that an error of build begins with.
var keyOf = regexp.MustCompile(`^[a-z_]+`)

// validate complains with the place in the file. Files with secrets are not
// read: not everybody who reads the config may.
func (n *NotifyConfig) validate(path string, names map[string]bool, wrong func(path, format string, args ...any)) {
	if names[n.Name] {
		wrong(path+".name", "name %q is taken; every endpoint needs one of its own", n.Name)
	}
	names[n.Name] = true
	e, err := n.build(notifyContext{})
	if err != nil {
		wrong(path+"."+keyOf.FindString(err.Error()), "%v", err)
		return
	}
	e.Close()
}

// verifyNotify reads what validate does not: the files with secrets.
func verifyNotify(cfg Config) error {
	for i := range cfg.Notify {
		e, err := cfg.Notify[i].build(notifyContext{})
		if err != nil {
			return err
		}
		if err := e.Verify(); err != nil {
			return fmt.Errorf("notify endpoint %s: %w", cfg.Notify[i].Name, err)
		}
	}
	return nil
}

const notifyUsage = `fengsui notify test -config FILE NAME   send a marked test message and show the answer
`

// runNotify is "fengsui notify".
func runNotify(ctx context.Context, t terminal, args []string) error {
	if len(args) == 0 || args[0] != "test" {
		fmt.Fprint(t.err, notifyUsage)
		return errUsage
	}
	flags := flag.NewFlagSet("notify test", flag.ContinueOnError)
	path := flags.String("config", "fengsui.yaml", "config `file`")
	if err := parseFlags(t, flags, args[1:], 1); err != nil {
		return err
	}
	cfg, err := loadConfig(*path)
	if err != nil {
		return err
	}
	for i := range cfg.Notify {
		if cfg.Notify[i].Name == flags.Arg(0) {
			return tryEndpoint(ctx, t, &cfg.Notify[i], cfg.HTTP.URL)
		}
	}
	return fmt.Errorf("%s has no notify endpoint %q; it has %v", *path, flags.Arg(0), notifyNames(cfg))
}

func notifyNames(cfg Config) []string {
	names := []string{}
	for _, n := range cfg.Notify {
		names = append(names, n.Name)
	}
	return names
}

func tryEndpoint(ctx context.Context, t terminal, n *NotifyConfig, console string) error {
	e, err := n.build(notifyContext{console: console})
	if err != nil {
		return err
	}
	defer e.Close()
	answer, err := e.Try(ctx)
	if answer != "" {
		fmt.Fprintf(t.out, "%s answered %s\n", n.Name, answer)
	}
	if err != nil {
		return fmt.Errorf("the test message to %s did not get through: %w", n.Name, err)
	}
	fmt.Fprintf(t.out, "the test message to %s was taken; whoever should read it should see it now\n", n.Name)
	return nil
}
