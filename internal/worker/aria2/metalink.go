package aria2

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// prepareMetalink looks at what a job is to fetch before aria2c has it. It returns the
// error of what cannot work.
func (e *Engine) prepareMetalink(j *job) *model.TaskError {
	spec := &j.Task.TaskSpec
	if err := e.unfetchable(spec); err != nil {
		return err
	}
	switch kindOf(spec) {
	case kindMetalink:
		return e.readMetalink(j)
	case kindTorrent:
		info, err := torrent.Parse(spec.Torrent)
		if err == nil && info.Files > 1 && len(spec.Options["select-file"]) == 0 && download.ChecksumOf(spec) != "" {
			return severalFiles(info.Files)
		}
		return checkSelection(spec)
	}
	return nil
}

// checkSelection refuses a selection that names no file of a torrent with a folder: aria2c
// calls that complete, without a byte. A torrent is bounded, so all its files are listed.
func checkSelection(spec *model.TaskSpec) *model.TaskError {
	option := strings.Join(spec.Options["select-file"], ",")
	n := len(torrent.Files(spec.Torrent, math.MaxInt))
	if option == "" || n == 0 || slices.Contains(torrent.Selection(option, n), true) {
		return nil
	}
	return &model.TaskError{Code: download.CodeOption, Class: model.ClassPermanent,
		Message: fmt.Sprintf("select-file: %s selects no file of the torrent, which has %d", download.Clean(option), n)}
}

// severalFiles is the error of a task with a checksum that leads to more than one file.
func severalFiles(n int) *model.TaskError {
	return &model.TaskError{Code: download.CodeOption, Class: model.ClassPermanent,
		Message: fmt.Sprintf("checksum: the task leads to %d files, and a checksum is of one; leave it out or select one file", n)}
}

func metalinkError(format string, args ...any) *model.TaskError {
	return &model.TaskError{Code: download.CodeMetalink, Class: model.ClassPermanent, Message: download.Clean(fmt.Sprintf(format, args...))}
}

// readMetalink has aria2c get a metalink of our own, with the selected files and
// only the parts that both understand: aria2 silently skips the other ones.
func (e *Engine) readMetalink(j *job) *model.TaskError {
	base, err := url.Parse(j.Base)
	if err != nil || j.Base == "" {
		base = nil
	}
	m, err := metalink.Parse(j.Task.Metalink, base)
	if err != nil {
		return metalinkError("%v", err)
	}
	if len(m.Skipped) > 0 {
		e.cfg.Logger.Warn("parts of a metalink are not used", "task", j.Task.ID, "skipped", download.Clean(strings.Join(m.Skipped, "; ")))
	}
	if m.Files = selected(m.Files, strings.Join(j.Task.Options["select-file"], "")); len(m.Files) == 0 {
		return metalinkError("select-file selects no file of the metalink")
	}
	for i := range m.Files {
		f := &m.Files[i]
		if len(f.URLs) == 0 && len(f.Torrents) == 0 {
			return metalinkError("the metalink has no source that can be used for %q%s", f.Name, because(m.Skipped))
		}
		for k := range f.URLs {
			f.URLs[k].URL = correctURL(f.URLs[k].URL)
		}
	}
	if len(m.Files) > 1 && download.ChecksumOf(&j.Task.TaskSpec) != "" {
		return severalFiles(len(m.Files))
	}
	task := *j.Task
	task.Metalink, task.Options = j.forAria2(m).Encode(), maps.Clone(task.Options)
	delete(task.Options, "select-file")
	j.Task, j.links = &task, m
	return nil
}

// forAria2 is the metalink as aria2c gets it: without the hashes of whole files, for it
// gives no reason when one differs. Those are verified here. A file that nothing verifies
// has one source at a time: aria2c would combine the bytes of several.
func (j *job) forAria2(m *metalink.Metalink) *metalink.Metalink {
	bare := &metalink.Metalink{Files: slices.Clone(m.Files)}
	for i := range bare.Files {
		f := &bare.Files[i]
		if j.isUnproven(f) {
			at := j.linkSource % len(f.URLs)
			f.URLs = f.URLs[at : at+1]
		}
		f.Hashes = nil
	}
	return bare
}

// isUnproven reports whether a file of a metalink has several sources, and nothing that
// shows whether these have one version.
func (j *job) isUnproven(f *metalink.File) bool { return len(f.URLs) > 1 && j.isUnverified(f) }

// isUnverified reports whether nothing verifies the bytes of a file of a metalink.
func (j *job) isUnverified(f *metalink.File) bool {
	return len(f.Hashes) == 0 && f.Pieces == nil && len(f.Torrents) == 0 && !j.checked()
}

// unverifiedFiles returns how many files of the job's metalink nothing verifies, and how many there
// are.
func (j *job) unverifiedFiles() (unverified, all int) {
	if j.links == nil {
		return 0, 0
	}
	for i := range j.links.Files {
		if j.isUnverified(&j.links.Files[i]) {
			unverified++
		}
	}
	return unverified, len(j.links.Files)
}

// hasNextLink reports whether a file of the job's metalink has a source that was not used.
func (j *job) hasNextLink() bool {
	return j.links != nil && slices.ContainsFunc(j.links.Files, func(f metalink.File) bool {
		return j.isUnproven(&f) && j.linkSource+1 < len(f.URLs)
	})
}

// useNextLink changes a metalink to the next source of each file with one source at a time,
// if the failure is one of a source. The files start over.
func (j *job) useNextLink(code int) bool {
	if !isSourceFailure(code) || !j.hasNextLink() {
		return false
	}
	j.linkSource++
	task := *j.Task
	task.Metalink = j.forAria2(j.links).Encode()
	j.Task, j.mustWipe, j.bytesAtFailure, j.emptyTries = &task, true, 0, 0
	return true
}

// startsOver reports whether the bytes that are there of a job cannot be continued:
// nothing tells the version of the files of a metalink without checksums.
func (j *job) startsOver() bool { return j.mustWipe || j.links != nil && !j.links.HasChecksums() }

func because(skipped []string) string {
	if len(skipped) == 0 {
		return ""
	}
	return ": " + skipped[0]
}

// selected returns the files that the option select-file names; all of them where it is
// empty.
func selected(files []metalink.File, option string) []metalink.File {
	var list []metalink.File
	for i, chosen := range torrent.Selection(option, len(files)) {
		if chosen {
			list = append(list, files[i])
		}
	}
	return list
}

// maxAsked bounds how many sources of a file are asked for its length.
const maxAsked = 3

// wrongSize finds out why aria2c could not use any source of a file of a metalink (code
// 8): whether the file has another size there. It returns that error, nil if not; the
// first call begins it.
func (e *Engine) wrongSize(ctx context.Context, s session, j *job, failed *row) (wrong *model.TaskError, known bool) {
	if j.probing != nil {
		p, known := j.takeProbe(toMeasure)
		return p.failure, known
	}
	f := j.failedLink(ctx, s, failed)
	if f == nil || f.Size < 0 {
		return nil, true
	}
	spec, file, clean := &j.Task.TaskSpec, *f, failed.Completed == 0
	e.startProbe(j, toMeasure, func(ctx context.Context) preparation {
		return preparation{failure: e.compareSize(ctx, spec, &file, clean), canceled: ctx.Err() != nil}
	})
	return nil, false
}

// compareSize asks sources of a file for its length. Where none can be asked and aria2c
// had no byte to resume, the size is the only reason that is left.
func (e *Engine) compareSize(ctx context.Context, spec *model.TaskSpec, f *metalink.File, clean bool) *model.TaskError {
	asked := 0
	for _, source := range f.URLs {
		if !overHTTP(source.URL) || asked == maxAsked {
			continue
		}
		asked++
		one := &model.TaskSpec{URL: source.URL, Options: spec.Options}
		q := &versionQuery{spec: one, transport: e.transport, userAgent: e.cfg.UserAgent, exact: true, timeout: probeTimeout}
		found := q.ask(ctx)
		switch {
		case found.version == nil || found.version.Length < 0:
		case found.version.Length == f.Size:
			return nil
		default:
			return metalinkError("the metalink says that %q has %d bytes, %s says %d", f.Name, f.Size, sourceName(source.URL), found.version.Length)
		}
	}
	if clean {
		return metalinkError("no source of %q has a file of the %d bytes that the metalink says", f.Name, f.Size)
	}
	return nil
}

// sourceName names a source by its host, for people.
func sourceName(source string) string { return cmp.Or(hostIn(source), "its source") }

// failedLink returns the file of the job's metalink that a failed download is for; nil if that is
// not known.
func (j *job) failedLink(ctx context.Context, s session, failed *row) *metalink.File {
	if j.links == nil {
		return nil
	}
	if len(j.links.Files) == 1 {
		return &j.links.Files[0]
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	files, err := s.client.files(ctx, []*row{failed})
	paths := pathsOf(files, nil)
	if err != nil || len(paths) != 1 {
		return nil
	}
	return j.linkOf(paths[0])
}

// maxNamed bounds how many hosts an error names.
const maxNamed = 3

// nameLink adds to the error of a failed download which file of the job's metalink it is about, and
// the hosts of its sources. The error of a checksum names its file itself.
func (j *job) nameLink(ctx context.Context, s session, failed *row, failure *model.TaskError) {
	if failure.Code == download.CodeChecksum {
		return
	}
	f := j.failedLink(ctx, s, failed)
	if f == nil {
		return
	}
	var hosts []string
	isHTTP := true
	for _, source := range slices.Concat(f.URLs, f.Torrents) {
		isHTTP = isHTTP && overHTTP(source.URL)
		if host := hostIn(source.URL); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) == 1 {
		failure.Host = hosts[0]
	}
	message := failure.Message
	if failure.Code == download.CodeNotFound && isHTTP {
		failure.HTTPStatus, message = http.StatusNotFound, "404 Not Found"
	}
	from := strings.Join(hosts[:min(len(hosts), maxNamed)], ", ")
	failure.Message = download.Clean(fmt.Sprintf("%q of the metalink, from %s: %s", f.Name, cmp.Or(from, "its sources"), message))
}

// linkOf is the file of the job's metalink at that path, or nil.
func (j *job) linkOf(path string) *metalink.File {
	rel, err := filepath.Rel(j.Dir, path)
	if err != nil || j.links == nil {
		return nil
	}
	for i := range j.links.Files {
		if j.links.Files[i].Name == filepath.ToSlash(rel) {
			return &j.links.Files[i]
		}
	}
	return nil
}
