package download

import (
	"bytes"
	"io"
	"maps"
	"os"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxFollowed bounds a torrent or metalink that is followed, in bytes.
const maxFollowed = 8 << 20

// Follow returns the task of what a finished download leads to, if that is one torrent
// or metalink and the capabilities have it; otherwise nil: it is just a file. dir is
// the job's folder.
func Follow(task *model.Task, dir string, files []model.File, caps *model.Capabilities) *model.Task {
	if len(files) != 1 || files[0].Length > maxFollowed {
		return nil
	}
	data := readFollowed(dir, files[0].Path)
	next := *task
	switch {
	case caps.SupportsBT && isTorrent(data):
		next.Torrent = data
	case caps.SupportsMetalink && isMetalink(data):
		next.Metalink = data
	default:
		return nil
	}
	next.URL, next.Mirrors, next.Checksum = "", nil, ""
	next.Options = maps.Clone(task.Options)
	delete(next.Options, "checksum")
	delete(next.Options, "out")
	return &next
}

// readFollowed reads a file that begins as a torrent or metalink does; nil of any other.
func readFollowed(dir, path string) []byte {
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
	head := make([]byte, headLength)
	n, err := io.ReadFull(file, head)
	if err != nil && n == 0 || !isMetalink(head[:n]) && !beginsAsTorrent(head[:n]) {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(head[:n]), file), maxFollowed))
	if err != nil {
		return nil
	}
	return data
}

// headLength is how much of a file tells what it is, in bytes.
const headLength = 2048

func beginsAsTorrent(data []byte) bool {
	return len(data) > 2 && data[0] == 'd' && data[1] >= '0' && data[1] <= '9'
}

func isTorrent(data []byte) bool {
	return beginsAsTorrent(data) && bytes.Contains(data, []byte("4:infod"))
}

func isMetalink(data []byte) bool {
	return bytes.Contains(data[:min(len(data), headLength)], []byte("<metalink"))
}
