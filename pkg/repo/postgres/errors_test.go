package postgres

import (
	"net"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// No error of a connection string has its password.
func TestOpen_ErrorsHideThePassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:hunter2@127.0.0.1:1/db", "postgres://u:hunter2@h:port/db", "postgres://u:hunter2@%zz/db",
		"host=127.0.0.1 port=1 password=hunter2", "password=hunter2 port=x", "password=hunter2 sslmode=odd", "password='hunter2",
	} {
		_, err := Open(testbed.Context(t), Config{DSN: dsn})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// The error that clients get names no user, no database and no host; the text for the log
// does.
func TestOpen_SentenceForClientsNamesNoServer(t *testing.T) {
	server := testpostgres.Shared(t)
	full := testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) { _ = c.Close() })
	for _, c := range []struct{ dsn, want, detail string }{
		{"postgres://theuser@127.0.0.1:1/thedatabase", "connection refused", "127.0.0.1:1"},
		{"postgres://theuser@no-such-host.invalid/thedatabase", "host", "no-such-host.invalid"},
		{"postgres://theuser@" + full + "/thedatabase", "connection", full},
		{"postgres://theuser@" + server.Address() + "/thedatabase", "28000", `"theuser"`},
		{"postgres://aria@" + server.Address() + "/thedatabase", "3D000", `"thedatabase"`},
	} {
		_, err := Open(testbed.Context(t), Config{DSN: c.dsn})
		e := model.AsError(err)
		if e == nil || e.Code != model.CodeUnavailable || !strings.Contains(e.Message, c.want) || !strings.Contains(err.Error(), c.detail) {
			t.Errorf("%s: %v", c.dsn, err)
			continue
		}
		for _, name := range []string{"theuser", "thedatabase", "127.0.0.1", "invalid"} {
			if strings.Contains(e.Message, name) {
				t.Errorf("%s: the client is told %q", c.dsn, e.Message)
			}
		}
	}
}
