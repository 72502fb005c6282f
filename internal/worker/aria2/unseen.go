package aria2

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// aria2c compares only the lengths of responses. The proxy compares those of HTTP; it sees none
// of TLS, and none of an aria2c on another machine. So there a file without a checksum comes
// over one connection, and each submit is one response: max-tries is 1, and the engine repeats.
// A file that came in several such responses is read a second time.

// isProxied reports whether aria2c's connections go through the proxy.
func (e *Engine) isProxied() bool { return e.cfg.Attach == nil || e.cfg.Attach.isLocal() }

// needsOneVersion reports whether a job is a file over HTTP whose responses must have one
// version.
func (j *job) needsOneVersion() bool {
	return kindOf(&j.Task.TaskSpec) == kindPlain && !j.checked() && slices.ContainsFunc(j.givenSources(), overHTTP)
}

// givenSources returns the sources that aria2c gets.
func (j *job) givenSources() []string {
	if len(j.allowedSources) > 0 {
		return j.allowedSources
	}
	return sources(&j.Task.TaskSpec)
}

// seesResponses reports whether the proxy sees every response of a job, as far as it is known.
func (e *Engine) seesResponses(j *job) bool {
	return e.isProxied() && (j.version == nil || !j.version.Unseen) && !slices.ContainsFunc(j.givenSources(), usesTLS)
}

func usesTLS(source string) bool {
	scheme, _, _ := strings.Cut(source, ":")
	return strings.EqualFold(scheme, "https")
}

// limitResponses sets the options of a submit for a job whose responses must have one version:
// one connection unless the proxy can compare ETags, and one response if it sees none. Nothing
// tells the versions of a file of a metalink that nothing verifies. Where others of its files have
// hashes, their bytes are worth more: aria2c repeats responses itself, each over one connection.
func (e *Engine) limitResponses(j *job, options map[string]any) {
	proof, seen := j.needsOneVersion(), e.seesResponses(j)
	unverified, all := j.unverifiedFiles()
	mixed := unverified > 0 && unverified < all
	if unverified > 0 {
		proof, seen = true, false // an interrupted one starts over
	}
	j.oneConnection = j.singleConnection || proof && (!seen || j.version == nil || !download.StrongETag(j.version.ETag))
	j.oneResponse = proof && (!seen || j.version == nil) && !mixed
	if j.oneConnection {
		options["split"], options["max-connection-per-server"] = "1", "1"
	}
	if j.oneResponse {
		options["max-tries"] = "1"
	}
}

// triesAgain reports whether a job with one response in each submit is submitted again after a
// failure without progress, as aria2c itself would try again.
func (j *job) triesAgain(code int) bool {
	if !j.oneResponse {
		return false
	}
	switch code {
	case download.CodeUnknown, download.CodeTimeout, download.CodeNetwork, 19, 29: // aria2c has no code for a closed connection
	default:
		return false
	}
	if j.emptyTries++; j.emptyTries >= j.intOption("max-tries", download.DefaultMaxTries) {
		return false
	}
	j.notBefore = time.Now().Add(j.retryWait())
	return true
}

// usedOther reports whether aria2c has used a source that it was not given for a file whose
// responses must have one version. It takes those that a server names by "Link: <URL>;
// rel=duplicate" (RFC 6249) for further sources of the same bytes.
func (j *job) usedOther(all [][]file) bool {
	if !j.needsOneVersion() {
		return false
	}
	given := map[string]bool{}
	for _, source := range j.givenSources() {
		given[correctURL(source)] = true
	}
	return slices.ContainsFunc(slices.Concat(all...), func(f file) bool {
		return slices.ContainsFunc(f.URIs, func(u uri) bool { return u.Status == "used" && !given[u.URI] })
	})
}

// needsReread reports whether nothing but a second reading can confirm a finished file that came
// in several responses: the proxy did not see them, or the server gives no version with each.
func (e *Engine) needsReread(j *job) bool {
	t := e.proxy.Traffic(j.gid)
	return j.needsOneVersion() && (!e.seesResponses(j) || t.Opaque > 0 || t.Untagged && download.StrongETag(j.version.ETag) || j.version.validator() == "")
}

// keepOther notes beside the bytes of a running download, for a later worker, that a response of
// another version brought some of them.
func (e *Engine) keepOther(j *job) {
	if j.version == nil || j.version.Unseen || !e.broughtOther(j) {
		return
	}
	j.version.Unseen = true
	if err := j.version.save(j.Dir); err != nil {
		j.log.Warn("the version of a file could not be stored", "error", err)
	}
}

// reread reads a file from a source a second time. It fails with [download.ErrChanged] if that
// sends other bytes; any other error proves nothing. limit is in bytes/s, and may change; 0 is no
// limit.
func (q *versionQuery) reread(ctx context.Context, path, source string, length int64, limit func() int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := download.Rereading{Length: length}
	for try := 1; !r.IsDone(); {
		before := r.At()
		err := q.rereadNext(ctx, &r, file, source, limit)
		switch {
		case err == nil:
		case r.IsTooLong():
			return download.ErrChanged
		case errors.Is(err, download.ErrChanged), !isTemporary(err):
			return err
		case r.At() > before:
			try = 1
		default:
			if try++; try > confirmTries || !download.Pause(ctx, time.Second) {
				return err
			}
		}
		if !r.IsDone() && !download.Pause(ctx, download.ProgressWait) {
			return ctx.Err()
		}
	}
	return nil
}

// rereadNext compares what one more response brings.
func (q *versionQuery) rereadNext(ctx context.Context, r *download.Rereading, file *os.File, source string, limit func() int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := download.NewRequest(ctx, http.MethodGet, source, q.spec.Options)
	if err != nil {
		return err
	}
	req.Header.Set("Range", r.Range())
	watchdog := time.AfterFunc(q.stall, cancel)
	defer watchdog.Stop()
	resp, err := download.Do(download.NewClient(q.transport, q.userAgent), req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := r.Begin(resp, source, r.Length); err != nil {
		return err
	}
	return r.Compare(resp.Body, file, func(size int) int { return size }, func(n int) error {
		watchdog.Stop()
		if limit := limit(); limit > 0 && !download.Pause(ctx, time.Duration(n)*time.Second/time.Duration(limit)) {
			return ctx.Err()
		}
		watchdog.Reset(q.stall)
		return nil
	})
}

// startReread begins the second reading of a finished file. Its result is that of
// [Engine.confirmVersion]. A source that does not send the file again, because its link has expired,
// proves no other version: the bytes are those that aria2c has as a whole.
func (e *Engine) startReread(j *job, total int64) {
	q, id := e.newQuery(j), j.Task.ID
	q.stall = j.timeout(e.cfg.StallTimeout)
	all := sources(q.spec)
	source, path := all[j.firstSource%len(all)], filepath.Join(j.Dir, partName(j.Dir))
	own, err := model.ParseSize(strings.Join(j.Task.Options["max-download-limit"], ""))
	if err != nil {
		own = 0 // it has none
	}
	limit := func() int64 {
		share := e.jobShare.Load()
		if own > 0 && (share == 0 || own < share) {
			return own
		}
		return share
	}
	e.startProbe(j, toConfirm, func(ctx context.Context) preparation {
		err := q.reread(ctx, path, source, total, limit)
		differ := errors.Is(err, download.ErrChanged)
		if err != nil && !differ && ctx.Err() == nil {
			e.cfg.Logger.Warn("a finished file could not be read a second time; it counts as complete", "task", id, "error", download.Clean(err.Error()))
		}
		return preparation{probeResult: probeResult{differ: differ}, canceled: ctx.Err() != nil}
	})
}
