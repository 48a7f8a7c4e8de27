package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"fengsui/rules/alarms"
)

// Role is what somebody may do; each may do all that the one before it may.
type Role string

const (
	Viewer   Role = "viewer"   // sees
	Operator Role = "operator" // commands alarms
	Admin    Role = "admin"    // people, devices, credentials
)

var rolesInOrder = []Role{Viewer, Operator, Admin}

// May reports whether the role includes another.
func (r Role) May(do Role) bool {
	return slices.Index(rolesInOrder, r) >= slices.Index(rolesInOrder, do) && slices.Contains(rolesInOrder, r)
}

// AdminName is the person behind the admin token of the gateway.
const AdminName = "admin"

// Bucket is where people and sessions are kept ([journal.Bucket]).
type Bucket interface {
	Put(ctx context.Context, key string, value []byte) (rev uint64, err error)
	Delete(ctx context.Context, key string) error
	All(ctx context.Context) (map[string][]byte, error)
}

// PeopleOptions says where people are kept and how the first one gets in.
type PeopleOptions struct {
	Bucket Bucket
	// AdminToken, where it is set, is the admin token of this run; nothing of it
	// is kept.
	AdminToken string
	// AdminTokenFile is where the admin token is written, readable by its owner
	// only, when the gateway makes one up at its first start. The bucket holds
	// nothing but its hash.
	AdminTokenFile string
	Cost           int // of bcrypt; default 12
	Now            func() time.Time
	Logger         *slog.Logger
}

// People knows who may do what: names with passwords, tokens, and sessions.
// All of it is held in memory and written through to the bucket.
type People struct {
	o        PeopleOptions
	throttle *throttle
	hashing  chan struct{} // bcrypt is slow on purpose; only so many at a time
	nobody   func() []byte // a hash to compare with when the name is unknown

	writing sync.Mutex // one change at a time
	mu      sync.RWMutex
	persons map[string]*person
	tokens  map[string]string // hash of a token → name
	session map[string]*session
	admin   string // hash of the admin token
}

// person is somebody on record.
type person struct {
	Name      string        `json:"name"`
	Role      Role          `json:"role"`
	Created   alarms.Time   `json:"created"`
	Password  string        `json:"password,omitempty"` // bcrypt
	Changes   int           `json:"changes,omitempty"`  // of the password; sessions begun before are void
	Tokens    []personToken `json:"tokens,omitempty"`
	LastLogin alarms.Time   `json:"last_login"`
}

type personToken struct {
	Hash    string      `json:"hash"`
	Created alarms.Time `json:"created"`
}

// Identity is somebody who has shown who they are.
type Identity struct {
	Name string
	Role Role

	session string // key of the session, or
	token   string // hash of the token
}

const (
	maxToken     = 512 // characters
	strongToken  = 32  // characters from which a token cannot be guessed
	minPassword  = 10  // characters
	maxPassword  = 72  // bytes that bcrypt looks at
	maxTokens    = 20  // of one person
	maxName      = 64  // characters
	adminKey     = "admin_token"
	personPrefix = "person."
)

// OpenPeople loads everybody and sees to it that there is an admin token.
func OpenPeople(ctx context.Context, o PeopleOptions) (*People, error) {
	if o.Cost == 0 {
		o.Cost = 12
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &People{
		o: o, throttle: newThrottle(o.Now), hashing: make(chan struct{}, 2), nobody: sync.OnceValue(func() []byte { return nobodysHash(o.Cost) }),
		persons: map[string]*person{}, tokens: map[string]string{}, session: map[string]*session{},
	}
	if err := p.load(ctx); err != nil {
		return nil, err
	}
	return p, p.ensureAdmin(ctx)
}

// nobodysHash costs as much to compare with as anybody's. It is made when it is
// first needed: that takes as long as a login, and a gateway starts without one.
func nobodysHash(cost int) []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
	if err != nil {
		panic(err) // of a cost or a length that is fixed in this package
	}
	return hash
}

func (p *People) load(ctx context.Context) error {
	all, err := p.o.Bucket.All(ctx)
	if err != nil {
		return fmt.Errorf("load people: %w", err)
	}
	for key, value := range all {
		switch {
		case key == adminKey:
			p.admin = string(value)
		case strings.HasPrefix(key, personPrefix):
			one := new(person)
			if err := json.Unmarshal(value, one); err != nil {
				return fmt.Errorf("load person %s: %w", key, err)
			}
			p.index(one)
		case strings.HasPrefix(key, sessionPrefix):
			s := new(session)
			if err := json.Unmarshal(value, s); err != nil {
				return fmt.Errorf("load %s: %w", sessionPrefix, err)
			}
			p.session[strings.TrimPrefix(key, sessionPrefix)] = s
		}
	}
	return nil
}

// index puts a person, as changed, in place of the one held; the lock is held
// or nobody else knows p yet.
func (p *People) index(one *person) {
	p.unindex(one.Name)
	p.persons[one.Name] = one
	for _, t := range one.Tokens {
		p.tokens[t.Hash] = one.Name
	}
}

func (p *People) unindex(name string) {
	if old := p.persons[name]; old != nil {
		for _, t := range old.Tokens {
			delete(p.tokens, t.Hash)
		}
	}
	delete(p.persons, name)
}

// ensureAdmin takes the admin token of the environment, or the one on record,
// or makes one up and leaves it in a file.
func (p *People) ensureAdmin(ctx context.Context) error {
	if p.o.AdminToken != "" {
		if len(p.o.AdminToken) > maxToken {
			return fmt.Errorf("the admin token has %d characters; at most %d", len(p.o.AdminToken), maxToken)
		}
		if len(p.o.AdminToken) < strongToken {
			p.o.Logger.Warn("the admin token given is short, it could be guessed; leave it out and the gateway makes one up", "want_characters", strongToken)
		}
		p.admin = hashToken(p.o.AdminToken)
		return nil
	}
	if p.admin != "" {
		return nil
	}
	if p.o.AdminTokenFile == "" {
		return errors.New("there is no admin token and no file to leave one in; set FENGSUI_ADMIN_TOKEN")
	}
	token := NewToken()
	if err := writeSecret(p.o.AdminTokenFile, token); err != nil {
		return fmt.Errorf("leave the admin token: %w", err)
	}
	if _, err := p.o.Bucket.Put(ctx, adminKey, []byte(hashToken(token))); err != nil {
		return fmt.Errorf("keep the hash of the admin token: %w", err)
	}
	p.admin = hashToken(token)
	p.o.Logger.Info("made up an admin token; sign in with it, add people, then delete the file", "file", p.o.AdminTokenFile)
	return nil
}

// writeSecret writes a file that only its owner can read, whole or not at all.
func writeSecret(path, secret string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".admin-token-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.WriteString(secret + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// NewToken makes up a token of 256 random bits.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hashToken needs no salt and no slowness: what it hashes is random and long.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

var (
	errBadLogin = problem(http.StatusUnauthorized, "bad_login", "name and password, or token, are not right")
	errSignIn   = problem(http.StatusUnauthorized, "sign_in", "sign in first: a session cookie or an Authorization: Bearer token is needed")
)

func tooManyTries(wait time.Duration) *Problem {
	p := problem(http.StatusTooManyRequests, "too_many_tries", "too many wrong tries; wait %d s", int(wait.Seconds())+1)
	p.Retry = int(wait.Seconds()) + 1
	return p
}

// Token finds who holds a token. Only short tokens, which could be guessed, are
// held back after wrong tries; so nobody locks out a program that has a good one.
func (p *People) Token(address, token string) (Identity, error) {
	if token == "" || len(token) > maxToken {
		return Identity{}, errBadLogin
	}
	if len(token) >= strongToken {
		if who, ok := p.holder(hashToken(token)); ok {
			return who, nil
		}
	}
	wait, right := p.throttle.try(address, "")
	if wait > 0 {
		return Identity{}, tooManyTries(wait)
	}
	who, ok := p.holder(hashToken(token))
	if !ok {
		p.o.Logger.Warn("a token was refused", "address", address)
		return Identity{}, errBadLogin
	}
	right()
	return who, nil
}

// holder finds who a token belongs to by its hash.
func (p *People) holder(hash string) (Identity, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if subtle.ConstantTimeCompare([]byte(hash), []byte(p.admin)) == 1 {
		return Identity{Name: AdminName, Role: Admin, token: hash}, true
	}
	one := p.persons[p.tokens[hash]]
	if one == nil {
		return Identity{}, false
	}
	return Identity{Name: one.Name, Role: one.Role, token: hash}, true
}

// password finds who somebody is by name and password. It takes as long for a
// name that does not exist.
func (p *People) password(ctx context.Context, address, name, password string) (Identity, error) {
	if utf8.RuneCountInString(name) > maxName || len(password) > maxPassword {
		return Identity{}, errBadLogin
	}
	wait, right := p.throttle.try(address, name)
	if wait > 0 {
		return Identity{}, tooManyTries(wait)
	}
	hash, known := p.nobody(), false
	var who Identity
	p.mu.RLock()
	if one := p.persons[name]; one != nil && one.Password != "" {
		hash, known = []byte(one.Password), true
		who = Identity{Name: one.Name, Role: one.Role}
	}
	p.mu.RUnlock()
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
	if err := bcrypt.CompareHashAndPassword(hash, []byte(password)); err != nil || !known {
		p.o.Logger.Warn("a password was refused", "address", address)
		return Identity{}, errBadLogin
	}
	right()
	return who, nil
}

// Current looks again whether somebody is still let in, and in which role.
func (p *People) Current(who Identity) (Identity, bool) {
	if who.session != "" {
		return p.bySession(who.session)
	}
	return p.holder(who.token)
}

// checkName says what is wrong with a name.
func checkName(name string) error {
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name):
		return problem(http.StatusUnprocessableEntity, "bad_name", "a name has 1 to %d characters", maxName)
	case name == AdminName:
		return problem(http.StatusUnprocessableEntity, "bad_name", "the name %q belongs to the admin token; choose another", AdminName)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '/' }):
		return problem(http.StatusUnprocessableEntity, "bad_name", "a name has no slash, no control character, and no space at its ends")
	}
	return nil
}

func checkRole(role Role) error {
	if !slices.Contains(rolesInOrder, role) {
		return problem(http.StatusUnprocessableEntity, "bad_role", "there is no role %q; want viewer, operator or admin", role)
	}
	return nil
}

// hash checks a new password and hashes it.
func (p *People) hash(name, password string) (string, error) {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return "", problem(http.StatusUnprocessableEntity, "bad_password", "a password has at least %d characters", minPassword)
	case len(password) > maxPassword:
		return "", problem(http.StatusUnprocessableEntity, "bad_password", "a password has at most %d bytes", maxPassword)
	case strings.EqualFold(name, password):
		return "", problem(http.StatusUnprocessableEntity, "bad_password", "the password must not be the name")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), p.o.Cost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return string(hash), nil
}

// Add registers a person. Without a password they can sign in by token only.
func (p *People) Add(ctx context.Context, name string, role Role, password string) error {
	if err := errors.Join(checkName(name), checkRole(role)); err != nil {
		return err
	}
	one := &person{Name: name, Role: role, Created: alarms.Time(p.o.Now().UnixMilli())}
	if password != "" {
		hash, err := p.hash(name, password)
		if err != nil {
			return err
		}
		one.Password = hash
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	if _, ok := p.get(name); ok {
		return problem(http.StatusConflict, "exists", "there is a person %q already", name)
	}
	return p.put(ctx, one)
}

// SetPassword changes a password and ends every session of the person.
func (p *People) SetPassword(ctx context.Context, name, password string) error {
	hash, err := p.hash(name, password)
	if err != nil {
		return err
	}
	err = p.change(ctx, name, func(one *person) error {
		one.Password = hash
		one.Changes++
		return nil
	})
	if err == nil {
		p.endSessions(ctx, name)
	}
	return err
}

// SetRole changes what somebody may do, at once.
func (p *People) SetRole(ctx context.Context, name string, role Role) error {
	if err := checkRole(role); err != nil {
		return err
	}
	return p.change(ctx, name, func(one *person) error { one.Role = role; return nil })
}

// Remove forgets somebody and ends their sessions.
func (p *People) Remove(ctx context.Context, name string) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if _, ok := p.get(name); !ok {
		return unknownPerson(name)
	}
	if err := p.o.Bucket.Delete(ctx, personKey(name)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	p.mu.Lock()
	p.unindex(name)
	p.mu.Unlock()
	p.endSessions(ctx, name)
	return nil
}

// IssueToken makes up a token for somebody; it is shown this once.
func (p *People) IssueToken(ctx context.Context, name string) (string, error) {
	token := NewToken()
	err := p.change(ctx, name, func(one *person) error {
		if len(one.Tokens) >= maxTokens {
			return problem(http.StatusUnprocessableEntity, "too_many_tokens", "%s has %d tokens; revoke them first", name, maxTokens)
		}
		one.Tokens = append(one.Tokens, personToken{Hash: hashToken(token), Created: alarms.Time(p.o.Now().UnixMilli())})
		return nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// RevokeTokens takes all tokens of somebody back, with the sessions begun with
// them.
func (p *People) RevokeTokens(ctx context.Context, name string) error {
	return p.change(ctx, name, func(one *person) error { one.Tokens = nil; return nil })
}

func unknownPerson(name string) error {
	return problem(http.StatusNotFound, "not_found", "there is no person %q", name)
}

// change alters one person on record and then in memory.
func (p *People) change(ctx context.Context, name string, alter func(*person) error) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	old, ok := p.get(name)
	if !ok {
		return unknownPerson(name)
	}
	altered := *old
	altered.Tokens = slices.Clone(old.Tokens)
	if err := alter(&altered); err != nil {
		return err
	}
	return p.put(ctx, &altered)
}

func (p *People) get(name string) (*person, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	one, ok := p.persons[name]
	return one, ok
}

func (p *People) put(ctx context.Context, one *person) error {
	value, err := json.Marshal(one)
	if err != nil {
		return fmt.Errorf("encode person %s: %w", one.Name, err)
	}
	if _, err := p.o.Bucket.Put(ctx, personKey(one.Name), value); err != nil {
		return fmt.Errorf("keep person %s: %w", one.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index(one)
	return nil
}

func personKey(name string) string {
	return personPrefix + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// User is a person as others see them.
type User struct {
	Name      string      `json:"name"`
	Role      Role        `json:"role"`
	Created   alarms.Time `json:"created"`
	Password  bool        `json:"password"` // has one
	Tokens    int         `json:"tokens"`
	LastLogin alarms.Time `json:"last_login"`
}

// List is everybody, by name.
func (p *People) List() []User {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := []User{}
	for _, name := range slices.Sorted(maps.Keys(p.persons)) {
		one := p.persons[name]
		list = append(list, User{
			Name: one.Name, Role: one.Role, Created: one.Created,
			Password: one.Password != "", Tokens: len(one.Tokens), LastLogin: one.LastLogin,
		})
	}
	return list
}
