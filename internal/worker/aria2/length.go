package aria2

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxLength is more bytes than any disk has: 1 PiB.
const maxLength = 1 << 50

// tooLong is in net/http's error for a length above 2^63; it has no type of its own.
var tooLong = regexp.MustCompile(`bad Content-Length "\d{19,}"`)

// checkLength refuses a response whose end aria2c may read wrongly, such as a range that it
// takes for an empty file, and a length that the disk below dir could never hold, so that
// aria2c does not see it.
func checkLength(dir string, f *probeResult) *model.TaskError {
	odd := &model.TaskError{Code: download.CodeNoResume, Class: model.ClassRetryable,
		Message: "the server gives several lengths, or a length or range that cannot be read, so aria2c may end at the wrong byte"}
	if f.version == nil {
		if f.odd {
			return odd
		}
		if f.err == nil || !tooLong.MatchString(f.err.Error()) {
			return nil
		}
		return &model.TaskError{Code: download.CodeUnknown, Class: model.ClassPermanent,
			Message: "the server announces a length of more bytes than any disk holds"}
	}
	length, size := f.version.Length, int64(0)
	if usage, err := disk.Usage(dir); err == nil {
		size = int64(min(usage.Total, maxLength))
	}
	switch {
	case f.odd && length <= maxLength:
		return odd
	case length > maxLength:
		return &model.TaskError{Code: download.CodeUnknown, Class: model.ClassPermanent, Message: fmt.Sprintf(
			"the server announces a length of %d bytes, more than any disk holds", length)}
	case size > 0 && length > size:
		return &model.TaskError{Code: download.CodeDiskFull, Class: model.ClassWorker, Message: fmt.Sprintf(
			"the file has %d bytes; the disk of this worker holds %d in all", length, size)}
	}
	return nil
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
