package download

import (
	"bufio"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// goldenNames reads testdata/names.txt: headers and the names that they give.
func goldenNames(t testing.TB) map[string]string {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "names.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	names := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		left, right, _ := strings.Cut(lines.Text(), "\t")
		header, err1 := strconv.Unquote(left)
		name, err2 := strconv.Unquote(right)
		if err1 != nil || err2 != nil {
			t.Fatalf("%q: %v, %v", lines.Text(), err1, err2)
		}
		names[header] = name
	}
	if err := lines.Err(); err != nil || len(names) < 50 {
		t.Fatalf("%d names, %v", len(names), err)
	}
	return names
}

func header(disposition ...string) http.Header {
	return http.Header{"Content-Disposition": disposition}
}

// Each header that servers send gives the name that a browser gives it.
func TestDispositionName_GoldenHeaders(t *testing.T) {
	for disposition, want := range goldenNames(t) {
		if got := DispositionName(header(disposition)); got != want {
			t.Errorf("%q gives %q, want %q", disposition, got, want)
		}
	}
	if got := DispositionName(header("attachment", `attachment; filename="second line.txt"`)); got != "second line.txt" {
		t.Errorf("the second header line is not read: %q", got)
	}
}

// A name comes from the option out, the header, the URL's path, or is index.html.
func TestNameFor_SourcesInOrder(t *testing.T) {
	for _, c := range []struct{ out, path, disposition, want string }{
		{"given", "/p", `attachment; filename="d"`, "given"},
		{"../bad", "/p", "", "p"},
		{"", "/p", `attachment; filename="d"`, "d"},
		{"", "/p", `attachment; filename=".."`, "p"},
		{"", "/p", `attachment; filename="x.aria2"`, "x.aria2_"},
		{"", "/p", `attachment; filename=".aria-version.json"`, ".aria-version.json_"},
		{"", "/p", `attachment; filename=".aria"`, ".aria"},
		{".aria", "/p", "", "p"},
		{"", "/a/name.aria2", "", "name.aria2_"},
		{"", "/a\\b.bin", "", "a_b.bin"},
		{"", "/a/b.tar.gz", "", "b.tar.gz"},
		{"", "/../x", "", "x"},
		{"", "/a/", "", "index.html"},
		{"", "/..", "", "index.html"},
		{"", "", "", "index.html"},
		{"", "/a\xe9b", "", "aéb"},
		{"", "/\xd6\xd0\xce\xc4", "", "中文"},
	} {
		got := NameFor(c.out, &url.URL{Path: c.path}, header(c.disposition))
		if got != c.want {
			t.Errorf("out %q, path %q, disposition %q: %q, want %q", c.out, c.path, c.disposition, got, c.want)
		}
	}
}

// A long name is cut at a character's boundary and keeps its extension.
func TestSanitizeName_LongNamesKeepExtension(t *testing.T) {
	long := strings.Repeat("é", 150)
	for _, c := range []struct{ in, want string }{
		{long, long[:240]},
		{"x" + long, "x" + long[:238]},
		{long + ".pdf", long[:236] + ".pdf"},
		{long + ".tar.gz", long[:232] + ".tar.gz"},
		{long + "." + strings.Repeat("e", 30), long[:240]},
		{strings.Repeat("a", 236) + ".pdf", strings.Repeat("a", 236) + ".pdf"},
		{strings.Repeat("a", 234) + ".aria2", strings.Repeat("a", 233) + ".aria2_"},
		{strings.Repeat("a", 300) + ".aria2", strings.Repeat("a", 233) + ".aria2_"},
		{"." + strings.Repeat("h", 300), "." + strings.Repeat("h", 239)},
	} {
		if got := SanitizeName(c.in); got != c.want {
			t.Errorf("%q is cut to %q (%d bytes)", c.in, got, len(got))
		}
	}
}

func FuzzDispositionName(f *testing.F) {
	for disposition := range goldenNames(f) {
		f.Add("/a/b", disposition)
	}
	f.Add("/\xff/${HOME}", "attachment")
	f.Fuzz(func(t *testing.T, path, disposition string) {
		name := NameFor("", &url.URL{Path: path}, header(disposition))
		if err := model.ServerFileName(name); err != nil || !utf8.ValidString(name) {
			t.Errorf("%q: %v", name, err)
		}
	})
}
