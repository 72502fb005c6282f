package aria2

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The engine connects to no address that the guard refuses.
func TestEngine_RefusedAddressesAreNotReached(t *testing.T) {
	t.Parallel()
	needAria2c(t)
	downloadtest.RunGuarded(t, func(t *testing.T, g *netguard.Guard) download.Engine {
		t.Helper()
		return guardedBy(t, g)
	})
}

// guardedBy makes an engine with everything open but the guard.
func guardedBy(t *testing.T, g *netguard.Guard) *Engine {
	t.Helper()
	return startEngine(t, Config{AllowBT: true, Guard: g})
}

// The connections of every protocol go through the guard.
func TestEngine_EveryProtocolUsesTheGuard(t *testing.T) {
	t.Parallel()
	e := guardedBy(t, downloadtest.Allowing(t, "127.0.0.2"))
	var reached atomic.Int64
	host := testbed.Listen(t, "127.0.0.1:0", func(net.Conn) { reached.Add(1) })
	metalink := `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="f"><url>http://` + host + `/f</url></file></metalink>`
	for id, spec := range map[string]model.TaskSpec{
		"ftp":      {URL: "ftp://" + host + "/file"},
		"sftp":     {URL: "sftp://me:pa55word@" + host + "/file"},
		"http":     {URL: "http://" + host + "/file"},
		"https":    {URL: "https://" + host + "/file"},
		"metalink": {Metalink: []byte(metalink)},
	} {
		job := downloadtest.Job(t, id, "")
		spec.ID = id
		job.Task.TaskSpec = spec
		downloadtest.Add(t, e, job)
		failed := downloadtest.MustFail(t, e, id)
		if failed.Class != model.ClassPermanent || !strings.Contains(failed.Message, "127.0.0.1 is refused") {
			t.Errorf("%s: %+v", id, failed)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached what nobody may", n)
	}
}

// An FTP server whose answer to PASV names another host cannot move the data connection
// there.
func TestEngine_FTPDataConnectionStays(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	inner := netip.MustParseAddrPort(testbed.Listen(t, "127.0.0.1:0", func(net.Conn) { reached.Add(1) }))
	port := inner.Port()
	asked := make(chan struct{}, 100)
	url := lyingFTP(t, fmt.Sprintf("227 there (127,0,0,1,%d,%d)", port>>8, port&255), asked)
	e := guardedBy(t, downloadtest.Allowing(t, "127.0.0.2"))
	downloadtest.Add(t, e, downloadtest.Job(t, "lying", url+"/file", "max-tries", "2"))
	downloadtest.MustFail(t, e, "lying")
	if len(asked) == 0 {
		t.Error("aria2c did not ask for a data connection")
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached what nobody may", n)
	}
}

// lyingFTP is an FTP server on 127.0.0.2 that answers PASV as told.
func lyingFTP(t *testing.T, pasv string, asked chan<- struct{}) string {
	t.Helper()
	answers := map[string]string{
		"USER": "331 and the password?", "PASS": "230 welcome", "TYPE": "200 yes", "PWD": `257 "/"`, "CWD": "250 there",
		"SIZE": "213 1000", "MDTM": "213 20200101000000", "PASV": pasv, "REST": "350 from there", "RETR": "150 it comes",
	}
	return "ftp://" + testbed.Listen(t, "127.0.0.2:0", func(c net.Conn) {
		_, _ = io.WriteString(c, "220 ready\r\n") // a client that is gone shows at the next read
		for lines := bufio.NewScanner(c); lines.Scan(); {
			verb, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), " ")
			answer := answers[strings.ToUpper(verb)]
			if answer == "" {
				answer = "500 no"
			}
			if answer == pasv {
				asked <- struct{}{}
			}
			_, _ = io.WriteString(c, answer+"\r\n")
		}
	})
}

// No file and no command line contains the proxy's password.
func TestEngine_ProxyPasswordIsNotStored(t *testing.T) {
	t.Parallel()
	e := guardedBy(t, downloadtest.Allowing(t, "loopback"))
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	job := downloadtest.Job(t, "plain", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, downloadtest.Data(1000))
	conf := configuration(&e.cfg, e.proxy.URL(), "dht", 1, "secret")
	if !strings.Contains(conf, "\nall-proxy=http://127.0.0.1:") || !strings.Contains(conf, "\nproxy-method=tunnel\n") || strings.Contains(conf, "@") {
		t.Errorf("aria2.conf:\n%s", conf)
	}
	if line := strings.Join(e.current().process.cmd.Args, " "); strings.Contains(line, "proxy") {
		t.Errorf("the proxy is in %q", line)
	}
}

// All downloads together keep to the bandwidth.
func TestEngine_BandwidthIsShared(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Bandwidth: downloadtest.Bandwidth})
	downloadtest.RunBandwidth(t, e)
}

// A connection without data is closed after the worker's stall timeout.
func TestEngine_StallTimeoutOfTheWorkerApplies(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Slots: 1, StallTimeout: 2 * time.Second})
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		if r.Method != http.MethodHead {
			_, _ = w.Write([]byte("some")) // the client waits for more
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	downloadtest.Add(t, e, downloadtest.Job(t, "stalled", s.URL+"/file", "max-tries", "1"))
	if err := downloadtest.MustFail(t, e, "stalled"); err.Code != download.CodeTimeout || err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

// The requests to a tracker over HTTP go through the guard.
func TestEngine_HTTPTrackerUsesTheGuard(t *testing.T) {
	t.Parallel()
	e := guardedBy(t, downloadtest.Allowing(t, "127.0.0.2"))
	tracker := downloadtest.ServeAt(t, "127.0.0.1", http.NotFoundHandler())
	job := downloadtest.Job(t, "torrent", "")
	job.Task.TaskSpec = model.TaskSpec{
		ID: "torrent", Torrent: downloadtest.Torrent("shared", tracker.URL+"/announce", map[string][]byte{"one": downloadtest.Data(1000)}),
	}
	downloadtest.Add(t, e, job)
	deadline := time.Now().Add(20 * time.Second)
	for e.proxy.LastError(gidOf("torrent")) == nil {
		if time.Now().After(deadline) {
			t.Fatal("the guard was not asked for the tracker")
		}
		if _, err := e.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		download.Pause(t.Context(), 20*time.Millisecond)
	}
	if err := e.proxy.LastError(gidOf("torrent")); !errors.As(err, new(*netguard.RefusedError)) {
		t.Error(err)
	}
	if n := tracker.Requests.Load(); n != 0 {
		t.Errorf("the tracker had %d connections", n)
	}
}
