package config

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Dispatcher is the configuration of cmd/dispatcher.
type Dispatcher struct {
	Database         Database         `key:"database"`
	TaskAssignment   TaskAssignment   `key:"task_assignment"`
	WorkerManagement WorkerManagement `key:"worker_management"`
	NATS             DispatcherNATS   `key:"nats"`
	Intake           Intake           `key:"intake"`
	Events           Events           `key:"events"`
	HTTP             HTTP             `key:"http"`
	Metrics          Metrics          `key:"metrics"`
	Aria2RPC         Aria2RPC         `key:"aria2_rpc"`
	Limits           Limits           `key:"limits"`
	Retention        Retention        `key:"retention"`
	LogLevel         string           `key:"log_level" flag:"log-level" oneof:"debug|info|warn|error" doc:"The least severe messages that are logged; the request admin.log_level changes it while the dispatcher runs."`
	LogFormat        string           `key:"log_format" flag:"log-format" oneof:"text|json" doc:"The format of log lines."`
}

// Database configures the store of tasks and workers.
type Database struct {
	Type        string `key:"type" flag:"db-type" env:"DISPATCHER_DB_TYPE," oneof:"memory|sqlite|postgres" doc:"The store. memory: data is lost on exit."`
	Path        string `key:"path" flag:"db-path" env:"DISPATCHER_DB_PATH," doc:"The file of the store sqlite."`
	DSN         Secret `key:"dsn" env:"DISPATCHER_DB_DSN," doc:"The connection string of the store postgres, as a URL or as words. Several hosts are possible; the one that takes writes is used."`
	Synchronous string `key:"synchronous" flag:"db-synchronous" oneof:"full|normal" doc:"full: each commit is on the disk before its answers, or as durable as PostgreSQL's settings make it; normal may lose the last moments in a power failure."`

	RequireSync bool           `key:"require_sync" doc:"postgres: refuse a server on which a failure may lose acknowledged tasks: without fsync, without full_page_writes, or, at the start, without a synchronous standby."`
	LeaderTTL   model.Duration `key:"leader_ttl" min:"200ms" max:"1h" doc:"postgres: a standby takes over from a leader that has not renewed for this long, or for the leader's own time if that is longer."`
	LeaderRenew model.Duration `key:"leader_renew" min:"10ms" max:"15m" doc:"postgres: how often the leader renews; at least four times in leader_ttl."`
}

// validate checks what the store needs, and what must fit together.
func (d *Database) validate() error {
	var found Errors
	switch {
	case d.Type == "sqlite" && d.Path == "":
		found.add(unfit("database.path", []string{"database.type"}, "is empty, and the store sqlite needs a file"))
	case d.Type == "postgres" && d.DSN == "":
		found.add(unfit("database.dsn", []string{"database.type"}, "is empty, and the store postgres needs a connection string: set DISPATCHER_DB_DSN"))
	}
	if d.RequireSync && d.Synchronous != "full" {
		found.add(unfit("database.require_sync", []string{"database.synchronous"}, "contradicts database.synchronous %s", d.Synchronous))
	}
	if 4*d.LeaderRenew > d.LeaderTTL {
		found.add(unfit("database.leader_renew", []string{"database.leader_ttl"},
			"%v is too long: leader_ttl, %v, must have room for four renewals", d.LeaderRenew, d.LeaderTTL))
	}
	return found.all()
}

// TaskAssignment configures placement and retries.
type TaskAssignment struct {
	Strategy       string         `key:"strategy" flag:"strategy" oneof:"least_loaded|round_robin|random|tags" doc:"How a task is assigned to one of the workers that meet its requirements."`
	MaxRetries     int            `key:"max_retries" flag:"max-retries" min:"0" max:"999" doc:"Retries of a task after failures before it is failed; max_attempts of the task overrides it."`
	RetryDelay     model.Duration `key:"retry_delay" max:"720h" doc:"The longest wait before a retry."`
	RetryBase      model.Duration `key:"retry_base" max:"720h" doc:"The wait before the first retry; each further retry doubles it."`
	RetryAfterMax  model.Duration `key:"retry_after_max" min:"1s" max:"24h" doc:"The longest wait that a server may ask for by Retry-After."`
	RetryAfterFree int            `key:"retry_after_free" min:"0" max:"1000" doc:"Attempts of a task that may end with such a wait without counting as failures."`
	MaxLosses      int            `key:"max_losses" min:"1" max:"1000" doc:"Losses of a worker after which a task is failed."`
	Ageing         model.Duration `key:"ageing" max:"87600h" doc:"After each such wait a task counts as one priority higher; 0 = off."`
}

// WorkerManagement configures when a worker is lost.
type WorkerManagement struct {
	HeartbeatInterval model.Duration `key:"heartbeat_interval" flag:"heartbeat-interval" min:"100ms" max:"1h" doc:"The interval of the workers' heartbeats."`
	HeartbeatTimeout  model.Duration `key:"heartbeat_timeout" flag:"heartbeat-timeout" max:"24h" doc:"A worker without a heartbeat for this long is offline, and its tasks go to other workers. Must exceed heartbeat_interval."`
	AutoRemoveOffline bool           `key:"auto_remove_offline" doc:"Remove the records of workers that stay offline."`
	OfflineThreshold  model.Duration `key:"offline_threshold" max:"87600h" doc:"How long the records of offline workers are kept, from the last heartbeat; at least until one is offline."`
}

// NATS configures the connection to the server.
type NATS struct {
	URL      URLs   `key:"url" flag:"nats-url" env:",NATS_URL" doc:"The server, or several separated by commas. Empty: the server of nats.context; without a context the dispatcher starts an embedded server, and a worker uses nats://127.0.0.1:4222."`
	Context  string `key:"context" env:",NATS_CONTEXT" doc:"A context of the nats command. It supplies the values that are empty here."`
	Creds    string `key:"creds" env:",NATS_CREDS" doc:"File with a user's JWT and seed."`
	NKey     string `key:"nkey" env:",NATS_NKEY" doc:"File with a user's nkey seed."`
	User     string `key:"user" env:",NATS_USER" doc:"User name. The dispatcher's embedded server accepts only this user."`
	Password Secret `key:"password" env:",NATS_PASSWORD" doc:"Password of nats.user."`
	Cert     string `key:"cert" env:",NATS_CERT" doc:"File with the TLS client certificate."`
	Key      string `key:"key" env:",NATS_KEY" doc:"File with its private key."`
	CA       string `key:"ca" env:",NATS_CA" doc:"File with the authorities that verify the server's certificate; empty: those of the system."`
	Prefix   string `key:"prefix" flag:"nats-prefix" doc:"First tokens of every subject. Dispatcher, workers and clients must agree."`

	InboxPrefix string `key:"inbox_prefix" doc:"First tokens of the subjects that receive answers, for permissions with a separate inbox per user: _INBOX_NAME of a client or worker, _INBOX_dispatcher, _INBOX_observer, _INBOX_admin. Empty: that of the context, or _INBOX."`
}

// DispatcherNATS adds the embedded server, and the streams.
type DispatcherNATS struct {
	NATS
	Listen   string `key:"listen" flag:"nats-listen" doc:"Address of the embedded server; empty: only inside the process; port -1: a free port. Before you open it to other machines, set nats.user and nats.password."`
	StoreDir string `key:"store_dir" flag:"nats-store-dir" doc:"Folder of the embedded server's streams."`
	Replicas int    `key:"replicas" min:"1" max:"5" doc:"Servers that keep each stream; more than 1 needs a NATS cluster."`
}

// Intake is the stream that takes submissions while no dispatcher runs.
type Intake struct {
	Enabled     bool `key:"enabled" doc:"Accept submissions from the stream too. Needs JetStream; the dispatcher waits until it is available."`
	MaxMessages int  `key:"max_messages" min:"1" max:"100000000" doc:"Submissions that may wait in the stream. One client may use a quarter (at least 10,000). NATS refuses further ones."`
	MaxBytes    Size `key:"max_bytes" min:"1M" max:"1T" doc:"Bytes that may wait in the stream."`
}

// Events is the stream that keeps events for those who come late.
type Events struct {
	Stream   bool           `key:"stream" doc:"Keep the events of tasks, workers and the intake in a stream. Needs JetStream; the dispatcher waits until it is available."`
	MaxAge   model.Duration `key:"max_age" min:"1s" max:"87600h" doc:"How long the events are kept."`
	MaxBytes Size           `key:"max_bytes" min:"1M" max:"1T" doc:"Bytes of events that are kept; the oldest are removed first."`
}

// HTTP configures the HTTP server: health, metrics, API and dashboard.
type HTTP struct {
	Listen         string   `key:"listen" flag:"http-listen" doc:"Address of the dashboard, the API, /healthz and /readyz; empty: not served; port 0: a free port. One that other machines reach needs users."`
	HealthListen   string   `key:"health_listen" flag:"http-health-listen" doc:"A second address with /healthz, /readyz and /metrics alone, which needs no users; empty: not served."`
	BasePath       string   `key:"base_path" flag:"http-base-path" doc:"First part of every path behind a proxy, such as /aria; /healthz, /readyz and /metrics answer without it too."`
	UsersFile      string   `key:"users_file" doc:"File with a line name:bcrypt:role for each user, for HTTP Basic; a role is observer, operator or client=NAME."`
	TokensFile     string   `key:"tokens_file" doc:"File with a line name:sha256-hex:role for each Bearer token."`
	TrustedHeader  string   `key:"trusted_header" doc:"Header in which the proxies of http.trusted_proxies name the user, who must be in http.users_file."`
	TrustedProxies []string `key:"trusted_proxies" example:"[\"10.0.0.0/8\"]" doc:"Networks of proxies that are trusted: they end TLS, and name users in http.trusted_header."`
	Hosts          []string `key:"hosts" example:"[\"aria.example.org\"]" doc:"Names of this server in the Host header, besides those of loopback. Others are refused (DNS rebinding)."`
	Cert           string   `key:"cert" doc:"File with the certificate chain of http.listen; with http.key."`
	Key            string   `key:"key" doc:"File with the key of http.cert."`
	OpenRole       string   `key:"open_role" oneof:"|observer|operator|none" doc:"Role of everyone while there are no users, which only a loopback address permits; empty: operator with -dev or an embedded server without nats.user, else none."`
	Pprof          bool     `key:"pprof" flag:"http-pprof" doc:"Serve Go's profiles under /debug/pprof/ at http.listen to operators. They can slow the dispatcher down."`
}

// Metrics configures what /metrics shows.
type Metrics struct {
	Labels []string `key:"labels" doc:"Labels that are off otherwise: client (on the tasks that are submitted and finished) and worker (on attempts and downloaded bytes). The first 100 names since the start have values of their own, the rest are summed up as other."`
}

// Aria2RPC configures the endpoint that answers as aria2 does, on http.listen.
type Aria2RPC struct {
	SecretsFile  string   `key:"secrets_file" doc:"File with a line client:secret for each secret; it switches /jsonrpc and /rpc on."`
	AllowOrigins []string `key:"allow_origins" example:"[\"chrome-extension://abc\"]" doc:"Origins of pages and browser extensions that may call the endpoint; * is every one, as aria2's rpc-allow-origin-all."`
}

// Limits bound the input of the dispatcher.
type Limits struct {
	PerHost         int            `key:"per_host" min:"0" max:"1000000" doc:"Simultaneous tasks for one host in the whole cluster; 0 = no limit."`
	Hosts           map[string]int `key:"hosts" example:"{\"example.org\": 2}" min:"0" max:"1000000" doc:"Limits of single hosts: host to number."`
	MaxPending      int            `key:"max_pending" min:"1" max:"100000000" doc:"Tasks that may be pending or paused; further submits are refused."`
	ClientPending   int            `key:"client_pending" min:"0" max:"100000000" doc:"Tasks of one client that may be pending or paused; 0 = no limit."`
	ClientRate      int            `key:"client_rate" min:"0" max:"10000000" doc:"Tasks per second that one client may submit by requests; the tasks of one second may arrive at once; 0 = no limit."`
	Workers         int            `key:"workers" min:"1" max:"10000000" doc:"Workers that may be known, living and offline; the heartbeat of a further one is refused."`
	RequirementSets int            `key:"requirement_sets" min:"1" max:"1000000" doc:"Different requirement sets of pending tasks."`
}

// Retention configures how long terminal tasks are kept.
type Retention struct {
	Completed model.Duration `key:"completed" max:"87600h" doc:"How long completed tasks are kept; 0 = without limit."`
	Failed    model.Duration `key:"failed" max:"87600h" doc:"How long failed tasks are kept; 0 = without limit."`
	Canceled  model.Duration `key:"canceled" max:"87600h" doc:"How long canceled tasks are kept; 0 = without limit."`
	IDs       model.Duration `key:"ids" max:"87600h" doc:"How long the id of a deleted task stays taken."`
}

// DefaultDispatcher returns the configuration of a dispatcher that was given nothing.
func DefaultDispatcher() *Dispatcher {
	return &Dispatcher{
		Database: Database{
			Type: "memory", Path: "data/dispatcher.db", Synchronous: "full",
			LeaderTTL: model.Seconds(3), LeaderRenew: model.Seconds(0.5),
		},
		TaskAssignment: TaskAssignment{
			Strategy: "least_loaded", MaxRetries: 3, MaxLosses: 5,
			RetryDelay: model.Seconds(300), RetryBase: model.Seconds(5),
			RetryAfterMax: model.Seconds(3600), RetryAfterFree: 10,
		},
		WorkerManagement: WorkerManagement{
			HeartbeatInterval: model.Seconds(30), HeartbeatTimeout: model.Seconds(90),
			AutoRemoveOffline: true, OfflineThreshold: model.Seconds(300),
		},
		NATS:      DispatcherNATS{NATS: NATS{Prefix: defaultPrefix}, Listen: "127.0.0.1:4222", StoreDir: "data/nats", Replicas: 1},
		Intake:    Intake{Enabled: true, MaxMessages: 1_000_000, MaxBytes: 512 << 20},
		Events:    Events{MaxAge: model.Duration(24 * time.Hour), MaxBytes: 256 << 20},
		HTTP:      HTTP{Listen: "127.0.0.1:8080"},
		Limits:    Limits{MaxPending: 2_000_000, Workers: 200_000, RequirementSets: 1000},
		Retention: Retention{IDs: model.Duration(24 * time.Hour)},
		LogLevel:  "info",
		LogFormat: "text",
	}
}

const defaultPrefix = "aria.v1"

// Validate checks ranges, enumerations, and what must fit together. Its error
// is an [*Error], or [Errors].
func (d *Dispatcher) Validate() error {
	var found Errors
	illegal := checkKeys(keysOf(d, dispatcherPrefix))
	found.add(illegal)
	found.add(d.Database.validate())
	if m := d.WorkerManagement; m.HeartbeatTimeout <= m.HeartbeatInterval {
		found.add(unfit("worker_management.heartbeat_timeout", []string{"worker_management.heartbeat_interval"},
			"%v is not more than heartbeat_interval, %v", m.HeartbeatTimeout, m.HeartbeatInterval))
	}
	found.add(d.NATS.validate())
	if d.NATS.Embedded() {
		found.add(d.NATS.validateEmbedded())
	}
	found.add(checkAddress("nats.listen", d.NATS.Listen, -1))
	found.add(d.HTTP.validate())
	if d.NATS.StoreDir == "" {
		found.add(badKey("nats.store_dir", "is empty: streams would land in a folder of /tmp that others share"))
	}
	for _, label := range d.Metrics.Labels {
		if label != "client" && label != "worker" {
			found.add(badKey("metrics.labels", "%.64q is not client or worker", label))
		}
	}
	for _, host := range slices.Sorted(maps.Keys(d.Limits.Hosts)) {
		if host == "" || strings.ContainsAny(host, "/@ \t\r\n") {
			found.add(badKey("limits.hosts", "%.64q is not the name of a host", host))
		}
	}
	if illegal != nil { // values that are not legal do not fit together either
		found = found.ofOneKey()
	}
	return found.all()
}

// LogValue gives the keys that differ from the defaults, without secrets.
func (d *Dispatcher) LogValue() slog.Value {
	return changes(keysOf(d, dispatcherPrefix), keysOf(DefaultDispatcher(), dispatcherPrefix))
}

// Setting is one key with its value as the file has it, without secrets.
type Setting struct {
	Key    string
	Value  string
	Origin string // "default", or the place that gave it: a line of the file, a name of the environment, a flag
}

// Settings lists all keys; origins has the place that gave each, as
// [DispatcherCommand] does.
func (d *Dispatcher) Settings(origins map[string]string) []Setting {
	var list []Setting
	for _, k := range keysOf(d, dispatcherPrefix) {
		origin := origins[k.path]
		if origin == "" {
			origin = "default"
		}
		list = append(list, Setting{k.path, k.text(), origin})
	}
	return list
}

// String gives the keys that differ from the defaults, without secrets.
func (d *Dispatcher) String() string { return d.LogValue().String() }
