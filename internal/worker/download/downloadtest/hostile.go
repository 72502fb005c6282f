package downloadtest

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// hostile are the tests with servers that lie, stall and change their files.
var hostile = map[string]func(*testing.T, harness){
	"a drop at each tenth of a file leaves it whole":            dropAtEachTenth,
	"a file in pieces of 3 MB comes whole in one attempt":       piecesOfThreeMB,
	"a body that ends early is never taken for the file":        endsEarly,
	"a body that is too long is cut at its length":              longBody,
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
	checkSent(t, s, data, 110)
}

func endsEarly(t *testing.T, h harness) {
	s := Serve(t, shortBody())
	Add(t, h.shared, Job(t, "early-end", s.URL+"/file", "max-tries", "2"))
	if err := MustFail(t, h.shared, "early-end"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

func longBody(t *testing.T, h harness) {
	data := Data(100_000)
	s := Serve(t, raw("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", data))
	job := Job(t, "long-body", s.URL+"/file")
	Add(t, h.shared, job)
	MustComplete(t, h.shared, job, data[:90_000])
}

func fallsSilent(t *testing.T, h harness) {
	s := Serve(t, silentBody())
	Add(t, h.shared, Job(t, "silent", s.URL+"/file", "timeout", "1", "max-tries", "1"))
	if err := MustFail(t, h.shared, "silent"); err.Class != model.ClassRetryable || err.Code != download.CodeTimeout {
		t.Errorf("%+v", err)
	}
}

func slowDrip(t *testing.T, h harness) {
	data := Data(50)
	s := Serve(t, drip(data))
	job := Job(t, "drip", s.URL+"/file", "timeout", "5")
	Add(t, h.shared, job)
	MustComplete(t, h.shared, job, data)
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
			s := Serve(t, changesOnce(e))
			job := Job(t, "meanwhile-"+name, s.URL+"/file")
			Add(t, h.shared, job)
			MustCompleteInTheEnd(t, h.shared, job, e.data[1])
		})
	}
}

func changesAlways(t *testing.T, h harness) {
	s := Serve(t, changing())
	Add(t, h.shared, Job(t, "always", s.URL+"/file", "max-tries", "3"))
	if err := MustFail(t, h.shared, "always"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}

func contentEncoding(t *testing.T, h harness) {
	data, packed := gzipped()
	s := Serve(t, encoded(packed))
	job := Job(t, "gzip", s.URL+"/file")
	Add(t, h.shared, job)
	state := Await(t, h.shared, "gzip", Ended)
	if len(state.Files) == 1 && state.Files[0].Length == int64(len(data)) {
		check(t, job, state, data)
		return
	}
	check(t, job, state, packed)
}

func everyStatus(t *testing.T, h harness) {
	for status, want := range errorStatuses {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			s := Serve(t, always(status))
			id := fmt.Sprintf("every-%d", status)
			Add(t, h.shared, Job(t, id, s.URL+"/file", "max-tries", "1"))
			got := MustFail(t, h.shared, id)
			if want.Code != 0 && got.Code != want.Code || got.Class != want.Class || got.Message == "" {
				t.Errorf("status %d: %+v, want %+v", status, got, want)
			}
		})
	}
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
	for id, c := range hostileNames {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			s := Serve(t, named(c.disposition, data))
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
	for id, size := range headerSizes {
		s := Serve(t, manyHeaders(size, data))
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
	for id, head := range notHTTP {
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

func wrongRange(t *testing.T, h harness) {
	s := Serve(t, wrongRanges())
	Add(t, h.shared, Job(t, "wrong-range", s.URL+"/file", "max-tries", "2"))
	if err := MustFail(t, h.shared, "wrong-range"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
}
