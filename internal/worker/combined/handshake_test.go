package combined

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// rsaOnly is a suite without forward secrecy, which a server offers alone.
var rsaOnly = &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384}}

// refuseGo are the settings of a server that answers clients without a suite of DHE, which Go does not
// have, by refuse.
func refuseGo(refuse func(conn net.Conn)) *tls.Config {
	const dhe = 0x009f // TLS_DHE_RSA_WITH_AES_256_GCM_SHA384
	return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.Contains(hello.CipherSuites, dhe) {
			refuse(hello.Conn)
			_ = hello.Conn.Close() // the client sees it
		}
		return nil, nil
	}}
}

// alert returns a function that sends a fatal alert of TLS.
func alert(number byte) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, number}) // the client sees it
	}
}

// reset ends a connection without an alert.
func reset(conn net.Conn) { _ = conn.(*net.TCPConn).SetLinger(0) }

// certified are the settings of a server with a certificate for localhost that names it only as its
// common name. An authority of httptest has signed it, or nobody. With negative its serial number
// is not positive.
func certified(t *testing.T, trusted, negative bool) *tls.Config {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	key := s.TLS.Certificates[0].PrivateKey.(*rsa.PrivateKey)
	authority := s.Certificate()
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x7f), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	if negative {
		template.DNSNames = []string{"localhost"}
	}
	if !trusted {
		key, authority = own, template
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, authority, &own.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if negative {
		signed = negate(t, signed, key)
	}
	return certificate(signed, own)
}

// certificate are the settings of a server with this certificate alone.
func certificate(signed []byte, key *rsa.PrivateKey) *tls.Config {
	settings := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{signed}, PrivateKey: key}}}
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return settings, nil }}
}

// negate signs a certificate again with -1 as its serial number.
func negate(t *testing.T, signed []byte, key *rsa.PrivateKey) []byte {
	t.Helper()
	var parts struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(signed, &parts); err != nil {
		t.Fatal(err)
	}
	parts.Body.FullBytes = bytes.Replace(parts.Body.FullBytes, []byte{2, 1, 0x7f}, []byte{2, 1, 0xff}, 1)
	sum := sha256.Sum256(parts.Body.FullBytes)
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	parts.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	again, err := asn1.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// A server whose handshake the direct engine cannot complete is left to aria2, unless its
// certificate is not trusted.
func TestEngine_HandshakeOfEitherEngine(t *testing.T) {
	data := downloadtest.Data(10_000)
	e := newTrustingEngine(t)
	for name, c := range map[string]struct {
		settings *tls.Config
		private  bool        // the task has a header
		before   string      // of the message of the direct engine; "" if it completes the download
		class    model.Class // of the failure; "" if it completes
	}{
		"suites without forward secrecy":                         {settings: rsaOnly},
		"a handshake failure":                                    {settings: refuseGo(alert(40)), before: "tls: handshake failure; have the server offer"},
		"a handshake failure of a task with a header":            {settings: refuseGo(alert(40)), private: true, before: "tls: handshake failure; have the server offer"},
		"a certificate with a common name alone, and a header":   {settings: certified(t, true, false), private: true, before: "have the server use a certificate with its host name"},
		"an untrusted certificate and a header":                  {settings: untrustedOf(t), private: true, class: model.ClassPermanent},
		"an insufficient security level":                         {settings: refuseGo(alert(71)), before: "tls: insufficient security level; have the server offer"},
		"a reset":                                                {settings: refuseGo(reset), before: "connection reset by peer"},
		"a close":                                                {settings: refuseGo(func(net.Conn) {}), before: "the TLS handshake with 127.0.0.1 failed: "},
		"a certificate with a common name alone":                 {settings: certified(t, true, false), before: "have the server use a certificate with its host name"},
		"a certificate with a negative serial number":            {settings: certified(t, true, true), before: "have the server use a certificate with its host name"},
		"an untrusted certificate with a common name alone":      {settings: certified(t, false, false), before: "legacy Common Name", class: model.ClassPermanent},
		"an untrusted certificate with a negative serial number": {settings: certified(t, false, true), before: "negative serial number", class: model.ClassPermanent},
		"a certificate of an unknown authority":                  {settings: untrustedOf(t), class: model.ClassPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := downloadtest.ServeTLSWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.private && r.Header.Get("X-Key") != "own" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				downloadtest.Content(data).ServeHTTP(w, r)
			}), c.settings)
			id := strings.NewReplacer(" ", "-", ",", "").Replace(name)
			job := downloadtest.Job(t, id, s.URL+"/file", "max-tries", "1")
			if c.private {
				job.Task.Options["header"] = model.OptionValue{"X-Key: own"}
			}
			if strings.Contains(name, "certificate") {
				job.Task.URL = strings.Replace(job.Task.URL, "127.0.0.1", "localhost", 1)
			}
			downloadtest.Add(t, e, job)
			if c.class != "" {
				err := downloadtest.MustFail(t, e, id)
				if err.Class != c.class || !strings.Contains(err.Message, c.before) || (c.before == "") == strings.Contains(err.Message, "the other engine") {
					t.Errorf("%+v", err)
				}
				return
			}
			downloadtest.MustComplete(t, e, job, data)
			state := downloadtest.Await(t, e, id, downloadtest.Ended)
			if (state.Before == nil) != (c.before == "") || state.Before != nil && !strings.Contains(state.Before.Message, c.before) {
				t.Errorf("before: %+v", state.Before)
			}
		})
	}
}

// A task with a header whose server only aria2c can talk to gets no connection to another server,
// to which aria2c would take the header with a redirect.
func TestEngine_HeaderOfUnprobedServerStays(t *testing.T) {
	other := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	s := downloadtest.ServeTLSWith(t, http.RedirectHandler(other.URL+"/file", http.StatusFound), refuseGo(alert(40)))
	e := newTrustingEngine(t)
	downloadtest.Add(t, e, downloadtest.Job(t, "redirected", s.URL+"/file", "max-tries", "1", "header", "X-Key: own"))
	if err := downloadtest.MustFail(t, e, "redirected"); !strings.Contains(err.Message, "the server leads there now") {
		t.Errorf("%+v", err)
	}
	if n := other.Requests.Load(); n > 0 {
		t.Errorf("the other server got %d requests", n)
	}
}

// untrustedOf are the settings of a server with a certificate for localhost that nobody has signed.
func untrustedOf(t *testing.T) *tls.Config {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return certificate(signed, key)
}

// A TLS connection that breaks after its handshake is not left to aria2, which could do no better.
func TestEngine_BrokenTLSConnectionStays(t *testing.T) {
	e := newTrustingEngine(t)
	s := downloadtest.ServeTLSWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		raw := conn.(*tls.Conn).NetConn()
		_, _ = raw.Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)) // the client sees it: nothing that it can decrypt
		_, _ = io.Copy(io.Discard, raw)                                        // up to its end
	}), nil)
	downloadtest.Add(t, e, downloadtest.Job(t, "broken", s.URL+"/file", "max-tries", "1"))
	err := downloadtest.MustFail(t, e, "broken")
	if err.Code != download.CodeNetwork || err.Class != model.ClassRetryable || err.Message != "the TLS connection to 127.0.0.1 failed: tls: bad record MAC" {
		t.Errorf("%+v", err)
	}
}
