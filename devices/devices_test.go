package devices

import (
	"strings"
	"testing"
)

func replaceOnce(t *testing.T, text, from, to string) string {
	t.Helper()
	if strings.Count(text, from) == 0 {
		t.Fatalf("%q is not in the text", from)
	}
	return strings.Replace(text, from, to, 1)
}

// checkComplaint holds one line of an error to what it must say, or begin with.
func checkComplaint(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSuffix(line, "\n")
		if line == want || strings.HasSuffix(want, ": ") && strings.HasPrefix(line, want) || strings.HasSuffix(want, ":") && strings.HasPrefix(line, want) {
			return
		}
	}
	t.Errorf("got:\n%v\nwant: %s", err, want)
}
