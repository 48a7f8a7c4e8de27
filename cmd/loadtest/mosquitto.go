package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// mosquitto is the broker between the load and those who read from one.
type mosquitto struct {
	*process
	address string
}

// findProgram looks where Debian puts servers, too.
func findProgram(name string) (string, bool) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	return path, err == nil
}

// startMosquitto runs it on a free loopback port, without persistence, and with
// a thousand messages in flight instead of its 20, which would throttle any
// subscriber that acknowledges.
func startMosquitto(ctx context.Context, dir, program string) (*mosquitto, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(address)
	config := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 1000\nmax_queued_messages 0\nset_tcp_nodelay true\n", port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("write mosquitto's config: %w", err)
	}
	p, err := start("mosquitto", exec.Command(program, "-c", config))
	if err != nil {
		return nil, err
	}
	return &mosquitto{p, address}, p.until(ctx, "wait for its port", func() error { return knock(address) })
}

// knock reports whether somebody listens.
func knock(address string) error {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err
}

// freeAddress is a loopback port nobody listens on at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
