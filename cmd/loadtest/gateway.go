package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fengsui/configs"
	"fengsui/devices"
)

// gateway is the real binary with a config of its own, seen from outside only.
type gateway struct {
	binary  string
	dir     string
	http    string // host:port
	mqtt    string
	token   string
	process *process
}

// Sites of the load and of the latency probes; a site's credential serves all
// of its devices, as an edge gateway's would.
const (
	password  = "load"
	probeSite = "probe"
	probes    = 40
	probeRule = "loadtest_probe"
)

func loadSite(i int) string { return fmt.Sprintf("load-%02d", i) }

// gatewayOptions say what the gateway has to do.
type gatewayOptions struct {
	options
	dir    string
	broker *mosquitto // nil: none to read from
	influx *influx    // nil: none to write to
}

// newGateway writes a config: the built-in rules, so that the load is judged as
// in earnest, and one rule more that clears at once, for the probes.
func newGateway(o gatewayOptions) (*gateway, error) {
	g := &gateway{binary: o.Binary, dir: o.dir, token: rand.Text() + rand.Text()}
	var err error
	if g.http, err = freeAddress(); err != nil {
		return nil, err
	}
	if g.mqtt, err = freeAddress(); err != nil {
		return nil, err
	}
	registry, err := registryYAML(o.Sites, o.DevicesEach)
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"devices.yaml":     registry,
		"rules/probe.yaml": probeRuleYAML,
		"fengsui.yaml": fmt.Sprintf("data: data\nhttp: {listen: %q}\nmqtt: {listen: %q, quota: {messages: 0}}\ndevices: devices.yaml\nrules: rules\nhistory: {memory: 0}\nlog: warn\n",
			g.http, g.mqtt),
	}
	if o.broker != nil {
		files["fengsui.yaml"] += fmt.Sprintf("brokers:\n  - {name: mosquitto, url: \"tcp://%s\", qos: %d}\n", o.broker.address, o.QoS)
	}
	if o.influx != nil {
		files["influx.token"] = influxToken
		files["fengsui.yaml"] += fmt.Sprintf("influx: {url: %q, org: %q, bucket: %q, token_file: influx.token}\n", o.influx.url, influxOrg, influxBucket)
	}
	if err := copyRules(files); err != nil {
		return nil, err
	}
	for name, text := range files {
		path := filepath.Join(g.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("write the gateway's config: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("write the gateway's config: %w", err)
		}
	}
	return g, nil
}

func copyRules(files map[string]string) error {
	names, err := fs.Glob(configs.Rules(), "*.yaml")
	if err != nil {
		return fmt.Errorf("list the built-in rules: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.yaml") {
			continue
		}
		text, err := fs.ReadFile(configs.Rules(), name)
		if err != nil {
			return fmt.Errorf("read the built-in rules: %w", err)
		}
		files["rules/"+name] = string(text)
	}
	return nil
}

// registryYAML is the load's devices and the probes.
func registryYAML(sites, devicesEach int) (string, error) {
	hash, err := devices.HashPassword(password)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	var places, things strings.Builder
	site := func(id string) {
		fmt.Fprintf(&places, "  - {id: %s, name: {zh: 负载站点, en: Load site}, password_hash: %q}\n", id, hash)
	}
	for s := range sites {
		site(loadSite(s))
		for d := range devicesEach {
			fmt.Fprintf(&things, "  - {site: %s, id: fire-%03d, kind: electrical_fire, name: {zh: 探测器, en: Unit}, state: in_service}\n", loadSite(s), d)
		}
	}
	site(probeSite)
	for d := range probes {
		fmt.Fprintf(&things, "  - {site: %s, id: %s, kind: combustible_gas, name: {zh: 探针, en: Probe}, state: in_service}\n", probeSite, probe(d))
	}
	return "sites:\n" + places.String() + "devices:\n" + things.String(), nil
}

func probe(i int) string { return fmt.Sprintf("gas-%02d", i) }

// devicesOf the load, grouped by site, so that connections can be too.
func devicesOf(root string, sites, devicesEach int) []loadDevice {
	all := make([]loadDevice, 0, sites*devicesEach)
	for s := range sites {
		for d := range devicesEach {
			all = append(all, loadDevice{
				Topic: fmt.Sprintf("%s/%s/fire-%03d/telemetry", root, loadSite(s), d),
				User:  loadSite(s), Password: password,
			})
		}
	}
	return all
}

// start runs the gateway and says how long it took until it was ready.
func (g *gateway) start(ctx context.Context) (time.Duration, error) {
	cmd := exec.Command(g.binary, "run", "-config", filepath.Join(g.dir, "fengsui.yaml"))
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "FENGSUI_ADMIN_TOKEN="+g.token)
	began := time.Now()
	p, err := start("fengsui", cmd)
	if err != nil {
		return 0, err
	}
	g.process = p
	err = p.until(ctx, "wait until it is ready", func() error {
		resp, err := http.Get("http://" + g.http + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s", resp.Status)
		}
		return nil
	})
	return time.Since(began), err
}

// stop ends the gateway, if it runs.
func (g *gateway) stop() {
	if g.process != nil {
		g.process.stop()
	}
}

// waitBroker waits until what is published at the external broker arrives.
func (g *gateway) waitBroker(ctx context.Context, o options, address string) error {
	one := o.load(address, houseRoot)
	one.Connections, one.Messages = 1, 1
	return g.process.until(ctx, "wait until it reads from mosquitto", func() error {
		if _, err := publish(ctx, one); err != nil {
			return err
		}
		accepted, err := g.scrape("fengsui_messages_accepted_total")
		if err == nil && accepted == 0 {
			err = errors.New("nothing arrived yet")
		}
		return err
	})
}

// waitJudged waits until the gateway has accepted so many messages in all.
func (g *gateway) waitJudged(ctx context.Context, accepted int) error {
	return g.process.until(ctx, "wait until everything is judged", func() error {
		have, err := g.scrape("fengsui_messages_accepted_total")
		if err == nil && int(have) < accepted {
			err = fmt.Errorf("%.0f of %d messages accepted", have, accepted)
		}
		return err
	})
}

// judges waits until so many messages more are judged.
func (g *gateway) judges(ctx context.Context, messages int) (finish func() error, err error) {
	before, err := g.metric("fengsui_messages_accepted_total")
	return func() error { return g.waitJudged(ctx, int(before)+messages) }, err
}

// writes waits until they are in InfluxDB as well.
func (g *gateway) writes(ctx context.Context, messages int) (finish func() error, err error) {
	judged, err := g.judges(ctx, messages)
	return func() error {
		if err := judged(); err != nil {
			return err
		}
		return g.process.until(ctx, "wait until everything is written", func() error {
			behind, err := g.scrape("fengsui_sink_lag_entries")
			if err == nil && behind > 0 {
				err = fmt.Errorf("%.0f entries behind", behind)
			}
			return err
		})
	}, err
}

// scrape is metric after a pause: a scrape costs the gateway time, which would
// be taken for the messages'.
func (g *gateway) scrape(name string) (float64, error) {
	time.Sleep(50 * time.Millisecond)
	return g.metric(name)
}

// metric is the sum of a metric's samples.
func (g *gateway) metric(name string) (float64, error) {
	resp, err := http.Get("http://" + g.http + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	sum, found := 0.0, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+v, true
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	if !found {
		return 0, fmt.Errorf("there is no metric %s", name)
	}
	return sum, nil
}
