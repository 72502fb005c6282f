// Keys makes what nats-server.conf needs to run on a developer's machine or in a
// laboratory: an authority, certificates, an nkey for each user that the configuration
// names, and site.conf. Existing files are kept: running it again after a user was
// added makes a key for that user and adds one line to site.conf. A flag that would
// change what exists is reported and has no effect.
//
// The authority's private key lies beside the others. For production use your own
// authority, make each nkey where it is used, and write site.conf by hand.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nkeys"
)

// validity of all certificates.
const validity = 5 * 365 * 24 * time.Hour

func main() {
	m := maker{warn: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "keys: warning: "+format+"\n", args...)
	}}
	flag.StringVar(&m.hosts, "hosts", "localhost,127.0.0.1,::1,nats", "names and addresses of the server, for its certificate")
	flag.StringVar(&m.conf, "conf", "", "the configuration whose users get keys; default OUT/nats-server.conf, or else "+shippedConf)
	flag.StringVar(&m.dir, "out", "", "the folder to write into, and from which the files are used (needed)")
	flag.StringVar(&m.store, "store", "", "the folder of the streams; default OUT/jetstream")
	flag.StringVar(&m.listen, "listen", "0.0.0.0:4222", "where the server will listen")
	flag.StringVar(&m.monitor, "monitor", "127.0.0.1:8222", "where the server will answer /healthz")
	flag.StringVar(&m.url, "url", "tls://127.0.0.1:4222", "how the users reach it")
	flag.Parse()
	if m.dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	m.given = make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { m.given[f.Name] = true })
	if err := m.run(); err != nil {
		fmt.Fprintln(os.Stderr, "keys:", err)
		os.Exit(1)
	}
}

// shippedConf is the configuration of the repository, from its root.
const shippedConf = "deploy/nats/nats-server.conf"

// maker writes into one folder.
type maker struct {
	dir, conf, hosts, store, listen, monitor, url string

	given map[string]bool // flags of the command line
	warn  func(format string, args ...any)

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
}

// userName finds the users of a configuration.
var userName = regexp.MustCompile(`\$NKEY_([A-Za-z0-9_-]+)`)

func (m *maker) run() error {
	users, err := m.prepare()
	if err != nil {
		return err
	}
	if err := m.authority(); err != nil {
		return fmt.Errorf("the authority: %w", err)
	}
	if err := m.server(); err != nil {
		return fmt.Errorf("the server's certificate: %w", err)
	}
	s, err := readSite(m.path("site.conf"))
	if err != nil {
		return err
	}
	m.settings(s)
	m.findURL(users)
	for _, name := range users {
		if err := m.enroll(s, name); err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
	}
	for _, name := range s.users() {
		if !slices.Contains(users, name) {
			m.warn("site.conf has a key of %s, and %s names no such user", name, m.conf)
		}
	}
	return s.write()
}

// prepare makes the folder and returns the users of the configuration.
func (m *maker) prepare() (users []string, err error) {
	if m.dir, err = filepath.Abs(m.dir); err != nil {
		return nil, err
	}
	if m.conf == "" {
		m.conf = m.path("nats-server.conf")
		if _, err := os.Stat(m.conf); errors.Is(err, os.ErrNotExist) {
			m.conf = shippedConf
		}
	}
	text, err := os.ReadFile(m.conf)
	if err != nil {
		return nil, err
	}
	for _, match := range userName.FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(users, match[1]) {
			users = append(users, match[1])
		}
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s names no user: no $NKEY_name is in it", m.conf)
	}
	// Each service enters it as a user of its own; what is secret in it has mode 0600.
	if _, err := os.Stat(m.dir); errors.Is(err, os.ErrNotExist) {
		if err := errors.Join(os.MkdirAll(m.dir, 0o755), os.Chmod(m.dir, 0o755)); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(m.dir); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o011 != 0o011 {
		m.warn("%s has mode %04o: services that run as other users cannot read their files; chmod 755 %s", m.dir, info.Mode().Perm(), m.dir)
	}
	return users, nil
}

func (m *maker) path(name string) string { return filepath.Join(m.dir, name) }

// enroll gives a user a key, a certificate and a context, and the site a line with
// the public key. A key that the site has already counts.
func (m *maker) enroll(s *site, name string) error {
	seed, err := os.ReadFile(m.path(name + ".nk"))
	public, known := s.values["NKEY_"+name]
	if known && errors.Is(err, os.ErrNotExist) {
		return nil // it was made where it is used
	}
	if !known || err != nil {
		if seed, err = m.keep(name+".nk", 0o600, newSeed); err != nil {
			return err
		}
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return err
	}
	own, err := pair.PublicKey()
	if err != nil {
		return err
	}
	if known && own != public {
		m.warn("%s is not the key of %s in site.conf, which was kept: the server refuses it until NKEY_%s there is %s", m.path(name+".nk"), name, name, own)
	}
	if !known {
		s.add("NKEY_"+name, own)
	}
	if _, err := m.certificate(name, nil); err != nil {
		return err
	}
	return m.context(name)
}

func newSeed() ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	return pair.Seed()
}

// context makes a context of the nats command, which names the user's files.
func (m *maker) context(name string) error {
	b, err := m.keep(name+".json", 0o644, func() ([]byte, error) {
		b, err := json.MarshalIndent(map[string]string{
			"url": m.url, "nkey": m.path(name + ".nk"),
			"cert": m.path(name + ".pem"), "key": m.path(name + "-key.pem"), "ca": m.path("ca.pem"),
		}, "", "  ")
		return append(b, '\n'), err
	})
	if err != nil {
		return err
	}
	if url := urlOf(b); m.given["url"] && url != m.url {
		m.warn("%s has the url %s, which was kept: -url %s has no effect on it", m.path(name+".json"), url, m.url)
	}
	return nil
}

// urlOf returns the URL of a context, "" for a context without one.
func urlOf(context []byte) string {
	var c struct{ URL string }
	if json.Unmarshal(context, &c) != nil {
		return ""
	}
	return c.URL
}

// findURL takes the URL of a context that exists, where -url names none: a new
// user reaches the server as the others do.
func (m *maker) findURL(users []string) {
	for _, name := range users {
		if m.given["url"] {
			return
		}
		if b, err := os.ReadFile(m.path(name + ".json")); err == nil && urlOf(b) != "" {
			m.url = urlOf(b)
			return
		}
	}
}

// keep returns the content of a file, made and written with that mode if it is not
// there.
func (m *maker) keep(name string, mode os.FileMode, content func() ([]byte, error)) ([]byte, error) {
	b, err := os.ReadFile(m.path(name))
	if !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	if b, err = content(); err != nil {
		return nil, err
	}
	// The mode is set whatever the umask is: a service of another user reads it.
	return b, errors.Join(os.WriteFile(m.path(name), b, mode), os.Chmod(m.path(name), mode))
}

// keepPEM is keep for a file with one PEM block; content makes what is in the block, and
// so does the result.
func (m *maker) keepPEM(name string, mode os.FileMode, kind string, content func() ([]byte, error)) ([]byte, error) {
	b, err := m.keep(name, mode, func() ([]byte, error) {
		der, err := content()
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), err
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", name)
	}
	return block.Bytes, nil
}

// key returns the private key of that name.
func (m *maker) key(name string) (*ecdsa.PrivateKey, error) {
	der, err := m.keepPEM(name+"-key.pem", 0o600, "EC PRIVATE KEY", func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		return x509.MarshalECPrivateKey(key)
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseECPrivateKey(der)
}

func (m *maker) authority() (err error) {
	if m.caKey, err = m.key("ca"); err != nil {
		return err
	}
	template := newCertificate("aria development CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	m.ca, err = m.signed("ca", template, template, m.caKey)
	return err
}

// certificate makes a certificate that the authority has signed: a server's if it
// has hosts, else a user's.
func (m *maker) certificate(name string, hosts []string) (*x509.Certificate, error) {
	key, err := m.key(name)
	if err != nil {
		return nil, err
	}
	template := newCertificate(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		// Also a client's: servers of a cluster call each other.
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return m.signed(name, template, m.ca, key)
}

// signed returns the certificate of that name, made from the template if it is not
// there.
func (m *maker) signed(name string, template, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := m.keepPEM(name+".pem", 0o644, "CERTIFICATE", func() ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, m.caKey)
	})
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newCertificate(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
	}
}
