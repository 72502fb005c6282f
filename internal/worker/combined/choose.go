package combined

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// overHTTP reports whether every source of a task uses HTTP or HTTPS.
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

// prefersDirect reports whether a job starts in the direct engine, which sees each response
// and so never combines two versions. Its first request is the download.
func prefersDirect(j *download.Job) bool {
	return overHTTP(&j.Task.TaskSpec) && (j.Fresh || has(j.Dir, "*.part.json") || !has(j.Dir, "*.aria2"))
}

// has reports whether a folder has an entry that matches pattern.
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

// next returns the next job and engine of a job that its engine has ended. to is nil if
// the job has ended.
func (e *Engine) next(j *job, state *download.State) (next download.Job, to Limited) {
	switch {
	case state.Phase == download.Complete && j.at == e.direct:
		return e.follow(j, state)
	case state.Phase != download.Failed || state.Err == nil || j.before != nil || !overHTTP(&j.Task.TaskSpec), state.Followed:
	case j.at == e.aria2 && directMayHelp(state.Err):
		return j.Job, e.direct
	case j.at == e.direct && aria2MayHelp(state.Err):
		return j.Job, e.aria2
	}
	return download.Job{}, nil
}

// directMayHelp reports whether the direct engine may succeed after a failure of aria2.
// It cannot if the disk, the checksum, an address, a timeout or what the file leads to is the reason.
func directMayHelp(failure *model.TaskError) bool {
	switch failure.Code {
	case download.CodeTimeout, 5, 7, download.CodeDiskFull, 13, 14, 15, download.CodeCreate, download.CodeFileIO, 18,
		download.CodeResolve, download.CodeMetalink, download.CodeTorrent, download.CodeOption, download.CodeChecksum:
		return false
	}
	return failure.HTTPStatus != 429
}

// aria2MayHelp reports whether aria2 may succeed after a failure of the direct engine:
// with another protocol, or with its own TLS library. Its aria2c verifies certificates too.
func aria2MayHelp(failure *model.TaskError) bool {
	return download.NeedsAria2(failure.Message) || download.TLSMayWorkWithAria2(failure.Message)
}

// follow returns the job of a finished torrent or metalink if aria2 supports it. aria2
// does the same with one that it fetches. One that cannot be read fails the job.
func (e *Engine) follow(j *job, state *download.State) (next download.Job, to Limited) {
	if !j.Follow {
		return download.Job{}, nil
	}
	caps := e.aria2.Capabilities()
	next, ok, failure := download.Follow(&j.Job, state.Files, state.Lead, &caps)
	switch {
	case ok:
		return next, e.aria2
	case failure != nil:
		state.Phase, state.Files, state.Err = download.Failed, nil, failure
	}
	return download.Job{}, nil
}
