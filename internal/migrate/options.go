package migrate

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
)

// options are the command line and the dispatcher's configuration.
type options struct {
	source, target string
	sqlitePath     string
	isConfigured   bool // sqlitePath is that of the configuration
	postgresDSN    string
	nats           string
	onConflict     string
	from, to       string
	words          []string // that are no flags
	verbose, json  bool
	dryRun, final  bool
	mkdir          bool
	version        bool
	streams        bool // schema: those in NATS
	config         *config.Dispatcher
	logger         *slog.Logger
}

// commands are the first words of a command line that is no copy.
var commands = []string{"backup", "restore", "verify", "schema"}

// parse reads the arguments of a subcommand, "" for a copy. It prints the usage
// to out and returns flag.ErrHelp where that is asked for.
func (o *options) parse(command string, args, environ []string, out io.Writer) error {
	if err := o.parseFlags(o.flags(command), args, out); err != nil || o.version {
		return err
	}
	if err := o.checkWords(command); err != nil {
		return err
	}
	return o.loadConfig(environ)
}

// flags declares the flags of a subcommand.
func (o *options) flags(command string) *flag.FlagSet {
	f := flag.NewFlagSet("migrate", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.sqlitePath, "sqlite-path", "", "the `FILE` that sqlite means")
	f.BoolVar(&o.verbose, "v", false, "say what is done, step by step")
	f.BoolVar(&o.json, "json", false, "print the result as one JSON object")
	f.BoolVar(&o.version, "version", false, "print the version")
	all := command == ""
	if all {
		f.StringVar(&o.source, "source", "", "where from: memory, sqlite, postgres or a `FILE`")
		f.StringVar(&o.target, "target", "", "where to: memory, sqlite, postgres or a `FILE`")
		f.StringVar(&o.nats, "nats", "", "the `URL` of the NATS server of the running dispatcher")
		f.StringVar(&o.onConflict, "on-conflict", "fail", "what becomes of a record that the target has with other content: fail, skip or replace")
		f.BoolVar(&o.dryRun, "dry-run", false, "compare and count, change nothing")
		f.BoolVar(&o.final, "final", false, "with --source memory: the dispatcher refuses writes from the snapshot on")
	}
	if all || command == "schema" || command == "verify" {
		f.StringVar(&o.postgresDSN, "postgres-dsn", "", "the connection `STRING` of the database that postgres means, without a password; that comes from DISPATCHER_DB_DSN or PGPASSFILE")
	}
	if command == "schema" {
		f.Var((*natsFlag)(o), "nats", "schema up: the streams in NATS instead of the SQLite file; `URL` of the server, or none for the configured one")
	}
	if all || command == "backup" {
		f.StringVar(&o.to, "to", "", "backup: the new `FILE`")
	}
	if all || command == "backup" || command == "restore" {
		f.BoolVar(&o.mkdir, "mkdir", false, "make the folder of the file that is written, if it is missing")
	}
	if all || command == "restore" {
		f.StringVar(&o.from, "from", "", "restore: the backup's `FILE`")
	}
	return f
}

// parseFlags parses flags and words in any order.
func (o *options) parseFlags(f *flag.FlagSet, args []string, out io.Writer) error {
	for rest := args; ; {
		err := f.Parse(rest)
		if errors.Is(err, flag.ErrHelp) {
			var flags bytes.Buffer
			f.SetOutput(&flags)
			f.PrintDefaults()
			if _, failed := fmt.Fprint(out, usage, flags.String(), usageEnd); failed != nil {
				return failed
			}
			return err
		} else if err != nil {
			return usageError{errors.New(config.FlagText(f, err))}
		}
		if rest = f.Args(); len(rest) == 0 {
			return nil
		}
		o.words, rest = append(o.words, rest[0]), rest[1:]
	}
}

// checkWords refuses words and flags that the subcommand does not take.
func (o *options) checkWords(command string) error {
	if o.streams && o.nats == "" { // --nats URL: the flag needs no value
		o.takeURL()
	}
	most := map[string]int{"verify": 1, "schema": 2}[command]
	if o.streams {
		most = 1 // the streams are no file
	}
	if command == "" && len(o.words) > 0 {
		word := o.words[0]
		if slices.Contains(commands, word) {
			return badUsage("%s comes before its flags: migrate %s …", word, word)
		}
		if o.source == "" && o.target == "" {
			return badUsage("there is no command %.80q; use %s, or --source and --target", word, strings.Join(commands, ", "))
		}
	}
	if len(o.words) > most {
		return badUsage("%q is not expected", o.words[len(o.words)-1])
	}
	if command == "" && (o.from != "" || o.to != "") {
		return badUsage("--to goes with backup, --from with restore")
	}
	return nil
}

// loadConfig reads the dispatcher's configuration, for the addresses and paths that no
// flag names.
func (o *options) loadConfig(environ []string) error {
	if postgres.HasPassword(o.postgresDSN) {
		return badUsage("--postgres-dsn has a password, which a process list shows: put the string into DISPATCHER_DB_DSN, or the password into a file that PGPASSFILE names")
	}
	var given []string
	if o.nats != "" {
		given = []string{"-nats-url", o.nats}
	}
	loaded, err := config.LoadDispatcher(given, environ)
	if err != nil {
		return usageError{err}
	}
	o.config = loaded.Config
	if o.sqlitePath == "" {
		o.sqlitePath, o.isConfigured = o.config.Database.Path, true
	}
	if o.postgresDSN == "" {
		o.postgresDSN = string(o.config.Database.DSN)
	}
	if slices.Contains(o.words, postgresWord) {
		return o.needDSN()
	}
	return nil
}

// natsFlag is --nats of schema, with a URL or without.
type natsFlag options

// String implements [flag.Value].
func (f *natsFlag) String() string { return f.nats }

// IsBoolFlag reports that the flag needs no value.
func (f *natsFlag) IsBoolFlag() bool { return true }

// Set implements [flag.Value].
func (f *natsFlag) Set(value string) error {
	on, err := strconv.ParseBool(value)
	if err != nil {
		on, f.nats = true, value
	}
	f.streams = on
	return nil
}

// takeURL takes the URL of --nats from the words, which the flag has left there.
func (o *options) takeURL() {
	i := slices.IndexFunc(o.words, func(w string) bool { return w != "up" && w != "status" })
	if i >= 0 && len(o.words) > 1 {
		o.nats = o.words[i]
		o.words = slices.Delete(o.words, i, i+1)
	}
}

func (o *options) level() string {
	if o.verbose {
		return "debug"
	}
	return "info"
}

// place is one end of a copy.
type place struct {
	kind string // memory, sqlite, postgres or jsonl
	path string // of a file
}

// String names the place, for people.
func (p place) String() string {
	if p.path == "" {
		return p.kind
	}
	return p.kind + " " + p.path
}

// place reads the value of --source or --target.
func (o *options) place(name, value string) (place, error) {
	switch lower := strings.ToLower(value); {
	case value == "":
		return place{}, badUsage("--%s is missing: memory, sqlite, postgres, or a file ending in .jsonl, .db or .sqlite", name)
	case value == "memory":
		return place{kind: value}, nil
	case value == "sqlite":
		return place{value, o.sqlitePath}, nil
	case value == postgresWord:
		return place{kind: value}, o.needDSN()
	case strings.HasSuffix(lower, ".jsonl"):
		return place{"jsonl", value}, nil
	case strings.HasSuffix(lower, ".db"), strings.HasSuffix(lower, ".sqlite"):
		return place{"sqlite", value}, nil
	}
	return place{}, badUsage("--%s %.80q: use memory, sqlite, postgres, or a file ending in .jsonl, .db or .sqlite", name, value)
}

// postgresWord names the database of --postgres-dsn among the words and places.
const postgresWord = "postgres"

// needDSN refuses a command line without a connection string that can be read.
func (o *options) needDSN() error {
	if o.postgresDSN == "" {
		return badUsage("postgres: no connection string is given: set DISPATCHER_DB_DSN, or use --postgres-dsn")
	}
	if err := postgres.CheckDSN(o.postgresDSN); err != nil {
		return badUsage("postgres: %w", err)
	}
	return nil
}

// ends returns source and target of a copy, and how to do it.
func (o *options) ends() (source, target place, c repo.CopyOptions, err error) {
	if source, err = o.place("source", o.source); err != nil {
		return source, target, c, err
	}
	if target, err = o.place("target", o.target); err != nil {
		return source, target, c, err
	}
	switch c.OnConflict = repo.OnConflict(o.onConflict); {
	case c.OnConflict != repo.Fail && c.OnConflict != repo.Skip && c.OnConflict != repo.Replace:
		err = badUsage("--on-conflict %.40q: use fail, skip or replace", o.onConflict)
	case c.OnConflict == repo.Skip && target.kind == "jsonl":
		err = badUsage("--on-conflict skip: a .jsonl file is written whole; fail or replace is possible")
	case o.final && source.kind != "memory":
		err = badUsage("--final goes with --source memory")
	case o.mkdir && o.dryRun:
		err = badUsage("--mkdir makes a folder, and --dry-run changes nothing: give one of them")
	case source.kind == target.kind && (source.path == "" || sameFile(source.path, target.path)):
		err = badUsage("source and target are the same: %v", source)
	}
	c.DryRun = o.dryRun
	return source, target, c, err
}
