package ariacli

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// specFlags are the flags that describe a task, of add and get.
type specFlags struct {
	spec       model.TaskSpec // what all tasks have; complete after complete
	priority   string
	fileName   string // of --out
	headers    []string
	options    []string
	cookieFile string
	cookies    *cookieFile
	set        *pflag.FlagSet
}

// add adds the flags.
func (f *specFlags) add(set *pflag.FlagSet) {
	f.set = set
	set.StringVar(&f.priority, "priority", "", "low, normal, high or urgent")
	set.Var(pairs{&f.spec.Tags}, "tag", "tag that the worker must have; repeatable")
	set.Var(pairs{&f.spec.Labels}, "label", "label for filters; repeatable")
	set.StringVar(&f.spec.Folder, "folder", "", "folder of the worker, by its name")
	set.StringVar(&f.fileName, "out", "", "name of the file, with one URL")
	set.StringVar(&f.spec.Checksum, "checksum", "", "checksum of the file, with one URL: sha-256=HEX")
	set.StringArrayVar(&f.spec.Mirrors, "mirror", nil, "further URL of the same file, with one URL; repeatable")
	set.StringArrayVar(&f.options, "option", nil, "aria2 option NAME=VALUE or NAME=@FILE; repeatable")
	set.StringArrayVar(&f.headers, "header", nil, "file with request headers, one a line: @FILE")
	set.StringVar(&f.cookieFile, "cookies", "", "file with cookies in Netscape's format; each URL gets its own")
	set.IntVar(&f.spec.MaxAttempts, "max-attempts", 0, "failures after which the task is failed (default that of the dispatcher)")
}

// isForOne reports whether a flag is given that can hold for one URL only.
func (f *specFlags) isForOne() bool {
	return f.fileName != "" || f.spec.Checksum != "" || len(f.spec.Mirrors) > 0
}

// complete converts the flags that are not part of a spec as they are.
func (f *specFlags) complete() (err error) {
	if f.priority != "" {
		if f.spec.Priority, err = model.ParsePriority(f.priority); err != nil {
			return usagef("--priority: %v", err)
		}
	}
	if f.set.Changed("max-attempts") && f.spec.MaxAttempts < 1 {
		return usagef("--max-attempts: %d is not a number of failures; leave the flag out for the default of the dispatcher", f.spec.MaxAttempts)
	}
	options, err := readOptions("--option", f.options)
	if err != nil {
		return err
	}
	if f.fileName != "" {
		options["out"] = append(options["out"], f.fileName)
	}
	for _, header := range f.headers {
		lines, err := linesOf("--header", header)
		if err != nil {
			return err
		}
		options["header"] = append(options["header"], lines...)
	}
	if len(options) > 0 {
		f.spec.Options = options
	}
	if f.cookieFile != "" {
		f.cookies, err = readCookies(f.cookieFile)
	}
	return err
}

// linesOf returns the lines of a file that a flag names as @FILE.
func linesOf(flag, value string) (lines []string, err error) {
	path, ok := strings.CutPrefix(value, "@")
	if !ok {
		return nil, usagef("%s takes @FILE: a value on the command line is visible to every user of this machine", flag)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("%s: %v", flag, err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
