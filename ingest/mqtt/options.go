package mqtt

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"fengsui/ingest"
)

// Options of a [Source].
type Options struct {
	// Name is what the messages say they come from, and the metrics.
	Name string

	// URL is the broker's: tcp://host:1883, ssl://host:8883, ws://host/mqtt or
	// wss://host/mqtt.
	URL string

	Topics []Topic

	// ClientID is the name of the session at the broker. No other client may
	// use it: the broker would end the connection of one for the other.
	// Default: "fengsui-" and Name.
	ClientID string

	Username string

	// PasswordFile holds the password on its first line. It is read at each
	// connect, so that it can be changed without a restart.
	PasswordFile string

	// Share is the name of a group of clients among whom the broker divides the
	// messages. One connection carries as many messages as the broker lets be
	// unacknowledged (Mosquitto: 20, max_inflight_messages) divided by the time
	// of a sync; several sources with their own client ids and one group carry
	// more. Default: none.
	Share string

	// CAFile holds the certificates, in PEM, that may sign the broker's.
	// Default: those of the system.
	CAFile string

	// CleanSession gives up what the broker would keep for us while we are away.
	CleanSession bool

	// KeepAlive is how long the connection may be quiet before it is probed.
	// Default 10 s: a broker that hangs is noticed within 15.
	KeepAlive time.Duration

	// MaxPayload is the largest payload taken, in bytes. A larger message is
	// counted as refused and acknowledged, or the broker would deliver it for
	// ever. Default 1 MiB, at most ingest.LargestPayload.
	MaxPayload int

	// MaxWait is how long a message may wait for the disk before the connection
	// is given up, which leaves the messages with the broker. Default 1 s.
	MaxWait time.Duration

	Receiver *ingest.Receiver
	Logger   *slog.Logger
}

// Topic is one subscription.
type Topic struct {
	Filter string
	QoS    byte
}

func (o *Options) fill() {
	if o.ClientID == "" {
		o.ClientID = "fengsui-" + o.Name
	}
	if o.KeepAlive <= 0 {
		o.KeepAlive = 10 * time.Second
	}
	if o.MaxPayload <= 0 {
		o.MaxPayload = 1 << 20
	}
	if o.MaxWait <= 0 {
		o.MaxWait = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// maxPacket is the payload cap with room for a topic.
func (o *Options) maxPacket() int { return o.MaxPayload + 1<<10 }

func (o *Options) topics() map[string]byte {
	filters := make(map[string]byte, len(o.Topics))
	for _, t := range o.Topics {
		filters[shared(o.Share, t.Filter)] = t.QoS
	}
	return filters
}

// shared is the filter by which the group shares a subscription.
func shared(group, filter string) string {
	if group == "" {
		return filter
	}
	return "$share/" + group + "/" + filter
}

// Validate says what is wrong with the options and what to do about it.
func (o *Options) Validate() error {
	return errors.Join(o.validateName(), o.validateURL(), o.validateTopics(), o.validateRest())
}

func (o *Options) validateName() error {
	switch o.Name {
	case "":
		return errors.New("name is missing: give the source a name of its own")
	case "embedded", "gateway":
		return fmt.Errorf("name %q is taken by the gateway itself: choose another", o.Name)
	}
	return nil
}

var schemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss"}

func (o *Options) validateURL() error {
	u, err := url.Parse(o.URL)
	if err != nil {
		return fmt.Errorf("url: %w; write it like tcp://host:1883", err)
	}
	switch {
	case !slices.Contains(schemes, u.Scheme) || u.Host == "":
		return fmt.Errorf("url %q: want tcp://, ssl://, ws:// or wss:// and a host, like tcp://host:1883", u.Redacted())
	case u.User != nil:
		return fmt.Errorf("url %q: user and password do not belong here: use username and password_file", u.Redacted())
	}
	return nil
}

func (o *Options) validateTopics() error {
	var errs []error
	if len(o.Topics) == 0 {
		errs = append(errs, errors.New("topics are missing: without a subscription nothing is received"))
	}
	for _, t := range o.Topics {
		if t.QoS > 2 {
			errs = append(errs, fmt.Errorf("topic %q: QoS %d does not exist: use 1", t.Filter, t.QoS))
		}
		if err := validFilter(t.Filter); err != nil {
			errs = append(errs, fmt.Errorf("topic %q: %w", t.Filter, err))
		}
	}
	return errors.Join(errs...)
}

func validFilter(filter string) error {
	if filter == "" {
		return errors.New("is empty")
	}
	if strings.HasPrefix(filter, "$share/") {
		return errors.New("name the group under share instead")
	}
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		if len(l) > 1 && strings.ContainsAny(l, "+#") {
			return fmt.Errorf("%q is no level: + and # stand alone", l)
		}
		if l == "#" && i < len(levels)-1 {
			return errors.New("# may only be the last level")
		}
	}
	return nil
}

func (o *Options) validateRest() error {
	var errs []error
	if strings.ContainsAny(o.Share, "/+#") {
		errs = append(errs, fmt.Errorf("share %q: a group's name has no /, + or #", o.Share))
	}
	if o.PasswordFile != "" && o.Username == "" {
		errs = append(errs, errors.New("username is missing: MQTT sends no password without it"))
	}
	if o.MaxPayload > ingest.LargestPayload {
		errs = append(errs, fmt.Errorf("max_payload %d: want at most %d", o.MaxPayload, ingest.LargestPayload))
	}
	if o.Receiver == nil {
		errs = append(errs, errors.New("there is no receiver to submit to"))
	}
	return errors.Join(errs...)
}
