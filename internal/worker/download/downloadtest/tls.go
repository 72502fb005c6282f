package downloadtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// connNumber is the key of a connection's number in the context of its requests.
type connNumber struct{}

// ServeTLS starts a server with TLS that ends with the test, and makes this process trust
// its certificate. [TrustingAria2c] makes an aria2c trust it.
func ServeTLS(t *testing.T, h http.Handler) *Server {
	t.Helper()
	return ServeTLSWith(t, h, nil)
}

// ServeTLSWith is ServeTLS for a server with other settings. Its own certificates are not
// trusted, unless that of [ServeTLS] has signed them.
func ServeTLSWith(t *testing.T, h http.Handler, settings *tls.Config) *Server {
	t.Helper()
	s := newServer(h)
	s.TLS = settings
	var accepted atomic.Int64
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, connNumber{}, accepted.Add(1)-1)
	}
	s.StartTLS()
	s.closeWith(t)
	trusting.Do(func() {
		if err := trust(writeCertificate(t, s.Server)); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// Nodes answers the first connection to a server of [ServeTLS] by the first handler, the
// second one by the second, and so on in turn: a balancer with several nodes.
func Nodes(nodes ...http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := r.Context().Value(connNumber{}).(int64)
		nodes[n%int64(len(nodes))].ServeHTTP(w, r)
	})
}

// trusting is done once: a process reads its trusted certificates once.
var trusting sync.Once

// trust makes this process trust the certificate in a file. All servers of httptest have
// the same one.
func trust(file string) error {
	before, set := os.LookupEnv("SSL_CERT_FILE")
	if err := os.Setenv("SSL_CERT_FILE", file); err != nil {
		return err
	}
	if _, err := x509.SystemCertPool(); err != nil {
		return err
	}
	if set {
		return os.Setenv("SSL_CERT_FILE", before)
	}
	return os.Unsetenv("SSL_CERT_FILE")
}

func writeCertificate(t *testing.T, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "certificate.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TrustingAria2c returns a program that runs the aria2c at path, which then trusts the
// servers of [ServeTLS].
func TrustingAria2c(t *testing.T, path string) string {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return testbed.Program(t, "aria2c", fmt.Sprintf("#!/bin/sh\nexec '%s' --ca-certificate='%s' \"$@\"\n", path, writeCertificate(t, s)))
}
