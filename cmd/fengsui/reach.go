package main

import (
	"fmt"
	"net"
	"net/url"
)

// reach is what somebody far from this machine needs in order to come in.
type reach struct {
	mqtt    []string // where devices publish to, the safest first
	console string   // the page
}

// reach tells it as the config has it: the name people open the console by is that
// of this machine for devices, too.
func (c *Config) reach() reach {
	host := ownHost()
	r := reach{console: "http://" + reachable(c.HTTP.Listen, host)}
	if c.TLS != nil {
		r.console = "https://" + reachable(c.HTTP.Listen, host)
	}
	if u, err := url.Parse(c.HTTP.URL); err == nil && u.Hostname() != "" {
		host, r.console = u.Hostname(), u.Scheme+"://"+u.Host
	}
	if c.mqttOverTLS() {
		r.mqtt = append(r.mqtt, "mqtts://"+reachable(c.MQTT.TLSListen, host))
	}
	if c.MQTT.Listen != "" {
		r.mqtt = append(r.mqtt, "mqtt://"+reachable(c.MQTT.Listen, host))
	}
	for i := range c.Brokers {
		r.mqtt = append(r.mqtt, fmt.Sprintf("%s (broker %s)", c.Brokers[i].URL, c.Brokers[i].Name))
	}
	return r
}

// reachable is an address that is listened on as others write it: with host where
// that is all of this machine's.
func reachable(listen, host string) string {
	own, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(own); own != "" && (ip == nil || !ip.IsUnspecified()) {
		host = own
	}
	return net.JoinHostPort(host, port)
}

// ownHost is an address of this machine that others can reach, if it has one.
func ownHost() string {
	for _, name := range ownNames() {
		if ip := net.ParseIP(name); ip != nil && ip.IsGlobalUnicast() {
			return name
		}
	}
	return "127.0.0.1"
}
