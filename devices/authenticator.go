package devices

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// ErrDenied is the answer to a wrong user and to a wrong password alike. Which
// of the two it was is for the operator's eyes only.
var (
	ErrDenied        = errors.New("user or password is wrong")
	ErrUnknownUser   = fmt.Errorf("%w: there is no such user", ErrDenied)
	ErrWrongPassword = fmt.Errorf("%w: it is the password", ErrDenied)
)

// AuthenticatorOptions sets an authenticator up.
type AuthenticatorOptions struct {
	Credentials []Credential
	MaxParallel int // hashes computed at the same time; default: one less than CPUs, at least one
}

// Authenticator checks users and passwords. Hashing is slow on purpose, so only
// so many are computed at once, and what was proved once is remembered: not the
// password, but its HMAC under a key that never leaves the process. So a county
// that reconnects at once after a network failure costs microseconds a device.
// The last wrong password of a user is remembered too, since a device that is
// set up wrongly asks every few seconds for ever.
type Authenticator struct {
	key   [32]byte
	slots chan struct{}

	mu    sync.Mutex
	users map[string]*proof
}

// proof is what is known of one user.
type proof struct {
	credential  Credential
	right       [sha256.Size]byte // HMAC of the password that was right; zero: none yet
	lastRefused [sha256.Size]byte
}

// NewAuthenticator returns an authenticator of these credentials.
func NewAuthenticator(o AuthenticatorOptions) (*Authenticator, error) {
	if o.MaxParallel == 0 {
		o.MaxParallel = max(runtime.GOMAXPROCS(0)-1, 1)
	}
	a := &Authenticator{slots: make(chan struct{}, o.MaxParallel)}
	rand.Read(a.key[:]) // never fails
	return a, a.Replace(o.Credentials)
}

// Replace changes to other credentials. What was proved stays proved for users
// whose hash is the same.
func (a *Authenticator) Replace(credentials []Credential) error {
	users := make(map[string]*proof, len(credentials))
	for _, c := range credentials {
		if users[c.User] != nil {
			return fmt.Errorf("user %q has two passwords", c.User)
		}
		if err := checkHash(c.Hash); err != nil {
			return fmt.Errorf("user %q: %w", c.User, err)
		}
		users[c.User] = &proof{credential: c}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for user, p := range users {
		if was := a.users[user]; was != nil && was.credential.Hash == p.credential.Hash {
			p.right, p.lastRefused = was.right, was.lastRefused
		}
	}
	a.users = users
	return nil
}

// Authenticate returns the user's credential, or ErrDenied. It waits for its
// turn to hash; when ctx ends first, it returns ctx's error. An unknown user is
// denied at once: ids are no secret, and hashing for nobody would let anybody
// keep the devices waiting.
func (a *Authenticator) Authenticate(ctx context.Context, user string, password []byte) (*Credential, error) {
	mac := a.mac(password)
	c, answered, err := a.remembered(user, mac)
	if answered {
		return c, err
	}
	select {
	case a.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	right := bcrypt.CompareHashAndPassword([]byte(c.Hash), password) == nil
	<-a.slots
	return a.decide(c, mac, right)
}

// Knows reports whether there is such a user.
func (a *Authenticator) Knows(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.users[user] != nil
}

func (a *Authenticator) mac(password []byte) (mac [sha256.Size]byte) {
	h := hmac.New(sha256.New, a.key[:])
	h.Write(password)
	h.Sum(mac[:0])
	return mac
}

// remembered finds the user's credential, and the answer if it is known.
func (a *Authenticator) remembered(user string, mac [sha256.Size]byte) (c *Credential, answered bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.users[user]
	switch {
	case p == nil:
		return nil, true, ErrUnknownUser
	case hmac.Equal(p.right[:], mac[:]):
		return &p.credential, true, nil
	case hmac.Equal(p.lastRefused[:], mac[:]):
		return nil, true, ErrWrongPassword
	}
	return &p.credential, false, nil
}

// decide answers and remembers the answer, unless the credential was changed or
// revoked while its hash was computed.
func (a *Authenticator) decide(c *Credential, mac [sha256.Size]byte, right bool) (*Credential, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.users[c.User]
	if p == nil || p.credential.Hash != c.Hash {
		return nil, ErrDenied
	}
	if !right {
		p.lastRefused = mac
		return nil, ErrWrongPassword
	}
	p.right = mac
	return c, nil
}
