// Keys makes what nats-server.conf needs to run on a developer's machine or in a
// laboratory: an authority, certificates, an nkey for each user that the
// configuration names, and site.conf. What exists already is kept, so running it
// again after a user was added makes only what is missing.
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
	"strings"
	"time"

	"github.com/nats-io/nkeys"
)

// validity of all certificates.
const validity = 5 * 365 * 24 * time.Hour

func main() {
	m := maker{}
	hosts := flag.String("hosts", "localhost,127.0.0.1,::1,nats", "names and addresses of the server, for its certificate")
	conf := flag.String("conf", "deploy/nats/nats-server.conf", "the configuration whose users get keys")
	flag.StringVar(&m.dir, "out", "", "the folder to write into (needed)")
	flag.StringVar(&m.listen, "listen", "0.0.0.0:4222", "where the server will listen")
	flag.StringVar(&m.monitor, "monitor", "127.0.0.1:8222", "where the server will answer /healthz")
	flag.StringVar(&m.url, "url", "tls://127.0.0.1:4222", "how the users reach it")
	flag.Parse()
	if m.dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := m.run(*conf, strings.Split(*hosts, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "keys:", err)
		os.Exit(1)
	}
}

// maker writes into one folder.
type maker struct {
	dir, listen, monitor, url string

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
}

// userName finds the users of a configuration.
var userName = regexp.MustCompile(`\$NKEY_([A-Za-z0-9_-]+)`)

func (m *maker) run(conf string, hosts []string) error {
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	if m.dir, err = filepath.Abs(m.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	if err := m.authority(); err != nil {
		return fmt.Errorf("the authority: %w", err)
	}
	if err := m.certificate("server", hosts); err != nil {
		return fmt.Errorf("the server's certificate: %w", err)
	}
	var site strings.Builder
	fmt.Fprintln(&site, "# Made by deploy/nats/keys.\nSITE_NAME: nats-1")
	for _, v := range [][2]string{
		{"SITE_LISTEN", m.listen}, {"SITE_MONITOR", m.monitor}, {"SITE_STORE", m.path("jetstream")},
		{"SITE_TLS_CERT", m.path("server.pem")}, {"SITE_TLS_KEY", m.path("server-key.pem")}, {"SITE_TLS_CA", m.path("ca.pem")},
	} {
		fmt.Fprintf(&site, "%s: %q\n", v[0], v[1])
	}
	made := make(map[string]bool)
	for _, match := range userName.FindAllStringSubmatch(string(text), -1) {
		name := match[1]
		if made[name] {
			continue
		}
		made[name] = true
		public, err := m.user(name)
		if err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		fmt.Fprintf(&site, "NKEY_%s: %s\n", name, public)
	}
	if len(made) == 0 {
		return fmt.Errorf("%s names no user: no $NKEY_name is in it", conf)
	}
	return os.WriteFile(m.path("site.conf"), []byte(site.String()), 0o600)
}

func (m *maker) path(name string) string { return filepath.Join(m.dir, name) }

// user makes a user's nkey, certificate, and a context of the nats command that
// names both, and returns the public key.
func (m *maker) user(name string) (string, error) {
	seed, err := m.keep(name+".nk", func() ([]byte, error) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return nil, err
		}
		return pair.Seed()
	})
	if err != nil {
		return "", err
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return "", err
	}
	if err := m.certificate(name, nil); err != nil {
		return "", err
	}
	context, err := json.MarshalIndent(map[string]string{
		"url": m.url, "nkey": m.path(name + ".nk"),
		"cert": m.path(name + ".pem"), "key": m.path(name + "-key.pem"), "ca": m.path("ca.pem"),
	}, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(m.path(name+".json"), append(context, '\n'), 0o600); err != nil {
		return "", err
	}
	return pair.PublicKey()
}

// keep returns the content of a file, made and written if it is not there.
func (m *maker) keep(name string, content func() ([]byte, error)) ([]byte, error) {
	b, err := os.ReadFile(m.path(name))
	if !errors.Is(err, os.ErrNotExist) {
		return b, err
	}
	if b, err = content(); err != nil {
		return nil, err
	}
	return b, os.WriteFile(m.path(name), b, 0o600)
}

// key returns the private key of that name.
func (m *maker) key(name string) (*ecdsa.PrivateKey, error) {
	b, err := m.keep(name+"-key.pem", func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalECPrivateKey(key)
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s-key.pem is not PEM", name)
	}
	return x509.ParseECPrivateKey(block.Bytes)
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
func (m *maker) certificate(name string, hosts []string) error {
	key, err := m.key(name)
	if err != nil {
		return err
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
	_, err = m.signed(name, template, m.ca, key)
	return err
}

// signed returns the certificate of that name, made from the template if it is not
// there.
func (m *maker) signed(name string, template, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	b, err := m.keep(name+".pem", func() ([]byte, error) {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, m.caKey)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
	})
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s.pem is not PEM", name)
	}
	return x509.ParseCertificate(block.Bytes)
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
