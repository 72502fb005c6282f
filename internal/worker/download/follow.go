package download

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"

	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxFollowed bounds a torrent or metalink that is followed, in bytes.
const maxFollowed = 8 << 20

// Follow returns the next job of a finished download that is one torrent or metalink,
// if the capabilities include it. If the file does not have the task's checksum, that
// checksum is kept for the files of the next job.
func Follow(job *Job, files []model.File, caps *model.Capabilities) (next Job, ok bool) {
	if len(files) != 1 {
		return Job{}, false
	}
	data := readLead(job.Dir, files[0].Path)
	task := *job.Task
	switch {
	case caps.SupportsBT && isTorrent(data):
		task.Torrent = data
	case caps.SupportsMetalink && metalink.Is(data):
		task.Metalink = data
	default:
		return Job{}, false
	}
	checksum := ChecksumOf(&task.TaskSpec)
	if checksum != "" && Verify(context.Background(), bytes.NewReader(data), checksum, "the task") == nil {
		checksum = ""
	}
	task.URL, task.Mirrors, task.Checksum = "", nil, checksum
	task.Options = maps.Clone(task.Options)
	delete(task.Options, "checksum")
	delete(task.Options, "out")
	return Job{Task: &task, Dir: job.Dir, Base: job.Task.URL}, true
}

// Leads reports whether a file in dir is a torrent or metalink.
func Leads(dir, path string) bool { return readLead(dir, path) != nil }

// readLead reads a file that is a torrent or metalink. It returns nil for any other.
func readLead(dir, path string) []byte {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	file, err := root.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() > maxFollowed {
		return nil
	}
	head := make([]byte, headLength)
	n, err := io.ReadFull(file, head)
	if err != nil && n == 0 || !beginsAsTorrent(head[:n]) && !metalink.Is(head[:n]) {
		return nil
	}
	data, err := io.ReadAll(io.MultiReader(bytes.NewReader(head[:n]), file))
	if err != nil || beginsAsTorrent(data) && !isTorrent(data) {
		return nil
	}
	return data
}

// headLength is how many bytes of a file are read to detect its type.
const headLength = 4096

func beginsAsTorrent(data []byte) bool {
	return len(data) > 2 && data[0] == 'd' && data[1] >= '0' && data[1] <= '9'
}

func isTorrent(data []byte) bool {
	return beginsAsTorrent(data) && bytes.Contains(data, []byte("4:infod"))
}
