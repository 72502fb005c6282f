package node

import (
	"context"
	"log/slog"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
)

// A worker whose context has ended chooses no engine, and says nothing: the end has also ended
// the program aria2c that it asked for the version.
func TestRunOn_EndedContextSaysNothing(t *testing.T) {
	for _, engine := range []string{"auto", "aria2"} {
		cfg := config.DefaultWorker()
		cfg.Name, cfg.Dir, cfg.Engine = "w1", t.TempDir(), engine
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		conn := testbus.Open(t, testbus.StartServer(t).ClientURL())
		if err := RunOn(ctx, cfg, conn, slog.New(slog.DiscardHandler), func(said string) { t.Errorf("it says %q", said) }); err != nil {
			t.Errorf("engine %s: %v", engine, err)
		}
	}
}
