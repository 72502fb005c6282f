package ariacli

import (
	"cmp"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// flags are the flags of all commands. Those of the connection have the names of the
// nats command.
type flags struct {
	context, server        string
	creds, nkey, user      string
	tlsCert, tlsKey, tlsCA string
	timeout                time.Duration
	inboxPrefix            string
	client, prefix         string
	clientSource           string // what names the client, for errors
	serverSource           string // what names the server
	output                 string
	noColor, quiet, yes    bool
	trace                  bool
}

func (f *flags) add(set *pflag.FlagSet) {
	set.StringVar(&f.context, "context", "", "context of the nats command (NATS_CONTEXT; default the selected one, unless a server or a credential is named)")
	set.StringVarP(&f.server, "server", "s", "", "URLs of NATS, separated by commas (NATS_URL; default "+defaultServer+")")
	set.StringVar(&f.creds, "creds", "", "file with a JWT and its seed (NATS_CREDS)")
	set.StringVar(&f.nkey, "nkey", "", "file with the seed of an nkey (NATS_NKEY)")
	set.StringVar(&f.user, "user", "", "user (NATS_USER); the password comes from NATS_PASSWORD or a prompt")
	set.StringVar(&f.tlsCert, "tlscert", "", "file with the TLS certificate (NATS_CERT)")
	set.StringVar(&f.tlsKey, "tlskey", "", "file with the key of the TLS certificate (NATS_KEY)")
	set.StringVar(&f.tlsCA, "tlsca", "", "file with the TLS authorities (NATS_CA)")
	set.DurationVar(&f.timeout, "timeout", 5*time.Second, "time for each request")
	set.StringVar(&f.inboxPrefix, "inbox-prefix", "", "prefix of reply subjects, such as _INBOX_alice (NATS_INBOX_PREFIX)")
	set.StringVar(&f.client, "client", "", "client that owns the tasks (ARIA_CLIENT; default the login name)")
	set.StringVar(&f.prefix, "prefix", bus.DefaultPrefix, "nats.prefix of the dispatcher")
	set.StringVarP(&f.output, "output", "o", "", "form of the output: table, wide, json, jsonl, id or template=GO")
	set.BoolVar(&f.noColor, "no-color", false, "no colours (NO_COLOR)")
	set.BoolVarP(&f.quiet, "quiet", "q", false, "no progress and no hints on stderr")
	set.BoolVarP(&f.yes, "yes", "y", false, "do not ask before acting on a selection")
	set.BoolVar(&f.trace, "trace", false, "print subjects and times of requests on stderr")
}

// defaultServer is where NATS is looked for if nothing names it.
const defaultServer = "nats://127.0.0.1:4222"

// complete fills in what the environment has.
func (f *flags) complete(getenv func(string) string) {
	f.clientSource, f.serverSource = "--client", "--server"
	if f.client == "" {
		f.clientSource = "ARIA_CLIENT"
	}
	if f.server == "" {
		f.serverSource = "NATS_URL"
	}
	for name, field := range map[string]*string{
		"NATS_CONTEXT": &f.context, "NATS_URL": &f.server, "NATS_CREDS": &f.creds, "NATS_NKEY": &f.nkey, "NATS_USER": &f.user,
		"NATS_CERT": &f.tlsCert, "NATS_KEY": &f.tlsKey, "NATS_CA": &f.tlsCA, "NATS_INBOX_PREFIX": &f.inboxPrefix, "ARIA_CLIENT": &f.client,
	} {
		*field = cmp.Or(*field, getenv(name))
	}
}

// useSelectedContext makes the context that is selected count as named. A server, a context or
// a credential that is named excludes it: the nats command would send the credential to the
// server of the context, and that may be another server than the one it is for.
func (f *flags) useSelectedContext(getenv func(string) string) {
	if cmp.Or(f.server, f.context, f.user, getenv("NATS_PASSWORD"), f.creds, f.nkey, f.tlsCert, f.tlsKey) == "" {
		f.context = selectedContext(getenv)
	}
}

// selectedContext returns the context that "nats context select" has chosen, "" if there is
// none. The file is where the nats command has it.
func selectedContext(getenv func(string) string) string {
	folder := getenv("XDG_CONFIG_HOME")
	if folder == "" {
		me, err := user.Current()
		if err != nil {
			return ""
		}
		folder = filepath.Join(me.HomeDir, ".config")
	}
	name, err := os.ReadFile(filepath.Join(folder, "nats", "context.txt"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// clientName returns the client of the flag, or the user's login name as the name of a
// client.
func (f *flags) clientName() (string, error) {
	if f.client != "" {
		if err := model.CheckName(f.clientSource, f.client); err != nil {
			return "", usagef("%v", err)
		}
		return f.client, nil
	}
	me, err := user.Current()
	if err != nil || cleanName(me.Username) == "" {
		return "", usagef("the login name is unknown; name the client by --client or ARIA_CLIENT")
	}
	return cleanName(me.Username), nil
}

// cleanName makes a valid name of a login name: without the domain that Windows puts
// before it, and with "-" for each character that a name may not have.
func cleanName(login string) string {
	if _, after, ok := strings.Cut(login, `\`); ok {
		login = after
	}
	name := []byte(login)
	for i, c := range name {
		if !model.ValidName(string(rune(c))) {
			name[i] = '-'
		}
	}
	return string(name[:min(len(name), model.MaxName)])
}
