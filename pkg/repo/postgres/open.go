package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// The levels of durability. With full a commit is as durable as the server's own settings
// make it. With normal a crash of the server may lose the last commits; the database stays
// consistent.
const (
	Full   = rules.Full
	Normal = rules.Normal
)

// Synchronous is the durability of a commit.
type Synchronous = rules.Synchronous

// Config locates and tunes the store. DSN is required.
type Config struct {
	// DSN is a connection string, as a URL or as words, as libpq knows them. With several
	// hosts the one that takes writes is used. No error and no log line has its password.
	DSN         string
	Synchronous Synchronous // default Full
	// RequireSync refuses a server on which a commit may be lost: without fsync or
	// full_page_writes, or without a synchronous standby.
	RequireSync bool
	Readers     int // connections for reading; default 4
	// Timeout bounds each read and each commit; default 10 s. A commit that takes longer
	// fails, and its outcome is unknown. A read of a start may take longer while the server
	// works on it.
	Timeout time.Duration
	Logger  *slog.Logger // default: discards

	readOnly bool // see OpenReadOnly
}

// minVersion is the oldest server that has client_connection_check_interval.
const minVersion = 140000

// Open connects, creates the tables of an empty database or migrates an older schema, and
// logs how durable commits are. The error is CodeUnavailable if the server cannot be
// reached. A store that was opened may read; before it writes, [Store.SetTerm] gives it the
// term of a [Leader], unless no other dispatcher can use the database.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, explainError("open store", err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (*Store, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	all, err := newServers(c.DSN, c.readOnly)
	if err != nil {
		return nil, err
	}
	s := &Store{servers: all, config: c, log: c.Logger}
	s.w.forms = make(map[updateKey]*updateForm)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start connects, migrates and inspects the server.
func (s *Store) start(ctx context.Context) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, connectTimeout*time.Duration(1+len(s.base.Fallbacks)))
	defer cancel()
	if err := s.w.connect(limited, s); err != nil {
		return err
	}
	if err := migrate(ctx, s.w.conn, s.servers, s.log); err != nil {
		return err
	}
	pool, err := poolConfig(s)
	if err != nil {
		return err
	}
	s.r, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), pool)
	if err != nil {
		return err
	}
	return s.w.conn.QueryRow(ctx, "SELECT store_id FROM leader").Scan(&s.id)
}

func (c *Config) setDefaults() error {
	switch {
	case c.DSN == "":
		return errors.New("no connection string is given")
	case c.Synchronous == "":
		c.Synchronous = Full
	case c.Synchronous != Full && c.Synchronous != Normal:
		return fmt.Errorf("synchronous %q is not full or normal", c.Synchronous)
	}
	if c.RequireSync && c.Synchronous != Full {
		return errors.New("synchronous normal contradicts the requirement of synchronous commits")
	}
	if c.Readers < 1 {
		c.Readers = 4
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// parseDSN reads a connection string. Its errors do not contain the password.
func parseDSN(dsn string) (*pgx.ConnConfig, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		var parse *pgconn.ParseConfigError
		if errors.As(err, &parse) {
			return nil, model.Errorf(model.CodeInvalid, "the connection string is not valid: %s", parseReason(parse))
		}
		return nil, err
	}
	if c.ConnectTimeout <= 0 || c.ConnectTimeout > connectTimeout {
		c.ConnectTimeout = connectTimeout
	}
	return c, nil
}

// parseReason returns what is wrong with a connection string, without the string.
func parseReason(err *pgconn.ParseConfigError) string {
	var file *fs.PathError
	if errors.As(err, &file) {
		return "a file that it names cannot be used: " + file.Error()
	}
	return "it must be a URL, postgres://USER@HOST/DATABASE, or words such as host=HOST dbname=DATABASE, and its settings must be known to libpq"
}

// CheckDSN returns an error of CodeInvalid if a connection string cannot be read. The error
// does not contain the string.
func CheckDSN(dsn string) error {
	_, err := parseDSN(dsn)
	return err
}

// settings are those of each session. A session that hangs, or that has lost its client,
// must not hold its locks.
func settings() []string {
	return []string{
		"idle_in_transaction_session_timeout = '5s'",
		"lock_timeout = '2s'",
		"client_connection_check_interval = '2s'",
		"idle_session_timeout = 0", // a dispatcher with little to do has idle sessions
		// What the role or the database may have as its default must not change what a
		// statement does: a read of a start may take long, a commit waits for the fence and
		// fails only on another term, an error leaves the session, and the warning that a
		// commit is on this server alone arrives.
		"statement_timeout = 0", "default_transaction_isolation = 'read committed'", "exit_on_error = off", "client_min_messages = 'warning'",
		// The statements look up single rows or walk an index from a seq on, and what they
		// look up is mostly in memory. A plan that was made while a table was small must
		// not scan it when it has grown.
		"random_page_cost = 0.1", "seq_page_cost = 0.1",
		"enable_seqscan = off", "enable_bitmapscan = off", "enable_hashjoin = off", "enable_mergejoin = off", "jit = off",
	}
}

// transactionTimeout is a setting of the sessions that lock the leader row or the fence.
// Others may read for long. Servers before PostgreSQL 17 do not have it.
const transactionTimeout = "transaction_timeout = '15s'"

// prepareSession sets what a new connection needs.
func (s *Store) prepareSession(ctx context.Context, conn *pgx.Conn, more ...string) error {
	version, err := checkServer(ctx, conn)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	if version >= 170000 {
		batch.Queue("SET transaction_timeout = 0") // before that of more
	}
	for _, setting := range append(settings(), more...) {
		if setting != transactionTimeout || version >= 170000 {
			batch.Queue("SET " + setting)
		}
	}
	return conn.SendBatch(ctx, batch).Close()
}

// checkServer refuses a server that the store cannot use, and returns its version.
func checkServer(ctx context.Context, conn *pgx.Conn) (version int, err error) {
	var encoding string
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')").Scan(&version, &encoding)
	switch {
	case err != nil:
		return 0, err
	case version < minVersion:
		return 0, model.Errorf(model.CodeConflict, "PostgreSQL %d is too old: %d or newer is needed", version/10000, minVersion/10000)
	case encoding != "UTF8":
		return 0, model.Errorf(model.CodeConflict, "the database has the encoding %s: UTF8 is needed", encoding)
	}
	return version, nil
}

// poolConfig returns the configuration of the connections that read.
func poolConfig(s *Store) (*pgxpool.Config, error) {
	// A pool wants a configuration of its own making.
	c, err := pgxpool.ParseConfig(s.config.DSN)
	if err != nil {
		return nil, errors.New("the connection string is not valid for a pool")
	}
	c.ConnConfig, _ = s.connConfig()
	c.MaxConns, c.MinConns = int32(min(s.config.Readers, 100)), 0
	c.BeforeConnect = func(_ context.Context, one *pgx.ConnConfig) error {
		now, _ := s.connConfig()
		one.Password = now.Password
		setHosts(one, s.hosts(now)...)
		return nil
	}
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		return s.prepareSession(ctx, conn, "plan_cache_mode = force_custom_plan")
	}
	return c, nil
}
