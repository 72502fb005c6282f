package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

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
	{"28P01", "PostgreSQL refuses the user or the password"},
	{"28", "PostgreSQL refuses the user, or its pg_hba.conf a connection from here or without TLS"},
	{"3D000", "the database does not exist"},
	{"42501", "PostgreSQL's user lacks a right"},
}

// explainError gives an error the operation's name, and CodeUnavailable where trying again
// may help. The [model.Error] in it, which clients get, names no user, no database and no
// address; the text of the error, for the log, has them.
func explainError(op string, err error) error {
	var known *model.Error
	var server *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &known) && strings.HasPrefix(known.Message, op+": "):
		return err
	case errors.As(err, &known):
		named := model.Errorf(known.Code, "%s: %s", op, known.Message).For(known.ID)
		if errors.Is(err, errUnsettled) {
			return fmt.Errorf("%w (%w)", named, repo.ErrUnsettled)
		}
		if detail, ok := strings.CutPrefix(err.Error(), known.Message); ok && detail != "" {
			return fmt.Errorf("%w%s", named, detail)
		}
		return named
	case errors.Is(err, repo.ErrFenced): // with a code: it is no bug of the batch
		return fmt.Errorf("%w: %w", model.Errorf(model.CodeUnavailable, "%s: the dispatcher no longer leads", op), err)
	case errors.Is(err, repo.ErrNotLeader):
		return fmt.Errorf("%s: %w", op, err)
	case errors.As(err, &server):
		text := serverSentence(err, server.Code)
		if text == "" {
			return fmt.Errorf("%s: %w", op, err)
		}
		return unavailable(err, "%s: %s (SQLSTATE %s)", op, text, server.Code)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", op, err)
	case isUnreachable(err):
		return unavailable(err, "%s: PostgreSQL cannot be reached (%s)", op, networkReason(err))
	}
	return fmt.Errorf("%s: %w", op, err)
}

// unavailable returns CodeUnavailable with a sentence for clients; only the text of the
// whole has the detail. The detail is not in the chain: a timeout of the connection is not
// a timeout of the request.
func unavailable(detail error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", model.Errorf(model.CodeUnavailable, format, args...), oneLine(detail.Error()))
}

// oneLine joins the lines of an error, in which pgx has one for each address that it tried.
func oneLine(text string) string {
	var parts []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); !slices.Contains(parts, line) { // with TLS and without it
			parts = append(parts, line)
		}
	}
	return strings.ReplaceAll(strings.Join(parts, "; "), ":; ", ": ")
}

// serverSentence is what to say of an error that passes by itself or by an operator's hand,
// "" of any other.
func serverSentence(err error, code string) string {
	for _, s := range sentences {
		if strings.HasPrefix(code, s.prefix) {
			return s.text
		}
	}
	if connect := (*pgconn.ConnectError)(nil); errors.As(err, &connect) {
		return "PostgreSQL refuses the connection"
	}
	return ""
}

// isUnreachable reports whether an error came from the network, not from the server.
func isUnreachable(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || isClosed(err)
}

// networkReason says why, without a name or an address.
func networkReason(err error) string {
	var number syscall.Errno
	var name *net.DNSError
	var network net.Error
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return "its certificate is not valid for this connection"
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &name):
		return "the name of its host is not resolved"
	case errors.As(err, &network) && network.Timeout(), pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return "it does not answer in time"
	case strings.Contains(err.Error(), "read only connection"): // pgconn has no value for it
		return "no host takes writes"
	case isClosed(err):
		return "the connection was closed"
	case strings.Contains(err.Error(), "server refused TLS connection"): // the same
		return "it offers no TLS, and the connection string requires it"
	}
	return "no host accepts the connection"
}

func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.HasSuffix(err.Error(), "conn closed")
}
