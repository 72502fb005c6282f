package netguard

import (
	"fmt"
	"net/netip"
	"strings"
)

// Networks is the set of addresses that may be connected to: every public address, and
// the other ones that were allowed. The zero value allows public addresses only.
type Networks struct {
	allowed []netip.Prefix
}

// namedNetworks maps the names that a list of networks may use to their networks.
var namedNetworks = map[string][]netip.Prefix{
	// Connections to the unspecified addresses reach this machine too.
	"loopback": prefixes("127.0.0.0/8", "::1/128", "0.0.0.0/32", "::/128"),
	"private":  prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}

// special lists the addresses that are not public, from the registries of IANA. The
// first entry that contains an address names its kind.
var special = []struct {
	what   string
	ranges []netip.Prefix
}{
	{"a loopback address", prefixes("127.0.0.0/8", "::1/128")},
	{"an unspecified address", prefixes("0.0.0.0/8", "::/128")},
	{"a private address", prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")},
	{"a link-local address", prefixes("169.254.0.0/16", "fe80::/10")},
	{"an address of carrier-grade NAT", prefixes("100.64.0.0/10")},
	{"a multicast address", prefixes("224.0.0.0/4", "ff00::/8")},
	{"a reserved address", prefixes(
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
	)},
}

// metadata holds the addresses at which clouds give a machine its credentials. A
// network that contains one of them does not allow it. Only an entry with exactly this
// address does.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // most clouds
	netip.MustParseAddr("169.254.170.2"):   true, // AWS, of containers
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle
	netip.MustParseAddr("168.63.129.16"):   true, // Azure
}

// nat64 is the prefix of addresses that NAT64 translates to the IPv4 address in their
// last 32 bits.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// ParseNetworks reads a list of networks ("10.0.0.0/8"), addresses and the words
// "loopback" and "private". The error names an entry that is something else.
func ParseNetworks(list []string) (Networks, error) {
	var n Networks
	for _, s := range list {
		if ranges, ok := namedNetworks[s]; ok {
			n.allowed = append(n.allowed, ranges...)
			continue
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			addr, addrErr := netip.ParseAddr(s)
			if addrErr != nil || addr.Zone() != "" {
				return Networks{}, fmt.Errorf("%.64q is neither loopback, private, a network such as 10.0.0.0/8 nor an address", s)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Addr().Is4In6() {
			return Networks{}, fmt.Errorf("%.64q: an IPv4 network is written without ::ffff: before it", s)
		}
		if prefix != prefix.Masked() {
			return Networks{}, fmt.Errorf("%.64q is an address inside the network %v: write one of them", s, prefix.Masked())
		}
		n.allowed = append(n.allowed, prefix)
	}
	return n, nil
}

// refusal returns the kind of an address that may not be connected to, "" for one that
// may. An IPv4 address inside an IPv6 one (mapped, NAT64) counts as the IPv4 address.
func (n Networks) refusal(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if metadata[addr] {
		if n.allows(addr, addr.BitLen()) {
			return ""
		}
		return "an address of cloud metadata"
	}
	if n.allows(addr, 0) {
		return ""
	}
	for _, s := range special {
		for _, p := range s.ranges {
			if p.Contains(addr) {
				return s.what
			}
		}
	}
	return ""
}

// allows reports whether an entry with at least bits bits contains the address.
func (n Networks) allows(addr netip.Addr, bits int) bool {
	for _, p := range n.allowed {
		if p.Bits() >= bits && p.Contains(addr) {
			return true
		}
	}
	return false
}

// RefusedError is the error for a host without an allowed address. A retry does not
// help.
type RefusedError struct {
	Host string     // as requested
	Addr netip.Addr // one of its addresses
	What string     // "a loopback address"
}

// Error is one sentence that names the host and the setting that would allow it.
func (e *RefusedError) Error() string {
	if strings.Trim(e.Host, "[]") == e.Addr.String() {
		return fmt.Sprintf("%s is refused: it is %s, which the worker's allow_networks does not allow", e.Host, e.What)
	}
	return fmt.Sprintf("%s is refused: its address %v is %s, which the worker's allow_networks does not allow", e.Host, e.Addr, e.What)
}
