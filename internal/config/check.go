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
	var found Errors
	found.add(checkPrefix(n.Prefix))
	if n.InboxPrefix != "" {
		found.add(checkTokens("nats.inbox_prefix", n.InboxPrefix))
	}
	if n.URL != "" {
		for one := range strings.SplitSeq(string(n.URL), ",") {
			found.add(CheckServer("nats.url", strings.TrimSpace(one)))
		}
	}
	if (n.Cert == "") != (n.Key == "") {
		found.add(unfit("nats.cert", []string{"nats.key"}, "nats.cert and nats.key are given together or not at all"))
	}
	if n.Creds != "" && n.NKey != "" {
		found.add(unfit("nats.nkey", []string{"nats.creds"}, "only one of nats.creds and nats.nkey may be given"))
	}
	return found.all()
}

// Embedded reports whether the dispatcher starts a NATS server of its own: no other
// is named.
func (n *DispatcherNATS) Embedded() bool { return n.URL == "" && n.Context == "" }

// validateEmbedded accepts only the settings of the embedded server. It asks for one
// user and password; it would accept any other credentials unchecked.
func (n *DispatcherNATS) validateEmbedded() error {
	var found Errors
	for _, k := range []struct{ key, value string }{
		{"nats.creds", n.Creds}, {"nats.nkey", n.NKey}, {"nats.cert", n.Cert}, {"nats.ca", n.CA},
	} {
		if k.value != "" {
			found.add(unfit(k.key, []string{"nats.url", "nats.context"}, "goes with nats.url or nats.context; without one the dispatcher starts a NATS server of its own, which knows nats.user and nats.password only"))
		}
	}
	switch {
	case n.User != "" && n.Password == "":
		found.add(unfit("nats.password", []string{"nats.user"}, "is empty, but nats.user is not, and no nats.url is given: the dispatcher's own NATS server would let in that name without a password"))
	case n.User == "" && n.Password != "":
		found.add(unfit("nats.user", []string{"nats.password"}, "is empty, but nats.password is not, and no nats.url is given: the dispatcher's own NATS server needs both"))
	}
	if n.Replicas > 1 {
		found.add(unfit("nats.replicas", []string{"nats.url", "nats.context"}, "%d needs a NATS cluster, named by nats.url or nats.context; the dispatcher's own NATS server is one alone", n.Replicas))
	}
	return found.all()
}

// checkPrefix wants what a subject, a stream's name and a permission can hold as it
// is.
func checkPrefix(prefix string) error {
	if strings.HasPrefix(prefix, "_") {
		return badKey("nats.prefix", "%.80q begins with _, as inboxes do", prefix)
	}
	return checkTokens("nats.prefix", prefix)
}

// checkTokens wants tokens with dots between them, at most maxPrefix bytes in all.
// Of an inbox prefix nats.go takes no other: it would panic or fail late.
func checkTokens(key, text string) error {
	if len(text) > maxPrefix {
		return badKey(key, "%.80q has more than %d bytes", text, maxPrefix)
	}
	for token := range strings.SplitSeq(text, ".") {
		if !model.ValidName(token) {
			return badKey(key, "%.80q must be tokens of A-Z a-z 0-9 _ - with dots between them", text)
		}
	}
	return nil
}

// CheckServer refuses what no NATS server can have as its URL, with an [*Error] about the
// key. It never repeats the URL: it may hold a password.
func CheckServer(key, raw string) error {
	full := raw
	if !strings.Contains(full, "://") {
		full = "nats://" + full // as the NATS clients read it
	}
	u, err := url.Parse(full)
	if err != nil {
		return badKey(key, "is not a URL such as nats://127.0.0.1:4222; in a password / : and @ are written %%2F %%3A and %%40")
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return badKey(key, "the scheme %.40q is not supported; use nats, tls, ws or wss", u.Scheme)
	}
	if u.Hostname() == "" {
		return badKey(key, "has no host")
	}
	if u.Port() != "" && !isPort(u.Port()) {
		return badKey(key, "the port is not from 1 to 65535")
	}
	return nil
}

// isPort reports whether a text is a port from 1 to 65535.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// checkAria2URL wants what aria2.url can be. It never repeats it: it may hold a
// password.
func checkAria2URL(raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return badKey("aria2.url", "is not a URL such as http://127.0.0.1:6800/jsonrpc")
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
		return nil
	}
	return badKey("aria2.url", "the scheme %.40q is not supported; use http, https, ws or wss", u.Scheme)
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
