package testpostgres

import (
	"sync"
	"testing"
)

// shared is the one server of a test program, which its tests share: a start takes about a
// second.
var shared struct {
	sync.Mutex
	server *Server
}

// Main runs the tests of a package and ends the server of [Shared]. TestMain calls it and
// returns.
func Main(m *testing.M) {
	m.Run()
	Stop()
}

// Stop ends the server of [Shared]. A TestMain that does not call [Main] calls it last.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.remove()
	}
}

// Shared returns the server that all tests of the program share; the first call starts it.
// It must have a TestMain that calls [Main] or [Stop].
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s := create(t, nil)
		s.Run(t)
		shared.server = s
	}
	return shared.server
}

// Database returns the connection string of an empty database on the shared server. It is
// dropped at the end of the test.
func Database(t testing.TB) string {
	t.Helper()
	return Shared(t).Database(t)
}
