package config

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strings"
)

// basePath matches what links, redirects and a proxy's rules can hold without escapes.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (h *HTTP) validate() error {
	var found Errors
	listen := checkAddress("http.listen", h.Listen, 0)
	found.add(listen)
	found.add(checkAddress("http.health_listen", h.HealthListen, 0))
	if b := h.BasePath; b != "" && (!basePath.MatchString(b) || path.Clean(b) != b) {
		found.add(badKey("http.base_path", "%.80q is not a path such as /aria, without a slash at its end", b))
	}
	if (h.Cert == "") != (h.Key == "") {
		found.add(unfit("http.cert", []string{"http.key"}, "http.cert and http.key are given together or not at all"))
	}
	if listen == nil { // else nobody knows who reaches it
		found.add(h.validateUsers())
	}
	return found.all()
}

// validateUsers refuses what would let anyone in who reaches the address, or would send
// passwords in the clear.
func (h *HTTP) validateUsers() error {
	if _, err := h.Proxies(); err != nil {
		return badKey("http.trusted_proxies", "%v", err)
	}
	switch {
	case h.TrustedHeader != "" && len(h.TrustedProxies) == 0:
		return unfit("http.trusted_header", []string{"http.trusted_proxies"}, "needs http.trusted_proxies: anyone could send the header")
	case h.TrustedHeader != "" && h.UsersFile == "":
		return unfit("http.trusted_header", []string{"http.users_file"}, "needs http.users_file, which has the roles of the users")
	case h.Listen == "" || isLoopback(h.Listen):
		return nil
	case h.UsersFile == "" && h.TokensFile == "":
		return unfit("http.listen", []string{"http.users_file"},
			"%s is reached from other machines, and there are no users: set http.users_file, or listen on 127.0.0.1 (http.health_listen serves health and metrics alone)", h.Listen)
	case h.Cert == "" && len(h.TrustedProxies) == 0:
		return unfit("http.listen", []string{"http.cert", "http.trusted_proxies"},
			"%s would take passwords from other machines without TLS: set http.cert and http.key, or http.trusted_proxies for a proxy that ends TLS", h.Listen)
	}
	return nil
}

// isLoopback reports whether only this machine reaches an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Proxies are the networks of the trusted proxies.
func (h *HTTP) Proxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range h.TrustedProxies {
		network, err := netip.ParsePrefix(text)
		if err != nil && !strings.Contains(text, "/") {
			var ip netip.Addr
			if ip, err = netip.ParseAddr(text); err == nil {
				network = netip.PrefixFrom(ip, ip.BitLen())
			}
		}
		if err != nil {
			return nil, err
		}
		list = append(list, network.Masked())
	}
	return list, nil
}
