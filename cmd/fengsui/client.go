package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// adminTokenFile is where the admin token lies in the data folder.
const adminTokenFile = "admin-token"

// apiClient talks to the running gateway of a config as its admin.
type apiClient struct {
	base, token string
	header      http.Header // of every request, besides
	http        http.Client
}

// newAPIClient finds address and token where the gateway has them.
func newAPIClient(cfg Config) (*apiClient, error) {
	host, port, err := net.SplitHostPort(cfg.HTTP.Listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen %q: %w", cfg.HTTP.Listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	token := os.Getenv("FENGSUI_ADMIN_TOKEN")
	if token == "" {
		path := filepath.Join(cfg.Data, adminTokenFile)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the admin token: %w (the gateway writes it at its first start; or set FENGSUI_ADMIN_TOKEN)", err)
		}
		token = strings.TrimSpace(string(text))
	}
	c := &apiClient{base: "http://" + net.JoinHostPort(host, port) + "/api/v1", token: token, http: http.Client{Timeout: 30 * time.Second}}
	if cfg.TLS != nil {
		c.base = "https" + strings.TrimPrefix(c.base, "http")
		if c.http.Transport, err = trustOnly(cfg.TLS); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// call sends one request; in and out are JSON and may be nil.
func (c *apiClient) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, c.header)
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no gateway answers at %s; start it first (fengsui run): %w", c.base, err)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return apiError(resp.Status, text)
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}

func apiError(status string, text []byte) error {
	var body struct {
		Error struct{ Code, Message, Path string }
	}
	if json.Unmarshal(text, &body) != nil || body.Error.Message == "" {
		return fmt.Errorf("the gateway answers %s", status)
	}
	if body.Error.Path != "" {
		return fmt.Errorf("%s: %s", body.Error.Path, body.Error.Message)
	}
	return errors.New(body.Error.Message)
}
