package download

import (
	"crypto/tls"
	"errors"
	"io"
	"regexp"
	"strings"
)

// cipherSuites are the suites that are offered up to TLS 1.2: those of Go's default, and the ones
// without forward secrecy that older servers need. Go prefers the former whatever their order.
func cipherSuites() []uint16 {
	var ids []uint16
	for _, suite := range tls.CipherSuites() {
		ids = append(ids, suite.ID)
	}
	return append(ids, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA)
}

// handshakeError is the error of a TLS handshake that did not time out.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string {
	if errors.Is(e.err, io.EOF) {
		return "the server closed the connection"
	}
	return strip(e.err).Error()
}

func (e *handshakeError) Unwrap() error { return e.err }

// handshakeFailed begins the messages of failed handshakes, also those of aria2.
const handshakeFailed = "the TLS handshake with "

// The messages of net/http for a server that has no version or cipher suite of this program, and for
// a certificate that it cannot read although the TLS library of aria2c verifies it, and the advice
// for both.
var (
	tlsIncompatible = regexp.MustCompile(`tls: (handshake failure|insufficient security level|protocol version not supported` +
		`|no supported versions|server selected unsupported|server chose an unconfigured)`)
	certificateUnread = regexp.MustCompile(`x509: (certificate relies on legacy Common Name|negative serial number)`)
)

const (
	tlsAdvice = "; have the server offer TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM, or run a worker with aria2," +
		" whose TLS library has further cipher suites"
	certificateAdvice = "; have the server use a certificate with its host name as a subject alternative name and" +
		" with a positive serial number, or run a worker with aria2, which accepts others"
)

// TLSMayWorkWithAria2 reports whether a message is that of a TLS handshake which may succeed with the
// TLS library of aria2c. It may not if the certificate is not trusted.
func TLSMayWorkWithAria2(message string) bool {
	return strings.Contains(message, handshakeFailed) && (certificateUnread.MatchString(message) || !untrusted.MatchString(message))
}
