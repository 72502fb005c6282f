package testbed

import (
	"bytes"
	"log/slog"
	"sync"
)

// Log is a text that can be read while it is written. The zero Log is empty.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what was written until now.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger writes into it, from level info on.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// end returns its last bytes.
func (l *Log) end(bytes int) string {
	text := l.String()
	return text[max(0, len(text)-bytes):]
}
