package broker

import (
	"errors"
	"strings"
)

// Authorizer decides who may connect.
type Authorizer interface {
	// Connect says who the client is, or why it may not connect. It is called
	// by a goroutine of the connection's own and may take its time.
	Connect(l Login) (Identity, error)
}

// Denial is why an Authorizer lets a client not in, with a word for programs.
// The client itself is told neither.
type Denial struct {
	Code string
	Err  error
}

func (d *Denial) Error() string { return d.Err.Error() }
func (d *Denial) Unwrap() error { return d.Err }

// Login is what a client says about itself when it connects.
type Login struct {
	Client   string // client id
	User     string
	Password []byte
	Remote   string // address and port
}

// Identity is who a connected client is, and so what it may do. It is asked for
// every message, from one goroutine a connection, and must answer from memory.
type Identity interface {
	// Name names the credential; empty for an anonymous client.
	Name() string
	MayPublish(topic string) bool
	// MayRead says whether the client may subscribe to a topic filter of the
	// gateway's own topics, and be delivered a topic. Others are never asked for.
	MayRead(filter string) bool
}

// errNotOurs is why a subscription is refused that nobody may make.
var errNotOurs = errors.New("this broker only delivers v1/{site}/{device}/feedback, v1/{site}/{device}/command and alarms/#; other messages go to the gateway and to nobody else")

// delivered reports whether a filter asks only for what the gateway delivers.
func delivered(filter string) bool {
	if strings.HasPrefix(filter, "alarms/") {
		return true
	}
	level := strings.Split(filter, "/")
	if len(level) != 4 || level[0] != "v1" || level[1] == "#" || level[2] == "#" {
		return false
	}
	return level[3] == "feedback" || level[3] == "command"
}
