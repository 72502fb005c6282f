package aria2

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// failure is the last error of a job, in a sentence with status and host: of what the
// proxy has seen, or else of aria2c's message.
func (e *Engine) failure(j *job, code int, message string) *model.TaskError {
	seen := e.proxy.Traffic(j.gid)
	host := cmp.Or(seen.Host, hostIn(j.sanitizedJob().Task.URL))
	if trouble := e.proxy.LastError(j.gid); trouble != nil && isProxyError(message) {
		host = cmp.Or(refusedHost(trouble), hostIn(j.sanitizedJob().Task.URL))
		code, message = download.CodeOf(trouble), download.Sentence(trouble, host)
		seen = netguard.Traffic{}
	}
	if kindOf(&j.Task.TaskSpec) != kindPlain {
		return download.Failure(j.Task, code, e.swarmSentence(j, code, message))
	}
	status := statusIn(code, message, &seen)
	text := message
	switch {
	case status != 0 && status != http.StatusOK:
		text = (&download.ResponseError{Status: download.StatusError(status), Host: host}).Error()
		if text = j.explainStatus(status, text); status >= 500 && j.intOption("max-tries", download.DefaultMaxTries) > 1 {
			text = fmt.Sprintf("%s, after all tries (max-tries)", text)
		}
	case code == download.CodeTimeout && strings.HasPrefix(message, "Timeout"):
		text = download.NoData(j.timeout(e.cfg.StallTimeout), j.intOption("max-tries", download.DefaultMaxTries), host)
	case code == download.CodeRedirects:
		text = "more than 20 redirects from " + host
	case strings.HasPrefix(message, "Got EOF"):
		code, text = download.CodeNetwork, host+" closed the connection before the end of its response"
	case code == download.CodeNoResume && message == "No URI available.":
		text = host + " does not continue the file where it broke off"
	case message == "No URI available." && seen.Reply != 0:
		text = fmt.Sprintf("aria2c gives up after the reply %d of the FTP server %s", seen.Reply, host)
	case code == codeSlow:
		text = fmt.Sprintf("%s sends more slowly than lowest-speed-limit", host)
	case code == download.CodeDiskFull, strings.Contains(message, "No space left on device"):
		text, host = "the disk of this worker is full", ""
	case strings.Contains(message, "SSL/TLS handshake failure"):
		_, why, _ := strings.Cut(message, "SSL/TLS handshake failure")
		why = strings.Join(strings.Fields(strings.NewReplacer("' `", ", ", "`", "", "'", "").Replace(why)), " ")
		text = fmt.Sprintf("the TLS handshake with %s failed%s", host, why)
	case code == download.CodeNotFound:
		text = host + " does not have the file; check the task's url"
	case isLocal(code):
		host = ""
	case !strings.Contains(message, host):
		text = message + " (" + host + ")"
	}
	failure := download.Failure(j.Task, code, text)
	failure.HTTPStatus, failure.Host = status, host
	if code == download.CodeHTTP {
		failure.Class = download.Failure(j.Task, code, fmt.Sprintf("status=%d", status)).Class
	}
	return failure
}

// swarmSentence completes what aria2c says of a torrent, magnet or metalink.
func (e *Engine) swarmSentence(j *job, code int, message string) string {
	if code != codeUnfinished || !strings.Contains(message, noReason) {
		return message
	}
	wait := e.cfg.BTStopTimeout.String()
	if e.cfg.BTStopTimeout%time.Minute == 0 {
		wait = fmt.Sprintf("%.0f minutes", e.cfg.BTStopTimeout.Minutes())
	}
	if j.maxBytes == 0 && e.cfg.DHTNode == "" && e.cfg.Attach == nil && j.isTrackerless() {
		return "no peers after " + wait + ": the task names no tracker, and bt_dht of this worker no node of the DHT"
	}
	if j.maxBytes == 0 {
		return "no peers after " + wait
	}
	return fmt.Sprintf("no byte from any peer for %s, after %d of %d bytes", wait, j.maxBytes, j.total)
}

// explainStatus completes what a server answered: how far the download came, or the
// way out.
func (j *job) explainStatus(status int, text string) string {
	if download.Refused(status) && j.maxBytes > 0 {
		return download.Expired(text, j.maxBytes, j.total)
	}
	return download.Advise(status, text)
}

// statusIn is the status that a failure is about, 0 if it is not about one.
func statusIn(code int, message string, seen *netguard.Traffic) int {
	switch code {
	case download.CodeHTTP:
		return cmp.Or(download.HTTPStatus(message), unexpectedStatus(message), seen.Status)
	case download.CodeAuth:
		return cmp.Or(seen.Status, http.StatusUnauthorized)
	case download.CodeNotFound, 4, 29:
		return seen.Status
	}
	return 0
}

// unexpectedStatus is the status of aria2c's "Unexpected status 203".
func unexpectedStatus(message string) (status int) {
	if _, err := fmt.Sscanf(message, "Unexpected status %d", &status); err != nil {
		return 0
	}
	return status
}

// noReason is said of an end without a message.
const noReason = "and no reason"

const (
	codeSlow       = 5
	codeUnfinished = 7
)

// isLocal reports whether a code is about this worker's disk, not about a server.
func isLocal(code int) bool {
	switch code {
	case download.CodeDiskFull, 10, 11, 12, 13, 14, 15, download.CodeCreate, download.CodeFileIO, 18,
		download.CodeOption, download.CodeChecksum:
		return true
	}
	return false
}

// isProxyError reports whether aria2c speaks of a connection that the proxy has not
// made.
func isProxyError(message string) bool { return strings.Contains(message, "Proxy connection failed") }

func hostIn(source string) string {
	if u, err := download.ParseURL(source); err == nil {
		return u.Hostname()
	}
	return ""
}

// refusedHost is the host that the proxy could not connect to, where it is known.
func refusedHost(err error) string {
	var refused *netguard.RefusedError
	var dns *net.DNSError
	switch {
	case errors.As(err, &refused):
		return refused.Host
	case errors.As(err, &dns):
		return dns.Name
	}
	return ""
}
