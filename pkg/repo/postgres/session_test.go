package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// No session keeps a lock for long when it or its client hangs.
func TestSession_BoundsItsLocks(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	mustTake(t, s, "a")
	reader, err := s.r.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Release()
	version, err := checkServer(ctx, reader.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]*pgx.Conn{"the writer": s.w.conn, "the leader row": s.leader.conn, "a reader": reader.Conn()} {
		want := map[string]string{"idle_in_transaction_session_timeout": "5s", "lock_timeout": "2s", "client_connection_check_interval": "2s"}
		if version >= 170000 && name != "a reader" {
			want["transaction_timeout"] = "15s"
		}
		for setting, value := range want {
			var have string
			if err := conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&have); err != nil || have != value {
				t.Errorf("%s: %s is %q (%v), want %s", name, setting, have, err, value)
			}
		}
	}
}

// A server that does not take writes gives no term, also where the connection string
// allows such a server.
func TestLeader_RowOfStandbyServerNotTaken(t *testing.T) {
	primary := testpostgres.Start(t)
	mustOpen(t, Config{DSN: primary.DSN("postgres")})
	standby := primary.StartStandby(t)
	s := mustOpen(t, Config{DSN: standby.DSN("postgres") + "&target_session_attrs=prefer-standby"})
	term, err := s.Leader().Take(testbed.Context(t), observe(t, s), "a")
	if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "standby of PostgreSQL") {
		t.Errorf("Take = %d, %v", term, err)
	}
}

// poolBefore returns the address of what a pooler is to its clients: a server that names
// other process ids than PostgreSQL does.
func poolBefore(t *testing.T, server string) string {
	t.Helper()
	return testbed.Listen(t, "127.0.0.1:0", func(in net.Conn) {
		out, err := net.Dial("tcp", server)
		if err != nil {
			return
		}
		defer out.Close()
		go func() {
			_, _ = io.Copy(out, in) // the end of the connection
			_ = out.Close()
		}()
		from := bufio.NewReader(out)
		for kind := byte(0); kind != 'K'; { // BackendKeyData
			head := make([]byte, 5)
			if _, err := io.ReadFull(from, head); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
			if _, err := io.ReadFull(from, body); err != nil {
				return
			}
			if kind = head[0]; kind == 'K' {
				binary.BigEndian.PutUint32(body, binary.BigEndian.Uint32(body)+1)
			}
			if _, err := in.Write(slices.Concat(head, body)); err != nil {
				return
			}
		}
		_, _ = io.Copy(in, from) // the end of the connection
	})
}

// A pooler between the dispatcher and PostgreSQL is noticed, and a direct connection is not
// taken for one.
func TestOpen_NoticesPooler(t *testing.T) {
	server := testpostgres.Shared(t)
	dsn := server.Database(t)
	for dsn, want := range map[string]bool{dsn: false, strings.Replace(dsn, server.Address(), poolBefore(t, server.Address()), 1): true} {
		var log testbed.Log
		s, err := Open(context.Background(), Config{DSN: dsn, Logger: log.Logger()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "a connection pooler is between") != want {
			t.Errorf("%s: the log has the pooler %v times\n%s", dsn, !want, &log)
		}
	}
}
