package download

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The exit codes of aria2. Every engine uses them for the same failures.
const (
	CodeUnknown  = 1
	CodeTimeout  = 2
	CodeNotFound = 3
	CodeNetwork  = 6
	CodeNoResume = 8
	CodeDiskFull = 9

	CodeDuplicateFile    = 11 // the same file is being downloaded
	CodeDuplicateTorrent = 12 // the same torrent is being downloaded

	CodeCreate    = 16 // a file could not be created
	CodeFileIO    = 17
	CodeResolve   = 19 // a host name has no address
	CodeMetalink  = 20 // a metalink that cannot be used, or is wrong
	CodeHTTP      = 22 // a status that is no success; the message has "status=NNN"
	CodeRedirects = 23
	CodeAuth      = 24
	CodeTorrent   = 26 // a torrent or magnet link that cannot be read
	CodeOption    = 28 // an option or URL that cannot be used
	CodeChecksum  = 32
)

// classes maps the exit codes of aria2 to failure classes. An unknown code is
// retryable.
var classes = map[int]model.Class{
	1:  model.ClassRetryable, // unknown, mostly the network
	2:  model.ClassRetryable, // timeout
	3:  model.ClassPermanent, // not found
	4:  model.ClassPermanent, // not found too often
	5:  model.ClassRetryable, // too slow
	6:  model.ClassRetryable, // network
	7:  model.ClassWorker,    // unfinished at the end: a dead swarm, as seen from here
	8:  model.ClassRetryable, // the server cannot resume
	9:  model.ClassWorker,    // disk full
	10: model.ClassRetryable, // the control file does not fit the file
	11: model.ClassRetryable, // the same file is being downloaded
	12: model.ClassRetryable, // the same torrent is being downloaded
	13: model.ClassPermanent, // the file exists
	14: model.ClassWorker,    // rename failed
	15: model.ClassWorker,    // open failed
	16: model.ClassWorker,    // create failed
	17: model.ClassWorker,    // read or write failed
	18: model.ClassWorker,    // mkdir failed
	19: model.ClassRetryable, // name resolution
	20: model.ClassPermanent, // broken metalink
	21: model.ClassRetryable, // an FTP command failed
	23: model.ClassPermanent, // too many redirects
	24: model.ClassPermanent, // authorization
	25: model.ClassPermanent, // broken torrent file
	26: model.ClassPermanent, // broken torrent
	27: model.ClassPermanent, // broken magnet link
	28: model.ClassPermanent, // bad option
	29: model.ClassRetryable, // the server is overloaded
	30: model.ClassPermanent, // broken RPC request
	32: model.ClassPermanent, // checksum, after a clean second try
}

// Failure returns the error of a failed attempt with aria2's exit code and the cleaned
// message. 403, code 7 and a failed SSH handshake send a task to another worker once: a
// task that already failed with the same code on another worker fails permanently.
func Failure(task *model.Task, code int, message string) *model.TaskError {
	class, known := classes[code]
	if !known {
		class = model.ClassRetryable
	}
	once := code == 7
	switch {
	case code == CodeHTTP:
		status := HTTPStatus(message)
		class = statusClass(status)
		once = status == 403
	case code == 21 && ftpNotLoggedIn.MatchString(message):
		class = model.ClassPermanent
	case code == CodeUnknown && sftpRefused.MatchString(message):
		class = model.ClassPermanent // aria2 has no code for what an SFTP server refuses
		if strings.HasPrefix(message, sshLoginFailed) {
			message += sshLoginAdvice
		}
	case code == CodeUnknown && strings.HasPrefix(message, sshKeysFailed):
		// A connection that is lost during the handshake gives the same text.
		class, once = model.ClassWorker, true
		message += sshKeysAdvice
	case NeedsAria2(message):
		class = model.ClassWorker
	case tlsIncompatible.MatchString(message):
		class = model.ClassWorker
		message += tlsAdvice
	case certificateUnread.MatchString(message):
		class = model.ClassWorker
		message += certificateAdvice
	case untrusted.MatchString(message):
		class = model.ClassPermanent // it lasts longer than the retries
		message += untrustedAdvice
	case code == CodeCreate && strings.Contains(message, "File name too long"):
		class = model.ClassPermanent
	}
	if before := task.Error; once && before != nil && before.Code == code && before.Class == model.ClassWorker &&
		(code != CodeUnknown || strings.Contains(before.Message, sshKeysFailed)) {
		class = model.ClassPermanent
	}
	return &model.TaskError{Code: code, Message: Clean(message), Class: class, HTTPStatus: HTTPStatus(message)}
}

// The messages of aria2 for an SSH server that refuses it, which have no exit code, and
// the advice for the user. libssh2 supports authentication by password only.
const (
	sshLoginFailed = "SSH authentication failure"
	sshLoginAdvice = "; aria2c logs in by user and password only: check ftp-user and ftp-passwd, and have the server" +
		" permit password authentication (keyboard-interactive and public keys are not supported)"
	sshKeysFailed = "SSH handshake failure: Unable to exchange encryption keys"
	sshKeysAdvice = "; the server and this worker's libssh2 have no host key type, key exchange, cipher or MAC in common:" +
		" have the server offer an Ed25519 or ECDSA host key and aes256-ctr with hmac-sha2-256, or run a worker" +
		" with libssh2 1.11 or later, which knows rsa-sha2"
)

// untrusted matches what net/http, and aria2c with GnuTLS or OpenSSL, say of a certificate
// that does not verify.
var untrusted = regexp.MustCompile(`x509: |not signed by known authorities|local issuer|self.signed certificate` +
	`|certificate (has expired|is not yet valid)|hostname does not match`)

const untrustedAdvice = "; check the task's url, have the server use a valid certificate, or add its authority to the" +
	" trusted certificates of the worker's machine"

// statusClass returns the class of an HTTP status that is not a success.
func statusClass(status int) model.Class {
	switch {
	case status == 408, status == 425, status == 429:
		return model.ClassRetryable
	case status == 403:
		return model.ClassWorker // often the address of this worker, not the file
	case status >= 400 && status < 500:
		return model.ClassPermanent
	}
	return model.ClassRetryable
}

var (
	statusPattern  = regexp.MustCompile(`^([1-9]\d{2}) |status=([1-9]\d{2})\b`)
	ftpNotLoggedIn = regexp.MustCompile(`\b530\b`)
	sftpRefused    = regexp.MustCompile(`^SSH (authentication failure|opening SFTP path .* failed: Failed opening remote file)`)
	credentials    = regexp.MustCompile(`://[^\s/?#]*@`)
)

// StatusError is an HTTP status that is not a success.
type StatusError int

func (e StatusError) Error() string {
	return fmt.Sprintf("The response status is not successful. status=%d", int(e))
}

// ResponseError is an answer of a server that is not a success.
type ResponseError struct {
	Status     StatusError
	Host       string
	RetryAfter time.Duration // that it asks for, see [RetryAfter]
}

// NewResponseError makes the error of an answer that is not a success.
func NewResponseError(resp *http.Response) *ResponseError {
	return &ResponseError{
		Status: StatusError(resp.StatusCode), Host: resp.Request.URL.Hostname(), RetryAfter: RetryAfter(resp, time.Now()),
	}
}

// Error names the status and the host.
func (e *ResponseError) Error() string {
	text := http.StatusText(int(e.Status))
	if text == "" {
		text = "unknown status"
	}
	return fmt.Sprintf("%d %s from %s", int(e.Status), text, e.Host)
}

// Unwrap returns the status, a [StatusError].
func (e *ResponseError) Unwrap() error { return e.Status }

// CodeOf returns aria2's exit code for an error of a request. The default is
// CodeNetwork.
func CodeOf(err error) int {
	var status StatusError
	var dns *net.DNSError
	var netErr net.Error
	var protocol *ProtocolError
	switch {
	case errors.As(err, new(*netguard.RefusedError)):
		return CodeOption
	case errors.Is(err, errRedirects):
		return CodeRedirects
	case errors.As(err, &protocol) && protocol.fault != nil:
		return CodeRedirects
	case errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	case errors.As(err, &status):
		switch status {
		case 404, 410:
			return CodeNotFound
		case 401:
			return CodeAuth
		}
		return CodeHTTP
	case errors.As(err, &dns):
		return CodeResolve
	case errors.As(err, &netErr) && netErr.Timeout():
		return CodeTimeout
	}
	return CodeNetwork
}

// HTTPStatus returns the status that a message begins with, as that of a
// [ResponseError], or NNN of the "status=NNN" in it; 0 without either.
func HTTPStatus(message string) int {
	m := statusPattern.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1] + m[2]) // three digits, always a number
	return n
}

// maxMessage bounds a message, in bytes.
const maxMessage = 500

// Clean prepares a message for logs and answers. It replaces the user and password of
// every URL and control characters, and cuts the message to 500 bytes.
func Clean(message string) string {
	message = credentials.ReplaceAllString(message, "://"+model.Redacted+"@")
	message = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(message, "?"))
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return strings.TrimSpace(strings.ToValidUTF8(message, "")) // a character may have been cut
}
