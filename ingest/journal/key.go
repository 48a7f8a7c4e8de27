package journal

import (
	"errors"
	"fmt"
	"strings"
)

var errWrongKey = errors.New("key is not in its encoded form")

// maxKey bounds a key, so that its encoded form fits a subject with room.
const maxKey = 256

const hexDigits = "0123456789ABCDEF"

// encodeKey makes any key a safe subject token and bucket key: letters, digits,
// '-', '_' and '/' stand for themselves, any other byte becomes '=' and two hex
// digits, as in "=2E" for a dot.
func encodeKey(key string) (string, error) {
	if key == "" {
		return "", fmt.Errorf("key is empty")
	}
	if len(key) > maxKey {
		return "", fmt.Errorf("key of %d bytes, at most %d", len(key), maxKey)
	}
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; plainInKey(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String(), nil
}

// decodeKey is the inverse of encodeKey; it takes nothing encodeKey does not make.
func decodeKey(token string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' && i+2 < len(token) {
			hi, lo := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
			if hi < 0 || lo < 0 || plainInKey(byte(hi<<4|lo)) {
				return "", fmt.Errorf("%w: %q", errWrongKey, token)
			}
			b.WriteByte(byte(hi<<4 | lo))
			i += 2
			continue
		}
		if !plainInKey(c) {
			return "", fmt.Errorf("%w: %q", errWrongKey, token)
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

func plainInKey(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '/'
}

// checkName refuses a name that could not be part of a stream's name.
func checkName(what, name string) error {
	ok := name != "" && len(name) <= 32
	for i := range len(name) {
		c := name[i]
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%s name %q: want 1 to 32 of a-z, 0-9 and _", what, name)
	}
	return nil
}
