package sources

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// behaviour is what one server does with the requests for a file, and what each
// client makes of it. Its name is its row in docs/sources.md.
type behaviour struct {
	name     string
	path     string                         // of the URL; "" is /file.bin
	base     func(server string) string     // changes the server's URL; nil: nothing
	serve    func(data []byte) http.Handler // a fresh one for each client
	file     string                         // the right name; "" is file.bin
	empty    bool                           // the file has no byte
	checksum bool                           // the task has the file's checksum
	options  map[string]string              // of the task, and of aria2c
	verdict  string                         // of aria2c, curl, a worker with aria2, a worker without; "" is ok for all
	reason   string                         // why ours does not complete what aria2c or curl does
}

func (b *behaviour) data() []byte {
	if b.empty {
		return nil
	}
	return downloadtest.Data(200_000)
}

func (b *behaviour) url(server string) string {
	if b.base != nil {
		server = b.base(server)
	}
	if b.path == "" {
		return server + "/file.bin"
	}
	return server + b.path
}

func (b *behaviour) fileName() string {
	if b.file == "" {
		return "file.bin"
	}
	return b.file
}

// verdicts are those of the four clients, in the order of [behaviour].
func (b *behaviour) verdicts() []string {
	if b.verdict == "" {
		return strings.Fields("ok ok ok ok")
	}
	return strings.Fields(b.verdict)
}

func checksumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha-256=" + hex.EncodeToString(sum[:])
}

func sha1Of(data []byte) string {
	sum := sha1.Sum(data)
	return hex.EncodeToString(sum[:])
}

// TestMain lets more subtests wait at once than there are processors: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	m.Run()
}

// Each client makes of each behaviour what the table says.
func TestSources_VerdictOfEachClient(t *testing.T) {
	clients := append([]client{{"aria2c", plainAria2c}, {"curl", plainCurl}}, engines(t)...)
	t.Run("behaviours", func(t *testing.T) {
		for _, b := range behaviours() {
			for i, c := range clients {
				t.Run(b.name+"/"+c.name, func(t *testing.T) {
					t.Parallel()
					if got, why := c.try(t, &b); string(got) != b.verdicts()[i] {
						t.Errorf("%q is %s (%s), the table says %s", b.name, got, why, b.verdicts()[i])
					}
				})
			}
		}
	})
}

// What aria2c or curl completes is completed by ours, or the table has a reason.
func TestSources_NothingOthersCompleteFails(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range behaviours() {
		if seen[b.name] {
			t.Errorf("%q is there twice", b.name)
		}
		seen[b.name] = true
		verdicts := b.verdicts()
		if len(verdicts) != 4 {
			t.Fatalf("%q has %d verdicts", b.name, len(verdicts))
		}
		completed := complete(verdicts[0]) || complete(verdicts[1])
		for i, engine := range []string{"aria2 and direct", "direct"} {
			switch own := outcome(verdicts[2+i]); {
			case own == wrong:
				t.Errorf("%q: the engine %s takes other bytes for the file", b.name, engine)
			case completed && own != ok && b.reason == "":
				t.Errorf("%q: the engine %s is %q and the table has no reason", b.name, engine, own)
			case !completed && b.reason != "", own == ok && b.reason != "":
				t.Errorf("%q has a reason without an exception", b.name)
			}
		}
	}
}

// complete reports whether a client has the bytes.
func complete(verdict string) bool { return outcome(verdict) == ok || outcome(verdict) == renamed }

// documentRows are the rows of the tables in docs/sources.md with that many cells: the
// behaviour, and the verdicts up to the last cell.
func documentRows(t *testing.T, cellCount int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) == cellCount && strings.HasPrefix(line, "|") {
			rows[strings.TrimSpace(cells[0])] = strings.Join(strings.Fields(strings.Join(cells[1:cellCount-1], " ")), " ")
		}
	}
	delete(rows, "behaviour")
	delete(rows, "---")
	return rows
}

// docs/sources.md has a row with the verdicts of each behaviour, and no other.
func TestSources_DocumentListsEach(t *testing.T) {
	rows := documentRows(t, 6)
	for _, b := range behaviours() {
		want := strings.Join(b.verdicts(), " ")
		if got := rows[b.name]; got != want {
			t.Errorf("docs/sources.md says of %q %q, not %q", b.name, got, want)
		}
		delete(rows, b.name)
	}
	for name := range rows {
		t.Errorf("docs/sources.md has a row %q that no test covers", name)
	}
}

// docs/sources.md and docs/worker.md list the exceptions with their reasons, and no other.
func TestSources_DocumentsListEachException(t *testing.T) {
	var want []string
	for _, b := range behaviours() {
		if b.reason != "" {
			want = append(want, "| "+b.name+" | "+b.reason+" |")
		}
	}
	for _, file := range []string{"sources.md", "worker.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(string(text), "# Exceptions\n")
		section, _, _ = strings.Cut(section, "\n#")
		var got []string
		for line := range strings.Lines(section) {
			if strings.HasPrefix(line, "| ") && line != "| behaviour | reason |\n" {
				got = append(got, strings.TrimSpace(line))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("docs/%s lists the exceptions\n%s\nThe table has\n%s", file, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
