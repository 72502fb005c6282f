package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// The files that are read without -config, if they exist. They are looked for in the
// working directory.
const (
	DispatcherFile = "config/dispatcher.json"
	WorkerFile     = "config/worker.json"
)

// DispatcherCommand is the command line of cmd/dispatcher, with the
// configuration that came of it.
type DispatcherCommand struct {
	Config  *Dispatcher
	File    string   // the file that was read; empty if no file was read
	Dev     bool     // -dev: everything in one process
	Exit    bool     // -exit: end when the URLs are done
	Version bool     // -version: nothing else is set
	URLs    []string // what to download in -dev

	Origins map[string]string // key to the place that gave it: a line of the file, a name of the environment, a flag
}

// WorkerCommand is the command line of cmd/worker, with the configuration that
// came of it.
type WorkerCommand struct {
	Config  *Worker
	File    string // the file that was read; empty if no file was read
	Version bool   // -version: nothing else is set
}

// LoadDispatcher reads the arguments (without the program's name) and the
// environment (as [os.Environ] gives it), and the file that they name or
// [DispatcherFile]; -dev reads only a file that -config names, so that a
// newcomer's command does the same everywhere. The result is valid.
//
// Errors are [*Error], [Errors] if several things are wrong, or [ErrHelp] for -h.
func LoadDispatcher(args, environ []string) (*DispatcherCommand, error) {
	c := &DispatcherCommand{Config: DefaultDispatcher()}
	l := newLoader("dispatcher", dispatcherPrefix, keysOf(c.Config, dispatcherPrefix))
	l.dispatcherFlags(c)
	rest, err := l.parseFlags(args)
	if err != nil {
		return nil, err
	}
	if c.Version {
		return &DispatcherCommand{Version: true}, nil
	}
	switch {
	case !c.Dev && len(rest) > 0:
		return nil, &Error{Text: fmt.Sprintf("unexpected argument %.64q; URLs go with -dev", rest[0])}
	case !c.Dev && c.Exit:
		return nil, &Error{Where: "-exit", Text: "goes with -dev"}
	case c.Exit && len(rest) == 0:
		return nil, &Error{Where: "-exit", Text: "needs at least one URL"}
	}
	c.URLs = rest
	fallback := DispatcherFile
	if c.Dev {
		fallback = ""
	}
	c.File, err = l.load(fallback, environ, l.unknownEnv(environ), c.Config.Validate)
	if err != nil {
		return nil, err
	}
	if len(l.where) > 0 {
		c.Origins = l.where
	}
	return c, nil
}

// LoadWorker reads arguments, environment and file ([WorkerFile] where -config
// names none) as [LoadDispatcher] does. An empty name becomes the host's. The
// result is valid.
//
// A name in the environment that begins with WORKER_ and is no key is ignored:
// too many other programs use such names.
func LoadWorker(args, environ []string) (*WorkerCommand, error) {
	c := &WorkerCommand{Config: DefaultWorker()}
	l := newLoader("worker", workerPrefix, keysOf(c.Config, workerPrefix))
	l.workerFlags(c)
	rest, err := l.parseFlags(args)
	if err != nil {
		return nil, err
	}
	if c.Version {
		return &WorkerCommand{Version: true}, nil
	}
	if len(rest) > 0 {
		return nil, &Error{Text: fmt.Sprintf("unexpected argument %.64q", rest[0])}
	}
	if c.File, err = l.load(WorkerFile, environ, nil, c.Config.Validate); err != nil {
		return nil, err
	}
	if c.Config.Name == "" {
		c.Config.Name = hostName()
	}
	return c, nil
}

// loader lays file, environment and flags over the keys of one program.
type loader struct {
	prefix string
	keys   []*key
	flags  *flag.FlagSet
	file   string            // of -config
	given  []setting         // by flags, in order
	where  map[string]string // key to the place that gave its value
}

type setting struct {
	key  *key
	text string
}

func newLoader(program, prefix string, keys []*key) *loader {
	l := &loader{prefix: prefix, keys: keys, where: make(map[string]string)}
	l.flags = flag.NewFlagSet(program, flag.ContinueOnError)
	l.flags.SetOutput(io.Discard)
	return l
}

func (l *loader) dispatcherFlags(c *DispatcherCommand) {
	l.flags.StringVar(&l.file, "config", "", "read this `FILE`, JSON with // comments; without it "+DispatcherFile+", if it exists")
	l.flags.BoolVar(&c.Dev, "dev", false, "everything in one process: embedded NATS unless a server is named, memory store, one worker; downloads the URLs given")
	l.flags.BoolVar(&c.Exit, "exit", false, "with -dev: end when the URLs are done, with 0 if all completed, else 1")
	l.flags.BoolVar(&c.Version, "version", false, "print the version and exit")
	l.keyFlags()
}

func (l *loader) workerFlags(c *WorkerCommand) {
	l.flags.StringVar(&l.file, "config", "", "read this `FILE`, JSON with // comments; without it "+WorkerFile+", if it exists")
	l.flags.BoolVar(&c.Version, "version", false, "print the version and exit")
	l.keyFlags()
	for _, k := range l.keys {
		if k.path == "nats.url" { // the contract's short name
			l.flags.Var(&keyFlag{l, k}, "nats", "the same as -nats-url")
		}
	}
}

func (l *loader) keyFlags() {
	for _, k := range l.keys {
		if k.flag != "" {
			l.flags.Var(&keyFlag{l, k}, k.flag, k.doc)
		}
	}
}

// keyFlag notes a key's flag for later: it beats file and environment, which
// are read after the flags, for -config names the file.
type keyFlag struct {
	l *loader
	k *key
}

func (f *keyFlag) String() string { return "" }

// IsBoolFlag lets -http-pprof alone mean true, as flags of Go programs do.
func (f *keyFlag) IsBoolFlag() bool { return f.k != nil && f.k.value.Kind() == reflect.Bool }

func (f *keyFlag) Set(text string) error {
	f.l.given = append(f.l.given, setting{f.k, text})
	return nil
}

// parseFlags takes flags before, between and after the other arguments, which
// it returns. After "--" nothing is a flag.
func (l *loader) parseFlags(args []string) (rest []string, err error) {
	for {
		if err := l.flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, ErrHelp
		} else if err != nil {
			return nil, &Error{Text: FlagText(l.flags, err)}
		}
		left := l.flags.Args()
		if read := len(args) - len(left); read > 0 && args[read-1] == "--" {
			return append(rest, left...), nil
		}
		if len(left) == 0 {
			return rest, nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

// FlagText is the text of an error of parsing the flags of a set, with what helps.
func FlagText(set *flag.FlagSet, err error) string {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err.Error() + "; see -h"
	}
	var names []string
	set.VisitAll(func(f *flag.Flag) { names = append(names, "-"+f.Name) })
	return fmt.Sprintf("unknown flag -%.64s; see -h%s", name, suggest("-"+name, names))
}

// load lays file, environment and flags over the keys, and returns the file
// that was read. The error has all that is wrong, after what was found before. Values are
// compared with each other only if each is legal.
func (l *loader) load(fallback string, environ []string, before error, validate func() error) (string, error) {
	var found Errors
	found.add(before)
	file, err := l.layFile(fallback)
	found.add(err)
	found.add(l.readEnv(environ))
	for _, s := range l.given {
		l.where[s.key.path] = "-" + s.key.flag
		found.add(l.placed(s.key.set(s.text)))
	}
	var checked Errors
	checked.add(l.placed(validate()))
	if len(found) > 0 {
		checked = checked.ofOneKey()
	}
	found.add(checked.all())
	return file, found.all()
}

// layFile lays the file over the keys, and returns its name.
func (l *loader) layFile(fallback string) (string, error) {
	file := l.file
	named := false
	l.flags.Visit(func(f *flag.Flag) { named = named || f.Name == "config" })
	if !named && fallback != "" {
		if _, err := os.Stat(fallback); err == nil {
			file = fallback
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", &Error{Text: "reading the configuration: " + err.Error()}
		}
	}
	if file == "" {
		return "", nil
	}
	return file, readFile(file, l.keys, l.where)
}

// readEnv sets the keys that the environment names. An empty value counts as
// not given: a compose file with an unset variable writes one.
func (l *loader) readEnv(environ []string) error {
	values := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	var found Errors
	for _, k := range l.keys {
		i := slices.IndexFunc(k.env, func(name string) bool { return values[name] != "" })
		if i < 0 {
			continue
		}
		l.where[k.path] = k.env[i]
		found.add(l.placed(k.set(values[k.env[i]])))
	}
	return found.all()
}

// serviceLink matches what Kubernetes puts into every container for a service
// that is named "dispatcher".
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$`)

// unknownEnv refuses a name with our prefix that is no key: a misspelt
// DISPATCHER_DB_TYPE would otherwise keep everything in memory, silently.
func (l *loader) unknownEnv(environ []string) error {
	var found Errors
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, l.prefix+"_") || serviceLink.MatchString(name) {
			continue
		}
		var names []string
		for _, k := range l.keys {
			names = append(names, k.env...)
		}
		if !slices.Contains(names, name) {
			err := unknownKey(name, names)
			err.Where = "environment"
			found.add(err)
		}
	}
	return found.all()
}

// placed adds to an [Error], or to each of several, where its key was given.
func (l *loader) placed(err error) error {
	var several Errors
	if errors.As(err, &several) {
		for _, one := range several {
			_ = l.placed(one) // it is changed where it is
		}
		return err
	}
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	for _, key := range append([]string{e.Key}, e.others...) {
		if e.Where == "" {
			e.Where = l.where[key]
		}
	}
	return err
}
