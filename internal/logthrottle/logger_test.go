package logthrottle_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
)

// TestLogger_WarnsOncePerQuietTime logs many warnings in one quiet time.
func TestLogger_WarnsOncePerQuietTime(t *testing.T) {
	var log bytes.Buffer
	l := logthrottle.New(slog.New(slog.NewTextHandler(&log, nil)))
	for range 1000 {
		l.Warn("again")
	}
	if n := strings.Count(log.String(), "again"); n != 1 {
		t.Errorf("%d lines", n)
	}
	logthrottle.New(nil).Warn("discarded")
}
