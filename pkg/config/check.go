package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxPrefix bounds nats.prefix in bytes, as bus.NewSubjects does.
const maxPrefix = 64

func (n *NATS) validate() error {
	if err := checkPrefix(n.Prefix); err != nil {
		return err
	}
	if err := checkInboxPrefix(n.InboxPrefix); err != nil {
		return err
	}
	if n.URL != "" {
		for one := range strings.SplitSeq(string(n.URL), ",") {
			if err := checkServer(strings.TrimSpace(one)); err != nil {
				return err
			}
		}
	}
	if (n.Cert == "") != (n.Key == "") {
		return badKey("nats.cert", "nats.cert and nats.key are given together or not at all")
	}
	if n.Creds != "" && n.NKey != "" {
		return badKey("nats.nkey", "only one of nats.creds and nats.nkey may be given")
	}
	return nil
}

// checkPrefix wants tokens that a subject, a stream's name and a permission can
// hold as they are.
func checkPrefix(prefix string) error {
	if len(prefix) > maxPrefix || strings.HasPrefix(prefix, "_") {
		return badKey("nats.prefix", "%.80q has more than %d bytes or begins with _, as inboxes do", prefix, maxPrefix)
	}
	for token := range strings.SplitSeq(prefix, ".") {
		if !model.ValidName(token) {
			return badKey("nats.prefix", "%.80q must be tokens of A-Z a-z 0-9 _ - with dots between them", prefix)
		}
	}
	return nil
}

// checkInboxPrefix wants what nats.go takes: it would panic or fail late.
func checkInboxPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if len(prefix) > maxPrefix {
		return badKey("nats.inbox_prefix", "%.80q has more than %d bytes", prefix, maxPrefix)
	}
	for token := range strings.SplitSeq(prefix, ".") {
		if !model.ValidName(token) {
			return badKey("nats.inbox_prefix", "%.80q must be tokens of A-Z a-z 0-9 _ - with dots between them", prefix)
		}
	}
	return nil
}

// checkServer never repeats the URL as it was given: it may hold a password.
func checkServer(raw string) error {
	full := raw
	if !strings.Contains(full, "://") {
		full = "nats://" + full // as the NATS clients read it
	}
	u, err := url.Parse(full)
	if err != nil {
		return badKey("nats.url", "is not a URL such as nats://127.0.0.1:4222")
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return badKey("nats.url", "the scheme %.40q is none of nats, tls, ws, wss", u.Scheme)
	}
	if u.Hostname() == "" {
		return badKey("nats.url", "has no host")
	}
	return nil
}

// checkAddress wants HOST:PORT; anyPort is the number that takes a free one,
// which the two servers write differently. An empty address means no listener.
func checkAddress(path, address string, anyPort int) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return badKey(path, "%.80q is not HOST:PORT", address)
	}
	if n, err := strconv.Atoi(port); err != nil || (n < 1 || n > 65535) && n != anyPort {
		return badKey(path, "%.40q is neither a port from 1 to 65535 nor %d for a free one", port, anyPort)
	}
	return nil
}
