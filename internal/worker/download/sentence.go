package download

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/netguard"
)

// Sentence describes the error of a request in plain words. host is the server of the
// request, "" if unknown. An unknown error keeps its own text.
func Sentence(err error, host string) string {
	var dns *net.DNSError
	var op *net.OpError
	var path *fs.PathError
	var head *HeadError
	var handshake *handshakeError
	switch {
	case errors.As(err, &head):
		return fmt.Sprintf("%s sends a response that cannot be read: %s", orServer(host), head.reason)
	case errors.As(err, new(*netguard.RefusedError)), errors.As(err, new(*ResponseError)):
	case errors.Is(err, errRedirects):
		return fmt.Sprintf("%v from %s", errRedirects, orServer(host))
	case errors.As(err, &path) && errors.Is(err, syscall.ENAMETOOLONG):
		return "File name too long"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk of this worker is full"
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Sprintf("the host name %s has no address; check the task's url", dns.Name)
	case errors.As(err, &dns):
		return fmt.Sprintf("the address of %s is not known: %s", dns.Name, dns.Err)
	case errors.As(err, &handshake):
		return fmt.Sprintf("%s%s failed: %v", handshakeFailed, orServer(host), handshake)
	case isTLS(err):
		return fmt.Sprintf("the TLS connection to %s failed: %v", orServer(host), strip(err))
	case errors.As(err, &op) && op.Op == "dial" && op.Addr != nil:
		return fmt.Sprintf("no connection to %s at %v: %s", orServer(host), op.Addr, dialReason(op))
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Sprintf("%s broke the connection off (connection reset)", orServer(host))
	case err.Error() == io.EOF.Error(), err.Error() == io.ErrUnexpectedEOF.Error(): // with nothing else said
		return fmt.Sprintf("%s closed the connection before the end of its response", orServer(host))
	}
	return err.Error()
}

func orServer(host string) string {
	if host == "" {
		return "the server"
	}
	return host
}

// dialReason is why there is no connection.
func dialReason(op *net.OpError) string {
	switch {
	case op.Timeout():
		return "no answer in time"
	case errors.Is(op, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(op, syscall.EHOSTUNREACH), errors.Is(op, syscall.ENETUNREACH):
		return "no route"
	}
	return op.Err.Error()
}

// isTLS reports whether an error is one of TLS after the handshake: a broken record, or an alert.
// The types of most are not exported.
func isTLS(err error) bool { return strings.Contains(err.Error(), "tls: ") }

// strip removes the prefix of the TLS package before the reason.
func strip(err error) error {
	var verify *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &verify):
		return verify.Err
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// Expired completes the message of a server that refuses the rest of a file.
func Expired(text string, completed, total int64) string {
	return fmt.Sprintf("%s, after %s; the link may have expired: update the task's url", text, amount(completed, total))
}

// Refused reports whether a status refuses a request in a way that a fresh link from
// the same source may not meet.
func Refused(status int) bool {
	return status == 401 || status == 403 || status == 404 || status == 410
}

// Advise completes the message of a server that refuses the first request with advice.
func Advise(status int, text string) string {
	switch status {
	case 401:
		return text + "; check http-user, http-passwd or the header of the task"
	case 403:
		return text + "; the server may want a header, a cookie or another worker's address"
	case 404, 410:
		return text + "; check the task's url"
	}
	return text
}

// amount formats how much of a file has arrived, and the total if known.
func amount(completed, total int64) string {
	const kB, MB = 1000, 1000 * 1000
	unit, name := int64(MB), "MB"
	if max(completed, total) < 10*MB {
		unit, name = kB, "kB"
	}
	if total <= 0 {
		return fmt.Sprintf("%d %s", completed/unit, name)
	}
	return fmt.Sprintf("%d of %d %s", completed/unit, total/unit, name)
}

// NoData returns the message for a server that was silent for too long.
func NoData(wait fmt.Stringer, tries int, host string) string {
	return fmt.Sprintf("no data from %s for %v, %d tries (stall_timeout)", orServer(host), wait, tries)
}
