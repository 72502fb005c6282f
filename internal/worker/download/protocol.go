package download

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ProtocolError is the error of a redirect to another protocol than HTTP.
type ProtocolError struct {
	Host  string // that redirects
	to    *url.URL
	fault error // why aria2 may not follow it either; nil if it may
}

// Error names the host, and the remedy if there is one.
func (e *ProtocolError) Error() string {
	if e.fault != nil {
		return fmt.Sprintf("%s redirects to %.20s, which is refused: %v", e.Host, e.to.Scheme, e.fault)
	}
	return fmt.Sprintf("%s redirects to %s, %s", e.Host, e.to.Scheme, aria2Needed)
}

// ForAria2 returns the URL of the redirect; "" if aria2 may not follow it either.
func (e *ProtocolError) ForAria2() string {
	if e.fault != nil {
		return ""
	}
	return e.to.String()
}

// aria2Needed is a part of the message of a redirect that only aria2 follows.
const aria2Needed = "which needs a worker with aria2"

// NeedsAria2 reports whether a message is that of a redirect which only aria2 follows.
func NeedsAria2(message string) bool { return strings.Contains(message, aria2Needed) }

// checkProtocol refuses a redirect of a host to another protocol than HTTP. aria2 may follow one to
// FTP or SFTP if a task could have that URL: a path with an encoded line break would be a
// command of its own.
func checkProtocol(to *url.URL, host string) error {
	if to.Scheme == "http" || to.Scheme == "https" {
		return nil
	}
	refused := &ProtocolError{Host: host, to: to}
	if to.Scheme != "ftp" && to.Scheme != "sftp" {
		refused.fault = errors.New("no worker supports this protocol")
	} else if err := (&model.TaskSpec{URL: to.String()}).Validate(); err != nil {
		refused.fault = err
	}
	return refused
}
