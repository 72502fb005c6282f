package direct

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// afterAnswer is the way to real servers; it calls then with the last byte of the
// answer to request n.
type afterAnswer struct {
	http.RoundTripper
	n    int
	then func()
}

func (a *afterAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(req)
	if a.n--; err == nil && a.n == 0 {
		resp.Body = &lastByte{resp.Body, resp.ContentLength, a.then}
	}
	return resp, err
}

type lastByte struct {
	io.ReadCloser
	left int64
	then func()
}

func (b *lastByte) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left == 0 && n > 0 {
		b.then()
	}
	return n, err
}

// A fetch that ends just when the second of three gaps is filled has not completed the
// file.
func TestFetch_EndBetweenPiecesIsIncomplete(t *testing.T) {
	errDisk := local(download.CodeFileIO, errors.New("the disk is ill"))
	for name, c := range map[string]struct {
		ends error // what ends it within; nil: the task is taken away
		want error
	}{
		"a task that is taken away":      {nil, context.Canceled},
		"a disk that does not keep data": {errDisk, errDisk},
	} {
		t.Run(name, func(t *testing.T) {
			data := downloadtest.Data(100_000)
			s := downloadtest.Serve(t, downloadtest.Content(data))
			dir, j := gaps(t, s.URL+"/file")
			f, err := openFolder(dir, false, nil, &download.Space{})
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			ctx, stop := context.WithCancelCause(t.Context())
			j.client.Transport = &afterAnswer{j.client.Transport, 2, func() { stop(c.ends) }}
			if err := j.fetch(ctx, f, s.URL+"/file"); !errors.Is(err, c.want) {
				t.Errorf("the fetch ends with %v, want %v", err, c.want)
			}
			if f.isComplete() {
				t.Fatal("nothing is missing: the test shows nothing")
			}
			if files, _, err := f.finish(); err == nil {
				t.Errorf("a file with a gap is finished: %v", files)
			}
			if _, err := os.Lstat(filepath.Join(dir, "file")); err == nil {
				t.Error("a file with a gap has the name of a whole one")
			}
		})
	}
}

// gaps returns a folder with every second fifth of /file, and a job that continues it
// over one connection.
func gaps(t *testing.T, url string) (string, *job) {
	t.Helper()
	dj := downloadtest.Job(t, "gaps", url)
	e := open(t, Config{})
	j := e.newJob(dj, func() {})
	transport := download.NewTransport(e.cfg.Guard, j.connectTimeout)
	t.Cleanup(transport.CloseIdleConnections)
	j.client = &http.Client{Transport: transport}
	f, err := openFolder(dj.Dir, false, nil, &download.Space{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := download.NewRequest(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := j.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := f.begin(newMeta("", url, resp)); err != nil {
		t.Fatal(err)
	}
	f.close()
	for name, content := range map[string]string{
		"file.part": string(make([]byte, 100_000)), "file.part.map": begun(0, 20_000, 40_000, 60_000, 80_000, 90_000),
	} {
		if err := os.WriteFile(filepath.Join(dj.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dj.Dir, j
}
