package direct

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func newDirect(t *testing.T) download.Engine {
	t.Helper()
	e := newEngine(t, "")
	t.Cleanup(func() { _ = e.Close() }) // never fails
	return e
}

// The server sends one version, cut in the middle, and then another of the same length.
// The file is one of them.
func TestResume_ChangedFileIsNeverMixed(t *testing.T) {
	before, after := bytes.Repeat([]byte("a"), 500_000), bytes.Repeat([]byte("b"), 500_000)
	type version struct{ tag, modified string }
	const today = "Thu, 02 Jan 2020 00:00:00 GMT" // of every answer
	for name, c := range map[string]struct {
		before, after version
		stubborn      bool // answers 206 whatever If-Range says
	}{
		"strong tags":                {version{`"1"`, ""}, version{`"2"`, ""}, false},
		"dates":                      {version{"", "Wed, 01 Jan 2020 00:00:00 GMT"}, version{"", "Wed, 01 Jan 2020 12:00:00 GMT"}, false},
		"weak tags":                  {version{`W/"1"`, ""}, version{`W/"1"`, ""}, false},
		"neither":                    {version{}, version{}, false},
		"If-Range ignored, tags":     {version{`"1"`, ""}, version{`"2"`, ""}, true},
		"If-Range ignored, dates":    {version{"", "Wed, 01 Jan 2020 00:00:00 GMT"}, version{"", "Wed, 01 Jan 2020 12:00:00 GMT"}, true},
		"If-Range ignored, tag gone": {version{`"1"`, ""}, version{}, true},
		"the same date, another tag": {version{`"1"`, "Wed, 01 Jan 2020 00:00:00 GMT"}, version{`"2"`, "Wed, 01 Jan 2020 00:00:00 GMT"}, true},
		"a date of this second":      {version{"", today}, version{"", today}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var served atomic.Int64
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				v, data := c.after, after
				if served.Add(1) == 1 {
					v, data = c.before, before
				}
				w.Header().Set("Date", today)
				if v.tag != "" {
					w.Header().Set("ETag", v.tag)
				}
				if v.modified != "" {
					w.Header().Set("Last-Modified", v.modified)
				}
				if c.stubborn {
					r.Header.Del("If-Range")
				}
				serve := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
				}))
				if served.Load() == 1 {
					serve = downloadtest.Cut(serve, 200_000, 1)
				}
				serve.ServeHTTP(w, r)
			}))
			e := newDirect(t)
			job := downloadtest.Job(t, "changing", s.URL+"/file")
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, after)
		})
	}
}

// A server answers each If-Range with the whole file and the same ETag, and drops it. A
// plain range is continued with the same strong ETag; otherwise only after a try without
// progress, and then the first bytes are read twice.
func TestResume_BrokenIfRangeNeedsTheSameETag(t *testing.T) {
	data := downloadtest.Data(500_000)
	for name, c := range map[string]struct {
		whole, plain string // ETags of the two kinds of responses
		resumes      bool
	}{
		"the same strong ETag":          {`"1"`, `"1"`, true},
		"another ETag in the range":     {`"1"`, `"2"`, false},
		"no ETag in the range":          {`"1"`, "", false},
		"a weak ETag":                   {`W/"1"`, `W/"1"`, false},
		"a weak ETag only in the range": {`"1"`, `W/"1"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole, confirmed atomic.Int64
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tag := c.plain
				if r.Header.Get("Range") == "bytes=0-499999" {
					confirmed.Add(1)
				}
				serve := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
				}))
				if r.Header.Get("If-Range") != "" || r.Header.Get("Range") == "" {
					r.Header.Del("Range")
					if tag = c.whole; whole.Add(1) <= 2 {
						serve = downloadtest.Cut(serve, 200_000, 1)
					}
				}
				if tag != "" {
					w.Header().Set("ETag", tag)
				}
				serve.ServeHTTP(w, r)
			}))
			e := newDirect(t)
			job := downloadtest.Job(t, "broken", s.URL+"/file")
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if n := confirmed.Load(); (n == 0) != c.resumes {
				t.Errorf("the first bytes were confirmed %d times", n)
			}
		})
	}
}

// An unknown version is continued only if the task has a checksum.
func TestResume_UnknownVersionNeedsAChecksum(t *testing.T) {
	data := downloadtest.Data(500_000)
	s := downloadtest.Serve(t, downloadtest.Cut(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}), 200_000, 1))
	e := newDirect(t)
	job := downloadtest.Job(t, "checked", s.URL+"/file")
	job.Task.Checksum = "md5=" + md5Of(data)
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	if sent := s.Sent.Load(); sent != int64(len(data)) {
		t.Errorf("the server sent %d bytes for %d", sent, len(data))
	}
}

func md5Of(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// The bytes in the folder are continued only if they match the source.
func TestResume_OnlyMatchingBytesAreContinued(t *testing.T) {
	data := downloadtest.Data(100_000)
	source := downloadtest.Serve(t, downloadtest.Content(data))
	resp, err := http.Get(source.URL + "/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	whole := `{"name":"file","source":"` + download.HashOf(source.URL+"/file") + `","etag":` + quote(resp.Header.Get("ETag")) +
		`,"last_modified":` + quote(resp.Header.Get("Last-Modified")) + `,"length":100000}`
	pieces := strings.Repeat("x", 10_000) + string(data[10_000:30_000]) + strings.Repeat("x", 30_000) + string(data[60_000:])
	ended := int64(0)
	for name, c := range map[string]struct {
		files map[string]string
		sent  int64
	}{
		"nothing":                     {nil, 100_000},
		"half of it":                  {map[string]string{"file.part": string(data[:50_000]), "file.part.json": whole, "file.part.map": begun(0, 50_000)}, 50_000},
		"all of it":                   {map[string]string{"file.part": string(data), "file.part.json": whole, "file.part.map": begun(0, 100_000)}, 0},
		"two pieces of it":            {map[string]string{"file.part": pieces, "file.part.json": whole, "file.part.map": begun(10_000, 30_000, 60_000, 100_000)}, 40_000},
		"a map of more than there is": {map[string]string{"file.part": string(data[:50_000]), "file.part.json": whole, "file.part.map": begun(0, 80_000)}, 50_000},
		"a map of nonsense":           {map[string]string{"file.part": pieces, "file.part.json": whole, "file.part.map": begun(-5, 30_000, 20_000, 10_000, 90_000, 95_000)}, 95_000},
		"a broken map":                {map[string]string{"file.part": string(data[:50_000]), "file.part.json": whole, "file.part.map": "x"}, 100_000},
		"no map":                      {map[string]string{"file.part": string(data[:50_000]), "file.part.json": whole}, 100_000},
		"a map of an earlier boot":    {map[string]string{"file.part": string(data[:50_000]), "file.part.json": whole, "file.part.map": rebooted(50_000, 20_000)}, 80_000},
		"all of it, renamed already":  {map[string]string{"file": string(data), "file.part.json": whole}, 0},
		"more than all of it":         {map[string]string{"file.part": string(data) + "x", "file.part.json": whole, "file.part.map": begun(0, 100_000)}, 100_000},
		"a part without its meta":     {map[string]string{"file.part": string(data[:50_000])}, 100_000},
		"a broken meta":               {map[string]string{"file.part": string(data[:50_000]), "file.part.json": whole[:40]}, 100_000},
		"a meta without its part":     {map[string]string{"file.part.json": whole}, 100_000},
		"two metas":                   {map[string]string{"file.part": "x", "file.part.json": whole, "b.part.json": strings.Replace(whole, `"file"`, `"b"`, 1)}, 100_000},
		"a meta that leads out":       {map[string]string{"file.part.json": strings.Replace(whole, `"file"`, `"../file"`, 1)}, 100_000},
		"a part of another source with its strong tag": {map[string]string{"file.part": string(data[:50_000]), "file.part.map": begun(0, 50_000),
			"file.part.json": strings.Replace(whole, `"source":"`, `"source":"0`, 1)}, 50_000},
		"a part of another source with another tag": {map[string]string{"file.part": string(data[:50_000]), "file.part.map": begun(0, 50_000),
			"file.part.json": strings.NewReplacer(`"source":"`, `"source":"0`, `"etag":"\"`, `"etag":"\"0`).Replace(whole)}, 100_000},
		"a part of another source with a weak tag": {map[string]string{"file.part": string(data[:50_000]), "file.part.map": begun(0, 50_000),
			"file.part.json": strings.NewReplacer(`"source":"`, `"source":"0`, `"etag":"`, `"etag":"W/`).Replace(whole)}, 100_000},
		"leftovers of aria2":            {map[string]string{"file": "zeros", "file.aria2": "x"}, 100_000},
		"a whole file that nobody told": {map[string]string{"file": strings.Repeat("x", 100_000)}, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			before := source.Sent.Load()
			e := newDirect(t)
			job := downloadtest.Job(t, "found", source.URL+"/file")
			for name, content := range c.files {
				if err := os.WriteFile(filepath.Join(job.Dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			for ; ended < source.Requests.Load(); ended++ {
				<-source.Ended // only then are its bytes counted
			}
			if sent := source.Sent.Load() - before; sent != c.sent {
				t.Errorf("the server sent %d bytes, want %d", sent, c.sent)
			}
			if entries, err := os.ReadDir(job.Dir); err != nil || len(entries) != 1 {
				t.Errorf("besides the file there is something left: %v, %v", entries, err)
			}
		})
	}
}

// begun is a map file of this boot with pieces, given as from, to, from, to.
func begun(edges ...int64) string {
	var list []*span
	for i := 0; i < len(edges); i += 2 {
		list = append(list, &span{from: edges[i], pos: edges[i+1]})
	}
	return string(encodeMap(download.BootID(), list))
}

// rebooted is one of another boot: of what was written not all came to the disk.
func rebooted(written, synced int64) string {
	return string(appendSlot(encodeMap("another", nil), 0, written, synced))
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// A link in the folder is not followed.
func TestFolder_LinkIsNotFollowed(t *testing.T) {
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := newDirect(t)
	job := downloadtest.Job(t, "linked", s.URL+"/file")
	for _, name := range []string{"file", "file.part", "file.part.json"} {
		if err := os.Symlink(outside, filepath.Join(job.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, downloadtest.Data(1000))
	if got, err := os.ReadFile(outside); err != nil || string(got) != "kept" {
		t.Errorf("the file outside is now %q, %v", got, err)
	}
}

// Credentials are not sent to another port, which is another host.
func TestSecrets_StayWithTheirHost(t *testing.T) {
	data := downloadtest.Data(1000)
	headers := make(chan http.Header, 10)
	record := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		downloadtest.Content(data).ServeHTTP(w, r)
	})
	other := downloadtest.Serve(t, record)
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler(other.URL+"/file", http.StatusFound))
	mux.Handle("/near", http.RedirectHandler("/file", http.StatusFound))
	mux.Handle("/file", record)
	own := downloadtest.Serve(t, mux)
	e := newDirect(t)
	for path, kept := range map[string]bool{"/away": false, "/near": true} {
		job := downloadtest.Job(t, "to"+path[1:], strings.Replace(own.URL, "http://", "http://me:secret@", 1)+path)
		job.Task.Options["header"] = model.OptionValue{"Cookie: a=b", "X-Api-Key: c"}
		downloadtest.Add(t, e, job)
		downloadtest.MustComplete(t, e, job, data)
		h := <-headers
		for _, name := range []string{"Authorization", "Cookie", "X-Api-Key"} {
			if got := h.Get(name) != ""; got != kept {
				t.Errorf("%s: %s is sent: %v, want %v", path, name, got, kept)
			}
		}
		if strings.Contains(h.Get("Referer"), "secret") {
			t.Errorf("%s: the referer tells the password", path)
		}
	}
}

// The connection to a silent server is closed.
func TestFetch_SilentServerIsLeft(t *testing.T) {
	hang := make(chan struct{})
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/middle" {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("some")) // the client waits for more
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer close(hang)
	e := newDirect(t)
	for _, path := range []string{"/start", "/middle"} {
		downloadtest.Add(t, e, downloadtest.Job(t, path[1:], s.URL+path, "timeout", "1", "max-tries", "1"))
	}
	for _, id := range []string{"start", "middle"} {
		if err := downloadtest.MustFail(t, e, id); err.Code != 2 || err.Class != model.ClassRetryable {
			t.Errorf("%s: %+v", id, err)
		}
	}
}

// Jobs beyond the slots wait.
func TestEngine_JobsBeyondTheSlotsWait(t *testing.T) {
	var now, most atomic.Int64
	data := downloadtest.Data(50_000)
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		downloadtest.Content(data).ServeHTTP(w, r)
	}))
	e, err := New(Config{Slots: 2, Logger: downloadtest.Logger(t), Guard: downloadtest.Loopback(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	jobs := make([]download.Job, 20)
	for i := range jobs {
		jobs[i] = downloadtest.Job(t, string(rune('a'+i)), s.URL+"/file")
		downloadtest.Add(t, e, jobs[i])
	}
	for _, job := range jobs {
		downloadtest.MustComplete(t, e, job, data)
	}
	if most.Load() > 3 { // a handler may end a moment after its client
		t.Errorf("%d at once", most.Load())
	}
}

// Each kind of error has its code.
func TestFailureOf_EachErrorHasItsCode(t *testing.T) {
	for _, c := range []struct {
		err   error
		code  int
		class model.Class
	}{
		{download.StatusError(404), 3, model.ClassPermanent}, {download.StatusError(410), 3, model.ClassPermanent},
		{download.StatusError(401), 24, model.ClassPermanent}, {download.StatusError(403), 22, model.ClassWorker},
		{download.StatusError(429), 22, model.ClassRetryable}, {download.StatusError(503), 22, model.ClassRetryable},
		{errChecksum, 32, model.ClassPermanent},
		{errStalled, 2, model.ClassRetryable}, {errChanged, 8, model.ClassRetryable},
		{io.ErrUnexpectedEOF, 6, model.ClassRetryable},
		{local(16, os.ErrPermission), 16, model.ClassWorker}, {local(17, io.ErrShortWrite), 17, model.ClassWorker},
		{local(17, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), 9, model.ClassWorker},
		{local(16, &os.PathError{Op: "open", Path: "x", Err: syscall.ENAMETOOLONG}), 16, model.ClassPermanent},
	} {
		got := failureOf(&model.Task{}, c.err)
		if got.Code != c.code || got.Class != c.class {
			t.Errorf("%v: %+v, want code %d, %s", c.err, got, c.code, c.class)
		}
	}
}

// The defaults are those with which aria2c runs.
func TestSettings_DefaultsAreThoseOfAria2c(t *testing.T) {
	got := settingsOf(&model.TaskSpec{}, download.DefaultStallTimeout)
	want := settings{timeout: 60 * time.Second, connectTimeout: 15 * time.Second, maxTries: 5, retryWait: time.Second, connections: 1, perServer: 1, split: 1, minSplit: 20 << 20}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	got = settingsOf(&model.TaskSpec{Options: model.Options{
		"timeout": {"7"}, "connect-timeout": {"8"}, "max-tries": {"9"}, "retry-wait": {"0"}, "split": {"4"}, "max-connection-per-server": {"3"},
	}}, download.DefaultStallTimeout)
	want = settings{timeout: 7 * time.Second, connectTimeout: 8 * time.Second, maxTries: 9, connections: 3, perServer: 3, split: 4, minSplit: 20 << 20}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
