package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"fengsui/devices"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/sinks/console"
)

// inventory is everything that is registered: what the devices file says, over
// what was added at run time, which lies in the registry bucket. A change makes
// a new registry, which the judge takes over between two entries.
type inventory struct {
	kinds  []*devices.Kind
	file   *devices.File
	bucket *journal.Bucket

	// onChange hands a new registry to the judge and returns when it judges by it.
	onChange func(ctx context.Context, r *devices.Registry) error

	// dropped ends the connections of a user whose password no longer holds.
	dropped func(user, reason string)

	changing sync.Mutex // one change at a time; guards added
	added    map[string]addedDevice
	current  atomic.Pointer[devices.Registry]
	auth     *devices.Authenticator
}

// addedDevice is a device that was registered at run time, with its credential.
type addedDevice struct {
	Device     devices.DeviceConfig `json:"device"`
	Credential *devices.Credential  `json:"credential,omitempty"`
}

const devicePrefix = "device."

func openInventory(ctx context.Context, cfg Config, store *journal.Store) (*inventory, error) {
	i := &inventory{added: map[string]addedDevice{}}
	var err error
	if i.kinds, i.file, err = readDevices(cfg); err != nil {
		return nil, err
	}
	if i.bucket, err = store.Bucket(ctx, "registry"); err != nil {
		return nil, err
	}
	if err := i.load(ctx); err != nil {
		return nil, err
	}
	r, credentials, err := i.build()
	if err != nil {
		return nil, err
	}
	i.current.Store(r)
	i.auth, err = devices.NewAuthenticator(devices.AuthenticatorOptions{Credentials: credentials})
	return i, err
}

// registry is the one in force now.
func (i *inventory) registry() *devices.Registry { return i.current.Load() }

// load reads what was added at run time.
func (i *inventory) load(ctx context.Context) error {
	all, err := i.bucket.All(ctx)
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	for key, value := range all {
		var a addedDevice
		if err := json.Unmarshal(value, &a); err != nil {
			return fmt.Errorf("read %s of the registry: %w", key, err)
		}
		i.added[a.Device.Key()] = a
	}
	return nil
}

// build puts the file over what was added: what stands in the file wins.
func (i *inventory) build() (*devices.Registry, []devices.Credential, error) {
	o := devices.RegistryOptions{Kinds: i.kinds, Sites: slices.Clone(i.file.Sites), Devices: slices.Clone(i.file.Devices)}
	credentials := slices.Clone(i.file.Credentials)
	sites, keys, users := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range o.Sites {
		sites[s.ID] = true
	}
	for _, d := range o.Devices {
		keys[d.Key()] = true
	}
	for _, c := range credentials {
		users[c.User] = true
	}
	for _, key := range slices.Sorted(maps.Keys(i.added)) {
		a := i.added[key]
		if id := a.Device.Site; !sites[id] {
			sites[id] = true
			o.Sites = append(o.Sites, &devices.Site{ID: id, Name: devices.Text{ZH: id, EN: id}})
		}
		if !keys[key] {
			o.Devices = append(o.Devices, a.Device)
		}
		if c := a.Credential; c != nil && !users[c.User] {
			credentials = append(credentials, *c)
		}
	}
	r, err := devices.NewRegistry(o)
	return r, credentials, err
}

// user is what a device may sign in as; empty where it has no password.
func (i *inventory) user(d *devices.Device) string {
	if i.auth.Knows(d.Key()) {
		return d.Key()
	}
	return ""
}

// Register adds a device, or changes one, and makes up a password for a new one.
// A site that is not known yet comes into being under its id.
func (i *inventory) Register(ctx context.Context, d devices.DeviceConfig) (console.Credential, error) {
	if i.inFile(d.Key()) {
		return console.Credential{}, &console.Problem{Status: http.StatusConflict, Code: "in_file", Message: d.Key() + " stands in the devices file; change it there"}
	}
	a := addedDevice{Device: d, Credential: i.lookup(d.Key()).Credential}
	issued := console.Credential{User: d.Key()}
	if a.Credential == nil {
		var err error
		if a.Credential, issued.Password, err = newCredential(d.Site, d.ID); err != nil {
			return issued, err
		}
	}
	return issued, i.change(ctx, a)
}

// NewCredential makes up another password; the one before is void.
func (i *inventory) NewCredential(ctx context.Context, site, device string) (console.Credential, error) {
	c, password, err := newCredential(site, device)
	if err != nil {
		return console.Credential{}, err
	}
	if err := i.setCredential(ctx, site, device, c); err != nil {
		return console.Credential{}, err
	}
	return console.Credential{User: c.User, Password: password}, nil
}

// Revoke makes a device's password void and drops its connection.
func (i *inventory) Revoke(ctx context.Context, site, device string) error {
	return i.setCredential(ctx, site, device, nil)
}

func (i *inventory) setCredential(ctx context.Context, site, device string, c *devices.Credential) error {
	key := site + "/" + device
	if i.passwordInFile(key) {
		return &console.Problem{Status: http.StatusConflict, Code: "in_file", Message: "the password of " + key + " stands in the devices file; change it there"}
	}
	a := i.lookup(key)
	if a.Device.ID == "" {
		d, ok := i.registry().DeviceByKey(key)
		if !ok {
			return &console.Problem{Status: http.StatusNotFound, Code: "not_found", Message: "there is no device " + key}
		}
		a.Device = d.Config()
	}
	a.Credential = c
	if err := i.change(ctx, a); err != nil {
		return err
	}
	i.dropped(key, "its password was changed or revoked")
	return nil
}

func newCredential(site, device string) (*devices.Credential, string, error) {
	password := devices.NewPassword()
	hash, err := devices.HashPassword(password)
	if err != nil {
		return nil, "", err
	}
	return &devices.Credential{User: site + "/" + device, Hash: hash, Site: site, Device: device}, password, nil
}

// change makes a registry with the device in it, keeps it, and hands it over.
func (i *inventory) change(ctx context.Context, a addedDevice) error {
	i.changing.Lock()
	defer i.changing.Unlock()
	key := a.Device.Key()
	before, existed := i.added[key]
	i.added[key] = a
	undo := func() {
		delete(i.added, key)
		if existed {
			i.added[key] = before
		}
	}
	r, credentials, err := i.build()
	if err != nil {
		undo()
		return &console.Problem{Status: http.StatusUnprocessableEntity, Code: "bad_device", Message: err.Error()}
	}
	value, err := json.Marshal(a)
	if err == nil {
		_, err = i.bucket.Put(ctx, devicePrefix+key, value)
	}
	if err != nil {
		undo()
		return fmt.Errorf("keep %s in the registry: %w", key, err)
	}
	if err := i.auth.Replace(credentials); err != nil {
		return err
	}
	if err := i.onChange(ctx, r); err != nil {
		return fmt.Errorf("judge by the new registry: %w", err)
	}
	i.current.Store(r)
	return nil
}

func (i *inventory) lookup(key string) addedDevice {
	i.changing.Lock()
	defer i.changing.Unlock()
	return i.added[key]
}

func (i *inventory) inFile(key string) bool {
	return slices.ContainsFunc(i.file.Devices, func(d devices.DeviceConfig) bool { return d.Key() == key })
}

func (i *inventory) passwordInFile(user string) bool {
	return slices.ContainsFunc(i.file.Credentials, func(c devices.Credential) bool { return c.User == user })
}

// readDevices reads kinds and the devices file.
func readDevices(cfg Config) ([]*devices.Kind, *devices.File, error) {
	kinds, err := devices.LoadKinds(kindsFolder(cfg))
	if err != nil {
		return nil, nil, err
	}
	if cfg.builtinDevices != nil {
		file, err := devices.ParseDevices("demo/devices.yaml", cfg.builtinDevices, kinds)
		return kinds, file, err
	}
	if cfg.Devices == "" {
		return kinds, &devices.File{}, nil
	}
	text, err := os.ReadFile(cfg.Devices)
	if err != nil {
		return nil, nil, fmt.Errorf("read devices: %w", err)
	}
	file, err := devices.ParseDevices(cfg.Devices, text, kinds)
	return kinds, file, err
}

// readRules reads the rules that judge those kinds.
func readRules(cfg Config, kinds []*devices.Kind) ([]*rules.Rule, error) {
	return rules.LoadRules(rulesFolder(cfg), kinds)
}
