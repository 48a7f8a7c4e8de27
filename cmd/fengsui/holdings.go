package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"fengsui/devices"
)

// change is one step of the registry, as it is kept in the registry bucket. All
// of them, one after the other, give the registry at each of its versions; who
// made them, and when, stays on record.
type change struct {
	Version uint64    `json:"version"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`

	// File is all that the devices file says, where it says something else than
	// before.
	File *fileLayer `json:"file,omitempty"`
	// What was registered at run time; null: removed.
	Sites   map[string]*devices.Site         `json:"sites,omitempty"`
	Devices map[string]*devices.DeviceConfig `json:"devices,omitempty"`
	// States into which devices of the file were put at run time.
	States map[string]*stateOverride `json:"states,omitempty"`
}

type fileLayer struct {
	Sites   []*devices.Site        `json:"sites"`
	Devices []devices.DeviceConfig `json:"devices"`
}

// stateOverride is the state of a device that stands in the file. A state is no
// configuration: it is changed by who stands in front of the device, at night,
// and without a restart. It holds until the file says another state than it did.
type stateOverride struct {
	State devices.State `json:"state"`
	Since time.Time     `json:"since"`
	By    string        `json:"by"`
	Over  devices.State `json:"over"` // what the file said
}

// holdings is what is registered at one version: what the file says, over what
// was registered at run time.
type holdings struct {
	version uint64
	file    fileLayer
	sites   map[string]*devices.Site
	devices map[string]*devices.DeviceConfig
	states  map[string]*stateOverride

	fileSites   map[string]bool
	fileDevices map[string]devices.State
}

func newHoldings() *holdings {
	return &holdings{
		sites: map[string]*devices.Site{}, devices: map[string]*devices.DeviceConfig{}, states: map[string]*stateOverride{},
		fileSites: map[string]bool{}, fileDevices: map[string]devices.State{},
	}
}

// with is what is registered after a change.
func (h *holdings) with(c *change) *holdings {
	n := &holdings{
		version: c.Version, file: h.file, fileSites: h.fileSites, fileDevices: h.fileDevices,
		sites: laidOver(h.sites, c.Sites), devices: laidOver(h.devices, c.Devices), states: laidOver(h.states, c.States),
	}
	if c.File != nil {
		n.useFile(*c.File)
	}
	return n
}

func laidOver[V any](old, over map[string]*V) map[string]*V {
	if len(over) == 0 {
		return old
	}
	n := maps.Clone(old)
	for key, v := range over {
		if v == nil {
			delete(n, key)
		} else {
			n[key] = v
		}
	}
	return n
}

func (h *holdings) useFile(f fileLayer) {
	h.file, h.fileSites, h.fileDevices = f, map[string]bool{}, map[string]devices.State{}
	for _, s := range f.Sites {
		h.fileSites[s.ID] = true
	}
	for i := range f.Devices {
		h.fileDevices[f.Devices[i].Key()] = f.Devices[i].State
	}
	h.states = maps.Clone(h.states)
	maps.DeleteFunc(h.states, func(key string, o *stateOverride) bool {
		says, there := h.fileDevices[key]
		return !there || says != o.Over
	})
}

// options are the contents of the registry. A device at a site that nobody
// registered, as when a site left the file, brings its site with it.
func (h *holdings) options(kinds []*devices.Kind) devices.RegistryOptions {
	o := devices.RegistryOptions{Kinds: kinds, Sites: slices.Clone(h.file.Sites)}
	known := maps.Clone(h.fileSites)
	for _, id := range slices.Sorted(maps.Keys(h.sites)) {
		if !known[id] {
			known[id] = true
			o.Sites = append(o.Sites, h.sites[id])
		}
	}
	for _, d := range h.file.Devices {
		if over := h.states[d.Key()]; over != nil {
			d.State, d.Since, d.By = over.State, over.Since, over.By
		}
		o.Devices = append(o.Devices, d)
	}
	for _, key := range slices.Sorted(maps.Keys(h.devices)) {
		d := h.devices[key]
		if _, inFile := h.fileDevices[key]; inFile {
			continue
		}
		if !known[d.Site] {
			known[d.Site] = true
			o.Sites = append(o.Sites, nameless(d.Site))
		}
		o.Devices = append(o.Devices, *d)
	}
	return o
}

// nameless is a site of which nothing is known but its id.
func nameless(id string) *devices.Site {
	return &devices.Site{ID: id, Name: devices.Text{ZH: id, EN: id}}
}

func (h *holdings) registry(kinds []*devices.Kind) (*devices.Registry, error) {
	return devices.NewRegistry(h.options(kinds))
}

const changePrefix = "change."

func (c *change) key() string { return fmt.Sprintf("%s%020d", changePrefix, c.Version) }

// encode compresses the change: the file of a county has ten thousand devices.
func (c *change) encode() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	err := json.NewEncoder(z).Encode(c)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encode version %d of the registry: %w", c.Version, err)
	}
	return b.Bytes(), nil
}

func decodeChange(data []byte) (*change, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	c := &change{}
	return c, json.Unmarshal(text, c)
}

// readChanges reads every change of the bucket's contents, in their order.
func readChanges(all map[string][]byte) ([]*change, error) {
	var changes []*change
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(key, changePrefix) {
			continue
		}
		c, err := decodeChange(all[key])
		if err != nil {
			return nil, fmt.Errorf("read %s of the registry: %w", key, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}
