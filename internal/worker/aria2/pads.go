package aria2

import (
	"context"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
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

// pad is a file that only pads.
type pad struct {
	number int   // in its torrent, from 1
	length int64 // bytes
}

// servePads answers a request for the path /N with N zeros.
func servePads(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/"), 10, 64)
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

// sourcelessPads returns the files that only pad and need a source, by their number: of a torrent
// that names servers.
func (e *Engine) sourcelessPads(j *job) []pad {
	all := j.pads()
	if len(all) == 0 || !e.isProxied() {
		return nil
	}
	if info, err := torrent.Parse(j.Task.Torrent); err != nil || !info.WebSeeds {
		return nil
	}
	var list []pad
	for _, number := range slices.Sorted(maps.Keys(all)) {
		list = append(list, pad{number, all[number]})
	}
	return list[:min(len(list), maxPads)]
}

// offerPads gives aria2c a source for the files of a paused job that only pad, and has it begin the
// job. With files in the folder a running one would ask the servers at once, before it has checked
// its pieces: until then it has the files open for reading only, and gives up each server, because
// it cannot write what comes. The error is one of the connection; the next call continues.
func (e *Engine) offerPads(ctx context.Context, c *client, j *job) error {
	if !j.isPaused {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	for len(j.sourceless) > 0 {
		some := j.sourceless[:min(len(j.sourceless), padsPerCall)]
		calls := make([]call, len(some))
		for i, p := range some {
			url := "http://" + padHost + "/" + strconv.FormatInt(p.length, 10)
			calls[i] = call{"aria2.changeUri", []any{j.gid, p.number, []string{}, []string{url}, 0}}
		}
		if _, _, err := c.multicall(ctx, calls); err != nil { // a download that is gone needs none
			return err
		}
		j.sourceless = j.sourceless[len(some):]
	}
	if _, _, err := c.multicall(ctx, []call{{"aria2.unpause", []any{j.gid}}}); err != nil { // so does this
		return err
	}
	j.isPaused = false
	return nil
}
