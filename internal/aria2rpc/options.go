package aria2rpc

import (
	_ "embed"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

//go:embed options.tsv
var optionsTable string

// defaults are aria2's options with their defaults; download are those that one download
// has.
var defaults, download = readDefaults(optionsTable)

func readDefaults(table string) (all map[string]string, download map[string]bool) {
	all, download = make(map[string]string), make(map[string]bool)
	for line := range strings.Lines(table) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(columns) != 3 {
			continue // a comment
		}
		all[columns[0]] = columns[2]
		if columns[1] == "download" {
			download[columns[0]] = true
		}
	}
	return all, download
}

// withoutDefault are further options of one download, which have no default.
var withoutDefault = []string{
	"bt-exclude-tracker", "bt-external-ip", "bt-prioritize-piece", "bt-tracker", "checksum", "dir", "ftp-passwd", "ftp-user",
	"header", "http-passwd", "http-user", "metalink-base-uri", "metalink-language", "metalink-location", "metalink-os",
	"metalink-version", "out", "referer", "seed-time", "select-file",
}

// dangerous are options that name files of the node, run programs, reroute traffic or
// reconfigure the process. A name that ends in "-" is a beginning.
var dangerous = []string{
	"on-", "rpc-", "dht-", "all-proxy", "http-proxy", "https-proxy", "ftp-proxy", "no-proxy", "load-cookies",
	"save-cookies", "input-file", "save-session", "conf-path", "log", "private-key", "certificate", "ca-certificate",
	"check-certificate", "netrc-path", "server-stat-if", "server-stat-of", "index-out", "interface",
	"multiple-interface", "async-dns-server", "ssh-host-key-md",
}

func isDangerous(name string) bool {
	return slices.ContainsFunc(dangerous, func(d string) bool {
		return d == name || strings.HasSuffix(d, "-") && strings.HasPrefix(name, d) && !download[name]
	})
}

// bounds are those that the allow-list sets more narrowly than aria2: a value outside is
// clamped for the task, and shown unclamped.
var bounds = map[string][2]int{
	"split": {1, 16}, "timeout": {1, 600}, "connect-timeout": {1, 600}, "max-tries": {1, 100}, "retry-wait": {0, 600},
}

// sizes are options that aria2 shows as a number of bytes.
var sizes = []string{
	"min-split-size", "max-download-limit", "lowest-speed-limit", "max-upload-limit", "piece-length",
	"bt-request-peer-speed-limit", "no-file-allocation-limit", "max-overall-download-limit", "max-overall-upload-limit",
	"disk-cache",
}

// chosen are the options of one call, judged.
type chosen struct {
	sent   model.Options     // what the task carries
	shown  map[string]string // what is only remembered
	gid    string
	paused bool
}

// choose judges the options of a call. As in aria2 only strings count, a list of them for
// header, and unknown names are dropped; one bad value refuses the call.
func choose(fields map[string]any) (*chosen, error) {
	c := &chosen{sent: model.Options{}, shown: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		values := valuesOf(name, fields[name])
		if len(values) == 0 {
			continue
		}
		if err := c.set(name, values); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func valuesOf(name string, v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		if name != "header" {
			return nil
		}
		var list []string
		for _, one := range v {
			if s, ok := one.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

func (c *chosen) set(name string, values []string) error {
	value := values[len(values)-1]
	switch {
	case isDangerous(name):
		return errOption(name)
	case name == "gid":
		c.gid = value
		return nil
	case name == "pause":
		if value != "true" && value != "false" {
			return errOption(name)
		}
		c.paused = value == "true"
		return nil
	case !download[name] && !slices.Contains(withoutDefault, name):
		return nil
	}
	if slices.Contains(sizes, name) {
		n, err := model.ParseSize(value)
		if err != nil {
			return errOption(name)
		}
		value = strconv.FormatInt(n, 10)
		values = []string{value}
	}
	sent, err := clamp(name, values)
	if err != nil {
		return err
	}
	if model.OptionAllowed(name) && sent != nil {
		if err := (model.Options{name: sent}).Validate(); err != nil {
			return errOption(name)
		}
		c.sent[name] = sent
	}
	c.shown[name] = value
	return nil
}

// clamp brings a number within the bounds of a task. Zero tries, which in aria2 means
// without end, are not sent: the dispatcher's own retries apply.
func clamp(name string, values []string) (model.OptionValue, error) {
	limits, ok := bounds[name]
	if !ok {
		return values, nil
	}
	n, err := strconv.Atoi(values[0])
	if err != nil || n < 0 {
		return nil, errOption(name)
	}
	if name == "max-tries" && n == 0 {
		return nil, nil
	}
	return model.OptionValue{strconv.Itoa(min(max(n, limits[0]), limits[1]))}, nil
}
