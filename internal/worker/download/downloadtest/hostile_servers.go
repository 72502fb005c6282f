package downloadtest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// HostileServer is a server of the suite that misbehaves, and how a task of it may
// end. Tests of whole clusters use it beside servers that behave well.
type HostileServer struct {
	Name        string // distinct; fits into the id of a task
	Path        string // of the URL, escaped
	Handler     http.Handler
	Options     model.Options  // of the task
	MaxAttempts int            // of the task; 0: the default
	Timeout     model.Duration // of an attempt; 0: none
	Files       [][]byte       // a completed task has one of these contents; empty: it must not complete
	MayFail     bool
	Refused     bool // the dispatcher refuses such a task
}

// hostileServers has the servers of each test in hostile, under its name. They are
// new with each call: some of them change with each request.
var hostileServers = map[string]func() []HostileServer{
	"a drop at each tenth of a file leaves it whole": func() (list []HostileServer) {
		data := Data(1_000_000)
		for tenth := 1; tenth <= 9; tenth++ {
			list = append(list, HostileServer{Name: fmt.Sprintf("drop-%d", tenth), Handler: Cut(Content(data), tenth*len(data)/10, 1), Files: [][]byte{data}})
		}
		return list
	},
	"a file in pieces of 3 MB comes whole in one attempt": func() []HostileServer {
		data := Data(60 << 20)
		return []HostileServer{{Name: "pieces", Handler: Cut(Content(data), 3<<20, -1), Files: [][]byte{data}}}
	},
	"a body that ends early is never taken for the file": func() []HostileServer {
		return []HostileServer{{Name: "early-end", Handler: shortBody(), Options: jobOptions("max-tries", "2"), MayFail: true}}
	},
	"a body that is too long is cut at its length": func() []HostileServer {
		data := Data(100_000)
		return []HostileServer{{Name: "long-body", Handler: raw("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", data), Files: [][]byte{data[:90_000]}}}
	},
	"a server that falls silent is left": func() []HostileServer {
		return []HostileServer{{Name: "silent", Handler: silentBody(), Options: jobOptions("timeout", "1", "max-tries", "1"), MayFail: true}}
	},
	"a slow drip is a download": func() []HostileServer {
		data := Data(50)
		return []HostileServer{{Name: "drip", Handler: drip(data), Options: jobOptions("timeout", "5"), Files: [][]byte{data}}}
	},
	"a file that changed between attempts is never mixed":    func() []HostileServer { return editionServers("changed-", changesAfterFailure) },
	"a file that changes while it is fetched is never mixed": func() []HostileServer { return editionServers("meanwhile-", changesOnce) },
	"a file that changes with every answer is never taken": func() []HostileServer {
		return []HostileServer{{Name: "changing", Handler: changing(), Options: jobOptions("max-tries", "3"), MayFail: true}}
	},
	"a file in its Content-Encoding is kept or undone, whole": func() []HostileServer {
		text, packed := gzipped()
		return []HostileServer{{Name: "gzip", Handler: encoded(packed), Files: [][]byte{text, packed}}}
	},
	"every status that is no success has its class and code": func() (list []HostileServer) {
		for _, status := range slices.Sorted(maps.Keys(errorStatuses)) {
			list = append(list, HostileServer{Name: "status-" + strconv.Itoa(status), Handler: always(status), Options: jobOptions("max-tries", "1"), MayFail: true})
		}
		return list
	},
	"lengths beyond 32 bits are told": func() []HostileServer {
		var throttle Throttle
		throttle.Set(4 << 20)
		return []HostileServer{{
			Name: "five-gigabytes", Handler: throttle.Slow(Zeros(5 << 30)), MaxAttempts: 2,
			Timeout: model.Duration(3 * time.Second), MayFail: true, // nobody wants all of it
		}}
	},
	"names of 300 bytes, with NUL or reserved do no harm": func() (list []HostileServer) {
		data := Data(1000)
		for _, id := range slices.Sorted(maps.Keys(hostileNames)) {
			c := hostileNames[id]
			s := HostileServer{Name: "named-" + id, Path: c.path, Handler: named(c.disposition, data), Options: jobOptions("max-tries", "1"), Files: [][]byte{data}, MayFail: true}
			s.Refused = (&model.TaskSpec{URL: "http://h" + c.path}).Validate() != nil
			list = append(list, s)
		}
		return list
	},
	"a hundred headers and a header of 100 kB do no harm": func() (list []HostileServer) {
		data := Data(1000)
		for _, id := range slices.Sorted(maps.Keys(headerSizes)) {
			list = append(list, HostileServer{Name: "headers-" + id, Handler: manyHeaders(headerSizes[id], data), Options: jobOptions("max-tries", "1"), Files: [][]byte{data}, MayFail: id == "huge"})
		}
		return list
	},
	"what is no HTTP fails and says so": func() (list []HostileServer) {
		for _, id := range slices.Sorted(maps.Keys(notHTTP)) {
			list = append(list, HostileServer{Name: "no-http-" + id, Handler: raw(notHTTP[id], nil), Options: jobOptions("max-tries", "1", "timeout", "2"), MayFail: true})
		}
		return list
	},
	"a range that was not asked for is never taken for another": func() []HostileServer {
		return []HostileServer{{Name: "wrong-range", Handler: wrongRanges(), Options: jobOptions("max-tries", "2"), MayFail: true}}
	},
}

// editionServers has a server for each of someEditions. Only the second version can
// be completed.
func editionServers(prefix string, handler func(*editions) http.Handler) (list []HostileServer) {
	all := someEditions()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e := all[name]
		list = append(list, HostileServer{Name: prefix + name, Handler: handler(e), MaxAttempts: 10, Files: e.data[1:]})
	}
	return list
}

// HostileServers returns every server of the tests with hostile servers, in the
// same order each time. A test that is added to the suite adds its own to
// hostileServers, or the package's own test fails.
func HostileServers() []HostileServer {
	var list []HostileServer
	for _, name := range slices.Sorted(maps.Keys(hostileServers)) {
		for _, s := range hostileServers[name]() {
			if s.Path == "" {
				s.Path = "/file"
			}
			if s.Options == nil {
				s.Options = jobOptions()
			}
			list = append(list, s)
		}
	}
	return list
}
