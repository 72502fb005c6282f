package aria2

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A length that no disk of this worker could hold ends the task with a clear sentence,
// and aria2c never asks that server.
func TestLength_ImpossibleNeverReachesAria2c(t *testing.T) {
	t.Parallel()
	e := newAria2(t, t.TempDir())
	for name, test := range map[string]struct {
		head  string // its header lines; "" refuses HEAD
		get   string
		class model.Class
		says  string
	}{
		"larger-than-any-disk":   {"Content-Length: 4611686018427387904", "", model.ClassPermanent, "than any disk"},
		"larger-than-int64":      {"Content-Length: 99999999999999999999", "", model.ClassPermanent, "than any disk"},
		"larger-than-this-disk":  {"Content-Length: 1000000000000000", "", model.ClassWorker, "the disk of this worker"},
		"in-the-range":           {"", "Content-Length: 1\r\nContent-Range: bytes 0-0/4611686018427387904", model.ClassPermanent, "than any disk"},
		"in-the-range-no-number": {"", "Content-Length: 1\r\nContent-Range: bytes 0-0/99999999999999999999", model.ClassPermanent, "than any disk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64 // by aria2c
			host := testbed.Listen(t, "127.0.0.1:0", func(conn net.Conn) {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if req.Header.Get("Want-Digest") != "" { // only aria2c asks for one
					asked.Add(1)
					return
				}
				lines, status := test.head, "200 OK"
				if req.Method == http.MethodGet {
					lines, status = test.get, "206 Partial Content"
				} else if lines == "" {
					lines, status = "Content-Length: 0", "405 Method Not Allowed"
				}
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n%s\r\n\r\n", status, lines) // the client may be gone
			})
			downloadtest.Add(t, e, downloadtest.Job(t, name, "http://"+host+"/file"))
			err := downloadtest.MustFail(t, e, name)
			if err.Class != test.class || !strings.Contains(err.Message, test.says) {
				t.Errorf("%+v", err)
			}
			if n := asked.Load(); n != 0 {
				t.Errorf("aria2c asked %d times", n)
			}
		})
	}
}

// A Content-Range tells the length, or that it is too large for a number.
func TestRangeTotal_ReadsEveryForm(t *testing.T) {
	for header, want := range map[string]int64{
		"bytes 0-0/1000": 1000, "bytes 0-0/*": -1, "": -1, "items 0-0/5": -1, "bytes 0-0/x": -1, "bytes 0-0/-5": -1,
		"bytes 0-0/9223372036854775807": math.MaxInt64, "bytes 0-0/9223372036854775808": math.MaxInt64,
		"bytes 0-0/99999999999999999999999": math.MaxInt64,
	} {
		if got := rangeTotal(header); got != want {
			t.Errorf("%q: %d, want %d", header, got, want)
		}
	}
}
