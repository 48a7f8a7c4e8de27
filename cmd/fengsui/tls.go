package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// TLSConfig is the certificate of the console and of the intake over TLS.
// "fengsui cert" makes one, signed by an authority of the site's own.
type TLSConfig struct {
	// CertFile holds the certificate and what it is signed by, PEM. A new file is
	// taken up without a restart.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds its private key, PEM.
	KeyFile string `yaml:"key_file"`
}

// certificate is the pair of files, read again when they change: renewing it
// must not cost a restart.
type certificate struct {
	TLSConfig
	logger *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   [2]time.Time // of the files as they were read
	checked time.Time
}

// loadCertificate is nil without a configured one.
func loadCertificate(c *TLSConfig, logger *slog.Logger) (*certificate, error) {
	if c == nil {
		return nil, nil
	}
	pair := &certificate{TLSConfig: *c, logger: logger, checked: time.Now()}
	return pair, pair.load()
}

func (c *certificate) load() error {
	stamp, err := c.stamps()
	if err != nil {
		return fmt.Errorf("read the certificate (tls): %w; fengsui cert makes one", err)
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return fmt.Errorf("read the certificate (tls.cert_file %s, tls.key_file %s): %w; both must be PEM and belong together, fengsui cert makes such a pair", c.CertFile, c.KeyFile, err)
	}
	c.pair, c.stamp = &pair, stamp
	return nil
}

func (c *certificate) stamps() (stamp [2]time.Time, err error) {
	for i, name := range []string{c.CertFile, c.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

const certificateEvery = 10 * time.Second

// current is the pair in force. Files that do not fit, as in the middle of a
// renewal, leave the one before in force.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateEvery {
		return c.pair
	}
	c.checked = time.Now()
	stamp, err := c.stamps()
	if err == nil && stamp == c.stamp {
		return c.pair
	}
	if err == nil {
		err = c.load()
	}
	if err != nil {
		c.logger.Error("the certificate was changed and cannot be used; the one before stays in force", "error", err)
	} else {
		c.logger.Info("took up a new certificate", "file", c.CertFile, "until", c.pair.Leaf.NotAfter)
	}
	return c.pair
}

// config is what listeners need; nil without a certificate.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}
}

const certificateWarning = 14 * 24 * time.Hour

// trouble says that the certificate will not do much longer.
func (c *certificate) trouble(now time.Time) string {
	if c == nil {
		return ""
	}
	until := c.current().Leaf.NotAfter
	switch left := until.Sub(now); {
	case left <= 0:
		return fmt.Sprintf("the certificate %s ended on %s: devices and browsers refuse it; fengsui cert makes another", c.CertFile, until.Format(time.DateOnly))
	case left < certificateWarning:
		return fmt.Sprintf("the certificate %s ends on %s; fengsui cert makes another", c.CertFile, until.Format(time.DateOnly))
	}
	return ""
}

// trustOnly makes a client trust the gateway's own certificate and no other:
// the command line talks to its own machine, whatever name the certificate has.
func trustOnly(c *TLSConfig) (*http.Transport, error) {
	text, err := os.ReadFile(c.CertFile)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's certificate: %w", err)
	}
	pair, err := leafOf(text)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's certificate %s: %w", c.CertFile, err)
	}
	return &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, pair.Raw) {
				return errors.New("another certificate answers than the one of tls.cert_file")
			}
			return nil
		},
	}}, nil
}

func leafOf(text []byte) (*x509.Certificate, error) {
	der, err := firstBlock(text, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
