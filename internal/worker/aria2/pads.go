package aria2

import (
	"context"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
)

// A torrent may have files of zeros between the others, so that each of these begins with a
// piece (BEP 47). aria2c takes them for files as all others: it asks the servers that a torrent
// names (BEP 19) for them, which do not have them, and waits for somebody who has, without end.
// So it gets the zeros from this process.

const (
	// padHost is the name that the server of zeros has for aria2c. No other server can have
	// it (RFC 6761).
	padHost     = "padding.invalid"
	maxPads     = 10_000 // of one torrent; aria2c gets no source for further ones
	padsPerCall = 1_000
)

// servePads answers a request for the path /N with N zeros.
func servePads(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil || n < 0 {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(zeros{}, 0, n))
}

// zeros is an endless file of zeros.
type zeros struct{}

// ReadAt implements [io.ReaderAt].
func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// pads returns the files of a job's torrent that only pad: their bytes by their number, which
// counts from 1.
func (j *job) pads() map[int]int64 {
	if kindOf(&j.Task.TaskSpec) != kindTorrent {
		return nil
	}
	pads := map[int]int64{}
	for i, f := range torrent.Files(j.Task.Torrent, math.MaxInt) {
		if f.Pads {
			pads[i+1] = f.Length
		}
	}
	return pads
}

// offerPads gives aria2c a source for the files that only pad, if the torrent names servers.
// The error is one of the connection.
func (e *Engine) offerPads(ctx context.Context, c *client, j *job) error {
	pads := j.pads()
	if info, err := torrent.Parse(j.Task.Torrent); len(pads) == 0 || err != nil || !info.WebSeeds || !e.isProxied() {
		return nil
	}
	var calls []call
	for number, length := range pads {
		if len(calls) < maxPads {
			url := "http://" + padHost + "/" + strconv.FormatInt(length, 10)
			calls = append(calls, call{"aria2.changeUri", []any{j.gid, number, []string{}, []string{url}, 0}})
		}
	}
	for some := range slices.Chunk(calls, padsPerCall) {
		if _, _, err := c.multicall(ctx, some); err != nil { // a download that is gone needs none
			return err
		}
	}
	return nil
}
