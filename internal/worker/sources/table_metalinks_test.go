package sources

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/combined"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// linked is a metalink or torrent that a URL leads to, and what aria2c and a worker
// with allow_bt make of it. Its name is its row in docs/sources.md.
type linked struct {
	name     string
	path     string // of the URL; "" is /list.meta4
	document string // $HOST stands for the server, $SUM for the file's sha-256, $SHA1 for its sha-1
	utf16    bool   // the document is in UTF-16 with a byte order mark
	media    string // the document's media type; "" is no header
	changed  bool   // the server has other bytes than the document's
	checksum bool   // the task has the file's checksum
	verdict  string // of aria2c and the worker; "" is ok for both
}

func (l *linked) url(server string) string {
	if l.path == "" {
		return server + "/list.meta4"
	}
	return server + l.path
}

// file4 is a metalink of version 4 with one file of that content.
func file4(content string) string {
	return `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="file.bin">` + content + `</file></metalink>`
}

// file3 is one of version 3, with what stands before the sources.
func file3(content, sources string) string {
	return `<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="file.bin">` +
		content + `<resources>` + sources + `</resources></file></files></metalink>`
}

// torrentAt names a torrent at that path of the server.
func torrentAt(path string) string {
	return `<metaurl mediatype="torrent" priority="1">$HOST` + path + `</metaurl>`
}

// metalinks are behaviours of what a URL leads to.
func metalinks() []linked {
	const good = "<url>$HOST/file.bin</url>"
	hash := func(kind string) string { return `<hash type="` + kind + `">$SUM</hash>` }
	return []linked{
		{name: "a metalink of version 4", document: file4("<size>200000</size>" + hash("sha-256") + good)},
		{name: "a metalink of version 3", document: file3("<size>200000</size><verification>"+hash("sha256")+"</verification>", `<url type="http" preference="100">$HOST/file.bin</url>`)},
		{name: "a metalink without size and hash", document: file4(good)},
		{name: "a metalink without a namespace", verdict: "no ok", document: strings.Replace(file4(good), ` xmlns="urn:ietf:params:xml:ns:metalink"`, "", 1)},
		{name: "a metalink with prefixes", document: `<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink"><m:file name="file.bin"><m:url>$HOST/file.bin</m:url></m:file></m:metalink>`},
		{name: "a metalink in Latin-1", document: strings.Replace(file4("<description>caf\xe9</description>"+good), `"1.0"`, `"1.0" encoding="ISO-8859-1"`, 1)},
		{name: "a metalink in UTF-16", utf16: true, document: strings.Replace(file4("<description>caf\u00e9</description>"+good), `"1.0"`, `"1.0" encoding="UTF-16"`, 1)},
		{name: "a metalink of XML version 1.1", document: strings.Replace(file4(good), `"1.0"`, `"1.1"`, 1)},
		{name: "a metalink after a comment of 6 kB", document: strings.Replace(file4(good), "<metalink", "<!-- "+strings.Repeat("x", 6000)+" --><metalink", 1)},
		{name: "a page with the extension of a metalink", verdict: "no no", document: "<html>sign in</html>"},
		{name: "a page with the media type of a metalink", path: "/download", media: "application/metalink4+xml; charset=utf-8", verdict: "no no", document: "<html>sign in</html>"},
		{name: "a page with the extension of a torrent", path: "/list.torrent", verdict: "no no", document: "<html>sign in</html>"},
		{name: "a page with the media type of a torrent", path: "/download", media: "application/x-bittorrent", verdict: "no no", document: "<html>sign in</html>"},
		{name: "a metalink without its media type and extension", path: "/download", verdict: "bytes ok", document: file4(good)},
		{name: "a hash that other bytes do not have", changed: true, verdict: "no no", document: file4(hash("sha-256") + good)},
		{name: "a hash of the kind sha256 that other bytes do not have", changed: true, verdict: "no no", document: file4(hash("sha256") + good)},
		{name: "a hash of the kind SHA-256 that other bytes do not have", changed: true, verdict: "bytes no", document: file4(hash("SHA-256") + good)},
		{name: "an unknown hash beside one that other bytes do not have", changed: true, verdict: "no no", document: file4(`<hash type="crc32">00000000</hash>` + hash("sha-256") + good)},
		{name: "a hash of an unknown kind", document: file4(`<hash type="crc32">00000000</hash>` + good)},
		{name: "a hash in a comment", document: file4(`<!-- <hash type="sha-256">00</hash> -->` + good)},
		{name: "pieces with their hashes", document: file4(`<size>200000</size><pieces type="sha-1" length="262144"><hash>$SHA1</hash></pieces>` + good)},
		{name: "a size that is too small", verdict: "no no", document: file4("<size>5</size>" + good)},
		{name: "a size that is too large", verdict: "no no", document: file4("<size>900000</size>" + good)},
		{name: "a first source that is dead", document: file4(`<url priority="1">http://127.0.0.1:1/file.bin</url>` + good)},
		{name: "a first source that has it not", document: file4(`<url priority="1">$HOST/none</url>` + good)},
		{name: "a first source of an unknown scheme", document: file4(`<url priority="1">gopher://127.0.0.1/file.bin</url>` + good)},
		{name: "a source that is relative", document: file4("<url>file.bin</url>")},
		{name: "a source with raw spaces", document: file4("<url>$HOST/a b</url>")},
		{name: "a source with a scheme in capitals", verdict: "no ok", document: strings.ReplaceAll(file4(good), "$HOST", "HTTP:$HOST")},
		{name: "a file without a source", verdict: "no no", document: file4("")},
		{name: "a metalink without a file", verdict: "no no", document: `<metalink xmlns="urn:ietf:params:xml:ns:metalink"/>`},
		{name: "a metalink that is cut off", verdict: "no no", document: file4(good)[:120]},
		{name: "a file name of a metalink that leads upwards", verdict: "no no", document: strings.Replace(file4(good), "file.bin", "../file.bin", 1)},
		{name: "a metalink by URL and the checksum of its file", checksum: true, verdict: "no ok", document: file4(good)},
		{name: "a metalink whose torrent is missing", document: file4(torrentAt("/none") + good)},
		{name: "a metalink whose torrent is a page", document: file4(torrentAt("/page") + good)},
		{name: "a metalink whose torrent has another length", verdict: "no ok", document: file4("<size>200000</size>" + torrentAt("/another") + good)},
		{name: "a metalink with a missing torrent alone", verdict: "no no", document: file4(torrentAt("/none"))},
		{name: "a metalink of version 3 whose torrent is missing", document: file3("", `<url type="bittorrent" preference="100">$HOST/none</url><url type="http" preference="10">$HOST/file.bin</url>`)},
		{name: "a hybrid torrent", path: "/list.torrent", verdict: "no no", document: string(downloadtest.HybridTorrent("file.bin", "http://127.0.0.1:1/announce", 200_000, true))},
		{name: "a torrent of version 2", path: "/list.torrent", verdict: "no no", document: string(downloadtest.HybridTorrent("file.bin", "http://127.0.0.1:1/announce", 200_000, false))},
	}
}

// serve answers the document at the URL's path and the file elsewhere.
func (l *linked) serve(t *testing.T, data []byte) (url string) {
	t.Helper()
	document := l.document
	served := data
	if l.changed {
		served = bytes.ToUpper(downloadtest.Data(200_001))[:200_000]
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case l.url(""):
			text := strings.NewReplacer("HTTP:$HOST", "HTTP://"+r.Host, "$HOST", "http://"+r.Host, "$SUM", strings.TrimPrefix(checksumOf(data), "sha-256="), "$SHA1", sha1Of(data)).Replace(document)
			if l.utf16 {
				text = toUTF16(text)
			}
			if l.media != "" {
				w.Header().Set("Content-Type", l.media)
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write([]byte(text)) // a client that left sees it
		case "/none":
			http.NotFound(w, r)
		case "/page":
			good([]byte("<html>no torrent</html>")).ServeHTTP(w, r)
		case "/another":
			good(downloadtest.SingleTorrent("file.bin", "http://127.0.0.1:1/announce", data[1:])).ServeHTTP(w, r)
		default:
			good(served).ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return l.url(server.URL)
}

// toUTF16 encodes a text in UTF-16, little endian with a byte order mark.
func toUTF16(text string) string {
	b := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// A worker with allow_bt and plain aria2c make of each metalink and torrent what the
// table says.
func TestSources_VerdictOfEachMetalink(t *testing.T) {
	worker := engine(followingEngine(t))
	fetch := map[string]func(t *testing.T, l *linked, url string) (string, error){
		"aria2c": func(t *testing.T, l *linked, url string) (string, error) {
			t.Helper()
			args := []string{testbed.RequireBinary(t, "aria2c"), "--no-conf", "--enable-color=false", "--console-log-level=error", "--summary-interval=0",
				"--follow-metalink=mem", "--follow-torrent=mem", "--bt-stop-timeout=1", "--enable-dht=false", "--bt-enable-lpd=false", "--seed-time=0"}
			if l.checksum {
				args = append(args, "--checksum="+checksumOf(linkedData()))
			}
			return program(t, t.TempDir(), append(args, url)...)
		},
		"worker": func(t *testing.T, l *linked, url string) (string, error) {
			t.Helper()
			b := behaviour{name: l.name, checksum: l.checksum}
			return worker(t, &b, url, "")
		},
	}
	t.Run("metalinks", func(t *testing.T) {
		for _, l := range metalinks() {
			for i, name := range []string{"aria2c", "worker"} {
				t.Run(l.name+"/"+name, func(t *testing.T) {
					t.Parallel()
					path, err := fetch[name](t, &l, l.serve(t, linkedData()))
					if got, why := judge(path, err); string(got) != l.verdicts()[i] {
						t.Errorf("%q is %s (%s), the table says %s", l.name, got, why, l.verdicts()[i])
					}
				})
			}
		}
	})
}

func (l *linked) verdicts() []string {
	if l.verdict == "" {
		return strings.Fields("ok ok")
	}
	return strings.Fields(l.verdict)
}

func linkedData() []byte { return downloadtest.Data(200_000) }

// judge names what a client left.
func judge(path string, err error) (outcome, string) {
	if err != nil {
		return fails, err.Error()
	}
	got, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fails, err.Error()
	case !bytes.Equal(got, linkedData()):
		return wrong, fmt.Sprintf("%d bytes", len(got))
	case filepath.Base(path) != "file.bin":
		return renamed, filepath.Base(path)
	}
	return ok, ""
}

// followingEngine is that of a worker with an aria2c and allow_bt.
func followingEngine(t *testing.T) *combined.Engine {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	guard := downloadtest.Loopback(t)
	a, err := aria2.New(aria2.Config{Binary: path, StateDir: t.TempDir(), Slots: 100, AllowBT: true, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	d, err := direct.New(direct.Config{Slots: 100, Logger: downloadtest.Logger(t), Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	e := combined.New(d, a, 0, downloadtest.Logger(t))
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// What aria2c completes of metalinks is completed by the worker, never with other bytes.
func TestSources_NoMetalinkOfOthersFails(t *testing.T) {
	for _, l := range metalinks() {
		own := outcome(l.verdicts()[1])
		if own == wrong || complete(l.verdicts()[0]) && own != ok {
			t.Errorf("%q: the worker is %s, aria2c %s", l.name, own, l.verdicts()[0])
		}
	}
}

// docs/sources.md has a row with the verdicts of each metalink, and no other.
func TestSources_DocumentListsEachMetalink(t *testing.T) {
	rows := documentRows(t, 4)
	for _, l := range metalinks() {
		if want := strings.Join(l.verdicts(), " "); rows[l.name] != want {
			t.Errorf("docs/sources.md says of %q %q, not %q", l.name, rows[l.name], want)
		}
		delete(rows, l.name)
	}
	for name := range rows {
		t.Errorf("docs/sources.md has a row %q that no test covers", name)
	}
}
