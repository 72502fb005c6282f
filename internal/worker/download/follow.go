package download

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"mime"
	"os"
	"path"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// MaxTorrent bounds a torrent that a task or a metalink leads to, and MaxMetalink a metalink, in
// bytes. They are in memory as long as their download runs, a metalink also decoded and as aria2c
// gets it.
const (
	MaxTorrent  = 16 << 20
	MaxMetalink = 8 << 20
)

// Lead is the kind of a file that leads to others.
type Lead string

// The kinds of such files.
const (
	LeadTorrent  Lead = "torrent"
	LeadMetalink Lead = "metalink"
)

// LeadOf returns the kind that a value of Content-Type names; "" for any other.
func LeadOf(contentType string) Lead {
	mediaType, _, _ := mime.ParseMediaType(contentType) // "" if it cannot be read
	switch mediaType {
	case "application/x-bittorrent":
		return LeadTorrent
	case "application/metalink4+xml", "application/metalink+xml":
		return LeadMetalink
	}
	return ""
}

// leadByName returns the kind that the extension of a name says; "" for any other.
func leadByName(name string) Lead {
	switch strings.ToLower(path.Ext(name)) {
	case ".torrent":
		return LeadTorrent
	case ".metalink", ".meta4":
		return LeadMetalink
	}
	return ""
}

// Follow returns the next job of a finished download that is one torrent or metalink,
// if the capabilities include it; announced is the kind that the server's media type names.
// If the file does not have the task's checksum, that checksum is kept for the files of the next
// job. The failure is that of a file which, by its name or media type, is a torrent or metalink
// and cannot be read or is larger than [MaxTorrent] or [MaxMetalink].
func Follow(job *Job, files []model.File, announced Lead, caps *model.Capabilities) (next Job, ok bool, failure *model.TaskError) {
	if len(files) != 1 {
		return Job{}, false, nil
	}
	data := readLead(job.Dir, files[0].Path)
	task := *job.Task
	switch kind := leadIn(data); {
	case caps.SupportsBT && kind == LeadTorrent:
		task.Torrent = data
	case caps.SupportsMetalink && kind == LeadMetalink:
		task.Metalink = data
	case kind == "":
		return Job{}, false, unreadableLead(job.Task, files[0], announced, caps)
	default:
		return Job{}, false, nil
	}
	checksum := ChecksumOf(&task.TaskSpec)
	if checksum != "" && Verify(context.Background(), bytes.NewReader(data), checksum, "the task") == nil {
		checksum = ""
	}
	task.URL, task.Mirrors, task.Checksum = "", nil, checksum
	task.Options = maps.Clone(task.Options)
	delete(task.Options, "checksum")
	delete(task.Options, "out")
	return Job{Task: &task, Dir: job.Dir, Base: job.Task.URL}, true, nil
}

// unreadableLead returns the error of a file that should be a torrent or metalink and is not one
// that can be followed; nil if nothing says that it should be one.
func unreadableLead(task *model.Task, file model.File, announced Lead, caps *model.Capabilities) *model.TaskError {
	kind := cmp.Or(announced, leadByName(file.Path))
	if kind == "" && len(task.Options["out"]) == 0 { // nearly every file
		return nil
	}
	u, err := ParseURL(task.URL)
	if err != nil {
		return nil
	}
	if kind == "" && len(task.Options["out"]) > 0 { // the file has that name instead of the URL's
		kind = leadByName(u.Path)
	}
	code, most := CodeTorrent, int64(MaxTorrent)
	switch {
	case kind == LeadTorrent && caps.SupportsBT:
	case kind == LeadMetalink && caps.SupportsMetalink:
		code, most = CodeMetalink, MaxMetalink
	default:
		return nil
	}
	message := fmt.Sprintf("%s sends no %s that can be read, though its name or media type is that of one; check the task's url", u.Hostname(), kind)
	if file.Length > most {
		message = fmt.Sprintf("the %s from %s has %d bytes, and at most %d are followed", kind, u.Hostname(), file.Length, most)
	}
	failure := Failure(task, code, message)
	failure.Host = u.Hostname()
	return failure
}

// Leads reports whether a file in dir is a torrent or metalink.
func Leads(dir, name string) bool { return readLead(dir, name) != nil }

// readLead reads a file that is a torrent or metalink. It returns nil for any other.
func readLead(dir, name string) []byte {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	file, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() > MaxTorrent {
		return nil
	}
	head := make([]byte, 3)
	n, _ := file.ReadAt(head, 0) // a shorter file is neither
	if !beginsAsTorrent(head[:n]) && (info.Size() > MaxMetalink || !metalink.Is(file)) {
		return nil
	}
	data := make([]byte, info.Size())
	if _, err := file.ReadAt(data, 0); err != nil || beginsAsTorrent(data) && !isTorrent(data) {
		return nil
	}
	return data
}

// leadIn returns the kind of what [readLead] returned.
func leadIn(data []byte) Lead {
	switch {
	case data == nil:
		return ""
	case beginsAsTorrent(data):
		return LeadTorrent
	}
	return LeadMetalink
}

func beginsAsTorrent(data []byte) bool {
	return len(data) > 2 && data[0] == 'd' && data[1] >= '0' && data[1] <= '9'
}

func isTorrent(data []byte) bool {
	return beginsAsTorrent(data) && bytes.Contains(data, []byte("4:infod"))
}
