package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/broker"
	"fengsui/ingest/mqtt"
	"fengsui/rules/alarms"
	"fengsui/sinks/console"
)

// sources are all ways messages come in.
type sources struct {
	embedded *broker.Broker // nil: switched off
	external []*mqtt.Source
}

func newSources(cfg Config, receiver *ingest.Receiver, inventory *inventory, routes *devices.Routes, cert *certificate, logger *slog.Logger) (*sources, error) {
	s := &sources{}
	if cfg.MQTT.Listen != "" || cfg.mqttOverTLS() {
		o := broker.Options{
			Listen: cfg.MQTT.Listen, Receiver: receiver, MaxPayload: cfg.MQTT.MaxPayload, Quota: broker.Quota(cfg.MQTT.Quota),
			Authorizer: doorkeeper{auth: inventory.auth, routes: routes, anonymous: cfg.MQTT.anonymous},
			Logger:     logger.With("part", "broker"),
		}
		if cfg.mqttOverTLS() {
			o.TLSListen, o.TLS = cfg.MQTT.TLSListen, cert.config()
		}
		var err error
		if s.embedded, err = broker.Listen(o); err != nil {
			return nil, err
		}
	}
	for _, b := range cfg.Brokers {
		external, err := mqtt.New(brokerOptions(b, cfg, routes, receiver, logger))
		if err != nil {
			return nil, err
		}
		s.external = append(s.external, external)
	}
	return s, nil
}

func brokerOptions(b Broker, cfg Config, routes *devices.Routes, receiver *ingest.Receiver, logger *slog.Logger) mqtt.Options {
	o := mqtt.Options{
		Name: b.Name, URL: b.URL, ClientID: b.ClientID, Username: b.Username, PasswordFile: b.PasswordFile,
		Share: b.Share, CAFile: b.CAFile, MaxPayload: cfg.MQTT.MaxPayload,
		Receiver: receiver, Logger: logger.With("part", "mqtt", "source", b.Name),
	}
	qos := byte(1)
	if b.QoS != nil {
		qos = byte(*b.QoS)
	}
	filters := b.Topics
	if len(filters) == 0 {
		filters = append([]string{"v1/#"}, routes.Filters(b.Name)...)
	}
	for _, f := range filters {
		o.Topics = append(o.Topics, mqtt.Topic{Filter: f, QoS: qos})
	}
	return o
}

func (s *sources) parts() []part {
	var parts []part
	if s.embedded != nil {
		parts = append(parts, part{"MQTT intake", s.embedded.Run})
	}
	for _, e := range s.external {
		parts = append(parts, part{"broker client", e.Run})
	}
	return parts
}

// pause lets nothing in until resume: whoever has messages keeps them.
func (s *sources) pause(reason string) {
	if s.embedded != nil {
		s.embedded.Pause(reason)
	}
	for _, e := range s.external {
		e.Pause()
	}
}

func (s *sources) resume() {
	if s.embedded != nil {
		s.embedded.Resume()
	}
	for _, e := range s.external {
		e.Resume()
	}
}

// close frees what newSources took, where nothing of it is run.
func (s *sources) close() {
	if s.embedded != nil {
		s.embedded.Close()
	}
}

// addresses are where the embedded intake listens, plain and over TLS; empty
// where that is switched off.
func (s *sources) addresses() (plain, secure string) {
	if s.embedded == nil {
		return "", ""
	}
	if a := s.embedded.Addr(); a != nil {
		plain = a.String()
	}
	if a := s.embedded.TLSAddr(); a != nil {
		secure = a.String()
	}
	return plain, secure
}

// deliver publishes to devices that subscribe.
func (s *sources) deliver(topic string, payload []byte) error {
	if s.embedded == nil {
		return nil
	}
	return s.embedded.Deliver(topic, payload, false)
}

// drop ends the connections of a user.
func (s *sources) drop(user, reason string) {
	if s.embedded != nil {
		s.embedded.Disconnect(user, reason)
	}
}

// Refused lists who was turned away at the embedded intake, newest first.
func (s *sources) Refused(limit int) []console.Refused {
	if s.embedded == nil {
		return nil
	}
	var list []console.Refused
	for _, r := range s.embedded.Refusals() {
		if len(list) == limit {
			break
		}
		list = append(list, console.Refused{
			First: alarms.Time(r.First.UnixMilli()), Time: alarms.Time(r.Time.UnixMilli()), Source: embeddedSource,
			Address: r.Remote, Client: r.Client, User: r.User,
			Action: string(r.Action), Topic: r.Topic, Code: r.Code, Reason: r.Reason, Count: r.Count,
		})
	}
	return list
}

// doorkeeper lets devices in by their credentials and, in the demo, anybody who
// comes over loopback.
type doorkeeper struct {
	auth      *devices.Authenticator
	routes    *devices.Routes
	anonymous bool
}

// Codes of connections that are not let in.
const (
	refusedUser     = "unknown_user"
	refusedPassword = "wrong_password"
)

const loginPatience = 20 * time.Second

func (d doorkeeper) Connect(l broker.Login) (broker.Identity, error) {
	if d.anonymous && l.User == "" && isLoopback(l.Remote) {
		return anybody{}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), loginPatience)
	defer cancel()
	c, err := d.auth.Authenticate(ctx, l.User, l.Password)
	switch {
	case errors.Is(err, devices.ErrUnknownUser):
		return nil, &broker.Denial{Code: refusedUser, Err: err}
	case errors.Is(err, devices.ErrWrongPassword):
		return nil, &broker.Denial{Code: refusedPassword, Err: err}
	case err != nil:
		return nil, err
	}
	return credential{c, d.routes}, nil
}

func isLoopback(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// credential is a device or edge gateway that proved who it is.
type credential struct {
	*devices.Credential
	routes *devices.Routes
}

func (c credential) Name() string { return c.User }

// MayPublish opens foreign topics as well; whose readings come under them is
// checked when they are decoded.
func (c credential) MayPublish(topic string) bool {
	return c.routes.MayPublish(c.Credential, embeddedSource, topic)
}

// anybody is a guest of the demo.
type anybody struct{}

func (anybody) Name() string           { return "" }
func (anybody) MayPublish(string) bool { return true }
func (anybody) MayRead(string) bool    { return true }
