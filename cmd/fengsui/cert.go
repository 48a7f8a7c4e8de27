package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const certUsage = `fengsui cert [-dir FOLDER] [-days N] [-key ecdsa|rsa] [NAME…]

makes a certificate for the gateway, signed by an authority of the site's own,
which is made at the first time: names and addresses by which devices and browsers
reach this machine; by default its host name and all its addresses.
`

// runCert is "fengsui cert": it needs no other tool and no internet.
func runCert(t terminal, args []string) error {
	flags := flag.NewFlagSet("cert", flag.ContinueOnError)
	dir := flags.String("dir", "tls", "`folder` of the certificates")
	days := flags.Int("days", 825, "how long the gateway's certificate holds")
	kind := flags.String("key", "ecdsa", "ecdsa, or rsa for old devices that know nothing else")
	flags.Usage = func() { fmt.Fprint(t.err, certUsage); flags.PrintDefaults() }
	if err := parseFlags(t, flags, args, 100); err != nil {
		return err
	}
	if *days < 1 || *days > 3650 {
		return fmt.Errorf("-days %d: want 1 to 3650", *days)
	}
	names := flags.Args()
	if len(names) == 0 {
		names = ownNames()
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the certificates: %w", err)
	}
	ca, made, err := siteAuthority(*dir, *kind)
	if err != nil {
		return err
	}
	until := time.Now().AddDate(0, 0, *days)
	if err := ca.issue(*dir, *kind, names, until); err != nil {
		return err
	}
	if made {
		fmt.Fprintf(t.out, "made an authority for this site: %s\n  copy it to devices and browsers that shall trust the gateway; SHA-256 %s\n  keep %s secret: who has it can pass for the gateway\n",
			filepath.Join(*dir, caFile), fingerprint(ca.certificate), filepath.Join(*dir, caKeyFile))
	}
	fmt.Fprintf(t.out, "made %s for %s, until %s\nin fengsui.yaml (a running gateway takes up a renewed one by itself):\n\ntls:\n  cert_file: %s\n  key_file: %s\n",
		filepath.Join(*dir, serverFile), strings.Join(names, ", "), until.Format(time.DateOnly), filepath.Join(*dir, serverFile), filepath.Join(*dir, serverKeyFile))
	return nil
}

const (
	caFile        = "ca.crt"
	caKeyFile     = "ca.key"
	serverFile    = "server.crt"
	serverKeyFile = "server.key"
	caYears       = 20
)

// authority signs certificates of one site.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// siteAuthority is the one in the folder, or a new one where there is none.
func siteAuthority(dir, kind string) (a authority, made bool, err error) {
	a, err = readAuthority(dir)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return a, false, err
	}
	if a.key, err = newKey(kind); err != nil {
		return a, false, err
	}
	host, err := os.Hostname()
	if err != nil {
		return a, false, fmt.Errorf("ask for this machine's name: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Fengsui CA of " + host},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := sign(template, template, a.key.Public(), a.key, time.Now().AddDate(caYears, 0, 0))
	if err != nil {
		return a, false, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return a, false, err
	}
	return a, true, errors.Join(writeKey(filepath.Join(dir, caKeyFile), a.key), writePEM(filepath.Join(dir, caFile), 0o644, "CERTIFICATE", der))
}

func readAuthority(dir string) (a authority, err error) {
	text, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return a, err
	}
	if a.certificate, err = leafOf(text); err != nil {
		return a, fmt.Errorf("read %s: %w", filepath.Join(dir, caFile), err)
	}
	path := filepath.Join(dir, caKeyFile)
	if text, err = os.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("%s is there, but not its key %s: bring it here, or make new certificates with another -dir", filepath.Join(dir, caFile), path)
	}
	if err != nil {
		return a, err
	}
	der, err := firstBlock(text, "PRIVATE KEY")
	if err != nil {
		return a, fmt.Errorf("read %s: %w", path, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return a, fmt.Errorf("read %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return a, fmt.Errorf("%s holds a %T, which cannot sign", path, key)
	}
	a.key = signer
	return a, nil
}

// issue makes the gateway's certificate and key.
func (a authority) issue(dir, kind string, names []string, until time.Time) error {
	key, err := newKey(kind)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := sign(template, a.certificate, key.Public(), a.key, until)
	if err != nil {
		return err
	}
	// The key first: a gateway that looks in between finds a pair that does not
	// fit and keeps the one it has.
	return errors.Join(writeKey(filepath.Join(dir, serverKeyFile), key), writePEM(filepath.Join(dir, serverFile), 0o644, "CERTIFICATE", der, a.certificate.Raw))
}

func sign(template, parent *x509.Certificate, public any, key crypto.Signer, until time.Time) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-24 * time.Hour) // devices' clocks are slow at times
	template.NotAfter = until
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate: %w", err)
	}
	return der, nil
}

func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "ecdsa":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return nil, fmt.Errorf("-key %q: want ecdsa or rsa", kind)
}

// ownNames are the names and addresses by which this machine can be reached.
func ownNames() []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = slices.Insert(names, 0, host)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return names
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.IsGlobalUnicast() {
			names = append(names, network.IP.String())
		}
	}
	return names
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, 0o600, "PRIVATE KEY", der)
}

// writePEM puts the file in place as a whole.
func writePEM(path string, mode fs.FileMode, kind string, blocks ...[]byte) error {
	var text []byte
	for _, der := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	beside := path + ".new"
	if err := os.WriteFile(beside, text, mode); err != nil {
		return err
	}
	return os.Rename(beside, path)
}

// firstBlock finds the first PEM block of a kind.
func firstBlock(text []byte, kind string) ([]byte, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			return block.Bytes, nil
		}
	}
	return nil, fmt.Errorf("there is no PEM block %q in it", kind)
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return fmt.Sprintf("%X", sum[:])
}
