package influx

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// refusal is any answer to a write other than 204: only that one says that all
// of it is stored. The client library takes every 2xx for success, follows
// redirects (a POST becomes a GET) and forgets the text of an error it does not
// know, so the answer is judged before the library sees it.
type refusal struct {
	status int
	header http.Header
	text   string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("InfluxDB answered %d %s: %s", e.status, http.StatusText(e.status), e.text)
}

// maxErrorText is as much of an error's text as is read.
const maxErrorText = 4 << 10

// transport compresses requests, adds the token and turns every answer but 204
// into a refusal.
type transport struct {
	base  http.RoundTripper
	token *tokenSource
	zips  sync.Pool // of *gzip.Writer
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := t.compress(req.Body)
	if err != nil {
		return nil, fmt.Errorf("compress the lines: %w", err)
	}
	token, err := t.token.get()
	if err != nil {
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Token "+token)
	out.Header.Set("Content-Encoding", "gzip")
	out.ContentLength = int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()
	resp, err := t.base.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNoContent {
		return resp, nil
	}
	return nil, t.refused(resp)
}

func (t *transport) refused(resp *http.Response) error {
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		t.token.forget()
	}
	return &refusal{status: resp.StatusCode, header: resp.Header, text: strings.TrimSpace(string(text))}
}

// compress reads a request's body into a buffer of its own: the connection may
// still be reading it after the request has failed.
func (t *transport) compress(body io.ReadCloser) ([]byte, error) {
	var out bytes.Buffer
	zip, ok := t.zips.Get().(*gzip.Writer)
	if ok {
		zip.Reset(&out)
	} else {
		zip, _ = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	}
	defer t.zips.Put(zip)
	if body != nil {
		defer body.Close()
		// Through a small buffer: a string's own WriteTo would copy all of it once more.
		if _, err := io.CopyBuffer(zip, struct{ io.Reader }{body}, make([]byte, 16<<10)); err != nil {
			return nil, err
		}
	}
	err := zip.Close()
	return out.Bytes(), err
}

// tokenSource reads the token from its file, again after InfluxDB refused it:
// a rotated token takes effect without a restart.
type tokenSource struct {
	file string // empty: the token is fixed

	mu    sync.Mutex
	token string
}

func (s *tokenSource) get() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token != "" {
		return s.token, nil
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return "", &tokenError{fmt.Errorf("read the InfluxDB token: %w", err)}
	}
	s.token = strings.TrimSpace(string(text))
	if s.token == "" || strings.ContainsAny(s.token, "\r\n") {
		s.token = ""
		return "", &tokenError{fmt.Errorf("token file %s must hold one line, the InfluxDB token", s.file)}
	}
	return s.token, nil
}

func (s *tokenSource) forget() {
	if s.file == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = ""
}

// tokenError says that there is no token to send.
type tokenError struct{ error }

func (e *tokenError) Unwrap() error { return e.error }
