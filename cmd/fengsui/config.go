package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fengsui/devices"
)

// Config is the operator's manual: every key of fengsui.yaml stands here with
// its default, and why one would change it. configs/fengsui.yaml decodes to
// exactly these defaults. Paths are relative to the config file.
type Config struct {
	// Data is the folder with the logs, the registry and the admin token. One
	// gateway at a time: a second one on the same folder refuses to start.
	// Put it on a disk of its own, with 20 GB or more. Default "data".
	Data string `yaml:"data"`

	HTTP HTTPConfig `yaml:"http"`
	MQTT MQTTConfig `yaml:"mqtt"`
	// TLS makes the console HTTPS and opens mqtt.tls_listen. Without it both are
	// plain: keep them on a network of the bureau's own.
	TLS     *TLSConfig    `yaml:"tls"`
	Brokers []Broker      `yaml:"brokers"`
	Influx  *InfluxConfig `yaml:"influx"`
	// Notify are the endpoints outside that are told of alarms.
	Notify  []NotifyConfig `yaml:"notify"`
	Journal JournalConfig  `yaml:"journal"`
	Disk    DiskConfig     `yaml:"disk"`
	Metrics MetricsConfig  `yaml:"metrics"`

	History HistoryConfig `yaml:"history"`

	// Devices is the file with sites and devices. Optional: devices can be added
	// at run time as well (fengsui device add); what the file says wins at start.
	Devices string `yaml:"devices"`
	// Kinds and Rules are folders that replace the built-in kinds of devices and
	// rules. Empty: the built-in ones (fengsui init writes a copy to start from).
	Kinds string `yaml:"kinds"`
	Rules string `yaml:"rules"`

	// Routes are files that say how messages in foreign formats are read: which
	// topics, which device, which key is which field. fengsui init writes examples
	// into the folder routes; fengsui decode shows what a payload becomes. Tried in
	// the order of this list. Default: none.
	Routes []string `yaml:"routes"`

	// HistoryAfter is the age from which a reading is history: it is stored and
	// shown as 补报, but wakes nobody. Default 30m.
	HistoryAfter time.Duration `yaml:"history_after"`

	// Log is how much is logged: debug, info, warn or error. Default info.
	Log string `yaml:"log"`

	unreadable     []error // files it names that cannot be read, with their places
	builtinDevices []byte  // the demo's county, in place of a devices file
}

// HTTPConfig is the console, the API and the websocket.
type HTTPConfig struct {
	// Listen is address:port. The default "127.0.0.1:8080" is reachable from this
	// machine only; use ":8080" for the monitoring centre's network.
	Listen string `yaml:"listen"`
	// Origins that may open the stream and send commands beside the gateway's own
	// address, for a reverse proxy under another name. Example: https://console.example
	Origins []string `yaml:"origins"`
	// URL is where people open the console, for the links in messages. Example:
	// https://console.example
	URL string `yaml:"url"`
}

// MQTTConfig is the embedded intake, to which devices connect directly.
type MQTTConfig struct {
	// Listen is address:port; empty switches the intake off (devices then come
	// through brokers only). Default ":1883".
	Listen string `yaml:"listen"`
	// TLSListen is where the intake listens for MQTT over TLS, once there is a
	// certificate (tls); empty switches it off. Default ":8883".
	TLSListen string `yaml:"tls_listen"`
	// MaxPayload is the largest message taken, in bytes. Default 1 MiB.
	MaxPayload int `yaml:"max_payload"`
	// Quota is what each credential may take, so that one device or enterprise
	// gone wild does not fill the disk for all.
	Quota QuotaConfig `yaml:"quota"`

	// anonymous lets devices in without a password; only the demo sets it, and
	// only on loopback.
	anonymous bool
}

// QuotaConfig bounds each credential of the intake; 0 is no limit.
type QuotaConfig struct {
	// Messages a second, after ten seconds' worth at once. Beyond it the
	// credential's connections are read more slowly: nothing is lost, and the
	// list of refusals says so. Default 2000.
	Messages int `yaml:"messages"`
	// Connections at a time; further ones are refused. Default 5000.
	Connections int `yaml:"connections"`
}

// Broker is an external MQTT broker that the gateway reads from as a client.
type Broker struct {
	// Name of the source in metrics, alarms and the console.
	Name string `yaml:"name"`
	// URL: tcp://host:1883, ssl://host:8883, ws://… or wss://…
	URL string `yaml:"url"`
	// Topics to subscribe to. Default: v1/# and those of the routes.
	Topics []string `yaml:"topics"`
	// QoS of the subscription. 1 (default) loses nothing; 0 is best effort.
	QoS *int `yaml:"qos"`
	// ClientID must stay the same, the broker keeps the session under it.
	// Default "fengsui-" and the name.
	ClientID string `yaml:"client_id"`
	Username string `yaml:"username"`
	// PasswordFile holds the password; it is never written into this file.
	PasswordFile string `yaml:"password_file"`
	// Share is the name of a shared-subscription group ($share/NAME/…), for
	// several gateways that divide one broker's messages.
	Share string `yaml:"share"`
	// CAFile verifies the broker's certificate; empty: the system's roots.
	CAFile string `yaml:"ca_file"`
}

// InfluxConfig is the InfluxDB 2 server that gets readings and alarm events.
type InfluxConfig struct {
	URL    string `yaml:"url"`
	Org    string `yaml:"org"`
	Bucket string `yaml:"bucket"`
	// TokenFile holds an API token that may write the bucket.
	TokenFile string `yaml:"token_file"`

	token string // the demo takes it from the environment
}

// JournalConfig is how long, and on how much disk, messages are kept.
type JournalConfig struct {
	// Keep is how long messages and readings stay in the logs after every sink has
	// them. What a sink still needs is never dropped. Default 168h (7 days).
	Keep time.Duration `yaml:"keep"`
	// MaxBytes is the most the logs may take together. Default 20 GB.
	MaxBytes int64 `yaml:"max_bytes"`
}

// MetricsConfig says who may scrape /metrics: loopback always may.
type MetricsConfig struct {
	// TokenFile holds a bearer token for scrapers that are not on this machine.
	TokenFile string `yaml:"token_file"`
}

func defaultConfig() Config {
	return Config{
		Data:         "data",
		HTTP:         HTTPConfig{Listen: "127.0.0.1:8080"},
		MQTT:         MQTTConfig{Listen: ":1883", TLSListen: ":8883", MaxPayload: 1 << 20, Quota: QuotaConfig{Messages: 2000, Connections: 5000}},
		Journal:      JournalConfig{Keep: 7 * 24 * time.Hour, MaxBytes: 20_000_000_000},
		History:      HistoryConfig{Memory: 64_000_000, Keep: 24 * time.Hour},
		Disk:         defaultDisk(),
		HistoryAfter: 30 * time.Minute,
		Log:          "info",
	}
}

// loadConfig reads a config file over the defaults; unknown keys are errors.
func loadConfig(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, configFileError(path, err)
	}
	c := defaultConfig()
	doc, err := devices.ReadDocument(path, text, &c)
	if err != nil {
		return Config{}, err
	}
	c.resolve(filepath.Dir(path))
	c.findUnreadable(doc)
	return c, c.validate(doc)
}

// resolve makes paths relative to the folder of the config file.
func (c *Config) resolve(folder string) {
	paths := []*string{&c.Data, &c.Devices, &c.Kinds, &c.Rules, &c.Metrics.TokenFile}
	for i := range c.Routes {
		paths = append(paths, &c.Routes[i])
	}
	for i := range c.Brokers {
		paths = append(paths, &c.Brokers[i].PasswordFile, &c.Brokers[i].CAFile)
	}
	if c.Influx != nil {
		paths = append(paths, &c.Influx.TokenFile)
	}
	if c.TLS != nil {
		paths = append(paths, &c.TLS.CertFile, &c.TLS.KeyFile)
	}
	resolve := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(folder, *p)
		}
	}
	for i := range c.Notify {
		paths = append(paths, c.Notify[i].paths()...)
		c.Notify[i].resolveHeaders(resolve)
	}
	for _, p := range paths {
		resolve(p)
	}
}

// validate complains with the place in the file.
func (c *Config) validate(doc *devices.Document) error {
	var errs []error
	wrong := func(path, format string, args ...any) { errs = append(errs, doc.Errorf(path, format, args...)) }
	if q := c.MQTT.Quota; q.Messages < 0 || q.Connections < 0 {
		wrong("$.mqtt.quota", "a quota is negative; want a number, or 0 for no limit")
	}
	if c.Data == "" {
		wrong("$.data", "data is empty; name a folder for the logs")
	}
	if u := c.HTTP.URL; u != "" && !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
		wrong("$.http.url", "url is %q; want the address of the console, such as https://console.example", u)
	}
	if c.HTTP.Listen == "" {
		wrong("$.http.listen", "listen is empty; the console is where alarms are seen, give it an address such as 127.0.0.1:8080")
	}
	if c.MQTT.Listen == "" && !c.mqttOverTLS() && len(c.Brokers) == 0 {
		wrong("$.mqtt.listen", "listen is empty and there are no brokers: nothing could arrive")
	}
	if c.TLS != nil && (c.TLS.CertFile == "" || c.TLS.KeyFile == "") {
		wrong("$.tls", "tls needs cert_file and key_file; fengsui cert makes them")
	}
	if c.MQTT.MaxPayload < 1024 || c.MQTT.MaxPayload > 4<<20 {
		wrong("$.mqtt.max_payload", "max_payload is %d; want 1024 to %d bytes", c.MQTT.MaxPayload, 4<<20)
	}
	if c.Journal.MaxBytes < 1<<30 {
		wrong("$.journal.max_bytes", "max_bytes is %d; want at least %d (1 GiB)", c.Journal.MaxBytes, 1<<30)
	}
	if c.Journal.Keep <= 0 {
		wrong("$.journal.keep", "keep is %v; want a duration such as 168h", c.Journal.Keep)
	}
	c.History.validate(wrong)
	c.Disk.validate(wrong)
	if c.HistoryAfter <= 0 {
		wrong("$.history_after", "history_after is %v; want a duration such as 30m", c.HistoryAfter)
	}
	if in := c.Influx; in != nil && (in.URL == "" || in.Org == "" || in.Bucket == "" || in.TokenFile == "") {
		wrong("$.influx", "influx needs url, org, bucket and token_file")
	}
	if _, err := logLevel(c.Log); err != nil {
		wrong("$.log", "%v", err)
	}
	names := map[string]bool{embeddedSource: true}
	for i := range c.Brokers {
		c.Brokers[i].validate(fmt.Sprintf("$.brokers[%d]", i), names, wrong)
	}
	endpoints := map[string]bool{}
	for i := range c.Notify {
		c.Notify[i].validate(fmt.Sprintf("$.notify[%d]", i), endpoints, wrong)
	}
	return errors.Join(errs...)
}

// mqttOverTLS says whether the intake listens for TLS.
func (c *Config) mqttOverTLS() bool { return c.TLS != nil && c.MQTT.TLSListen != "" }

func (b *Broker) validate(path string, names map[string]bool, wrong func(path, format string, args ...any)) {
	switch {
	case b.Name == "":
		wrong(path, "name is empty; it names the source in metrics and alarms")
	case names[b.Name]:
		wrong(path+".name", "name %q is taken; every source needs one of its own", b.Name)
	}
	names[b.Name] = true
	if !strings.Contains(b.URL, "://") {
		wrong(path+".url", "url is %q; want tcp://host:1883 or ssl://host:8883", b.URL)
	}
	if b.QoS != nil && (*b.QoS < 0 || *b.QoS > 1) {
		wrong(path+".qos", "qos is %d; want 0 or 1", *b.QoS)
	}
}
