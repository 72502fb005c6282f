package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// ErrFenced is [repo.ErrFenced].
var ErrFenced = repo.ErrFenced

// ErrNotLeader is [repo.ErrNotLeader].
var ErrNotLeader = repo.ErrNotLeader

// The codes of the errors that the functions of the schema raise.
const (
	codeFenced   = "AR001"
	codeMismatch = "AR002"
)

// sentences are the codes, or the classes, of errors that pass by themselves or by an
// operator's hand, and what to say of them.
var sentences = []struct{ prefix, text string }{
	{"53100", "PostgreSQL's disk is full"},
	{"53300", "PostgreSQL has no connection left"},
	{"53", "PostgreSQL is short of resources"},
	{"25006", "PostgreSQL is read-only: a standby, perhaps after a failover"},
	{"57P03", "PostgreSQL is starting or in recovery"},
	{"57", "PostgreSQL has ended the connection or the statement"},
	{"08", "the connection to PostgreSQL is broken"},
	{"55P03", "a lock could not be had in time: another session holds it"},
	{"40", "PostgreSQL has rolled the transaction back"},
	{"25P0", "PostgreSQL has ended a transaction that took too long"},
	{"58", "PostgreSQL's system fails"},
	{"28", "PostgreSQL refuses the user or the password"},
	{"3D000", "the database does not exist"},
}

// explainError gives an error the operation's name, and CodeUnavailable where trying again
// may help.
func explainError(op string, err error) error {
	var known *model.Error
	var server *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &known) && strings.HasPrefix(known.Message, op+": "):
		return err
	case errors.As(err, &known):
		return model.Errorf(known.Code, "%s: %s", op, known.Message).For(known.ID)
	case errors.Is(err, repo.ErrFenced): // with a code: it is no bug of the batch
		return fmt.Errorf("%w: %w", model.Errorf(model.CodeUnavailable, "%s: the dispatcher no longer leads", op), err)
	case errors.Is(err, repo.ErrNotLeader):
		return fmt.Errorf("%s: %w", op, err)
	case errors.As(err, &server):
		for _, s := range sentences {
			if strings.HasPrefix(server.Code, s.prefix) {
				return model.Errorf(model.CodeUnavailable, "%s: %s (%s, SQLSTATE %s)", op, s.text, server.Message, server.Code)
			}
		}
		return fmt.Errorf("%s: %w", op, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", op, err)
	case isUnreachable(err):
		return model.Errorf(model.CodeUnavailable, "%s: PostgreSQL cannot be reached (%s)", op, networkReason(err))
	}
	return fmt.Errorf("%s: %w", op, err)
}

// isUnreachable reports whether an error came from the network, not from the server.
func isUnreachable(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.HasSuffix(err.Error(), "conn closed")
}

// networkReason returns the text of the system's error, or all of it.
func networkReason(err error) string {
	var system *net.OpError
	if errors.As(err, &system) && system.Err != nil {
		return system.Err.Error()
	}
	return err.Error()
}
