package goroutine

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestGuard_LogsWhatPanicked(t *testing.T) {
	var log bytes.Buffer
	panicked := Guard(slog.New(slog.NewTextHandler(&log, nil)), "a message panicked",
		func() { panic("no such row") }, func() []any { return []any{"subject", "aria.cmd"} })
	if !panicked {
		t.Error("the panic is not reported")
	}
	for _, part := range []string{`msg="a message panicked"`, "subject=aria.cmd", `error="no such row"`, "TestGuard_LogsWhatPanicked"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %q:\n%s", part, log.String())
		}
	}
}

// It is on the way of every message.
func TestGuard_AllocatesNothing(t *testing.T) {
	logger, sum := slog.New(slog.DiscardHandler), 0
	subject := strings.Repeat("a", 20)
	allocs := testing.AllocsPerRun(100, func() {
		if Guard(logger, "a message panicked", func() { sum++ }, func() []any { return []any{"subject", subject} }) {
			t.Error("it panicked")
		}
	})
	if allocs != 0 || sum == 0 {
		t.Errorf("%v allocations, %d calls", allocs, sum)
	}
}
