package aria2

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A torrent that a metalink names can spoil the file's other sources: aria2c takes the
// length from it, and waits for peers of a hybrid one that do not exist. So each is read
// before aria2c gets the metalink, and left out where it cannot help.

// checkTorrents returns the metalink without the torrents that cannot help. It fails
// where a file has no source besides these.
func (e *Engine) checkTorrents(ctx context.Context, task *model.Task, m *metalink.Metalink) (*metalink.Metalink, *model.TaskError) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	checked := &metalink.Metalink{Files: slices.Clone(m.Files)}
	for i := range checked.Files {
		f := &checked.Files[i]
		var kept []metalink.URL
		var reason *model.TaskError
		for _, source := range f.Torrents {
			err := e.checkTorrent(ctx, task, f, source)
			if err == nil {
				kept = append(kept, source)
				continue
			}
			e.cfg.Logger.Warn("a torrent of a metalink is not used", "task", task.ID, "error", err.Message)
			if reason == nil || err.Class == model.ClassRetryable {
				reason = err
			}
		}
		if f.Torrents = kept; len(kept) == 0 && len(f.URLs) == 0 && reason != nil {
			return nil, reason
		}
	}
	return checked, nil
}

// checkTorrent returns why a torrent of a file cannot help; nil if it can, or is not of
// HTTP: aria2c then reads it alone.
func (e *Engine) checkTorrent(ctx context.Context, task *model.Task, f *metalink.File, source metalink.URL) *model.TaskError {
	if !overHTTP(source.URL) {
		return nil
	}
	data, err := e.fetchSmall(ctx, task, source.URL)
	if err != nil {
		return download.Failure(task, download.CodeOf(err), fmt.Sprintf("%v; it was to be the torrent of %q", err, f.Name))
	}
	info, err := torrent.Parse(data)
	if err != nil {
		return metalinkError("the torrent of %q at %s cannot be read", f.Name, sourceName(source.URL))
	}
	if err := e.wrongVersion(fmt.Sprintf("torrent of %q", f.Name), info); err != nil {
		return err
	}
	switch {
	case info.Files != 1 && source.Name == "":
		return metalinkError("the torrent of %q has %d files, and the metalink does not say which", f.Name, info.Files)
	case info.Files == 1 && info.Length > 0 && f.Size >= 0 && info.Length != f.Size:
		return metalinkError("the metalink says that %q has %d bytes, its torrent says %d", f.Name, f.Size, info.Length)
	}
	return nil
}

// fetchSmall gets a small file over HTTP, as the task's options say.
func (e *Engine) fetchSmall(ctx context.Context, task *model.Task, source string) ([]byte, error) {
	req, err := download.NewRequest(ctx, http.MethodGet, source, task.Options)
	if err != nil {
		return nil, err
	}
	resp, err := download.Do(download.NewClient(e.transport, e.cfg.UserAgent), req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, download.NewResponseError(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, download.MaxTorrent+1))
	if err == nil && len(data) > download.MaxTorrent {
		err = fmt.Errorf("more than %d bytes", download.MaxTorrent)
	}
	return data, err
}

// uncheckedLinks is the job's metalink if it names torrents that have not been checked;
// otherwise nil.
func (j *job) uncheckedLinks() *metalink.Metalink {
	named := func(f metalink.File) bool { return len(f.Torrents) > 0 }
	if j.linksRead || j.links == nil || !slices.ContainsFunc(j.links.Files, named) {
		return nil
	}
	return j.links
}

// useLinks takes the job's metalink with the torrents that can help.
func (j *job) useLinks(m *metalink.Metalink) {
	task := *j.Task
	task.Metalink = j.forAria2(m).Encode()
	j.Task, j.links, j.linksRead = &task, m, true
}
