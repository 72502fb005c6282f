package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

func newEngine(t *testing.T, _ string) download.Engine {
	t.Helper()
	e, err := New(Config{Slots: 4, Logger: downloadtest.Logger(t), Guard: downloadtest.Loopback(t)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// The engine passes the suite of every engine.
func TestEngine_Conforms(t *testing.T) { downloadtest.Run(t, newEngine) }
