package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// influx is a real InfluxDB 2, to which both the gateway and Telegraf write.
type influx struct {
	*process
	url string
}

// What its organization, bucket and token are called.
const (
	influxOrg    = "loadtest"
	influxBucket = "loadtest"
	influxToken  = "loadtest-token"
)

// findInfluxd looks where .ci/influxd puts it.
func findInfluxd() (string, bool) {
	if path := os.Getenv("FENGSUI_INFLUXD"); path != "" {
		return path, true
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", false
	}
	found, err := filepath.Glob(filepath.Join(cache, "fengsui", "influxd-v*"))
	if err != nil || len(found) == 0 {
		return "", false
	}
	return found[len(found)-1], true
}

func startInflux(ctx context.Context, dir, program string) (*influx, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := start("influxd", exec.Command(program,
		"--bolt-path", filepath.Join(dir, "influxd.bolt"), "--sqlite-path", filepath.Join(dir, "influxd.sqlite"),
		"--engine-path", filepath.Join(dir, "engine"), "--http-bind-address", address, "--reporting-disabled", "--log-level", "error"))
	if err != nil {
		return nil, err
	}
	i := &influx{p, "http://" + address}
	if err := p.until(ctx, "wait for its port", func() error { return knock(address) }); err != nil {
		return i, err
	}
	body, err := json.Marshal(map[string]string{
		"username": "loadtest", "password": "loadtest-password", "org": influxOrg, "bucket": influxBucket, "token": influxToken,
	})
	if err != nil {
		return i, err
	}
	resp, err := http.Post(i.url+"/api/v2/setup", "application/json", bytes.NewReader(body))
	if err != nil {
		return i, fmt.Errorf("set up InfluxDB: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return i, fmt.Errorf("set up InfluxDB: %s", resp.Status)
	}
	return i, nil
}
