package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fengsui/devices"
	"fengsui/rules/alarms"
	"fengsui/sinks/console"
)

// presence is who is there: when each device was last heard and whether its
// connection stands, and which sources are up. The judge writes it; the console
// reads it.
type presence struct {
	mu       sync.Mutex
	devices  map[*devices.Device]*seen
	byKey    map[string]*seen // survives a change of the registry
	sources  map[string]*source
	registry *devices.Registry
}

// seen is what was heard of one device.
type seen struct {
	Last      int64  `json:"last"` // Unix ms, 0: never
	Source    string `json:"source,omitempty"`
	Offline   bool   `json:"offline,omitempty"` // it, or its last will, said so
	Connected int    `json:"-"`                 // connections it holds under its own name

	// How far what it sends has come, for whoever installs it; Unix ms, 0: never.
	Linked  int64 `json:"linked,omitempty"`   // its last connection began
	Message int64 `json:"message,omitempty"`  // its last message
	Decoded int64 `json:"decoded,omitempty"`  // its last message of which nothing was rejected
	Reading int64 `json:"reading,omitempty"`  // its last reading
	InRange int64 `json:"in_range,omitempty"` // its last reading whose values were all good
	Judged  int64 `json:"judged,omitempty"`   // its last reading that may change levels
}

// source is one way messages come in.
type source struct {
	Up     bool   `json:"up"`
	Since  int64  `json:"since"` // Unix ms
	Reason string `json:"reason,omitempty"`
}

func newPresence(registry *devices.Registry) *presence {
	p := &presence{byKey: map[string]*seen{}, sources: map[string]*source{}}
	p.use(registry)
	return p
}

// use follows a change of the registry.
func (p *presence) use(registry *devices.Registry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registry = registry
	p.devices = make(map[*devices.Device]*seen, registry.Len())
	for d := range registry.Devices() {
		s := p.byKey[d.Key()]
		if s == nil {
			s = &seen{}
			p.byKey[d.Key()] = s
		}
		p.devices[d] = s
	}
}

// heard notes what a message says of its devices.
func (p *presence) heard(v *devices.Verdict, from string, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range v.Devices {
		if s := p.devices[d]; s != nil {
			s.spoke(d, v, from, now)
		}
	}
	var of *devices.Device
	var s *seen
	for i := range v.Readings {
		r := &v.Readings[i]
		if r.Device != of {
			of, s = r.Device, p.devices[r.Device]
		}
		if s != nil {
			s.read(r, now)
		}
	}
}

func (s *seen) spoke(d *devices.Device, v *devices.Verdict, from string, now int64) {
	if s.Source != from {
		s.Source = strings.Clone(from) // it lies in the entry
	}
	s.Message = now
	if len(v.Rejections) == 0 || !rejectedOf(d, v.Rejections) {
		s.Decoded = now
	}
	if v.Spoke || v.Presence == devices.Online {
		s.Last, s.Offline = max(s.Last, now), false
	}
	if v.Presence == devices.Offline {
		s.Offline = true
	}
}

// rejectedOf reports whether one of the rejections is about the device, or about
// the whole message.
func rejectedOf(d *devices.Device, rejections []devices.Rejection) bool {
	return slices.ContainsFunc(rejections, func(r devices.Rejection) bool { return r.Device == "" || r.Device == d.Key() })
}

func (s *seen) read(r *devices.Reading, now int64) {
	s.Reading = now
	if r.Quality() == devices.Good {
		s.InRange = now
	}
	if r.Judged() {
		s.Judged = now
	}
}

// owner is the device a connection belongs to, where its user name is that of
// one device.
func (p *presence) owner(user string) *devices.Device {
	d, _ := p.registry.DeviceByKey(user)
	return d
}

// connected and disconnected note a connection of a device's own.
func (p *presence) connected(d *devices.Device, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.devices[d]; s != nil {
		s.Connected, s.Linked = s.Connected+1, now
	}
}

func (p *presence) disconnected(d *devices.Device) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.devices[d]; s != nil {
		s.Connected = max(0, s.Connected-1)
	}
}

func (p *presence) source(name string, up bool, reason string, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources[strings.Clone(name)] = &source{Up: up, Since: now, Reason: strings.Clone(reason)}
}

// forget returns to having heard of nobody.
func (p *presence) forget() {
	p.mu.Lock()
	clear(p.byKey)
	clear(p.sources)
	registry := p.registry
	p.mu.Unlock()
	p.use(registry)
}

// started forgets connections and sources: they belonged to the run before.
func (p *presence) started() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.sources)
	for _, s := range p.byKey {
		s.Connected = 0
	}
}

// look tells what was heard of a device, and whether it counts as online now.
func (p *presence) look(d *devices.Device, now time.Time) (s seen, online bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if held := p.devices[d]; held != nil {
		s = *held
	}
	return s, s.online(d, now)
}

// trace is all that was seen of a device.
func (p *presence) trace(d *devices.Device) seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.byKey[d.Key()]; s != nil {
		return *s
	}
	return seen{}
}

func (s *seen) online(d *devices.Device, now time.Time) bool {
	return s.Last > 0 && !s.Offline && now.UnixMilli()-s.Last <= d.SilenceLimit().Milliseconds()
}

// count is how many devices are in service, and how many of those are online.
func (p *presence) count(now time.Time) (inService, online int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, s := range p.devices {
		if d.State != devices.InService {
			continue
		}
		inService++
		if s.online(d, now) {
			online++
		}
	}
	return inService, online
}

// health lists the sources for the console, by name, and when a registered
// device was last heard through each.
func (p *presence) health() []console.SourceHealth {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := map[string]int64{}
	for _, s := range p.devices {
		last[s.Source] = max(last[s.Source], s.Last)
	}
	list := []console.SourceHealth{}
	for _, name := range slices.Sorted(maps.Keys(p.sources)) {
		s := p.sources[name]
		list = append(list, console.SourceHealth{Name: name, Up: s.Up, Since: alarms.Time(s.Since), Reason: s.Reason, Last: alarms.Time(last[name])})
	}
	return list
}

// up says which sources are up.
func (p *presence) up() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	up := map[string]bool{}
	for name, s := range p.sources {
		up[name] = s.Up
	}
	return up
}

func (p *presence) snapshot() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data, err := json.Marshal(p.byKey)
	if err != nil {
		return nil, fmt.Errorf("snapshot who was heard: %w", err)
	}
	return data, nil
}

func (p *presence) restore(data []byte) error {
	p.mu.Lock()
	if err := json.Unmarshal(data, &p.byKey); err != nil {
		p.mu.Unlock()
		return fmt.Errorf("restore who was heard: %w", err)
	}
	registry := p.registry
	p.mu.Unlock()
	p.use(registry)
	return nil
}
