package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
)

// telegraf is what one would otherwise put between a broker and InfluxDB. It
// keeps nothing on disk and judges nothing.
type telegraf struct {
	*process
	written *writtenCount
}

// buildTelegraf compiles it from its module, with the plugins that are needed
// and no others; that takes a minute or two the first time.
func buildTelegraf(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "telegraf")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	module, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "fengsui/cmd/loadtest").Output()
	if err != nil {
		return "", fmt.Errorf("find the sources of telegraf's build: %w", err)
	}
	cmd.Dir = filepath.Join(string(bytes.TrimSpace(module)), "telegraf")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build telegraf: %w\n%s", err, out)
	}
	return binary, nil
}

// telegrafConfig acknowledges to the broker what InfluxDB has taken, with a
// persistent session: nearest to what the gateway promises.
const telegrafConfig = `[agent]
  debug = true
  omit_hostname = true
  flush_interval = "1s"
  flush_jitter = "0s"
  metric_batch_size = 5000
  metric_buffer_limit = 1000000
  skip_processors_after_aggregators = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://%s"]
  topics = ["%s/+/+/telemetry"]
  qos = %d
  client_id = "telegraf"
  persistent_session = true
  max_undelivered_messages = 100000
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "%s/+/+/telemetry"
    tags = "_/site/device/_"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "electrical_fire"
    timestamp_path = "ts"
    timestamp_format = "unix_ms"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "values"
      disable_prepend_keys = true
[[outputs.influxdb_v2]]
  urls = ["%s"]
  token = "%s"
  organization = "%s"
  bucket = "%s"
`

func startTelegraf(dir, program, broker string, qos byte, to *influx) (*telegraf, error) {
	config := filepath.Join(dir, "telegraf.conf")
	text := fmt.Sprintf(telegrafConfig, broker, telegrafRoot, qos, telegrafRoot, to.url, influxToken, influxOrg, influxBucket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write telegraf's config: %w", err)
	}
	t := &telegraf{written: &writtenCount{}}
	cmd := exec.Command(program, config)
	var err error
	t.process, err = startWith("telegraf", cmd, t.written)
	return t, err
}

// takes waits until it has written so many messages more to InfluxDB.
func (t *telegraf) takes(ctx context.Context, messages int) (finish func() error, err error) {
	before := t.written.total()
	return func() error {
		return t.until(ctx, "wait until everything is written", func() error {
			if have := t.written.total() - before; have < messages {
				return fmt.Errorf("%d of %d messages written", have, messages)
			}
			return nil
		})
	}, nil
}

// writtenCount adds up what Telegraf says it wrote: there is no cheaper way to
// know, since points of one device and millisecond are one in InfluxDB.
type writtenCount struct {
	mu   sync.Mutex
	line []byte
	sum  int
}

func (w *writtenCount) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sum
}

func (w *writtenCount) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range text {
		if b != '\n' {
			w.line = append(w.line, b)
			continue
		}
		w.sum += writtenIn(w.line)
		w.line = w.line[:0]
	}
	return len(text), nil
}

// writtenIn reads "… Wrote batch of 5000 metrics in 40ms".
func writtenIn(line []byte) int {
	_, after, found := bytes.Cut(line, []byte("Wrote batch of "))
	if !found {
		return 0
	}
	number, _, _ := bytes.Cut(after, []byte(" "))
	n, err := strconv.Atoi(string(number))
	if err != nil {
		return 0
	}
	return n
}
