package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"fengsui/sinks"
)

// Endpoint is where calls go and how they prove who sends them. Secrets stand in
// files, which are read for every call: a changed one counts at once.
type Endpoint struct {
	Name    string // in metrics, logs and the console
	URL     string // without a query or password
	URLFile string // instead of URL, where the address itself is a secret (chat robots)
	Method  string // empty: POST

	Headers       map[string]string
	SecretHeaders map[string]string // name → file with the value
	// SecretFile holds the key of the signature: with it every call carries
	// Fengsui-Signature: t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">.
	SecretFile string
	CAFile     string        // verifies the server; empty: the system's roots
	Timeout    time.Duration // of one call; zero: 10 s
}

// SignatureHeader carries the signature.
const SignatureHeader = "Fengsui-Signature"

const (
	maxAnswer = 4 << 10 // as much of an answer as is read
	maxShown  = 200     // as much of it as is told, in bytes
)

// secretHeader are names whose values do not belong into a config file.
var secretHeader = []string{"authorization", "proxy-authorization", "cookie", "token", "api-key", "apikey", "secret"}

// caller makes calls.
type caller struct {
	o      Endpoint
	client *http.Client
}

func newCaller(o Endpoint) (*caller, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Method == "" {
		o.Method = http.MethodPost
	}
	roots, err := o.roots()
	if err != nil {
		return nil, err
	}
	return &caller{o: o, client: &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			IdleConnTimeout:     90 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (o *Endpoint) check() error {
	switch {
	case o.Name == "":
		return errors.New("name is empty; it names the endpoint in metrics and logs")
	case strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		return fmt.Errorf("name %q: want letters, digits, - and _ only", o.Name)
	case (o.URL == "") == (o.URLFile == ""):
		return errors.New("want one of url and url_file")
	case o.Method != "" && o.Method != http.MethodPost && o.Method != http.MethodPut:
		return fmt.Errorf("method %q: want POST or PUT", o.Method)
	}
	if o.URL != "" {
		if err := checkURL(o.URL, false); err != nil {
			return err
		}
	}
	for name := range o.Headers {
		lower := strings.ToLower(name)
		if slices.ContainsFunc(secretHeader, func(s string) bool { return strings.Contains(lower, s) }) {
			return fmt.Errorf("header %s holds a secret; put the value into a file and name it under secret_headers", name)
		}
	}
	return nil
}

// checkURL never says what it was given: it may be a secret.
func checkURL(text string, secret bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("url: want http://host/path or https://host/path")
	case u.User != nil:
		return errors.New("url: must not hold a password; use secret_headers")
	case u.RawQuery != "" && !secret:
		return errors.New("url: has a query, which often holds a key; put the whole address into a file and name it as url_file")
	}
	return nil
}

func (o *Endpoint) roots() (*x509.CertPool, error) {
	if o.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file: %s holds no PEM certificate", o.CAFile)
	}
	return pool, nil
}

// secrets are what stands in files.
type secrets struct {
	url     string
	headers map[string]string
	key     string
}

func (c *caller) secrets() (s secrets, err error) {
	s.url, s.headers = c.o.URL, map[string]string{}
	if c.o.URLFile != "" {
		if s.url, err = readSecret("url_file", c.o.URLFile); err != nil {
			return s, err
		}
		if err := checkURL(s.url, true); err != nil {
			return s, fmt.Errorf("%w (in url_file)", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.o.SecretHeaders)) {
		if s.headers[name], err = readSecret("secret_headers: "+name, c.o.SecretHeaders[name]); err != nil {
			return s, err
		}
	}
	if c.o.SecretFile != "" {
		s.key, err = readSecret("secret_file", c.o.SecretFile)
	}
	return s, err
}

func readSecret(what, file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s: %s must hold one line", what, file)
	}
	return secret, nil
}

// hide takes secrets out of a text that somebody else wrote.
func (s *secrets) hide(text string) string {
	hidden := []string{s.key}
	for _, v := range s.headers {
		hidden = append(append(hidden, v), strings.Fields(v)...)
	}
	if u, err := url.Parse(s.url); err == nil {
		hidden = append(hidden, s.url, u.RequestURI(), u.RawQuery)
		for _, values := range u.Query() {
			hidden = append(hidden, values...)
		}
		hidden = append(hidden, strings.Split(u.Path, "/")...)
	}
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) })
	for _, h := range hidden {
		if len(h) >= minSecret {
			text = strings.ReplaceAll(text, h, "…")
		}
	}
	return text
}

// minSecret is how long a part of a secret must be to be looked for: shorter
// ones are words.
const minSecret = 8

// answer is what an endpoint said to a call that it answered.
type answer struct {
	status     int
	text       string // without secrets, shortened
	full       string
	retryAfter time.Duration
	location   string // host of a redirect
}

func (a *answer) String() string {
	text := strconv.Itoa(a.status) + " " + http.StatusText(a.status)
	if a.text != "" {
		text += ": " + a.text
	}
	return text
}

// call sends body once. id is the key under which a repetition is recognised.
func (c *caller) call(ctx context.Context, id string, body []byte, path string) (*answer, error) {
	s, err := c.secrets()
	if err != nil {
		return nil, &sinks.Stopped{Reason: err.Error(), Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, c.o.Method, strings.TrimSuffix(s.url, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the address cannot be called")
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "fengsui")
	if id != "" {
		req.Header.Set("Idempotency-Key", id)
	}
	for name, v := range c.o.Headers {
		req.Header.Set(name, v)
	}
	for name, v := range s.headers {
		req.Header.Set(name, v)
	}
	if s.key != "" {
		req.Header.Set(SignatureHeader, sign(s.key, time.Now(), body))
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, errors.New(s.hide("reach the endpoint: " + cause(err).Error()))
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, errors.New(s.hide("read the answer: " + cause(err).Error()))
	}
	return s.answer(resp, text), nil
}

func (s *secrets) answer(resp *http.Response, text []byte) *answer {
	a := &answer{status: resp.StatusCode, full: string(text), retryAfter: retryAfter(resp.Header, time.Now())}
	a.text = strings.Join(strings.Fields(strings.ToValidUTF8(s.hide(a.full), "?")), " ")
	if len(a.text) > maxShown {
		a.text = strings.ToValidUTF8(a.text[:maxShown], "") + "…"
	}
	if to, err := resp.Location(); err == nil {
		a.location = to.Scheme + "://" + to.Host
	}
	return a
}

// sign is the value of the signature header. The time is part of what is signed,
// so that a call that was overheard cannot be played again later.
func sign(key string, now time.Time, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// cause cuts net/http's wrapping off, which repeats the address.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refused is the error of a message that the endpoint will never take.
type refused struct{ answer *answer }

func (e *refused) Error() string { return "the endpoint refuses the message: " + e.answer.String() }

// judge says what an answer means: nil, refused for this message alone, Stopped
// for a fault of the configuration, Busy, or a fault that may pass.
func (a *answer) judge() error {
	said := errors.New("the endpoint answered " + a.String())
	stopped := func(what string) error {
		return &sinks.Stopped{Reason: fmt.Sprintf("%s (%v)", what, said), Err: said}
	}
	switch {
	case a.status < 300:
		return nil
	case a.status < 400:
		return stopped("the endpoint redirects to " + a.location + ", which is not followed; use the final address")
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusProxyAuthRequired:
		return stopped("the endpoint does not let the gateway in; correct its secret files")
	case a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed || a.status == http.StatusGone:
		return stopped("nobody takes messages at this address; correct url or method")
	case a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable:
		return &sinks.Busy{After: a.retryAfter, Err: said}
	case a.status >= 500 || a.status == http.StatusRequestTimeout || a.status == http.StatusTooEarly:
		return said
	}
	return &refused{a}
}

// retryAfter reads the header of that name, in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
