package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"fengsui/devices"
	"fengsui/sinks/console"
)

// allCredentials puts those of the file over those made at run time.
func (i *inventory) allCredentials() []devices.Credential {
	all := maps.Clone(i.credentials)
	for _, c := range i.file.Credentials {
		all[c.User] = c
	}
	return slices.Collect(maps.Values(all))
}

// user is what a device may sign in as; empty where it has no password.
func (i *inventory) user(d *devices.Device) string {
	if i.auth.Knows(d.Key()) {
		return d.Key()
	}
	return ""
}

// credentialsFor makes up passwords for the devices of an order that have none,
// where that is wanted, and voids those of what is removed.
func (i *inventory) credentialsFor(ctx context.Context, order console.Change) ([]console.Credential, error) {
	for _, key := range order.RemoveDevices {
		if err := i.setCredential(ctx, key, nil); err != nil {
			return nil, err
		}
	}
	var issued []console.Credential
	for _, d := range order.Devices {
		if !order.Passwords {
			break
		}
		one := console.Credential{User: d.Key()}
		if !i.auth.Knows(d.Key()) {
			var c *devices.Credential
			var err error
			if c, one.Password, err = newCredential(d.Site, d.ID); err != nil {
				return nil, err
			}
			if err := i.setCredential(ctx, d.Key(), c); err != nil {
				return nil, err
			}
		}
		issued = append(issued, one)
	}
	return issued, nil
}

// NewCredential makes up another password; the one before is void.
func (i *inventory) NewCredential(ctx context.Context, site, device string) (console.Credential, error) {
	c, password, err := newCredential(site, device)
	if err != nil {
		return console.Credential{}, err
	}
	i.changing.Lock()
	defer i.changing.Unlock()
	return console.Credential{User: c.User, Password: password}, i.setCredential(ctx, c.User, c)
}

// Revoke makes a device's password void and drops its connection.
func (i *inventory) Revoke(ctx context.Context, site, device string) error {
	i.changing.Lock()
	defer i.changing.Unlock()
	return i.setCredential(ctx, site+"/"+device, nil)
}

// setCredential keeps a credential, or with nil removes it, and ends the
// connections of who signed in with the one before.
func (i *inventory) setCredential(ctx context.Context, user string, c *devices.Credential) error {
	if slices.ContainsFunc(i.file.Credentials, func(c devices.Credential) bool { return c.User == user }) {
		return &console.Problem{Status: http.StatusConflict, Code: "in_file", Message: "the password of " + user + " stands in the devices file; change it there"}
	}
	if err := i.keepCredential(ctx, user, c); err != nil {
		return fmt.Errorf("keep the password of %s: %w", user, err)
	}
	i.mu.Lock()
	_, had := i.credentials[user]
	delete(i.credentials, user)
	if c != nil {
		i.credentials[user] = *c
	}
	all := i.allCredentials()
	i.mu.Unlock()
	if err := i.auth.Replace(all); err != nil {
		return err
	}
	if had {
		i.dropped(user, "its password was changed or revoked")
	}
	return nil
}

func (i *inventory) keepCredential(ctx context.Context, user string, c *devices.Credential) error {
	if c == nil {
		return i.bucket.Delete(ctx, credentialPrefix+user)
	}
	value, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = i.bucket.Put(ctx, credentialPrefix+user, value)
	return err
}

func newCredential(site, device string) (*devices.Credential, string, error) {
	password := devices.NewPassword()
	hash, err := devices.HashPassword(password)
	if err != nil {
		return nil, "", err
	}
	return &devices.Credential{User: site + "/" + device, Hash: hash, Site: site, Device: device}, password, nil
}
