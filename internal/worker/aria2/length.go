package aria2

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxLength is more bytes than any disk has: 1 PiB.
const maxLength = 1 << 50

// tooLong is in net/http's error for a length above 2^63; it has no type of its own.
var tooLong = regexp.MustCompile(`bad Content-Length "\d{19,}"`)

// checkLength refuses a response whose end aria2c may read wrongly, such as a range that it
// takes for an empty file, and a length that the disk below dir has no space for, so that
// aria2c does not see it. stated is the length that the task itself states.
func (e *Engine) checkLength(dir string, f *probeResult, stated int64) *model.TaskError {
	odd := &model.TaskError{Code: download.CodeNoResume, Class: model.ClassRetryable,
		Message: "the server gives several lengths, or a length or range that cannot be read, so aria2c may end at the wrong byte"}
	if f.version == nil {
		if f.odd {
			return odd
		}
		if f.err == nil || !tooLong.MatchString(f.err.Error()) {
			return e.checkSpace(dir, stated)
		}
		return &model.TaskError{Code: download.CodeUnknown, Class: model.ClassPermanent,
			Message: "the server announces a length of more bytes than any disk holds"}
	}
	switch length := f.version.Length; {
	case length > maxLength:
		return &model.TaskError{Code: download.CodeUnknown, Class: model.ClassPermanent, Message: fmt.Sprintf(
			"the server announces a length of %d bytes, more than any disk holds", length)}
	case f.odd:
		return odd
	default:
		return e.checkSpace(dir, length)
	}
}

// checkSpace reserves nothing: aria2c itself reserves the space of a file where the disk can.
func (e *Engine) checkSpace(dir string, length int64) *model.TaskError {
	if err := e.cfg.Space.Check(dir, length); err != nil {
		return &model.TaskError{Code: download.CodeDiskFull, Class: model.ClassWorker, Message: err.Error()}
	}
	return nil
}

// statedLength returns how many bytes a torrent or metalink says that its selected files have; -1
// of any other task.
func statedLength(spec *model.TaskSpec, links *metalink.Metalink) (total int64) {
	switch kindOf(spec) {
	case kindTorrent:
		files := torrent.Files(spec.Torrent, math.MaxInt)
		if info, err := torrent.Parse(spec.Torrent); err == nil && len(files) == 0 {
			return info.Total
		}
		for i, selected := range torrent.Selection(strings.Join(spec.Options["select-file"], ","), len(files)) {
			if selected {
				total = model.AddLengths(total, files[i].Length)
			}
		}
		return total
	case kindMetalink:
		if links == nil {
			return -1
		}
		for i := range links.Files {
			total = model.AddLengths(total, max(links.Files[i].Size, 0))
		}
		return total
	}
	return -1
}

// rangeTotal is the length of the file that a Content-Range tells; -1 if it tells none,
// and the largest number for a larger one.
func rangeTotal(header string) int64 {
	if _, total, ok := download.ContentRange(header); ok {
		return total
	}
	_, total, _ := strings.Cut(header, "/")
	n, err := strconv.ParseUint(strings.TrimSpace(total), 10, 64)
	if errors.Is(err, strconv.ErrRange) || n > maxLength {
		return int64(min(n, math.MaxInt64)) // n is the largest number after ErrRange
	}
	return -1
}
