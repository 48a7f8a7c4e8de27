package journal

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"pgregory.net/rapid"
)

func TestKeyTokens(t *testing.T) {
	tests := []struct{ key, token string }{
		{"site-1/gas_07/silent", "site-1/gas_07/silent"},
		{"a.b", "a=2Eb"},
		{"..", "=2E=2E"},
		{"*>", "=2A=3E"},
		{"a=2Eb", "a=3D2Eb"},
		{"a b\r\n", "a=20b=0D=0A"},
		{"值班", "=E5=80=BC=E7=8F=AD"},
		{"\x00\xff", "=00=FF"},
	}
	for _, tt := range tests {
		got, err := encodeKey(tt.key)
		if err != nil || got != tt.token {
			t.Errorf("encode %q: got %q, %v, want %q", tt.key, got, err, tt.token)
		}
		back, err := decodeKey(tt.token)
		if err != nil || back != tt.key {
			t.Errorf("decode %q: got %q, %v, want %q", tt.token, back, err, tt.key)
		}
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	for _, key := range []string{"", strings.Repeat("x", maxKey+1)} {
		if _, err := encodeKey(key); err == nil {
			t.Errorf("key of %d bytes was taken", len(key))
		}
	}
	for _, token := range []string{"a.b", "=", "=2", "=2e", "=ZZ", "=41", "a b"} {
		if key, err := decodeKey(token); err == nil {
			t.Errorf("token %q was taken as %q", token, key)
		}
	}
}

func TestKeyIsAlwaysASafeToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := string(rapid.SliceOfN(rapid.Byte(), 1, maxKey).Draw(t, "key"))
		token, err := encodeKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(token, ".") || !server.IsValidPublishSubject("alarms."+token) {
			t.Fatalf("token %q is no subject token", token)
		}
		if back, err := decodeKey(token); err != nil || back != key {
			t.Fatalf("%q became %q, %v", key, back, err)
		}
	})
}

func FuzzKey(f *testing.F) {
	for _, token := range []string{"", "a/b", "=2E", "=", "=4", "=41", "a.b"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		key, err := decodeKey(token)
		if err != nil || key == "" || len(key) > maxKey {
			return
		}
		if again, err := encodeKey(key); err != nil || again != token {
			t.Fatalf("token %q is key %q, whose token is %q, %v", token, key, again, err)
		}
	})
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "A", "a-b", "a.b", "a/b", "a b", "数", strings.Repeat("x", 33)} {
		if checkName("log", name) == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	if err := checkName("log", "input_2"); err != nil {
		t.Error(err)
	}
}
