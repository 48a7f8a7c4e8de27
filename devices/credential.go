package devices

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Credential is the right of one device, or of one site's edge gateway, to
// publish, with the hash of the password that proves it.
type Credential struct {
	User   string `json:"user"`             // "site/device", or "site" of an edge gateway
	Hash   string `json:"hash"`             // bcrypt
	Site   string `json:"site"`             // where it may publish
	Device string `json:"device,omitempty"` // empty: every device of the site
}

// MayPublish reports whether the topic is the credential's own telemetry or
// status. It may publish nowhere else.
func (c *Credential) MayPublish(topic string) bool {
	leaf, ok := c.own(topic)
	return ok && (leaf == "telemetry" || leaf == "status")
}

// MayRead reports whether the credential may subscribe to the filter: to its
// own feedback and command, and to alarms, which are for everybody. An edge
// gateway may ask for all its devices with one + in their place.
func (c *Credential) MayRead(filter string) bool {
	if filter == "alarms" || strings.HasPrefix(filter, "alarms/") {
		return true
	}
	leaf, ok := c.own(filter)
	return ok && (leaf == "feedback" || leaf == "command")
}

// own cuts v1/{site}/{device}/ off a topic or filter, if that is the
// credential's own.
func (c *Credential) own(topic string) (leaf string, ok bool) {
	key, leaf, ok := splitTopic(topic)
	if !ok {
		return "", false
	}
	site, device, _ := strings.Cut(key, "/")
	if site != c.Site {
		return "", false
	}
	if c.Device != "" {
		return leaf, device == c.Device
	}
	return leaf, device == "+" || ValidID(device)
}

// passwordCost is bcrypt's cost for device passwords. Cost buys time against
// guessing a weak password from a stolen hash; it buys nothing for the 128
// random bits of NewPassword, which nobody guesses at any cost. It is paid at
// every first connect after a restart: at the usual cost of 10 (60 ms and more)
// the 2,400 devices of a city keep the gateway's CPU for minutes before all are
// back, at 6 for a sixteenth of that.
const passwordCost = 6

// HashPassword returns the bcrypt hash to keep instead of the password.
func HashPassword(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err) // longer than 72 bytes
	}
	return string(hash), nil
}

// CheckPassword reports whether the password is the one that was hashed.
func CheckPassword(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

// NewPassword returns 128 random bits as 26 letters and digits that survive
// being read out over the telephone.
func NewPassword() string {
	bits := make([]byte, 16)
	rand.Read(bits) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(bits))
}

// maxCost bounds what a hash may make the gateway spend at each connect.
const maxCost = 14

func checkHash(hash string) error {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil {
		return errors.New("this is no bcrypt hash; make one with: fengsui device add")
	}
	if cost > maxCost {
		return fmt.Errorf("a hash of cost %d would keep the gateway busy at every connect, at most %d is accepted", cost, maxCost)
	}
	return nil
}
