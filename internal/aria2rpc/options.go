package aria2rpc

import (
	"maps"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

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
		return d == name || strings.HasSuffix(d, "-") && strings.HasPrefix(name, d) && !isOption(name, useAdd)
	})
}

// isOption reports whether aria2 takes the option in one of these uses.
func isOption(name string, use optionUse) bool {
	o := optionTypes[name]
	return o != nil && o.use&use != 0
}

// Limits of the options that are remembered, in bytes.
const (
	maxOption     = 4 << 10  // one value
	maxOptions    = 32 << 10 // all of one download, or those of changeGlobalOption
	maxRemembered = 16 << 20 // of all downloads of a client; then no more are remembered
)

// chosen are the options of one call, judged.
type chosen struct {
	values map[string]string // as aria2 shows them
	sent   model.Options     // those that the task carries, as it carries them
	given  map[string]any    // unchanged
	gid    string
	paused bool
}

// choose judges the options of a call of that use. As in aria2 only strings count, a list
// of them for header, and unknown names are dropped; one bad value refuses the call.
func choose(fields map[string]any, use optionUse) (*chosen, error) {
	c := &chosen{sent: model.Options{}, values: make(map[string]string), given: make(map[string]any)}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		values := valuesOf(name, fields[name])
		if len(values) == 0 {
			continue
		}
		if err := c.set(name, values, use); err != nil {
			return nil, err
		}
		if sizeOfOptions(c.values) > maxOptions {
			return nil, errOption(name)
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

func (c *chosen) set(name string, values []string, use optionUse) error {
	value := values[len(values)-1]
	switch {
	case isDangerous(name), use == useGlobal && isOption(name, useShared):
		return errOption(name)
	case use == useAdd && name == "gid":
		c.gid = value
		return nil
	case use == useAdd && name == "pause":
		c.paused = value == "true" || value == ""
		return option(name, check(c.paused || value == "false"))
	case !isOption(name, use):
		return nil
	case use == useChange && name == "select-file" && value == "":
		return nil // aria2 leaves the selection as it is
	}
	value, err := optionTypes[name].read(value)
	switch {
	case err != nil:
		return errOption(name)
	case name == "header":
		c.sent[name] = values
	case len(value) > maxOption:
		return errOption(name)
	default:
		if sent := taskValue(name, value); sent != "" {
			c.sent[name] = model.OptionValue{sent}
		}
	}
	if sent := c.sent[name]; sent != nil {
		if err := (model.Options{name: sent}).Validate(); err != nil {
			return errOption(name)
		}
	}
	c.values[name], c.given[name] = value, values[0]
	if len(values) > 1 {
		c.given[name] = toAny(values)
	}
	return nil
}

func toAny(list []string) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}

// option is err in aria2's words.
func option(name string, err error) error {
	if err != nil {
		return errOption(name)
	}
	return nil
}

// remembered are the values that getOption cannot read from the task: those that it does
// not carry, or carries clamped. Secret ones are never shown.
func (c *chosen) remembered() map[string]string {
	kept := make(map[string]string)
	for name, value := range c.values {
		if sent := c.sent[name]; !isSecretOption(name) && (len(sent) != 1 || sent[0] != value) {
			kept[name] = value
		}
	}
	return kept
}

// merge adds the options of a call to those that are remembered of a download.
func (c *chosen) merge(before map[string]string) (map[string]string, error) {
	kept := c.remembered()
	for name, value := range before {
		if _, again := c.values[name]; !again {
			kept[name] = value
		}
	}
	if sizeOfOptions(kept) > maxOptions {
		return nil, faultf("The options of one download have at most %d bytes.", maxOptions)
	}
	return kept, nil
}

func sizeOfOptions(options map[string]string) (n int) {
	for name, value := range options {
		n += len(name) + len(value)
	}
	return n
}

// secretOptions are never shown again.
var secretOptions = []string{"http-passwd", "ftp-passwd", "http-user", "ftp-user", "header"}

func isSecretOption(name string) bool { return slices.Contains(secretOptions, name) }
