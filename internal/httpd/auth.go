package httpd

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Auth says who may do what. The zero value lets nobody in.
type Auth struct {
	UsersFile      string         // lines name:bcrypt:role; empty: no users
	TokensFile     string         // lines name:sha256-hex:role; empty: no tokens
	TrustedHeader  string         // in which a trusted proxy names the user; empty: none
	TrustedProxies []netip.Prefix // the networks of these proxies
	OpenRole       Role           // of everyone, while there are neither users nor tokens
}

// Limits of logins. A bcrypt comparison takes 50 ms and more of a core, so comparisons
// are few at once, and their successes are remembered for a while.
const (
	loginsAtOnce    = 2
	loginLife       = 5 * time.Minute
	maxLogins       = 1000
	maxFailures     = 10 // of an address within failureWindow; then 429 until it is over
	failureWindow   = time.Minute
	maxFailureHosts = 10_000
)

// authenticator finds out who sends a request. It is safe for concurrent use.
type authenticator struct {
	Auth
	users  map[string]user
	tokens map[[sha256.Size]byte]identity
	open   bool // neither users nor tokens exist
	unused []byte
	key    [32]byte
	slots  chan struct{}
	now    func() time.Time

	mu       sync.Mutex
	logins   map[[sha256.Size]byte]login
	failures map[string]failures
}

type login struct {
	identity
	until time.Time
}

type failures struct {
	count int
	since time.Time
}

// newAuthenticator reads the files; its errors begin with the key of the configuration.
func newAuthenticator(a Auth) (*authenticator, error) {
	s := &authenticator{
		Auth: a, open: a.UsersFile == "" && a.TokensFile == "" && a.TrustedHeader == "", slots: make(chan struct{}, loginsAtOnce),
		now: time.Now, logins: make(map[[sha256.Size]byte]login), failures: make(map[string]failures),
	}
	rand.Read(s.key[:]) // never fails
	var err error
	if a.UsersFile != "" {
		if s.users, err = readUsers(a.UsersFile); err != nil {
			return nil, &FileError{"http.users_file", err}
		}
	}
	if a.TokensFile != "" {
		if s.tokens, err = readTokens(a.TokensFile); err != nil {
			return nil, &FileError{"http.tokens_file", err}
		}
	}
	s.unused = costliest(s.users)
	return s, nil
}

// costliest returns the hash of a user that takes the longest to compare: with it a name
// that does not exist takes as long as a wrong password.
func costliest(users map[string]user) (hash []byte) {
	most := 0
	for _, u := range users {
		if cost, err := bcrypt.Cost(u.hash); err == nil && cost > most {
			most, hash = cost, u.hash
		}
	}
	return hash
}

// identify returns who sends the request, or the error to answer.
func (s *authenticator) identify(r *http.Request) (identity, *model.Error) {
	if s.TrustedHeader != "" {
		if names := r.Header.Values(s.TrustedHeader); len(names) > 0 {
			return s.trust(r, names)
		}
	}
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && len(s.tokens) > 0 {
		return s.bearer(r, token)
	}
	if name, password, ok := r.BasicAuth(); ok && len(s.users) > 0 {
		return s.basic(r, name, password)
	}
	if s.open {
		return identity{role: s.OpenRole}, nil
	}
	return identity{}, errLogin
}

// codeUnauthorized is a status that requests over NATS do not have.
const codeUnauthorized model.Code = http.StatusUnauthorized

var (
	errLogin    = model.Errorf(codeUnauthorized, "log in with a name and password, or send a token")
	errPassword = model.Errorf(codeUnauthorized, "the name or the password is wrong")
	errToken    = model.Errorf(codeUnauthorized, "the token is not known")
	errTooOften = model.Errorf(model.CodeTooMany, "too many failed logins from this address: try again in a minute")
)

// trust takes the name that a trusted proxy gives. A second name would be that of the
// client, which the proxy has passed on instead of replacing it.
func (s *authenticator) trust(r *http.Request, names []string) (identity, *model.Error) {
	if !s.isProxy(r.RemoteAddr) {
		return identity{}, model.Errorf(model.CodeInvalid, "the header %s is for the proxies of http.trusted_proxies", s.TrustedHeader)
	}
	if len(names) > 1 {
		return identity{}, model.Errorf(model.CodeInvalid, "the header %s is there %d times: the proxy must replace what a client sends", s.TrustedHeader, len(names))
	}
	u, known := s.users[names[0]]
	if !known {
		return identity{}, model.Errorf(model.CodeForbidden, "the user %.64q of the proxy is not in http.users_file", names[0])
	}
	return u.identity, nil
}

func (s *authenticator) isProxy(address string) bool { return within(s.TrustedProxies, address) }

// within reports whether HOST:PORT is in one of the networks.
func within(networks []netip.Prefix, address string) bool {
	ip, err := netip.ParseAddrPort(address)
	return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip.Addr().Unmap()) })
}

// ClientNetwork returns what the limits of one address count by: the address of who sends
// the request, of IPv6 its network of 64 bits, since a machine there has 2^64 addresses.
// Behind one of the proxies it is the address that the proxy names.
func ClientNetwork(r *http.Request, proxies []netip.Prefix) string {
	host := clientAddress(r, proxies)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// clientAddress returns the address of who sends the request: that of the connection, or,
// behind a trusted proxy, the last one that the proxy has added to X-Forwarded-For. What
// stands before it there comes from the client and is not believed.
func clientAddress(r *http.Request, proxies []netip.Prefix) string {
	if within(proxies, r.RemoteAddr) {
		lines := r.Header.Values("X-Forwarded-For")
		if len(lines) > 0 {
			hops := strings.Split(lines[len(lines)-1], ",")
			last := strings.TrimSpace(hops[len(hops)-1])
			if ip, err := netip.ParseAddr(last); err == nil {
				return ip.String()
			}
			if ip, err := netip.ParseAddrPort(last); err == nil { // some proxies add the port
				return ip.Addr().String()
			}
		}
	}
	return hostOf(r.RemoteAddr)
}

func (s *authenticator) bearer(r *http.Request, token string) (identity, *model.Error) {
	// A hash is compared, so the time tells nothing about the token.
	if id, known := s.tokens[sha256.Sum256([]byte(token))]; known {
		return id, nil
	}
	if !s.mayTry(r) {
		return identity{}, errTooOften
	}
	s.failed(r)
	return identity{}, errToken
}

func (s *authenticator) basic(r *http.Request, name, password string) (identity, *model.Error) {
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(name + "\x00" + password))
	key := [sha256.Size]byte(mac.Sum(nil))
	if id, known := s.remembered(key); known {
		return id, nil
	}
	if !s.mayTry(r) {
		return identity{}, errTooOften
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-r.Context().Done():
		return identity{}, errPassword
	}
	u, known := s.users[name]
	hash := u.hash
	if !known {
		hash = s.unused
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !known {
		s.failed(r)
		return identity{}, errPassword
	}
	s.remember(key, u.identity)
	return u.identity, nil
}

func (s *authenticator) remembered(key [sha256.Size]byte) (identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.logins[key]
	if known && s.now().After(l.until) {
		delete(s.logins, key)
		return identity{}, false
	}
	return l.identity, known
}

func (s *authenticator) remember(key [sha256.Size]byte, id identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.logins) >= maxLogins {
		clear(s.logins)
	}
	s.logins[key] = login{id, s.now().Add(loginLife)}
}

// mayTry reports whether the address has failed seldom enough for another try.
func (s *authenticator) mayTry(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.failures[ClientNetwork(r, s.TrustedProxies)]
	return f.count < maxFailures || s.now().Sub(f.since) > failureWindow
}

func (s *authenticator) failed(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, now := ClientNetwork(r, s.TrustedProxies), s.now()
	f, known := s.failures[host]
	if now.Sub(f.since) > failureWindow {
		f = failures{since: now}
	}
	if !known && len(s.failures) >= maxFailureHosts {
		clear(s.failures)
	}
	f.count++
	s.failures[host] = f
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
