package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// The engine connects to no address that the guard refuses.
func TestEngine_RefusedAddressesAreNotReached(t *testing.T) {
	t.Parallel()
	downloadtest.RunGuarded(t, func(t *testing.T, g *netguard.Guard) download.Engine {
		t.Helper()
		return open(t, Config{Guard: g})
	})
}

// Without a guard only public addresses are connected to.
func TestEngine_DefaultGuardAllowsPublicAddressesOnly(t *testing.T) {
	t.Parallel()
	e, err := New(Config{Slots: 1, Logger: downloadtest.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s := downloadtest.Serve(t, downloadtest.Content(nil))
	downloadtest.Add(t, e, downloadtest.Job(t, "inner", s.URL+"/file"))
	downloadtest.MustFail(t, e, "inner")
	if n := s.Requests.Load(); n != 0 {
		t.Errorf("the server had %d requests", n)
	}
}

// open makes an engine that ends with the test; what cfg leaves out is filled in.
func open(t *testing.T, cfg Config) *Engine {
	t.Helper()
	cfg.Logger = downloadtest.Logger(t)
	if cfg.Slots == 0 {
		cfg.Slots = 8
	}
	if cfg.Guard == nil {
		cfg.Guard = downloadtest.Loopback(t)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // never fails
	return e
}
