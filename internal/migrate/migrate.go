// Package migrate is the program migrate without its main function: it moves tasks
// and workers between stores, and backs up, restores and checks the file of the
// store sqlite.
package migrate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/app/process"
)

const usage = `Usage:
  migrate --source S --target T [flags]     copy a store into another one, verified
  migrate backup  --to FILE [flags]         a consistent copy of the SQLite file, while it is in use
  migrate restore --from FILE [flags]       put a backup in the place of the SQLite file
  migrate verify  [FILE|postgres] [flags]   check the SQLite file, another one, a .jsonl file, or the database
  migrate schema  status|up [FILE|postgres] say the schema of the SQLite file or the database, or bring it up to date
  migrate schema  up --nats [URL]           make the dispatcher's streams in NATS, where it may not itself

S and T are one of
  memory     the store of the running dispatcher, over NATS
  sqlite     the file that --sqlite-path names
  FILE       a SQLite file ending in .db or .sqlite, or a file of records ending in .jsonl
  postgres   the database of DISPATCHER_DB_DSN or --postgres-dsn; as the target it is as before
             or complete, and no dispatcher may use it meanwhile

Flags:
`

const usageEnd = `
The SQLite file and the NATS server are those of the dispatcher's configuration
(config/dispatcher.json, DISPATCHER_DB_PATH, DISPATCHER_DB_DSN, NATS_URL, …) where no
flag says otherwise. Exit status: 0 all moved and verified, 1 something was not, 2 bad usage.
`

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run executes a command line and returns the exit code: 0, 1 for a failure, 2 for
// bad usage. Results go to stdout; errors, logs and progress go to stderr.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr}
	err := p.run(ctx, args, environ)
	var bad usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &bad):
		fmt.Fprintln(stderr, "migrate:", err)
		fmt.Fprintln(stderr, "migrate -h says how to use it")
		return 2
	}
	if !p.o.json {
		fmt.Fprintf(stderr, "migrate: %v%s\n", err, p.otherFile(err))
	}
	return 1
}

// otherFile tells how to name another SQLite file, if err is that the configured one or its
// folder does not exist: then migrate probably runs in another folder than the dispatcher.
func (p *program) otherFile(err error) string {
	missing, ok := errors.AsType[*fs.PathError](err)
	path, absErr := filepath.Abs(p.o.sqlitePath)
	if !ok || !p.o.isConfigured || !errors.Is(err, fs.ErrNotExist) || absErr != nil || !strings.HasPrefix(path, missing.Path) {
		return ""
	}
	return "; run it in the folder of the dispatcher, or name the file by --sqlite-path or DISPATCHER_DB_PATH"
}

// program is one run.
type program struct {
	o              options
	stdout, stderr io.Writer
}

func (p *program) run(ctx context.Context, args, environ []string) error {
	command := p.copy
	name := ""
	if len(args) > 0 {
		if c, ok := map[string]func(context.Context) error{
			"backup": p.backup, "restore": p.restore, "verify": p.verify, "schema": p.schema,
		}[args[0]]; ok {
			command, name, args = c, args[0], args[1:]
		}
	}
	if err := p.o.parse(name, args, environ, p.stdout); err != nil {
		return err
	}
	if p.o.version {
		_, err := fmt.Fprintln(p.stdout, process.VersionText("migrate"))
		return err
	}
	p.o.logger = process.NewLogger(p.stderr, "text", process.LogLevel(p.o.level()))
	return command(ctx)
}
