package devices

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/crypto/bcrypt"
)

func TestMayPublishAndRead(t *testing.T) {
	device := &Credential{User: "pond/dam-1", Site: "pond", Device: "dam-1"}
	site := &Credential{User: "pond", Site: "pond"}
	for _, c := range []struct {
		topic        string
		device, site bool // may publish
		deviceReads  bool
		siteReads    bool
	}{
		{"v1/pond/dam-1/telemetry", true, true, false, false},
		{"v1/pond/dam-1/status", true, true, false, false},
		{"v1/pond/dam-2/telemetry", false, true, false, false},
		{"v1/ponds/dam-1/telemetry", false, false, false, false},
		{"v1/pond/dam-1/feedback", false, false, true, true},
		{"v1/pond/dam-1/command", false, false, true, true},
		{"v1/pond/dam-2/feedback", false, false, false, true},
		{"v1/pond/+/feedback", false, false, false, true},
		{"v1/+/dam-1/feedback", false, false, false, false},
		{"v1/pond/dam-1/+", false, false, false, false},
		{"v1/pond/dam-1/#", false, false, false, false},
		{"v1/pond/#/feedback", false, false, false, false},
		{"v1/pond/dam-1/telemetry/x", false, false, false, false},
		{"v1/pond//telemetry", false, false, false, false},
		{"v1/pond/telemetry", false, false, false, false},
		{"/v1/pond/dam-1/telemetry", false, false, false, false},
		{"V1/pond/dam-1/telemetry", false, false, false, false},
		{"alarms/#", false, false, true, true},
		{"alarms/pond/+", false, false, true, true},
		{"alarmsx", false, false, false, false},
		{"#", false, false, false, false},
		{"$SYS/#", false, false, false, false},
		{"", false, false, false, false},
	} {
		got := [4]bool{device.MayPublish(c.topic), site.MayPublish(c.topic), device.MayRead(c.topic), site.MayRead(c.topic)}
		if want := [4]bool{c.device, c.site, c.deviceReads, c.siteReads}; got != want {
			t.Errorf("%q: got %v, want %v (device publishes, site publishes, device reads, site reads)", c.topic, got, want)
		}
	}
}

func TestPasswords(t *testing.T) {
	a, b := NewPassword(), NewPassword()
	if a == b || len(a) != 26 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		t.Errorf("passwords %q and %q", a, b)
	}
	hash, err := HashPassword(a)
	if err != nil {
		t.Fatal(err)
	}
	if !CheckPassword(hash, a) || CheckPassword(hash, b) || CheckPassword("", a) || CheckPassword(a, a) {
		t.Error("a password is not told from another")
	}
	if _, err := HashPassword(""); err == nil {
		t.Error("an empty password is accepted")
	}
	if _, err := HashPassword(strings.Repeat("x", 73)); err == nil {
		t.Error("a password that bcrypt would cut is accepted")
	}
}

// cheapHash is at bcrypt's lowest cost: tests need not be safe.
func cheapHash(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func authenticator(t testing.TB, credentials ...Credential) *Authenticator {
	t.Helper()
	a, err := NewAuthenticator(AuthenticatorOptions{Credentials: credentials, MaxParallel: 1})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthenticate(t *testing.T) {
	right, wrong := []byte("right"), []byte("wrong")
	device := Credential{User: "pond/dam-1", Hash: cheapHash(t, "right"), Site: "pond", Device: "dam-1"}
	a := authenticator(t, device)
	for range 3 { // the second time from memory
		if c, err := a.Authenticate(t.Context(), "pond/dam-1", right); err != nil || *c != device {
			t.Fatalf("got %+v, %v", c, err)
		}
		if c, err := a.Authenticate(t.Context(), "pond/dam-1", wrong); !errors.Is(err, ErrDenied) || !errors.Is(err, ErrWrongPassword) || c != nil {
			t.Fatalf("got %+v, %v", c, err)
		}
		if _, err := a.Authenticate(t.Context(), "pond/dam-2", right); !errors.Is(err, ErrDenied) || !errors.Is(err, ErrUnknownUser) {
			t.Fatalf("got %v", err)
		}
		if _, err := a.Authenticate(t.Context(), "pond/dam-1", nil); !errors.Is(err, ErrDenied) {
			t.Fatalf("got %v", err)
		}
	}

	// A new password ends the old one, at once and also in memory.
	device.Hash = cheapHash(t, "other")
	if err := a.Replace([]Credential{device}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), "pond/dam-1", right); !errors.Is(err, ErrDenied) {
		t.Errorf("the old password still opens: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), "pond/dam-1", []byte("other")); err != nil {
		t.Errorf("the new password does not open: %v", err)
	}
	if err := a.Replace(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), "pond/dam-1", []byte("other")); !errors.Is(err, ErrDenied) {
		t.Errorf("a revoked credential still opens: %v", err)
	}
	if err := a.Replace([]Credential{device, device}); err == nil {
		t.Error("two passwords of one user are accepted")
	}
	if err := a.Replace([]Credential{{User: "x", Hash: "plain"}}); err == nil {
		t.Error("a password that is not hashed is accepted")
	}
}

// TestReconnectStorm: what was proved once is not computed again, so a county
// that reconnects at once does not wait for its turn to hash.
func TestReconnectStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storm := Credential{User: "a", Hash: cheapHash(t, "right"), Site: "a"}
		a := authenticator(t, storm)
		for _, password := range []string{"right", "wrong"} {
			_, _ = a.Authenticate(t.Context(), "a", []byte(password))
		}
		a.slots <- struct{}{} // nothing can be hashed any more
		if err := a.Replace([]Credential{storm, {User: "b", Hash: storm.Hash, Site: "b"}}); err != nil {
			t.Fatal(err) // others come and go
		}
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if _, err := a.Authenticate(t.Context(), "a", []byte("right")); err != nil {
					t.Error(err)
				}
				if _, err := a.Authenticate(t.Context(), "a", []byte("wrong")); !errors.Is(err, ErrDenied) {
					t.Error(err)
				}
				if _, err := a.Authenticate(t.Context(), "nobody", []byte("wrong")); !errors.Is(err, ErrDenied) {
					t.Error(err)
				}
			})
		}
		wg.Wait()

		// Another password has to wait, and stops waiting when its client goes.
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := a.Authenticate(ctx, "a", []byte("third"))
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestRevokedMeanwhile: a password that is changed while it is being checked
// does not open any more.
func TestRevokedMeanwhile(t *testing.T) {
	for name, change := range map[string][]Credential{
		"revoked": nil,
		"changed": {{User: "a", Hash: cheapHash(t, "other"), Site: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := authenticator(t, Credential{User: "a", Hash: cheapHash(t, "right"), Site: "a"})
				a.slots <- struct{}{}
				done := make(chan error)
				go func() {
					_, err := a.Authenticate(t.Context(), "a", []byte("right"))
					done <- err
				}()
				synctest.Wait()
				if err := a.Replace(change); err != nil {
					t.Fatal(err)
				}
				<-a.slots
				if err := <-done; !errors.Is(err, ErrDenied) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func BenchmarkAuthenticateAgain(b *testing.B) {
	a := authenticator(b, Credential{User: "a", Hash: cheapHash(b, "right"), Site: "a"})
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), "a", []byte("right")); err != nil {
			b.Fatal(err)
		}
	}
}
