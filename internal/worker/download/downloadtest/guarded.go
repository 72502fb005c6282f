package downloadtest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/netguard/guardtest"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The servers of the guard's tests: outer is an allowed address, inner a refused one.
const (
	outer = "127.0.0.2"
	inner = "127.0.0.1"
)

// ServeAt is like [Serve] on another address of this machine. Requests counts every
// connection, also one without a request.
func ServeAt(t *testing.T, ip string, h http.Handler) *Server {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Ended: make(chan string, 1000)}
	s.Server = httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.Requests.Add(1)
		}
	}
	s.Start()
	s.closeWith(t)
	return s
}

// RunGuarded shows that an engine never connects to an address that its guard refuses.
// newEngine returns an engine with that guard; it is closed with the test.
func RunGuarded(t *testing.T, newEngine func(t *testing.T, g *netguard.Guard) download.Engine) {
	secret := ServeAt(t, inner, Content(Data(1000)))
	t.Cleanup(func() {
		if n := secret.Requests.Load(); n != 0 {
			t.Errorf("the refused server had %d connections", n)
		}
	})
	_, port, err := net.SplitHostPort(secret.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	strict := newEngine(t, Allowing(t))
	some := newEngine(t, Allowing(t, outer))

	refusedAddresses(t, strict, port)
	for name, target := range map[string]string{
		"loopback":         "http://127.0.0.1:" + port + "/file",
		"a private net":    "http://192.168.0.1:" + port + "/file",
		"cloud metadata":   "http://169.254.169.254/latest/meta-data/",
		"metadata in IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
	} {
		t.Run("a redirect to "+name+" is refused permanently", func(t *testing.T) {
			t.Parallel()
			from := ServeAt(t, outer, http.RedirectHandler(target, http.StatusFound))
			mustRefuse(t, some, slug("redirect "+name), from.URL+"/file")
			if from.Requests.Load() == 0 {
				t.Error("the first server was not asked at all")
			}
		})
	}
	t.Run("a name that resolves to another address later is refused", func(t *testing.T) {
		t.Parallel()
		rebinding(t, port, newEngine)
	})
	t.Run("a refused source is replaced by a mirror", func(t *testing.T) {
		t.Parallel()
		data := Data(50_000)
		good := ServeAt(t, outer, Content(data))
		job := Job(t, "refused-mirror", "http://127.0.0.1:"+port+"/file")
		job.Task.Mirrors = []string{good.URL + "/file"}
		Add(t, some, job)
		MustComplete(t, some, job, data)
	})
	t.Run("an allowed source completes", func(t *testing.T) {
		t.Parallel()
		data := Data(50_000)
		good := ServeAt(t, outer, Content(data))
		job := Job(t, "allowed", good.URL+"/file")
		Add(t, some, job)
		MustComplete(t, some, job, data)
	})
}

// refusedAddresses gives the engine URLs of refused addresses in every spelling.
func refusedAddresses(t *testing.T, strict download.Engine, port string) {
	t.Helper()
	for name, url := range map[string]string{
		"an address":               "http://127.0.0.1:" + port,
		"a name":                   "http://localhost:" + port,
		"an IPv4 address in IPv6":  "http://[::ffff:127.0.0.1]:" + port,
		"the same in hex":          "http://[::ffff:7f00:1]:" + port,
		"NAT64":                    "http://[64:ff9b::7f00:1]:" + port,
		"an unspecified address":   "http://0.0.0.0:" + port,
		"another loopback address": "http://127.8.9.10:" + port,
		"a private address":        "http://10.0.0.1:" + port,
		"cloud metadata":           "http://169.254.169.254",
		"cloud metadata in IPv6":   "http://[fd00:ec2::254]",
		"a user and password":      "http://me:pa55word@127.0.0.1:" + port,
	} {
		t.Run(name+" is refused permanently", func(t *testing.T) {
			t.Parallel()
			mustRefuse(t, strict, slug("refused "+name), url+"/file")
		})
	}
	for name, host := range map[string]string{"hex": "0x7f000001", "a number": "2130706433", "octal": "0177.0.0.1", "short": "127.1", "a final dot": "127.0.0.1."} {
		t.Run("loopback spelt as "+name+" is not reached", func(t *testing.T) {
			t.Parallel()
			id := slug("spelt " + name)
			Add(t, strict, Job(t, id, "http://"+host+":"+port+"/file", "max-tries", "1"))
			MustFail(t, strict, id)
		})
	}
}

func slug(s string) string { return strings.ReplaceAll(s, " ", "-") }

// mustRefuse expects a permanent failure with a reason that names the setting.
func mustRefuse(t *testing.T, e download.Engine, id, url string) {
	t.Helper()
	Add(t, e, Job(t, id, url))
	err := MustFail(t, e, id)
	if err.Class != model.ClassPermanent || err.Code != download.CodeOption ||
		!strings.Contains(err.Message, " is refused: it") || !strings.Contains(err.Message, "the worker's allow_networks") {
		t.Errorf("%s: %+v", url, err)
	}
	if strings.Contains(err.Message, "pa55word") {
		t.Errorf("the message contains the password: %s", err.Message)
	}
}

// rebinding uses a name that resolves to the outer server first and to the inner one
// from then on.
func rebinding(t *testing.T, port string, newEngine func(t *testing.T, g *netguard.Guard) download.Engine) {
	t.Helper()
	var moved atomic.Bool
	names := guardtest.Names(t, func(string) []netip.Addr {
		if moved.Load() {
			return []netip.Addr{netip.MustParseAddr(inner)}
		}
		return []netip.Addr{netip.MustParseAddr(outer)}
	})
	from := ServeAt(t, outer, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		moved.Store(true)
		http.Redirect(w, r, "http://rebind.example:"+port+"/file", http.StatusFound)
	}))
	_, outerPort, err := net.SplitHostPort(from.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := netguard.ParseNetworks([]string{outer})
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, netguard.New(n, names))
	Add(t, e, Job(t, "rebinding", "http://rebind.example:"+outerPort+"/file", "max-tries", "1"))
	failed := MustFail(t, e, "rebinding")
	if failed.Class != model.ClassPermanent || !strings.Contains(failed.Message, "rebind.example is refused: its address 127.0.0.1") {
		t.Errorf("%+v", failed)
	}
}
