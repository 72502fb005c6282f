package main

import (
	"errors"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// site is the file site.conf: what is in it stays as it is, and lines are added.
type site struct {
	path   string
	names  []string // of the values, in their order
	values map[string]string
	new    bool
	added  string // lines that the file is to get
}

// siteLine is a setting of one line.
var siteLine = regexp.MustCompile(`(?m)^[ \t]*([A-Za-z0-9_-]+)[ \t]*[:=]?[ \t]*"?([^"#\n]*?)"?[ \t]*(?:#.*)?$`)

func readSite(path string) (*site, error) {
	s := &site{path: path, values: make(map[string]string)}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		s.new = true
		s.added = "# Made by deploy/nats/keys, which adds lines and changes none.\n"
		return s, nil
	} else if err != nil {
		return nil, err
	}
	text := string(b)
	if text != "" && !strings.HasSuffix(text, "\n") {
		s.added = "\n"
	}
	for _, m := range siteLine.FindAllStringSubmatch(text, -1) {
		s.names = append(s.names, m[1])
		s.values[m[1]] = m[2]
	}
	return s, nil
}

// add adds a line; an address or a path is quoted.
func (s *site) add(name, value string) {
	s.names = append(s.names, name)
	s.values[name] = value
	if strings.ContainsAny(value, ":/ ") {
		value = strconv.Quote(value)
	}
	s.added += name + ": " + value + "\n"
}

// users lists those who have a key.
func (s *site) users() []string {
	var users []string
	for _, name := range s.names {
		if user, ok := strings.CutPrefix(name, "NKEY_"); ok {
			users = append(users, user)
		}
	}
	return users
}

// write appends what was added, so that the file keeps its owner and its mode.
// Public keys and paths are no secrets.
func (s *site) write() error {
	if s.added == "" {
		return nil
	}
	file, err := os.OpenFile(s.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(s.added)
	if err == nil && s.new {
		err = file.Chmod(0o644) // whatever the umask is: the server reads it as another user
	}
	return errors.Join(err, file.Sync(), file.Close())
}

// settings adds what site.conf lacks, and reports flags that say otherwise.
func (m *maker) settings(s *site) {
	store := m.store
	if store == "" {
		store = m.path("jetstream")
	}
	for _, v := range []struct{ name, value, flag string }{
		{"SITE_NAME", "nats-1", ""},
		{"SITE_LISTEN", m.listen, "listen"},
		{"SITE_MONITOR", m.monitor, "monitor"},
		{"SITE_STORE", store, "store"},
		{"SITE_TLS_CERT", m.path("server.pem"), ""},
		{"SITE_TLS_KEY", m.path("server-key.pem"), ""},
		{"SITE_TLS_CA", m.path("ca.pem"), ""},
	} {
		kept, known := s.values[v.name]
		if !known {
			s.add(v.name, v.value)
		} else if m.given[v.flag] && kept != v.value {
			m.warn("site.conf has %s %s, which was kept: -%s %s has no effect; change it there", v.name, kept, v.flag, v.value)
		}
	}
	if strings.HasPrefix(s.values["SITE_STORE"], "/etc/") {
		m.warn("the streams are under /etc (SITE_STORE): -store /var/lib/nats/jetstream, or that line, gives them a folder of their own")
	}
}

// server makes the server's certificate; one that exists is kept.
func (m *maker) server() error {
	hosts := strings.Split(m.hosts, ",")
	cert, err := m.certificate("server", hosts)
	if err != nil || !m.given["hosts"] {
		return err
	}
	have := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		have = append(have, ip.String())
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			host = ip.String()
		}
		if !slices.Contains(have, host) {
			m.warn("%s is for %s, and was kept: -hosts %s has no effect; remove %s to make another",
				m.path("server.pem"), strings.Join(have, ","), m.hosts, m.path("server.pem"))
			return nil
		}
	}
	return nil
}
