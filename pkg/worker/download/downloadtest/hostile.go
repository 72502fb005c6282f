package downloadtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

// hostile are the tests with servers that lie, stall and change their minds.
var hostile = map[string]func(*testing.T, harness){
	"a drop at each tenth of a file leaves it whole":            dropAtEachTenth,
	"a file in pieces of 3 MB comes whole in one attempt":       piecesOfThreeMB,
	"a body that ends early is never taken for the file":        endsEarly,
	"a body that goes on is cut where its length says":          goesOn,
	"a server that falls silent is left":                        fallsSilent,
	"a slow drip is a download":                                 slowDrip,
	"a file that changed between attempts is never mixed":       changedBetween,
	"a file that changes while it is fetched is never mixed":    changedMeanwhile,
	"a file that changes with every answer is never taken":      changesAlways,
	"a file in its Content-Encoding is kept or undone, whole":   contentEncoding,
	"every status that is no success has its class and code":    everyStatus,
	"lengths beyond 32 bits are told":                           fiveGigabytes,
	"names of 300 bytes, with NUL or reserved do no harm":       longNames,
	"a hundred headers and a header of 100 kB do no harm":       bigHeaders,
	"what is no HTTP fails and says so":                         noHTTP,
	"a range that was not asked for is never taken for another": wrongRange,
}

func dropAtEachTenth(t *testing.T, h harness) {
	data := Data(1_000_000)
	jobs := make([]download.Job, 0, 9)
	for tenth := 1; tenth <= 9; tenth++ {
		s := Serve(t, Cut(Content(data), tenth*len(data)/10, 1))
		job := Job(t, fmt.Sprintf("drop-%d", tenth), s.URL+"/file")
		Add(t, h.shared, job)
		jobs = append(jobs, job)
	}
	for _, job := range jobs {
		MustComplete(t, h.shared, job, data)
	}
}

func piecesOfThreeMB(t *testing.T, h harness) {
	data := Data(60 << 20)
	s := Serve(t, Cut(Content(data), 3<<20, -1))
	job := Job(t, "pieces", s.URL+"/file")
	Add(t, h.shared, job)
	MustComplete(t, h.shared, job, data)
	if sent := s.Sent.Load(); sent > int64(len(data))*11/10 {
		t.Errorf("the server sent %d bytes for a file of %d", sent, len(data))
	}
}

func endsEarly(t *testing.T, h harness) {
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(Data(100_000)) // the client sees that it is less
	}))
	Add(t, h.shared, Job(t, "early-end", s.URL+"/file", "max-tries", "2"))
	if err := MustFail(t, h.shared, "early-end"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

func goesOn(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", data))
	job := Job(t, "goes-on", s.URL+"/file")
	Add(t, h.shared, job)
	MustComplete(t, h.shared, job, data[:90_000])
}

// raw answers with these bytes and closes the connection.
func raw(head string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = buf.WriteString(head) // a client that is gone is no matter
		if r.Method != http.MethodHead {
			_, _ = buf.Write(body)
		}
		_ = buf.Flush()
	})
}

func fallsSilent(t *testing.T, h harness) {
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "200000")
		_, _ = w.Write(Data(1000))
		_ = http.NewResponseController(w).Flush()
		if r.Method != http.MethodHead {
			<-r.Context().Done()
		}
	}))
	Add(t, h.shared, Job(t, "silent", s.URL+"/file", "timeout", "1", "max-tries", "1"))
	if err := MustFail(t, h.shared, "silent"); err.Class != model.ClassRetryable || err.Code != download.CodeTimeout {
		t.Errorf("%+v", err)
	}
}

func slowDrip(t *testing.T, h harness) {
	data := Data(50)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		for i := range data {
			if r.Method == http.MethodHead {
				return
			}
			if _, err := w.Write(data[i : i+1]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(30 * time.Millisecond):
			}
		}
	}))
	job := Job(t, "drip", s.URL+"/file", "timeout", "5")
	Add(t, h.shared, job)
	MustComplete(t, h.shared, job, data)
}

// editions serves one of several versions of a file, with what tells them apart.
type editions struct {
	data     [][]byte
	tag      func(i int) string    // the ETag of a version; nil: none
	modified func(i int) time.Time // nil: never said
	deaf     bool                  // If-Range is ignored
	now      atomic.Int64
}

func (e *editions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := int(e.now.Load())
	if e.tag != nil {
		w.Header().Set("ETag", e.tag(i))
	}
	var modified time.Time
	if e.modified != nil {
		modified = e.modified(i)
	}
	if e.deaf {
		r.Header.Del("If-Range")
	}
	http.ServeContent(w, r, "", modified, bytes.NewReader(e.data[i]))
}

func tagOf(i int) string { return fmt.Sprintf(`"v%d"`, i) }

func dateOf(i int) time.Time { return time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC) }

// someEditions are two versions of a file in each way in which servers tell them
// apart.
func someEditions() map[string]*editions {
	const n = 2 << 20
	one := Data(n)
	two := bytes.Repeat([]byte("another"), n)[:n]
	return map[string]*editions{
		"etag":          {data: [][]byte{one, two}, tag: tagOf},
		"weak-etag":     {data: [][]byte{one, two}, tag: func(i int) string { return "W/" + tagOf(i) }},
		"date":          {data: [][]byte{one, two}, modified: dateOf},
		"both":          {data: [][]byte{one, two}, tag: tagOf, modified: dateOf},
		"etag-deaf":     {data: [][]byte{one, two}, tag: tagOf, deaf: true},
		"date-deaf":     {data: [][]byte{one, two}, modified: dateOf, deaf: true},
		"length":        {data: [][]byte{one, append(two[:n:n], "longer"...)}},
		"length-less":   {data: [][]byte{one, two[:n-5000]}},
		"etag-appears":  {data: [][]byte{one, two}, tag: func(i int) string { return []string{"", tagOf(1)}[i] }},
		"etag-vanishes": {data: [][]byte{one, two}, tag: func(i int) string { return []string{tagOf(0), ""}[i] }},
	}
}

func changedBetween(t *testing.T, h harness) {
	for name, e := range someEditions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var throttle Throttle
			throttle.Set(1 << 20)
			s := Serve(t, throttle.Slow(e))
			job := Job(t, "changed-"+name, s.URL+"/file")
			Add(t, h.shared, job)
			Await(t, h.shared, job.Task.ID, Reached(500_000))
			Remove(t, h.shared, job.Task.ID)
			e.now.Store(1)
			throttle.Set(0)
			Add(t, h.shared, job)
			MustCompleteInTheEnd(t, h.shared, job, e.data[1])
		})
	}
}

func changedMeanwhile(t *testing.T, h harness) {
	for name, e := range someEditions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var once sync.Once
			s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead && r.Header.Get("Range") != "bytes=0-0" && e.now.Load() == 0 {
					defer once.Do(func() { e.now.Store(1) })
					w = &cutter{ResponseWriter: w, left: 900_000}
				}
				e.ServeHTTP(w, r)
			}))
			job := Job(t, "meanwhile-"+name, s.URL+"/file")
			Add(t, h.shared, job)
			MustCompleteInTheEnd(t, h.shared, job, e.data[1])
		})
	}
}

func changesAlways(t *testing.T, h harness) {
	one, two := Data(600_000), bytes.Repeat([]byte("x"), 600_000)
	var n atomic.Int64
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := n.Add(1)
		w.Header().Set("ETag", tagOf(int(k)))
		data := one
		if k%2 == 0 {
			data = two
		}
		if r.Method != http.MethodHead {
			w = &cutter{ResponseWriter: w, left: 200_000}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	Add(t, h.shared, Job(t, "always", s.URL+"/file", "max-tries", "3"))
	if err := MustFail(t, h.shared, "always"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

func contentEncoding(t *testing.T, h harness) {
	data := []byte(strings.Repeat("so much the same ", 20_000))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(data) // into memory
	_ = z.Close()
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(packed.Len()))
		_, _ = w.Write(packed.Bytes())
	}))
	job := Job(t, "gzip", s.URL+"/file")
	Add(t, h.shared, job)
	state := Await(t, h.shared, "gzip", Ended)
	if len(state.Files) == 1 && state.Files[0].Length == int64(len(data)) {
		check(t, job, state, data)
		return
	}
	check(t, job, state, packed.Bytes())
}

func everyStatus(t *testing.T, h harness) {
	for status, want := range map[int]model.TaskError{
		204: {Class: model.ClassRetryable},
		304: {Class: model.ClassRetryable},
		402: {Code: 22, Class: model.ClassPermanent},
		403: {Code: 22, Class: model.ClassWorker},
		404: {Code: 3, Class: model.ClassPermanent},
		405: {Code: 22, Class: model.ClassPermanent},
		407: {Class: model.ClassPermanent},
		408: {Code: 22, Class: model.ClassRetryable},
		410: {Class: model.ClassPermanent},
		416: {Class: model.ClassPermanent},
		425: {Code: 22, Class: model.ClassRetryable},
		451: {Code: 22, Class: model.ClassPermanent},
		502: {Class: model.ClassRetryable},
		503: {Class: model.ClassRetryable},
		504: {Class: model.ClassRetryable},
		599: {Code: 22, Class: model.ClassRetryable},
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
			id := fmt.Sprintf("every-%d", status)
			Add(t, h.shared, Job(t, id, s.URL+"/file", "max-tries", "1"))
			got := MustFail(t, h.shared, id)
			if want.Code != 0 && got.Code != want.Code || got.Class != want.Class || got.Message == "" {
				t.Errorf("status %d: %+v, want %+v", status, got, want)
			}
		})
	}
}

// zeros is a file of n bytes that nobody stores.
type zeros struct{ n, at int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.n-z.at)
	if n == 0 {
		return 0, io.EOF
	}
	clear(p[:n])
	z.at += n
	return int(n), nil
}

func (z *zeros) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case 0:
		z.at = offset
	case 1:
		z.at += offset
	default:
		z.at = z.n + offset
	}
	return z.at, nil
}

// Zeros serves a file of n zeros.
func Zeros(n int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"zeros-%d"`, n))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, &zeros{n: n})
	})
}

func fiveGigabytes(t *testing.T, h harness) {
	const size = 5 << 30
	var throttle Throttle
	throttle.Set(4 << 20)
	s := Serve(t, throttle.Slow(Zeros(size)))
	Add(t, h.shared, Job(t, "five", s.URL+"/file"))
	state := Await(t, h.shared, "five", Reached(1<<20))
	if state.Total != size || state.Phase != download.Active {
		t.Errorf("%+v, error %+v", state, state.Err)
	}
	Remove(t, h.shared, "five")
}

func longNames(t *testing.T, h harness) {
	data := Data(1000)
	for id, c := range map[string]struct{ path, disposition string }{
		"long":         {"/file", `attachment; filename="` + strings.Repeat("n", 300) + `"`},
		"long-url":     {"/" + strings.Repeat("u", 300), ""},
		"nul":          {"/a%00b", ""},
		"nul-header":   {"/file", `attachment; filename*=UTF-8''a%00b`},
		"newline":      {"/file", `attachment; filename*=UTF-8''a%0Ab`},
		"reserved":     {"/file", `attachment; filename="CON"`},
		"hidden":       {"/file", `attachment; filename=".bashrc"`},
		"empty":        {"/file", `attachment; filename=""`},
		"not-utf8":     {"/%ff%fe", ""},
		"right-to-lef": {"/file", "attachment; filename*=UTF-8''%E2%80%AEgpj.exe"},
		"ours":         {"/file", `attachment; filename=".aria-version.json"`},
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.disposition != "" {
					w.Header().Set("Content-Disposition", c.disposition)
				}
				Content(data).ServeHTTP(w, r)
			}))
			job := Job(t, "named-"+id, s.URL+c.path, "max-tries", "1")
			Add(t, h.shared, job)
			state := Await(t, h.shared, job.Task.ID, Ended)
			if state.Phase == download.Complete {
				check(t, job, state, data)
			} else if state.Err.Message == "" || state.Err.Class == model.ClassRetryable {
				t.Errorf("fails with %+v: another try would not help", state.Err)
			}
			for path := range tree(t, filepath.Dir(job.Dir)) {
				if !strings.HasPrefix(path, "task/") {
					t.Errorf("%q is outside the task's folder", path)
				}
			}
		})
	}
}

func bigHeaders(t *testing.T, h harness) {
	data := Data(1000)
	for id, size := range map[string]int{"hundred": 10, "huge": 100_000} {
		s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for i := range min(100, 1_000_000/size) {
				w.Header().Set(fmt.Sprintf("X-Header-%d", i), strings.Repeat("h", size))
			}
			Content(data).ServeHTTP(w, r)
		}))
		job := Job(t, "headers-"+id, s.URL+"/file", "max-tries", "1")
		Add(t, h.shared, job)
		if state := Await(t, h.shared, job.Task.ID, Ended); state.Phase == download.Complete {
			check(t, job, state, data)
		} else if id == "hundred" || state.Err.Message == "" {
			t.Errorf("%s: %+v", id, state.Err)
		}
	}
}

func noHTTP(t *testing.T, h harness) {
	for id, head := range map[string]string{
		"smtp": "220 mail.example ESMTP\r\n", "nothing": "", "binary": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"bad-length": "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			s := Serve(t, raw(head, nil))
			Add(t, h.shared, Job(t, "no-http-"+id, s.URL+"/file", "max-tries", "1", "timeout", "2"))
			if err := MustFail(t, h.shared, "no-http-"+id); err.Class != model.ClassRetryable || err.Message == "" {
				t.Errorf("%+v", err)
			}
		})
	}
}

// wrongRange is a server that answers every range with the start of the file and
// calls it what was asked for only in the status.
func wrongRange(t *testing.T, h harness) {
	data := Data(1_000_000)
	s := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tagOf(0))
		w.Header().Set("Accept-Ranges", "bytes")
		status := http.StatusOK
		if r.Header.Get("Range") != "" {
			status = http.StatusPartialContent
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = (&cutter{ResponseWriter: w, left: 400_000}).Write(data)
		}
	}))
	Add(t, h.shared, Job(t, "wrong-range", s.URL+"/file", "max-tries", "2"))
	if err := MustFail(t, h.shared, "wrong-range"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}
