package aria2

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// links is a metalink with these files, each a name and what stands in it.
func links(files ...string) []byte {
	var b strings.Builder
	for i := 0; i < len(files); i += 2 {
		fmt.Fprintf(&b, "<file name=%q>%s</file>", files[i], files[i+1])
	}
	return []byte(`<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">` + b.String() + `</metalink>`)
}

// A metalink completes with the right bytes, whatever form its hashes are written in.
func TestMetalink_CompletesWithRightBytes(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	data := downloadtest.Data(200_000)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	good := "<url>" + s.URL + "/f.bin</url>"
	for id, c := range map[string]struct {
		metalink []byte
		options  model.Options
		checksum string
		want     string
	}{
		"plain":        {links("f.bin", good), nil, "", "f.bin"},
		"folder":       {links("dir/f.bin", good), nil, "", "dir/f.bin"},
		"reserved":     {links("d/f.aria2", good), nil, "", "d/f.aria2_"},
		"long-name":    {links(strings.Repeat("n", 246)+".bin", good), nil, "", strings.Repeat("n", 236) + ".bin"},
		"hash":         {links("f.bin", "<size>200000</size><hash type='SHA256'>"+strings.ToUpper(sumOf(data))+"</hash>"+good), nil, "", "f.bin"},
		"dead-first":   {links("f.bin", "<url priority='1'>http://127.0.0.1:1/f.bin</url>"+good), nil, "", "f.bin"},
		"other-scheme": {links("f.bin", "<url priority='1'>gopher://127.0.0.1/f.bin</url>"+good), nil, "", "f.bin"},
		"checksum":     {links("f.bin", good), nil, "sha-256=" + sumOf(data), "f.bin"},
		"select-file":  {links("a", "<url>gopher://x/</url>", "f.bin", good), model.Options{"select-file": {"2"}}, "sha-256=" + sumOf(data), "f.bin"},
		"version-3": {[]byte(`<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="f.bin"><verification><hash type="sha256">` + sumOf(data) +
			`</hash></verification><resources><url type="http" preference="50">` + s.URL + `/f.bin</url></resources></file></files></metalink>`), nil, "", "f.bin"},
	} {
		job := downloadtest.Job(t, id, "")
		job.Task.TaskSpec = model.TaskSpec{ID: id, Metalink: c.metalink, Options: c.options, Checksum: c.checksum}
		downloadtest.Add(t, e, job)
		state := downloadtest.Await(t, e, id, downloadtest.Ended)
		if state.Phase != download.Complete || len(state.Files) != 1 || state.Files[0].Path != c.want {
			t.Errorf("%s: %+v, %+v", id, state, state.Err)
			continue
		}
		if got, err := os.ReadFile(filepath.Join(job.Dir, c.want)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", id, len(got), err)
		}
	}
}

// A metalink that cannot work fails once and for good, with the reason.
func TestMetalink_FailsForGoodWithReason(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	data := downloadtest.Data(200_000)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	good, wrong := "<url>"+s.URL+"/f.bin</url>", strings.Repeat("0", 64)
	for id, c := range map[string]struct {
		metalink []byte
		checksum string
		code     int
		want     string
	}{
		"size-small": {links("f.bin", "<size>5</size>"+good), "", download.CodeMetalink, `the metalink says that "f.bin" has 5 bytes, 127.0.0.1 says 200000`},
		"size-large": {links("f.bin", "<size>900000</size>"+good), "", download.CodeMetalink, `the metalink says that "f.bin" has 900000 bytes, 127.0.0.1 says 200000`},
		"hash": {links("f.bin", "<hash type='SHA-256'>"+wrong+"</hash>"+good), "", download.CodeChecksum,
			`sha-256 of "f.bin" is ` + sumOf(data) + ", the metalink says " + wrong},
		"checksum":    {links("f.bin", good), "sha-256=" + wrong, download.CodeChecksum, "sha-256 is " + sumOf(data) + ", the task says " + wrong},
		"several":     {links("f.bin", good, "g.bin", good), "sha-256=" + sumOf(data), download.CodeOption, "leads to 2 files"},
		"dots":        {links("../f.bin", good), "", download.CodeMetalink, `"../f.bin" of the metalink is refused`},
		"empty":       {links(), "", download.CodeMetalink, "names no file"},
		"no-source":   {links("f.bin", ""), "", download.CodeMetalink, `no source that can be used for "f.bin"`},
		"bad-source":  {links("f.bin", "<url>gopher://h/f</url>"), "", download.CodeMetalink, `the scheme "gopher" is not supported`},
		"no-metalink": {[]byte("this is no metalink"), "", download.CodeMetalink, "not a metalink that can be read"},
	} {
		job := downloadtest.Job(t, id, "")
		job.Task.TaskSpec = model.TaskSpec{ID: id, Metalink: c.metalink, Checksum: c.checksum}
		downloadtest.Add(t, e, job)
		err := downloadtest.MustFail(t, e, id)
		if err.Code != c.code || err.Class != model.ClassPermanent || !strings.Contains(err.Message, c.want) {
			t.Errorf("%s: %+v, want %q", id, err, c.want)
		}
	}
}

// A metalink by URL resolves what is relative in it, and the task's checksum is that of
// its file; so it is with mirrors, where aria2c itself has the metalink first.
func TestMetalink_ByURLKeepsChecksum(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	data := downloadtest.Data(100_000)
	mux := http.NewServeMux()
	mux.Handle("/dir/f.bin", downloadtest.Content(data))
	mux.Handle("/dir/list", downloadtest.Content(links("f.bin", "<url>f.bin</url>")))
	s := downloadtest.Serve(t, mux)
	for id, sum := range map[string]string{"right": sumOf(data), "wrong": strings.Repeat("0", 64)} {
		job := downloadtest.Job(t, id, s.URL+"/dir/list")
		job.Task.Checksum = "sha-256=" + sum
		downloadtest.Add(t, e, job)
		if id == "right" {
			downloadtest.MustComplete(t, e, job, data)
		} else if err := downloadtest.MustFail(t, e, id); err.Code != download.CodeChecksum || !strings.Contains(err.Message, sumOf(data)) {
			t.Errorf("%+v", err)
		}
	}
}

// The option select-file counts the files of the metalink from 1.
func TestSelected_ByOption(t *testing.T) {
	files := []metalink.File{{Name: "1"}, {Name: "2"}, {Name: "3"}, {Name: "4"}}
	for option, want := range map[string]string{"": "1234", "2": "2", "1,3": "13", "2-3": "23", "3-9, 1": "134", "7": "", "x": ""} {
		got := ""
		for _, f := range selected(files, option) {
			got += f.Name
		}
		if got != want {
			t.Errorf("%q selects %q, want %q", option, got, want)
		}
	}
}

// Bytes of a metalink are continued only where each file has a hash that is known.
func TestMetalink_StartsOverWithoutChecksums(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	sum, source := strings.Repeat("a", 64), "<url>http://h/f</url>"
	for inner, want := range map[string]bool{
		`<hash type="SHA256">` + sum + `</hash>`:         false,
		`<!--<hash type="sha-256">` + sum + `</hash>-->`: true,
		`<hash type="crc32">00000000</hash>`:             true,
		"":                                               true,
	} {
		j := &job{Job: downloadtest.Job(t, "m", "")}
		j.Task.TaskSpec = model.TaskSpec{ID: "m", Metalink: links("f", inner+source)}
		if err := e.prepareMetalink(j); err != nil || j.startsOver() != want {
			t.Errorf("%s: %v, %+v", inner, j.startsOver(), err)
		}
		if bytes.Contains(j.Task.Metalink, []byte("<hash")) || !bytes.Contains(j.Task.Metalink, []byte("http://h/f")) {
			t.Errorf("aria2c gets %s", j.Task.Metalink)
		}
	}
}

// A file of a metalink that nothing verifies comes from one source, and from the next one
// if that fails. With a hash all sources are used at once.
func TestMetalink_UnverifiedFileHasOneSource(t *testing.T) {
	t.Parallel()
	const length = 4 << 20
	a, b := bytes.Repeat([]byte("a"), length), bytes.Repeat([]byte("b"), length)
	hash := "<size>4194304</size><hash type='sha-256'>" + sumOf(a) + "</hash>"
	for name, c := range map[string]struct {
		inside         string
		source, mirror http.Handler
		want           []byte
		together       bool
	}{
		"two versions":                   {"", versioned(a, `"1"`, time.Time{}), versioned(b, `"2"`, time.Time{}), a, false},
		"two versions without ETags":     {"<size>4194304</size>", versioned(a, "", time.Time{}), versioned(b, "", time.Time{}), a, false},
		"a hash":                         {hash, versioned(a, "", time.Time{}), versioned(a, "", time.Time{}), a, true},
		"a first source that is gone":    {"", http.NotFoundHandler(), versioned(b, "", time.Time{}), b, false},
		"a first source that is ill":     {"", http.HandlerFunc(ill), versioned(b, "", time.Time{}), b, false},
		"a first source that stops":      {"", first(1, downloadtest.Cut(versioned(a, "", time.Time{}), length/2, 1), http.HandlerFunc(ill)), versioned(b, "", time.Time{}), b, false},
		"a first source of another size": {"<size>4194304</size>", versioned(a[:length-1], "", time.Time{}), versioned(b, "", time.Time{}), b, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle downloadtest.Throttle
			throttle.Set(8 << 20)
			source, mirror := downloadtest.Serve(t, throttle.Slow(c.source)), downloadtest.Serve(t, throttle.Slow(c.mirror))
			e := withBT(t)
			job := downloadtest.Job(t, "links", "")
			options := model.Options{"split": {"2"}, "min-split-size": {"1M"}, "max-tries": {"2"}, "retry-wait": {"0"}}
			job.Task.TaskSpec = model.TaskSpec{ID: "links", Options: options, Metalink: links("f", c.inside+
				"<url priority='1'>"+source.URL+"/f</url><url priority='2'>"+strings.Replace(mirror.URL, "127.0.0.1", "localhost", 1)+"/f</url>")}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, c.want)
			if together := source.Sent.Load() > 0 && mirror.Sent.Load() > 0 && mirror.Sent.Load() < length; together != c.together {
				t.Errorf("the source sent %d bytes and the mirror %d", source.Sent.Load(), mirror.Sent.Load())
			}
		})
	}
}
