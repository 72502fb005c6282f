package aria2

import (
	"bytes"
	"log/slog"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// maxLine bounds what is kept of a line of aria2c's output, in bytes.
const maxLine = 4096

// lines is where aria2c's output goes: to the log at debug level, cleaned of
// credentials, line by line. seen is called with each line.
type lines struct {
	log  *slog.Logger
	seen func(line string)
	buf  []byte
}

// Write implements [io.Writer]; it takes everything and never fails, so that
// aria2c never waits for us.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		l.buf = append(l.buf, line[:min(len(line), maxLine-len(l.buf))]...)
		if ended {
			l.flush()
		}
		p = rest
	}
	return n, nil
}

func (l *lines) flush() {
	line := strings.TrimSpace(string(l.buf))
	l.buf = l.buf[:0]
	if line == "" {
		return
	}
	l.seen(line)
	l.log.Debug("aria2c says", "line", download.Clean(line))
}
