package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fengsui/rules/alarms"
)

// consoleCounts sums up who is watching; the lock is held.
func (h *Hub) consoleCounts() ConsoleCounts {
	var c ConsoleCounts
	for s := range h.sockets {
		s.mu.Lock()
		who, page := s.who, s.page
		s.mu.Unlock()
		if who.Name == "" {
			continue
		}
		c.Connected++
		if page.mode == "wall" {
			c.Walls++
		}
		if !page.sound {
			c.WithoutSound++
		}
		if page.visible {
			c.Visible++
		}
	}
	return c
}

// Console is one page that is connected.
type Console struct {
	ID      string      `json:"id"`
	User    string      `json:"user"`
	Address string      `json:"address"`
	Mode    string      `json:"mode"`
	Build   string      `json:"build"`
	Sound   bool        `json:"sound"`
	Visible bool        `json:"visible"`
	Since   alarms.Time `json:"since"`
	Seen    uint64      `json:"seen"`
	Behind  uint64      `json:"behind"`
}

// Consoles lists the pages that are connected, the oldest connection first.
func (h *Hub) Consoles() []Console {
	h.mu.RLock()
	defer h.mu.RUnlock()
	list := []Console{}
	for s := range h.sockets {
		s.mu.Lock()
		who, page := s.who, s.page
		s.mu.Unlock()
		c := Console{
			ID: s.id, User: who.Name, Address: s.address, Mode: page.mode, Build: page.build,
			Sound: page.sound, Visible: page.visible, Since: alarms.Time(s.since.UnixMilli()), Seen: page.seen,
		}
		if at := s.at.Load(); h.seq > at {
			c.Behind = h.seq - at
		}
		if who.Name != "" {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Console) int { return int(a.Since - b.Since) })
	return list
}

// sameOrigin admits pages of this gateway, programs that send no Origin, and
// the origins the operator named.
func sameOrigin(allowed []string) func(r *http.Request) bool {
	return func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		if origin == "" || slices.Contains(allowed, origin) {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && strings.EqualFold(u.Host, r.Host)
	}
}
