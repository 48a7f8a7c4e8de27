package console

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"fengsui/rules/alarms"
)

// session is somebody signed in on some browser. The bucket holds it under the
// hash of the cookie, so that a copy of the bucket opens nothing.
type session struct {
	Name    string      `json:"name"`
	Token   string      `json:"token,omitempty"` // hash of the token it was begun with
	Changes int         `json:"changes,omitempty"`
	Created alarms.Time `json:"created"`
	Used    alarms.Time `json:"used"`
	kept    alarms.Time // Used as it is in the bucket
}

const (
	sessionPrefix = "session."
	// idleSession ends a session that nobody uses; a console that is open uses it.
	idleSession = 24 * time.Hour
	// longSession ends any session but that of a viewer who came with a token: a
	// wall that nobody touches stays.
	longSession = 7 * 24 * time.Hour
	// maxSessions of one person; the one unused for longest goes first.
	maxSessions = 50
	// keepUsed is how old the time of use in the bucket may get.
	keepUsed = 10 * time.Minute
)

// begin signs somebody in and returns the cookie's value, which is not kept.
func (p *People) begin(ctx context.Context, who Identity) (cookie string, begun Identity, expires time.Time, err error) {
	cookie = NewToken()
	now := alarms.Time(p.o.Now().UnixMilli())
	s := &session{Name: who.Name, Token: who.token, Created: now, Used: now, kept: now}
	if one, ok := p.get(who.Name); ok {
		s.Changes = one.Changes
	}
	key := hashToken(cookie)
	if err := p.keepSession(ctx, key, s); err != nil {
		return "", Identity{}, time.Time{}, err
	}
	p.mu.Lock()
	p.session[key] = s
	crowded := p.crowded(who.Name)
	p.mu.Unlock()
	p.forget(ctx, crowded)
	if who.Name != AdminName {
		if err := p.change(ctx, who.Name, func(one *person) error { one.LastLogin = now; return nil }); err != nil {
			return "", Identity{}, time.Time{}, err
		}
	}
	begun = Identity{Name: who.Name, Role: who.Role, session: key}
	return cookie, begun, time.UnixMilli(int64(now)).Add(idleSession), nil
}

// crowded lists the sessions somebody has too many; the lock is held.
func (p *People) crowded(name string) []string {
	var keys []string
	for key, s := range p.session {
		if s.Name == name {
			keys = append(keys, key)
		}
	}
	if len(keys) <= maxSessions {
		return nil
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(p.session[a].Used, p.session[b].Used) })
	return keys[:len(keys)-maxSessions]
}

// cookie finds who a session cookie belongs to.
func (p *People) cookie(value string) (Identity, bool) {
	if value == "" || len(value) > maxToken {
		return Identity{}, false
	}
	return p.bySession(hashToken(value))
}

// bySession finds who a session belongs to, and notes that it is in use.
func (p *People) bySession(key string) (Identity, bool) {
	now := p.o.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.session[key]
	if s == nil {
		return Identity{}, false
	}
	role, ok := p.roleIn(s)
	if !ok || s.expired(now, role) {
		return Identity{}, false
	}
	s.Used = max(s.Used, alarms.Time(now.UnixMilli()))
	return Identity{Name: s.Name, Role: role, session: key}, true
}

// roleIn is the role a session gives now: none when the person, the token it was
// begun with, or the password of that time is gone. The lock is held.
func (p *People) roleIn(s *session) (Role, bool) {
	if s.Name == AdminName {
		return Admin, s.Token == p.admin
	}
	one := p.persons[s.Name]
	if one == nil || one.Changes != s.Changes || one.Created > s.Created {
		return "", false
	}
	if s.Token != "" && p.tokens[s.Token] != s.Name {
		return "", false
	}
	return one.Role, true
}

func (s *session) expired(now time.Time, role Role) bool {
	if now.Sub(time.UnixMilli(int64(s.Used))) > idleSession {
		return true
	}
	wall := role == Viewer && s.Token != ""
	return !wall && now.Sub(time.UnixMilli(int64(s.Created))) > longSession
}

// end signs somebody out. It is an error if that would not outlast a restart.
func (p *People) end(ctx context.Context, who Identity) error {
	if who.session == "" {
		return nil
	}
	p.mu.Lock()
	delete(p.session, who.session)
	p.mu.Unlock()
	if err := p.o.Bucket.Delete(ctx, sessionPrefix+who.session); err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}

// forget removes sessions that nothing could be done with any more.
func (p *People) forget(ctx context.Context, keys []string) {
	for _, key := range keys {
		if err := p.end(ctx, Identity{session: key}); err != nil {
			p.o.Logger.Error("a session that is void is still on record", "error", err)
		}
	}
}

// endSessions clears away the sessions of somebody; they are void already.
func (p *People) endSessions(ctx context.Context, name string) {
	p.mu.RLock()
	var keys []string
	for key, s := range p.session {
		if s.Name == name {
			keys = append(keys, key)
		}
	}
	p.mu.RUnlock()
	p.forget(ctx, keys)
}

func (p *People) keepSession(ctx context.Context, key string, s *session) error {
	value, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode a session: %w", err)
	}
	if _, err := p.o.Bucket.Put(ctx, sessionPrefix+key, value); err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	return nil
}

// Run writes down from time to time which sessions are in use, and forgets those
// that have expired, until ctx ends.
func (p *People) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.tidy(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *People) tidy(ctx context.Context) {
	now := p.o.Now()
	var over []string
	used := map[string]session{}
	p.mu.Lock()
	for key, s := range p.session {
		role, ok := p.roleIn(s)
		switch {
		case !ok || s.expired(now, role):
			over = append(over, key)
		case s.Used-s.kept > alarms.Time(keepUsed.Milliseconds()):
			s.kept = s.Used
			used[key] = *s
		}
	}
	p.mu.Unlock()
	p.forget(ctx, over)
	for key, s := range used {
		if err := p.keepSession(ctx, key, &s); err != nil {
			p.o.Logger.Error("the use of a session is not on record", "error", err)
		}
	}
}
