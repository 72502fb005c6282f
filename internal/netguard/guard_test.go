package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard/guardtest"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

func networks(t *testing.T, list ...string) Networks {
	t.Helper()
	n, err := ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Only public addresses and allowed ones are connected to.
func TestNetworks_AllowPublicAndListedAddressesOnly(t *testing.T) {
	none := networks(t)
	words := networks(t, "loopback", "private")
	for _, c := range []struct {
		addr    string
		refused bool // where nothing is allowed
		words   bool // refused too where loopback and private are allowed
	}{
		{"93.184.216.34", false, false},
		{"2606:2800:220:1::1", false, false},
		{"::ffff:93.184.216.34", false, false},
		{"64:ff9b::5db8:d822", false, false},
		{"9.255.255.255", false, false}, {"11.0.0.0", false, false},
		{"172.15.255.255", false, false}, {"172.32.0.0", false, false},
		{"192.167.255.255", false, false}, {"192.169.0.0", false, false},
		{"100.63.255.255", false, false}, {"100.128.0.0", false, false},
		{"223.255.255.255", false, false},

		{"127.0.0.1", true, false}, {"127.255.255.254", true, false}, {"::1", true, false},
		{"0.0.0.0", true, false}, {"::", true, false}, {"0.1.2.3", true, true},
		{"10.0.0.1", true, false}, {"10.255.255.255", true, false},
		{"172.16.0.1", true, false}, {"172.31.255.255", true, false}, {"192.168.1.1", true, false},
		{"fc00::1", true, false}, {"fdff::1", true, false}, {"fec0::1", true, true},
		{"169.254.1.1", true, true}, {"fe80::1", true, true}, {"fe80::1%eth0", true, true},
		{"100.64.0.1", true, true}, {"100.127.255.255", true, true},
		{"224.0.0.1", true, true}, {"239.255.255.255", true, true}, {"ff02::1", true, true},
		{"240.0.0.1", true, true}, {"255.255.255.255", true, true},
		{"192.0.2.1", true, true}, {"198.18.0.1", true, true}, {"198.51.100.1", true, true}, {"203.0.113.1", true, true},
		{"2001:db8::1", true, true}, {"100::1", true, true},

		{"169.254.169.254", true, true}, {"fd00:ec2::254", true, true}, {"100.100.100.200", true, true},
		{"168.63.129.16", true, true}, {"169.254.170.2", true, true}, {"192.0.0.192", true, true},

		{"::ffff:127.0.0.1", true, false}, {"::ffff:10.0.0.1", true, false}, {"::ffff:169.254.169.254", true, true},
		{"64:ff9b::7f00:1", true, false}, {"64:ff9b::a00:1", true, false}, {"64:ff9b::a9fe:a9fe", true, true},
		{"64:ff9b:1::7f00:1", true, true}, {"::7f00:1", true, true}, // NAT64 of a local network, IPv4-compatible
		{"2002:7f00:1::", true, true}, {"2001:0:1::1", true, true}, // 6to4, Teredo
	} {
		addr := netip.MustParseAddr(c.addr)
		if what := none.refusal(addr); (what != "") != c.refused {
			t.Errorf("%s, nothing allowed: %q", c.addr, what)
		}
		if what := words.refusal(addr); (what != "") != c.words {
			t.Errorf("%s, loopback and private allowed: %q", c.addr, what)
		}
	}
}

// A network is allowed by its prefix, a metadata address only by its own entry.
func TestNetworks_MetadataNeedsItsOwnAddress(t *testing.T) {
	for _, c := range []struct {
		allow, addr string
		ok          bool
	}{
		{"10.1.0.0/16", "10.1.2.3", true}, {"10.1.0.0/16", "10.2.0.1", false}, {"10.1.0.0/16", "::ffff:10.1.2.3", true},
		{"10.1.0.0/16", "64:ff9b::a01:203", true},
		{"10.1.2.3", "10.1.2.3", true}, {"10.1.2.3", "10.1.2.4", false},
		{"fd00::/8", "fd12::1", true}, {"fd00::/8", "fd00:ec2::254", false}, {"fd00:ec2::254", "fd00:ec2::254", true},
		{"169.254.0.0/16", "169.254.1.1", true}, {"169.254.0.0/16", "169.254.169.254", false},
		{"169.254.169.254", "169.254.169.254", true}, {"0.0.0.0/0", "169.254.169.254", false}, {"0.0.0.0/0", "127.0.0.1", true},
		{"fe80::/10", "fe80::1%eth0", true},
	} {
		if what := networks(t, c.allow).refusal(netip.MustParseAddr(c.addr)); (what == "") != c.ok {
			t.Errorf("%s allowed, %s: %q", c.allow, c.addr, what)
		}
	}
}

// The error names an entry that is not a network.
func TestParseNetworks_InvalidEntryIsNamed(t *testing.T) {
	for _, bad := range []string{"", "localhost", "10.0.0.1/8", "10.0.0.0/33", "fe80::1%eth0", "::ffff:10.0.0.0/104", "Loopback", " private"} {
		if _, err := ParseNetworks([]string{"loopback", bad}); err == nil || bad != "" && !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// listen returns the port of a listener on an address of loopback, and a count of
// its connections.
func listen(t *testing.T, addr string) (port string, count *atomic.Int64) {
	t.Helper()
	count = new(atomic.Int64)
	_, port, err := net.SplitHostPort(testbed.Listen(t, addr, func(net.Conn) { count.Add(1) }))
	if err != nil {
		t.Fatal(err)
	}
	return port, count
}

// A refused host is not reached, and the error names it.
func TestDialer_RefusedHostIsNamed(t *testing.T) {
	port, count := listen(t, "127.0.0.1:0")
	addrs := map[string][]netip.Addr{
		"inner.example": {netip.MustParseAddr("127.0.0.1")},
	}
	g := New(networks(t), guardtest.Names(t, func(name string) []netip.Addr { return addrs[name] }))
	for host, want := range map[string]string{
		"127.0.0.1":        "127.0.0.1 is refused: it is a loopback address, which the worker's allow_networks does not allow",
		"::1":              "::1 is refused: it is a loopback address, which the worker's allow_networks does not allow",
		"::ffff:127.0.0.1": "::ffff:127.0.0.1 is refused: its address 127.0.0.1 is a loopback address, which the worker's allow_networks does not allow",
		"inner.example":    "inner.example is refused: its address 127.0.0.1 is a loopback address, which the worker's allow_networks does not allow",
	} {
		c, err := g.Dialer(time.Second)(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err == nil {
			c.Close()
		}
		var refused *RefusedError
		if !errors.As(err, &refused) || err.Error() != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := count.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	if n := g.Refusals(); n != 4 {
		t.Errorf("%d of 4 refusals are counted", n)
	}
}

// Unusual spellings of a loopback address do not reach it.
func TestDialer_LoopbackSpellingsAreRefused(t *testing.T) {
	port, count := listen(t, "127.0.0.1:0")
	g := New(networks(t), nil) // the system's resolver, which may know them
	for _, host := range []string{"0x7f000001", "127.1", "2130706433", "0177.0.0.1", "127.0.0.1.", "localhost", "LOCALHOST.", "[::1]", "0", "::ffff:7f00:1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if c, err := g.Dialer(time.Second)(ctx, "tcp", net.JoinHostPort(host, port)); err == nil {
			c.Close()
			t.Errorf("%s is connected to", host)
		}
		cancel()
	}
	if n := count.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// DNS rebinding: 127.0.0.2 is the public address of the attacker, 127.0.0.1 the refused
// address to which the name changes.
func TestDialer_ReboundNameIsCheckedAgain(t *testing.T) {
	port, inner := listen(t, "127.0.0.1:0")
	outerListener, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer outerListener.Close()
	var asked atomic.Int64
	g := New(networks(t, "127.0.0.2"), guardtest.Names(t, func(string) []netip.Addr {
		if asked.Add(1) <= 2 { // for IPv4 and IPv6
			return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	}))
	dial := g.Dialer(time.Second)
	c, err := dial(t.Context(), "tcp", "rebind.example:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for range 5 {
		c, err := dial(t.Context(), "tcp", "rebind.example:"+port)
		if err == nil {
			c.Close()
		}
		if !errors.As(err, new(*RefusedError)) {
			t.Fatalf("the second answer is not refused: %v", err)
		}
	}
	if n := inner.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// A host with one allowed address is reached at that address.
func TestDialer_UsesTheAllowedAddressOfAHost(t *testing.T) {
	port, _ := listen(t, "127.0.0.2:0")
	g := New(networks(t, "127.0.0.2"), guardtest.Names(t, func(name string) []netip.Addr {
		switch name {
		case "mixed.example":
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
		case "down.example": // nothing listens on the one that is allowed
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")}
		}
		return nil
	}))
	dial := g.Dialer(time.Second)
	c, err := dial(t.Context(), "tcp", "mixed.example:"+port)
	if err != nil || c.RemoteAddr().String() != "127.0.0.2:"+port {
		t.Fatalf("%v, %v", c, err)
	}
	c.Close()
	// A passing fault is not made permanent by a refused address beside it.
	if _, err := dial(t.Context(), "tcp", "down.example:1"); err == nil || errors.As(err, new(*RefusedError)) {
		t.Errorf("%v", err)
	}
	var dns *net.DNSError
	if _, err := dial(t.Context(), "tcp", "nobody.example:1"); !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("%v", err)
	}
}
