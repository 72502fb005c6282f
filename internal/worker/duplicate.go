package worker

import (
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// refuseDuplicate returns the rejection of a task that cannot run beside another task of
// this worker, nil for any other. The dispatcher assigns it to another worker, or to this
// one later.
func (w *Worker) refuseDuplicate(t *model.Task) *model.Report {
	key := duplicateKey(t)
	if key == "" {
		return nil
	}
	for id, h := range w.tasks {
		if id == t.ID || h.Phase == phaseFinished || h.duplicateKey != key {
			continue
		}
		code := download.CodeDuplicateFile
		if t.Scheme() == "bt" {
			code = download.CodeDuplicateTorrent
		}
		return duplicateRejection(code, "the task "+id)
	}
	return nil
}

// duplicateRejection returns the report for a task that waits for another task of this
// worker.
func duplicateRejection(code int, other string) *model.Report {
	what := "file"
	if code == download.CodeDuplicateTorrent {
		what = "torrent"
	}
	return rejection(model.ReportRejected, code, model.ClassWorker, duplicateText+"%s: %s", what, other)
}

const duplicateText = "duplicate: this worker already downloads the same "

// waitedForDuplicate reports whether a task was last rejected because its file was being
// downloaded.
func waitedForDuplicate(t *model.Task) bool {
	return t.Error != nil && strings.Contains(t.Error.Message, duplicateText+"file")
}

// duplicateKey is equal for two tasks that one worker cannot download at once: they have
// the same torrent, as a file or a magnet link, or the same URL and file name in the same
// folder. It is "" for a task that has no duplicates.
func duplicateKey(t *model.Task) string {
	switch out := t.Options["out"]; {
	case len(t.Torrent) > 0:
		if info, err := torrent.Parse(t.Torrent); err == nil {
			return "torrent " + info.Hash
		}
	case t.Magnet():
		if hash := torrent.ParseMagnet(t.URL).Hash; hash != "" {
			return "torrent " + hash
		}
	case t.URL != "" && len(out) == 1:
		return "file " + t.Folder + "/" + out[0] + " " + t.URL
	}
	return ""
}
