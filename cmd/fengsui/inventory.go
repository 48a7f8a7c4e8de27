package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fengsui/devices"
	"fengsui/ingest"
	"fengsui/ingest/journal"
	"fengsui/rules"
	"fengsui/sinks/console"
)

// inventory is everything that is registered, at each of its versions.
//
// A change is a barrier in the input log. It is made in four steps, and a crash
// behind any of them leaves either the old registry or the new one, at one place
// of the log for everybody who reads it:
//
//  1. it is checked against all that is registered;
//  2. it is written to the registry bucket, under the next version. From here on
//     it will hold: if the gateway dies now, its next start says so in the log;
//  3. a message in the input log says that from there on this version holds;
//  4. the judge meets the message and changes over, and saves a snapshot.
//
// Who asked is answered behind the fourth. The judge's snapshot knows its
// version, so a replay begins with the registry of its beginning.
type inventory struct {
	kinds  []*devices.Kind
	bucket *journal.Bucket
	auth   *devices.Authenticator

	// announce puts a message into the input log.
	announce func(ctx context.Context, m *ingest.Message) error
	// dropped ends the connections of a user whose password no longer holds.
	dropped func(user, reason string)

	file    *devices.File
	current atomic.Pointer[devices.Registry] // the judge judges by it

	changing sync.Mutex // one change at a time
	stale    bool       // what became of the last write is not known: read the bucket again

	mu          sync.Mutex // guards what follows
	changes     []*change
	newest      *holdings
	ready       *devices.Registry // of the newest version
	passed      uint64            // the judge has met this version
	waiting     chan struct{}     // closed when passed changes
	credentials map[string]devices.Credential
}

const credentialPrefix = "credential."

func openInventory(ctx context.Context, says *written, store *journal.Store) (*inventory, error) {
	i := &inventory{waiting: make(chan struct{}), kinds: says.kinds, file: says.devices}
	var err error
	if i.bucket, err = store.Bucket(ctx, "registry"); err != nil {
		return nil, err
	}
	if err := i.load(ctx); err != nil {
		return nil, err
	}
	if i.auth, err = devices.NewAuthenticator(devices.AuthenticatorOptions{Credentials: i.allCredentials()}); err != nil {
		return nil, err
	}
	if err := i.takeFile(ctx); err != nil {
		return nil, err
	}
	i.current.Store(i.ready)
	return i, nil
}

// load reads the bucket.
func (i *inventory) load(ctx context.Context) error {
	all, err := i.bucket.All(ctx)
	if err != nil {
		return fmt.Errorf("read the registry: %w", err)
	}
	changes, err := readChanges(all)
	if err != nil {
		return err
	}
	credentials := map[string]devices.Credential{}
	for key, value := range all {
		if !strings.HasPrefix(key, credentialPrefix) {
			continue
		}
		var c devices.Credential
		if err := json.Unmarshal(value, &c); err != nil {
			return fmt.Errorf("read %s of the registry: %w", key, err)
		}
		credentials[c.User] = c
	}
	newest := newHoldings()
	for _, c := range changes {
		newest = newest.with(c)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.changes, i.newest, i.credentials = changes, newest, credentials
	return nil
}

// takeFile makes a change of what the devices file says otherwise than at the
// last start.
func (i *inventory) takeFile(ctx context.Context) error {
	says := fileLayer{Sites: i.file.Sites, Devices: i.file.Devices}
	c := &change{Version: i.newest.version + 1, By: "devices file", At: time.Now().UTC(), File: &says}
	next := i.newest.with(c)
	same, err := sameJSON(says, i.newest.file)
	if err != nil {
		return err
	}
	if same && i.newest.version > 0 {
		next = i.newest
	}
	r, err := next.registry(i.kinds)
	if err != nil {
		return fmt.Errorf("put the devices file together with what was registered at run time: %w", err)
	}
	if next != i.newest {
		if err := i.write(ctx, c); err != nil {
			return err
		}
		i.changes = append(i.changes, c)
	}
	i.newest, i.ready = next, r
	return nil
}

func sameJSON(a, b any) (bool, error) {
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	return string(x) == string(y), err
}

// registry is the one that is judged by now.
func (i *inventory) registry() *devices.Registry { return i.current.Load() }

// Newest is the newest version there is, whether or not the judge has met it.
func (i *inventory) Newest() (version uint64, r *devices.Registry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newest.version, i.ready
}

// At is the registry at a version; before the first there is nothing.
func (i *inventory) At(version uint64) (*devices.Registry, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if version == i.newest.version {
		return i.ready, nil
	}
	h := newHoldings()
	for _, c := range i.changes {
		if c.Version <= version {
			h = h.with(c)
		}
	}
	r, err := h.registry(i.kinds)
	if err != nil {
		return nil, fmt.Errorf("version %d of the registry: %w", version, err)
	}
	return r, nil
}

// Passed is told by the judge that it has changed over to a version.
func (i *inventory) Passed(version uint64, r *devices.Registry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.passed = version
	if version == i.newest.version {
		i.current.Store(r) // those before it are met by a replay only
	}
	close(i.waiting)
	i.waiting = make(chan struct{})
}

// barrier is the message that says that from here on the newest version holds.
func (i *inventory) barrier() ingest.Message {
	version, r := i.Newest()
	return ingest.Message{Kind: ingest.Config, Source: "registry", Topic: fmt.Sprintf("%d %s", version, r.Hash())}
}

// wait returns when the judge has met a version.
func (i *inventory) wait(ctx context.Context, version uint64) error {
	for {
		i.mu.Lock()
		passed, changed := i.passed, i.waiting
		i.mu.Unlock()
		if passed >= version {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &console.Problem{Status: http.StatusServiceUnavailable, Code: "later", Message: "the change is kept and will hold; it is not judged by yet, since the judge has not come that far"}
		}
	}
}

// Change makes a change to what is registered: all of it, or nothing.
func (i *inventory) Change(ctx context.Context, order console.Change) ([]console.Credential, error) {
	i.changing.Lock()
	defer i.changing.Unlock()
	if err := i.refresh(ctx); err != nil {
		return nil, err
	}
	c, err := i.plan(order)
	if err != nil {
		return nil, err
	}
	version := i.newest.version
	if c != nil {
		if err := i.keep(ctx, c); err != nil {
			return nil, err
		}
		version = c.Version
	}
	issued, err := i.credentialsFor(ctx, order)
	if err != nil {
		return nil, err
	}
	return issued, i.wait(ctx, version)
}

// keep checks a change, writes it, and puts it into the input log.
func (i *inventory) keep(ctx context.Context, c *change) error {
	next := i.newest.with(c)
	r, err := next.registry(i.kinds)
	if err != nil {
		return &console.Problem{Status: http.StatusUnprocessableEntity, Code: "bad_value", Path: devices.PartOf(err), Message: err.Error()}
	}
	whole := context.WithoutCancel(ctx) // a change that has begun is not cut off
	if err := i.write(whole, c); err != nil {
		return err
	}
	i.mu.Lock()
	i.changes, i.newest, i.ready = append(i.changes, c), next, r
	i.mu.Unlock()
	m := i.barrier()
	if err := i.announce(whole, &m); err != nil {
		return fmt.Errorf("put version %d of the registry into the input log: %w", c.Version, err)
	}
	return nil
}

// write puts a change on disk. After an error it may be there or not.
func (i *inventory) write(ctx context.Context, c *change) error {
	data, err := c.encode()
	if err != nil {
		return err
	}
	if _, err := i.bucket.Create(ctx, c.key(), data); err != nil {
		i.stale = true
		return fmt.Errorf("keep version %d of the registry: %w", c.Version, err)
	}
	return nil
}

// refresh reads the bucket again where a write failed and may yet be there.
func (i *inventory) refresh(ctx context.Context) error {
	if !i.stale {
		return nil
	}
	if err := i.load(ctx); err != nil {
		return err
	}
	r, err := i.newest.registry(i.kinds)
	if err != nil {
		return err
	}
	i.mu.Lock()
	i.ready = r
	i.mu.Unlock()
	i.stale = false
	return nil
}

// plan turns what is asked for into a change; nil where nothing is different.
func (i *inventory) plan(order console.Change) (*change, error) {
	c := &change{Version: i.newest.version + 1, By: order.By, At: time.Now().UTC().Truncate(time.Millisecond)}
	for _, part := range []func(*change, console.Change) error{i.planSites, i.planDevices, i.planStates, i.planRemovals} {
		if err := part(c, order); err != nil {
			return nil, err
		}
	}
	if len(c.Sites)+len(c.Devices)+len(c.States) == 0 {
		return nil, nil
	}
	return c, nil
}

func (i *inventory) planSites(c *change, order console.Change) error {
	for _, s := range order.Sites {
		if i.newest.fileSites[s.ID] {
			return inFile("site " + s.ID)
		}
		old, there := i.ready.Site(s.ID)
		if err := order.Match.Check(old, there, "site "+s.ID); err != nil {
			return err
		}
		if s.Name == (devices.Text{}) {
			s.Name = nameless(s.ID).Name
		}
		if !there || !reflect.DeepEqual(old, s) {
			set(&c.Sites, s.ID, s)
		}
	}
	return nil
}

func (i *inventory) planDevices(c *change, order console.Change) error {
	for _, d := range order.Devices {
		key := d.Key()
		if _, there := i.newest.fileDevices[key]; there {
			return inFile("device " + key)
		}
		old, there := i.config(key)
		if err := order.Match.Check(old, there, "device "+key); err != nil {
			return err
		}
		if d.State == "" {
			d.State = devices.InService
		}
		switch {
		case !there || old.State != d.State:
			d.By = order.By
			if d.Since.IsZero() || d.Since.Equal(old.Since) {
				d.Since = c.At
			}
		case d.Since.IsZero():
			d.Since, d.By = old.Since, old.By
		}
		if same, err := sameJSON(d, old); err != nil || there && same {
			if err != nil {
				return &console.Problem{Status: http.StatusUnprocessableEntity, Code: "bad_value", Message: err.Error()}
			}
			continue
		}
		if _, known := i.ready.Site(d.Site); !known && c.Sites[d.Site] == nil && devices.CheckSiteID(d.Site) == nil {
			set(&c.Sites, d.Site, nameless(d.Site))
		}
		set(&c.Devices, key, &d)
	}
	return nil
}

func (i *inventory) planStates(c *change, order console.Change) error {
	for _, key := range slices.Sorted(maps.Keys(order.States)) {
		state := order.States[key]
		d, there := i.config(key)
		if !there {
			return unknownDevice(key)
		}
		if err := order.Match.Check(d, there, "device "+key); err != nil {
			return err
		}
		if !slices.Contains(devices.States[:], state) {
			return &console.Problem{Status: http.StatusUnprocessableEntity, Code: "bad_value", Path: "state", Message: fmt.Sprintf("unknown state %q, want one of: planned, commissioning, in_service, out_of_service, retired", state)}
		}
		if d.State == state {
			continue
		}
		says, inFile := i.newest.fileDevices[key]
		if !inFile {
			d.State, d.Since, d.By = state, c.At, order.By
			set(&c.Devices, key, &d)
			continue
		}
		over := &stateOverride{State: state, Since: c.At, By: order.By, Over: says}
		if state == says {
			over = nil // as the file has it
		}
		set(&c.States, key, over)
	}
	return nil
}

func (i *inventory) planRemovals(c *change, order console.Change) error {
	gone := map[string]bool{}
	for _, key := range order.RemoveDevices {
		if _, there := i.newest.fileDevices[key]; there {
			return inFile("device " + key)
		}
		old, there := i.config(key)
		if !there {
			return unknownDevice(key)
		}
		if err := order.Match.Check(old, there, "device "+key); err != nil {
			return err
		}
		gone[key] = true
		set[devices.DeviceConfig](&c.Devices, key, nil)
	}
	for _, id := range order.RemoveSites {
		if i.newest.fileSites[id] {
			return inFile("site " + id)
		}
		old, there := i.ready.Site(id)
		if !there {
			return &console.Problem{Status: http.StatusNotFound, Code: "not_found", Message: fmt.Sprintf("there is no site %.64q", id)}
		}
		if err := order.Match.Check(old, there, "site "+id); err != nil {
			return err
		}
		for d := range i.ready.DevicesOf(id) {
			if !gone[d.Key()] {
				return &console.Problem{Status: http.StatusConflict, Code: "not_empty", Message: fmt.Sprintf("site %s still has device %s; remove its devices first", id, d.ID)}
			}
		}
		set[devices.Site](&c.Sites, id, nil)
	}
	return nil
}

func set[V any](m *map[string]*V, key string, v *V) {
	if *m == nil {
		*m = map[string]*V{}
	}
	(*m)[key] = v
}

// config is a device as it is registered in the newest version.
func (i *inventory) config(key string) (devices.DeviceConfig, bool) {
	d, ok := i.ready.DeviceByKey(key)
	if !ok {
		return devices.DeviceConfig{}, false
	}
	return d.Config(), true
}

func inFile(what string) error {
	return &console.Problem{Status: http.StatusConflict, Code: "in_file", Message: what + " stands in the devices file; change it there (its state alone can be changed here)"}
}

func unknownDevice(key string) error {
	return &console.Problem{Status: http.StatusNotFound, Code: "not_found", Message: fmt.Sprintf("there is no device %.130q", key)}
}

// InFile says whether a site, or a device of it, stands in the devices file.
func (i *inventory) InFile(site, device string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if device == "" {
		return i.newest.fileSites[site]
	}
	_, there := i.newest.fileDevices[site+"/"+device]
	return there
}

// Changes lists what was changed, by whom and when, newest first.
func (i *inventory) Changes(limit int) []console.RegistryChange {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := []console.RegistryChange{}
	for n := len(i.changes) - 1; n >= 0 && len(list) < limit; n-- {
		list = append(list, i.changes[n].tell())
	}
	return list
}

func (c *change) tell() console.RegistryChange {
	t := console.RegistryChange{Version: c.Version, By: c.By, At: c.At, File: c.File != nil, What: []string{}}
	for _, id := range slices.Sorted(maps.Keys(c.Sites)) {
		t.What = append(t.What, "site "+id+map[bool]string{true: " removed"}[c.Sites[id] == nil])
	}
	for _, key := range slices.Sorted(maps.Keys(c.Devices)) {
		if d := c.Devices[key]; d == nil {
			t.What = append(t.What, "device "+key+" removed")
		} else {
			t.What = append(t.What, "device "+key+" "+string(d.State))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.States)) {
		if o := c.States[key]; o == nil {
			t.What = append(t.What, "device "+key+" as the file has it")
		} else {
			t.What = append(t.What, "device "+key+" "+string(o.State))
		}
	}
	const most = 50
	if len(t.What) > most {
		t.What = append(t.What[:most], fmt.Sprintf("and %d more", len(t.What)-most))
	}
	return t
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

// readRegistry is the registry of what the devices file says.
func readRegistry(cfg Config) (*devices.Registry, error) {
	kinds, file, err := readDevices(cfg)
	if err != nil {
		return nil, err
	}
	return file.Registry(kinds)
}

// readRules reads the rules that judge those kinds.
func readRules(cfg Config, kinds []*devices.Kind) ([]*rules.Rule, error) {
	return rules.LoadRules(rulesFolder(cfg), kinds)
}
