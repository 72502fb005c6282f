package inputfile_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// inputs are input files that aria2c accepts; SERVER is replaced. lost means that aria2c
// ignores something in it, with a warning at most, which is a problem here.
var inputs = map[string]struct {
	text string
	lost bool
}{
	"mirrors and options": {"SERVER/a\tSERVER/a2\n\n# c\n  out=x\n  header=X-H: 1\n\theader=X-H: 2\nSERVER/b\n # c\n out=y\n user-agent=one\n user-agent=two\n", false},
	"carriage returns":    {"SERVER/a\r\n out=x\r\n\r\nSERVER/b\r\n", false},
	"spaces":              {"\n  \nSERVER/a  \n out = x y \n\nSERVER/b", false},
	"equals signs":        {"SERVER/a\n out= with = equals\n referer = http://r/?a=b \n", false},
	"empty values":        {"SERVER/a\n out=\n", false},
	"parameterized":       {"SERVER/a{1,2}\nSERVER/b[1-3]\n", false},
	"fragment":            {"SERVER/a#f\n#SERVER/b\n", false},
	"one URL twice":       {"SERVER/a\n out=p\nSERVER/a\n out=q\n", false},
	"first line indented": {"  SERVER/a\nSERVER/b\n", false},
	"second one indented": {"SERVER/a\n  SERVER/b?x=1\n", true},
	"no equals sign":      {"SERVER/a\n out\n", true},
	"unknown options":     {"SERVER/a\n OUT=x\n nosuch=1\n --out=x\n", true},
	"not a URL":           {"nonsense\tSERVER/a\nnonsense2\n out=x\nSERVER/b\n", true},
	"option first":        {" out=x\nSERVER/a\n", true},
}

// requested is what the server saw of one file.
type requested struct{ path, agent, referer, headers string }

// fileServer serves every path, and records by path what was requested.
func fileServer(t *testing.T) (url string, seen chan requested) {
	t.Helper()
	seen = make(chan requested, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent := r.UserAgent()
		if strings.HasPrefix(agent, "aria2/") {
			agent = "" // its default
		}
		seen <- requested{r.URL.Path, agent, r.Referer(), strings.Join(r.Header["X-H"], ";")}
		fmt.Fprint(w, r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return s.URL, seen
}

// ofReader returns what aria2 would request and store for what the Reader reads.
func ofReader(t *testing.T, in string, lenient bool) (requests []requested, files []string, problems []string) {
	t.Helper()
	entries, problems := read(t, strings.NewReader(in), lenient)
	one := func(options map[string][]string, name, otherwise string) string {
		if v := options[name]; len(v) > 0 {
			return v[0]
		}
		return otherwise
	}
	for _, e := range entries {
		options := make(map[string][]string)
		for name, v := range e.Spec.Options {
			options[name] = v
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.Spec.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		var headers []string
		for _, h := range options["header"] {
			_, value, _ := strings.Cut(h, ": ")
			headers = append(headers, value)
		}
		requests = append(requests, requested{request.URL.Path, one(options, "user-agent", ""), one(options, "referer", ""), strings.Join(headers, ";")})
		files = append(files, one(options, "out", path.Base(request.URL.Path)))
	}
	slices.Sort(files)
	return requests, files, problems
}

// aria2c downloads what the Reader reads: the same files, with the same headers, in the
// same order.
func TestReader_AgreesWithAria2c(t *testing.T) {
	aria2c := testbed.RequireBinary(t, "aria2c")
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		c := inputs[name]
		url, seen := fileServer(t)
		in := strings.ReplaceAll(c.text, "SERVER", url)
		dir := t.TempDir()
		list := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(list, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), testbed.Patience)
		cmd := exec.CommandContext(ctx, aria2c, "--no-conf", "--no-netrc", "-j1", "-s1", "-d", dir, "-i", list)
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: aria2c: %v\n%s", name, err, out)
			continue
		}
		close(seen)
		var requests []requested
		for r := range seen {
			requests = append(requests, r)
		}
		stored, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var files []string
		for _, f := range stored {
			files = append(files, f.Name())
		}
		wantRequests, wantFiles, problems := ofReader(t, in, true)
		if !slices.Equal(requests, wantRequests) {
			t.Errorf("%s: aria2c requested\n%v\nthe reader reads\n%v", name, requests, wantRequests)
		}
		if !slices.Equal(files, wantFiles) {
			t.Errorf("%s: aria2c stored %q, the reader reads %q", name, files, wantFiles)
		}
		if got := len(problems) > 0; got != c.lost {
			t.Errorf("%s: problems %q, but lost is %v", name, problems, c.lost)
		}
	}
}
