package dispatcher_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/aria-cluster/dispatcher"

// rule says what a package must never import, itself or through others.
type rule struct {
	pkg    string   // path in the module; "pkg/repo/..." also means those below it
	never  []string // paths in the module, or "all" (of the module), or of others
	except []string // what "all" and prefixes do not mean
	why    string
}

// rules is design/architecture.md's "imports point one way". Each prefix in
// never means the packages below it too.
var rules = []rule{
	{
		pkg: "pkg/model", never: []string{"all", "third-party"},
		why: "the words of the system are read by everything, so they bring nothing along",
	},
	{
		pkg: "internal/engine", never: []string{"all", "third-party"}, except: []string{"pkg/model", "internal/engine"},
		why: "deciding is pure: what it needs comes in as arguments",
	},
	{
		pkg: "internal/engine/placement", never: []string{"all", "third-party"}, except: []string{"pkg/model", "internal/engine/heap"},
		why: "the index knows tasks and workers; what is decided on them is not its affair",
	},
	{
		pkg: "internal/engine/heap", never: []string{"all", "third-party"},
		why: "it is a data structure",
	},
	{
		pkg: "internal/engine/...", never: []string{"os", "net", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "database/sql", "context"},
		except: []string{"net/url", "net/netip"},
		why:    "no clock, no randomness, no I/O, no log: the simulator replays it",
	},
	{
		pkg: "pkg/repo/...", never: []string{"all"}, except: []string{"pkg/model", "pkg/repo", "internal/filelock"},
		why: "a store keeps; it knows nothing of deciding or sending",
	},
	{
		pkg: "pkg/repo/...", never: []string{"github.com/nats-io"},
		why: "a store is reached over NATS by the dispatcher only",
	},
	{
		pkg: "pkg/...", never: []string{"all"}, except: []string{"pkg", "internal/wire", "internal/logthrottle", "internal/filelock", "internal/goroutine"},
		why: "other programs import it: the dispatcher does not come with it",
	},
	{
		pkg: "pkg/bus/...", never: []string{"pkg/repo", "database/sql", "modernc.org/sqlite", "github.com/jmoiron/sqlx", "github.com/pressly/goose", "github.com/jackc/pgx"},
		why: "clients and workers import it; they need no database",
	},
	{
		pkg: "pkg/bus", never: []string{"github.com/nats-io/nats-server"},
		why: "a worker links no server; pkg/bus/embedded is one",
	},
	{
		pkg: "pkg/bus/embedded", never: []string{"all"}, except: []string{"internal/filelock"},
		why: "it is a NATS server, whatever is sent over it",
	},
	{
		pkg: "pkg/bus/client", never: []string{"all", "github.com/nats-io/nats-server"}, except: []string{"pkg/model", "internal/wire", "internal/goroutine"},
		why: "other people's programs link it: neither a server nor the dispatcher comes with it",
	},
	{
		pkg: "internal/wire", never: []string{"all", "github.com/nats-io/nats-server"}, except: []string{"pkg/model"},
		why: "clients and workers link it",
	},
	{
		pkg: "internal/api", never: []string{"all", "github.com/nats-io/nats-server", "net/http"},
		except: []string{"pkg/model", "pkg/repo", "internal/transfer", "internal/engine", "internal/wire", "internal/worker/torrent", "internal/logthrottle", "internal/goroutine"},
		why:    "requests go to a Backend: it neither places nor stores; of the engine it knows the events, of repo the records of a transfer; it is the same over each transport",
	},
	{
		pkg: "internal/aria2rpc", never: []string{"all"}, except: []string{"pkg/model", "internal/goroutine", "internal/worker/torrent"},
		why: "it turns calls into the requests of a client, by an interface: it neither places nor stores",
	},
	{
		pkg: "internal/natsapi", never: []string{"all", "github.com/nats-io/nats-server"},
		except: []string{"pkg/model", "pkg/bus", "pkg/repo", "internal/api", "internal/transfer", "internal/engine", "internal/wire", "internal/worker/torrent", "internal/logthrottle", "internal/goroutine"},
		why:    "it transports requests; internal/api answers them",
	},
	{
		pkg: "internal/goroutine", never: []string{"all", "third-party"},
		why: "clients link it",
	},
	{
		pkg: "internal/httpd/web", never: []string{"all", "third-party"},
		why: "it is files",
	},
	{
		pkg: "internal/httpd", never: []string{"internal/app", "internal/config", "internal/dispatch", "internal/natsapi", "pkg/repo/sqlite", "pkg/repo/postgres", "pkg/repo/memory", "database/sql", "github.com/nats-io/nats-server"},
		why: "it is given what it serves; only the daemon wires",
	},
	{
		pkg: "internal/intake", never: []string{"all"},
		except: []string{"pkg/model", "pkg/bus", "internal/engine", "internal/wire", "internal/logthrottle", "internal/goroutine"},
		why:    "submissions go to a Backend, as requests do",
	},
	{
		pkg: "internal/transfer", never: []string{"all", "github.com/nats-io/nats-server"}, except: []string{"pkg/model", "pkg/repo", "internal/wire"},
		why: "records go between a store and NATS; migrate uses it too",
	},
	{
		pkg: "internal/api", never: []string{"pkg/repo/sqlite", "pkg/repo/postgres", "pkg/repo/memory", "pkg/repo/jsonl", "database/sql"},
		why: "which stores there are is not its affair",
	},
	{
		pkg: "internal/intake", never: []string{"pkg/repo", "database/sql", "github.com/nats-io/nats-server"},
		why: "it submits, and nothing else; migrate makes its streams",
	},
	{
		pkg: "internal/transfer", never: []string{"pkg/repo/sqlite", "pkg/repo/postgres", "pkg/repo/memory", "pkg/repo/jsonl", "database/sql"},
		why: "which stores there are is not its affair",
	},
	{
		pkg: "internal/dispatch/...", never: []string{"github.com/nats-io", "modernc.org/sqlite", "github.com/jmoiron/sqlx", "github.com/jackc/pgx"},
		why: "the same Turn runs in the simulator, where there is neither NATS nor a database",
	},
	{
		pkg: "internal/dispatch/...", never: []string{"internal/worker", "internal/app", "internal/config"},
		why: "it is given what it needs; only the daemon wires",
	},
	{
		pkg: "internal/lead", never: []string{"all", "third-party"}, except: []string{"pkg/model", "pkg/repo"},
		why: "who may write is read whole, and alone; the simulator and the daemon give it the row",
	},
	{
		pkg: "internal/worker/...", never: []string{"internal/engine", "internal/dispatch", "internal/app", "pkg/repo"},
		why: "a node holds assignments; deciding and storing are the dispatcher's",
	},
	{
		pkg: "internal/worker/...", never: []string{"github.com/nats-io", "modernc.org/sqlite", "database/sql"},
		why: "it speaks through a Link, so that it can be tested without a server; its journal is files",
	},
	{
		pkg: "internal/metrics", never: []string{"all"}, except: []string{"pkg/model", "internal/engine", "internal/metrics"},
		why: "it is told what happened; it asks nobody",
	},
	{
		pkg: "internal/metrics/node", never: noDispatcher,
		why: "a worker links no server, no database and no dispatcher",
	},
	{
		pkg: "internal/metrics/expose", never: []string{"all"},
		why: "the worker links it too",
	},
	{
		pkg: "internal/netguard", never: []string{"all", "third-party"},
		why: "what keeps a worker out of private networks is read whole, and alone",
	},
	{
		pkg: "internal/sim/oracle", never: []string{"internal/sim/world", "internal/sim/campaign"},
		why: "it judges any dispatcher, not only the simulated one",
	},
	{
		pkg: "internal/sim/world", never: []string{"internal/sim/campaign"},
		why: "one seed does not know of the others",
	},
	{
		pkg: "internal/sim/...", never: []string{"all", "github.com/nats-io"}, except: []string{"internal/dispatch", "internal/engine", "internal/lead", "pkg/model", "pkg/repo", "internal/sim", "internal/filelock", "internal/logthrottle"},
		why: "it judges from outside, by what goes over the wire and into the store",
	},
	{
		pkg: "internal/app/...", never: []string{"internal/sim"},
		why: "the simulator is for those who build this, not for those who run it",
	},
	{
		pkg: "internal/app/node", never: noDispatcher,
		why: "a worker links no server, no database and no dispatcher",
	},
	{
		pkg: "internal/app/process", never: noDispatcher,
		why: "every program has it",
	},
	{
		pkg: "cmd/worker", never: noDispatcher,
		why: "a worker links no server, no database and no dispatcher",
	},
	{
		pkg: "internal/app/streams", never: []string{"github.com/nats-io/nats-server", "internal/dispatch", "internal/natsapi", "internal/api", "pkg/repo"},
		why: "migrate links it",
	},
	{
		pkg: "cmd/migrate", never: []string{"github.com/nats-io/nats-server", "internal/dispatch", "internal/natsapi", "internal/api"},
		why: "it copies stores, files or a running dispatcher's; it runs neither a server nor a dispatcher",
	},
	{
		pkg: "internal/display", never: []string{"all", "github.com/nats-io"}, except: []string{"pkg/model"},
		why: "it shows what it is given, to the dispatcher and to the command line",
	},
	{
		pkg: "internal/inputfile", never: []string{"all", "third-party"}, except: []string{"pkg/model"},
		why: "it reads a file into specs; who submits them is not its affair",
	},
	{
		pkg: "cmd/aria", never: noDispatcher,
		why: "a person's machine needs no server, no database and no dispatcher",
	},
	{
		pkg: "internal/ariacli/...", never: noDispatcher,
		why: "it does what any client can do, by pkg/bus/client",
	},
	{
		pkg: "internal/ariatop", never: []string{"all", "github.com/nats-io/nats-server"}, except: []string{"pkg/model", "pkg/bus/client", "internal/display", "internal/wire", "internal/goroutine"},
		why: "it reads and acts by the same requests as other people's programs",
	},
	{
		pkg: "internal/config", never: []string{"all"}, except: []string{"pkg/model", "internal/netguard"},
		why: "both programs and the tools read it; the guard says what a network is, and brings nothing along",
	},
}

// noDispatcher is what a worker must not link.
var noDispatcher = []string{
	"github.com/nats-io/nats-server", "modernc.org/sqlite", "github.com/jmoiron/sqlx", "github.com/pressly/goose", "github.com/jackc/pgx", "database/sql",
	"pkg/repo/sqlite", "pkg/repo/postgres", "pkg/repo/memory", "pkg/repo/jsonl", "internal/engine", "internal/dispatch", "internal/api", "internal/natsapi", "internal/intake", "internal/transfer",
}

// listed is what "go list -json" says of a package.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	GoFiles    []string
	Doc        string
}

// goList lists the packages of the module that exist, without their tests.
func goList(t *testing.T) map[string]listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,Deps,GoFiles,Doc", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := make(map[string]listed)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
}

// Each package imports only what its row of the table permits.
func TestImports_PointOneWay(t *testing.T) {
	packages := goList(t)
	for _, r := range rules {
		used := false
		for path, p := range packages {
			if !under(path, strings.TrimSuffix(r.pkg, "/...")) || !strings.HasSuffix(r.pkg, "/...") && path != r.pkg {
				continue
			}
			used = true
			for _, bad := range r.broken(p) {
				t.Errorf("%s imports %s: %s", path, bad, r.why)
			}
		}
		if dirs, err := filepath.Glob(strings.TrimSuffix(r.pkg, "/...") + "/*.go"); err != nil || !used && len(dirs) > 0 {
			t.Errorf("the rule of %s was not applied (%v)", r.pkg, err)
		}
	}
}

// broken returns the imports that the rule forbids. Packages of the module and
// of others are looked for through all imports; those of the standard library
// only among the direct ones, for below them anything may be.
func (r rule) broken(p listed) []string {
	var bad []string
	for _, dep := range p.Deps {
		own, inside := strings.CutPrefix(dep, module+"/")
		first, _, _ := strings.Cut(dep, "/")
		third := !inside && strings.Contains(first, ".")
		name := dep
		if inside {
			name = own
		}
		if !inside && !third && !slices.Contains(p.Imports, dep) {
			continue
		}
		for _, n := range r.never {
			hit := n == "all" && inside || n == "third-party" && third || under(name, n)
			if hit && !slices.ContainsFunc(r.except, func(e string) bool { return under(name, e) }) {
				bad = append(bad, name)
				break
			}
		}
	}
	return bad
}

// under reports whether path is prefix or below it.
func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// forTests reports whether a package is only there for tests: testbed and freeport,
// and the suites and servers that by custom end in "test".
func forTests(path string) bool {
	return under(path, "internal/testbed") || path == "internal/freeport" || strings.HasSuffix(path, "test")
}

// Only tests import the packages for tests.
func TestImports_TestPackagesOnlyInTests(t *testing.T) {
	found := 0
	for path, p := range goList(t) {
		if forTests(path) {
			found++
			continue
		}
		for _, dep := range p.Deps {
			if own, inside := strings.CutPrefix(dep, module+"/"); inside && forTests(own) {
				t.Errorf("%s imports %s, which is for tests", path, own)
			}
		}
	}
	if found < 8 {
		t.Errorf("%d packages are for tests: are they looked for by other names?", found)
	}
}

// A broken import rule is reported.
func TestImports_BrokenRuleIsReported(t *testing.T) {
	for _, c := range []struct {
		rule rule
		p    listed
		want []string
	}{
		{rule{never: []string{"all"}, except: []string{"pkg/model"}}, listed{Deps: []string{module + "/pkg/model", module + "/pkg/bus"}}, []string{"pkg/bus"}},
		{rule{never: []string{"third-party"}}, listed{Imports: []string{"fmt", "golang.org/x/sys/unix"}, Deps: []string{"fmt", "golang.org/x/sys/unix"}}, []string{"golang.org/x/sys/unix"}},
		{rule{never: []string{"os"}}, listed{Imports: []string{"fmt"}, Deps: []string{"fmt", "os"}}, nil},
		{rule{never: []string{"os"}}, listed{Imports: []string{"os/exec"}, Deps: []string{"os", "os/exec"}}, []string{"os/exec"}},
		{rule{never: []string{"pkg/repo"}}, listed{Deps: []string{module + "/pkg/repo/sqlite", module + "/pkg/report"}}, []string{"pkg/repo/sqlite"}},
	} {
		if got := c.rule.broken(c.p); !slices.Equal(got, c.want) {
			t.Errorf("never %v of %v: got %v, want %v", c.rule.never, c.p.Deps, got, c.want)
		}
	}
}

// Each package has a doc comment.
func TestPackages_HaveDocComments(t *testing.T) {
	for path, p := range goList(t) { // a package of tests alone has no place for it
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", path)
		}
	}
}

// TestPackages_PkgHoldsModelBusRepoOnly checks that other programs can import model, bus,
// repo and what is below them, and nothing else.
func TestPackages_PkgHoldsModelBusRepoOnly(t *testing.T) {
	for path := range goList(t) {
		if under(path, "pkg") && !under(path, "pkg/model") && !under(path, "pkg/bus") && !under(path, "pkg/repo") {
			t.Errorf("%s belongs in internal/", path)
		}
	}
}
