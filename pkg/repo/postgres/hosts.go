package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// hostStep is the time after which the next host is tried beside those that have not
// answered. It is a small part of the time for a renewal of the leader row.
const hostStep = 200 * time.Millisecond

// host is the ways to one host: with sslmode=prefer one with TLS and one without.
type host []*pgconn.FallbackConfig

func (h host) name() string { return fmt.Sprint(h[0].Host, ":", h[0].Port) }

// servers is the hosts of a database: every connection to it is made here.
type servers struct {
	dsn  string
	base *pgx.ConnConfig // as the start has read it
	// lastHost names the host of the last connection; nil before the first connection.
	lastHost atomic.Pointer[string]
}

// newServers reads a connection string. Of several hosts the one that takes writes is meant,
// also for reading: the others may lag behind. A single host need not take writes to be read.
func newServers(dsn string, readOnly bool) (*servers, error) {
	base, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	s := &servers{dsn: dsn, base: base}
	if base.ValidateConnect == nil && !(readOnly && len(s.hosts(base)) == 1) {
		base.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return s, nil
}

// connConfig returns the configuration of one connection. It reads the files that the
// connection string names again: a password or a certificate that was replaced is used
// without a restart. Where they cannot be read, those of the start are.
func (s *servers) connConfig() (*pgx.ConnConfig, *dialer) {
	c, d := s.base.Copy(), &dialer{}
	if fresh, err := parseDSN(s.dsn); err == nil {
		c.Password = cmp.Or(fresh.Password, c.Password) // no error tells that the password file is missing
		setHosts(c, s.hosts(fresh)...)
	}
	c.DialFunc = d.dial
	return c, d
}

// hosts returns the hosts of a configuration. That of the last connection is first, so that
// all connections prefer the same one.
func (s *servers) hosts(c *pgx.ConnConfig) (list []host) {
	for _, way := range append([]*pgconn.FallbackConfig{{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}}, c.Fallbacks...) {
		if last := len(list) - 1; last >= 0 && list[last].name() == (host{way}).name() {
			list[last] = append(list[last], way)
		} else {
			list = append(list, host{way})
		}
	}
	if last := s.lastHost.Load(); last != nil {
		slices.SortStableFunc(list, func(a, b host) int {
			switch *last {
			case a.name():
				return -1
			case b.name():
				return 1
			}
			return 0
		})
	}
	return list
}

// setHosts replaces the hosts of a configuration.
func setHosts(c *pgx.ConnConfig, list ...host) {
	ways := slices.Concat(list...)
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = ways[0].Host, ways[0].Port, ways[0].TLSConfig, ways[1:]
}

// connect connects to the first host that takes writes. A host that accepts connections
// and does not answer delays the next one by hostStep only.
func (s *servers) connect(ctx context.Context, c *pgx.ConnConfig) (*pgx.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type attempt struct {
		*pgx.Conn
		host string
		err  error
	}
	list := s.hosts(c)
	ended, waiting := make(chan attempt, len(list)), 0
	begin := func() {
		if len(list) == 0 {
			return
		}
		one, name := c.Copy(), list[0].name()
		setHosts(one, list[0])
		list = list[1:]
		waiting++
		go func() {
			conn, err := pgx.ConnectConfig(ctx, one)
			ended <- attempt{conn, name, err}
		}()
	}
	begin()
	step := time.NewTicker(hostStep)
	defer step.Stop()
	var errs []error
	for waiting > 0 {
		select {
		case <-step.C:
			begin()
		case a := <-ended:
			if waiting--; a.err == nil {
				s.lastHost.Store(&a.host)
				go func() { // the others end with ctx
					for ; waiting > 0; waiting-- {
						if late := <-ended; late.err == nil {
							closeBroken(late.Conn)
						}
					}
				}()
				return a.Conn, nil
			}
			errs = append(errs, a.err)
			begin()
		}
	}
	return nil, errors.Join(errs...)
}

// closeBroken closes a connection that is not needed, or that may be broken.
func closeBroken(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it may be broken
}
