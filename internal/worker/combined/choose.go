package combined

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// overHTTP reports whether every source of a task is one of HTTP.
func overHTTP(spec *model.TaskSpec) bool {
	if spec.URL == "" {
		return false
	}
	for _, source := range append([]string{spec.URL}, spec.Mirrors...) {
		scheme, _, _ := strings.Cut(strings.TrimSpace(source), ":")
		if !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return false
		}
	}
	return true
}

// prefersDirect reports whether a job begins in the direct engine.
func prefersDirect(j *download.Job) bool {
	spec := &j.Task.TaskSpec
	if !overHTTP(spec) {
		return false
	}
	switch {
	case has(j.Dir, "*.part.json"):
		return true
	case has(j.Dir, "*.aria2"):
		return false
	}
	split, err := strconv.Atoi(strings.Join(spec.Options["split"], ""))
	return len(spec.Mirrors) == 0 || err != nil || split < 2
}

// has reports whether a folder has an entry that matches.
func has(dir, pattern string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if ok, _ := filepath.Match(pattern, entry.Name()); ok {
			return true
		}
	}
	return false
}

// next is where a job goes on that its engine has ended, and as what; to is nil if it
// has ended.
func (e *Engine) next(j *job, state *download.State) (next download.Job, to Limited) {
	switch {
	case state.Phase == download.Complete && j.at == e.direct:
		return e.follow(j, state)
	case state.Phase != download.Failed || state.Err == nil || j.before != nil || !overHTTP(&j.Task.TaskSpec):
	case j.at == e.aria2 && directMayHelp(state.Err):
		return j.Job, e.direct
	case j.at == e.direct && aria2MayHelp(state.Err):
		return j.Job, e.aria2
	}
	return download.Job{}, nil
}

// directMayHelp reports whether the direct engine may fetch what aria2 could not: not
// where the disk, the checksum or an address is the reason, nor where the time is
// used up.
func directMayHelp(failure *model.TaskError) bool {
	switch failure.Code {
	case download.CodeTimeout, 5, 7, download.CodeDiskFull, 13, 14, 15, download.CodeCreate, download.CodeFileIO, 18,
		download.CodeResolve, download.CodeOption, download.CodeChecksum:
		return false
	}
	return failure.HTTPStatus != 429
}

// aria2MayHelp reports whether aria2 may fetch what the direct engine could not: over
// another protocol, and with the older ciphers that only its TLS library has.
func aria2MayHelp(failure *model.TaskError) bool {
	return strings.Contains(failure.Message, "unsupported protocol scheme") ||
		strings.Contains(failure.Message, "tls: handshake failure") || strings.Contains(failure.Message, "tls: no supported versions")
}

// follow turns a download that brought a torrent or metalink into that of what it
// names, where aria2 takes such: as aria2 itself does with one that it fetches.
func (e *Engine) follow(j *job, state *download.State) (next download.Job, to Limited) {
	caps := e.aria2.Capabilities()
	if next, ok := download.Follow(&j.Job, state.Files, &caps); ok {
		return next, e.aria2
	}
	return download.Job{}, nil
}
