package config

import (
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Worker is the configuration of cmd/worker.
type Worker struct {
	Name          string            `key:"name" flag:"name" doc:"The worker's name in the cluster; empty: the host name, with - for invalid characters."`
	NATS          NATS              `key:"nats"`
	Dir           string            `key:"dir" flag:"dir" doc:"The download folder."`
	Slots         int               `key:"slots" flag:"slots" min:"0" max:"10000" doc:"Simultaneous downloads."`
	Prefetch      int               `key:"prefetch" min:"-1" max:"10000" doc:"Tasks without a timeout that the worker holds beyond its slots, so that a free slot begins the next one at once; -1: as many as slots; 0: none."`
	Engine        string            `key:"engine" flag:"engine" oneof:"auto|aria2|direct" doc:"The download engine. aria2: an aria2c that the worker starts; direct: HTTP in the worker itself; auto: aria2 if an aria2c of at least 1.36 is found."`
	Aria2         Aria2             `key:"aria2"`
	Tags          map[string]string `key:"tags" flag:"tags" example:"{\"location\": \"eu\"}" doc:"Tags that tasks may require: name to value."`
	Folders       map[string]string `key:"folders" example:"{\"films\": \"/srv/films\"}" doc:"Further folders that tasks may name: name to directory."`
	KeepOrphans   model.Duration    `key:"keep_orphans" min:"1s" max:"87600h" doc:"How long the partial files of tasks that the worker no longer holds are kept."`
	AllowBT       bool              `key:"allow_bt" doc:"Accept torrents, magnet links and metalinks (which may lead to torrents). The guard against private addresses does not cover peers of torrents."`
	BTDHT         string            `key:"bt_dht" example:"\"dht.transmissionbt.com:6881\"" doc:"A node of BitTorrent's DHT as HOST:PORT, with IPv4. Torrents and magnet links find peers by it without a tracker, and announce this worker there. Empty: no DHT. It needs allow_bt, and the guard does not cover the nodes."`
	AllowNetworks []string          `key:"allow_networks" flag:"allow-networks" doc:"Addresses that are allowed in addition to public ones: networks such as 10.0.0.0/8, addresses, and the words loopback and private."`
	Bandwidth     Size              `key:"bandwidth" flag:"bandwidth" doc:"Bytes per second of all downloads together, such as 20M; 0 = no limit."`
	StallTimeout  model.Duration    `key:"stall_timeout" min:"1s" max:"10m" doc:"A connection without data for this long is closed and opened again; the option timeout of a task overrides it."`
	DiskFloor     Size              `key:"disk_floor" doc:"Free bytes of a download folder's disk below which no task starts and running ones pause; 0 = no floor."`
	HTTP          WorkerHTTP        `key:"http"`
	LogLevel      string            `key:"log_level" flag:"log-level" oneof:"debug|info|warn|error" doc:"The least severe messages that are logged."`
	LogFormat     string            `key:"log_format" flag:"log-format" oneof:"text|json" doc:"The format of log lines."`
}

// Aria2 is the aria2c that somebody else runs, for a worker that is to use it.
type Aria2 struct {
	URL        string `key:"url" flag:"aria2-url" doc:"JSON-RPC of an external aria2c, such as http://127.0.0.1:6800/jsonrpc, which the worker uses instead of its own. Its other downloads are not touched. It must see the folders by the same names. docs/worker.md lists its limitations."`
	Secret     Secret `key:"secret" doc:"Its rpc-secret."`
	SecretFile string `key:"secret_file" doc:"File with its rpc-secret, instead of aria2.secret."`
}

// WorkerHTTP is the address of health and metrics.
type WorkerHTTP struct {
	Listen string `key:"listen" flag:"http-listen" doc:"Address of /healthz and /metrics, which need no users; empty: not served; port 0: a free port."`
}

// DefaultWorker returns the default configuration of a worker. Its name is empty;
// [LoadWorker] puts the host's.
func DefaultWorker() *Worker {
	return &Worker{
		NATS:         NATS{Prefix: defaultPrefix},
		Dir:          "./downloads",
		Slots:        5,
		Prefetch:     -1,
		Engine:       "auto",
		KeepOrphans:  model.Duration(24 * time.Hour),
		StallTimeout: model.Seconds(60),
		DiskFloor:    512 << 20,
		LogLevel:     "info",
		LogFormat:    "text",
	}
}

// Validate checks ranges, enumerations and names. Its error is an [*Error], or [Errors].
func (w *Worker) Validate() error {
	var found Errors
	illegal := checkKeys(keysOf(w, workerPrefix))
	found.add(illegal)
	if w.Name != "" && !model.ValidName(w.Name) {
		found.add(badKey("name", "%.80q must be 1 to %d of the characters A-Z a-z 0-9 _ -", w.Name, model.MaxName))
	}
	found.add(w.NATS.validate())
	found.add(w.Aria2.validate(w.Engine))
	found.add(w.checkDHT())
	found.add(checkAddress("http.listen", w.HTTP.Listen, 0))
	if w.Dir == "" {
		found.add(badKey("dir", "is empty"))
	}
	if len(w.Tags) > model.MaxPairs || len(w.Folders) > model.MaxPairs {
		found.add(badKey("tags", "at most %d tags and %d folders", model.MaxPairs, model.MaxPairs))
	}
	for _, name := range slices.Sorted(maps.Keys(w.Tags)) {
		found.add(checkTag(name, w.Tags[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(w.Folders)) {
		if !model.ValidName(name) || w.Folders[name] == "" {
			found.add(badKey("folders", "%.80q must be 1 to %d of the characters A-Z a-z 0-9 _ - and name a directory", name, model.MaxName))
		}
	}
	if _, err := netguard.ParseNetworks(w.AllowNetworks); err != nil {
		found.add(badKey("allow_networks", "%v", err))
	}
	if illegal != nil { // values that are not legal do not fit together either
		found = found.ofOneKey()
	}
	return found.all()
}

// checkTag refuses a tag that the dispatcher would leave out of the heartbeats, so that no
// task that needs it would come to this worker.
func checkTag(name, value string) error {
	if name == "" || len(name) > model.MaxValue || len(value) > model.MaxValue {
		return badKey("tags", "%.64q: a name has 1 to %d bytes, a value at most as many", name, model.MaxValue)
	}
	if text := name + value; !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return badKey("tags", "%.64q: contains a control character or is not UTF-8", name)
	}
	return nil
}

// checkDHT wants the address of a node for an aria2c of the worker's own.
func (w *Worker) checkDHT() error {
	if w.BTDHT == "" {
		return nil
	}
	u, err := url.Parse("dht://" + w.BTDHT)
	if err != nil || u.Host != w.BTDHT || u.Hostname() == "" {
		return badKey("bt_dht", "%.80q is not HOST:PORT", w.BTDHT)
	}
	if !isPort(u.Port()) {
		return badKey("bt_dht", "%.40q is not a port from 1 to 65535", u.Port())
	}
	switch {
	case !w.AllowBT:
		return unfit("bt_dht", []string{"allow_bt"}, "is given, but allow_bt is false")
	case w.Engine == "direct":
		return unfit("bt_dht", []string{"engine"}, "is given, but engine is direct")
	case w.Aria2.URL != "":
		return unfit("bt_dht", []string{"aria2.url"}, "is given, but aria2.url is too: configure that aria2c itself")
	}
	return nil
}

// validate checks the keys of aria2 for an engine.
func (a *Aria2) validate(engine string) error {
	switch {
	case a.URL == "" && (a.Secret != "" || a.SecretFile != ""):
		return unfit("aria2.url", []string{"aria2.secret", "aria2.secret_file"}, "is empty, but aria2.secret or aria2.secret_file is not")
	case a.Secret != "" && a.SecretFile != "":
		return unfit("aria2.secret_file", []string{"aria2.secret"}, "aria2.secret is given too")
	case a.URL != "" && engine == "direct":
		return unfit("aria2.url", []string{"engine"}, "is given, but engine is direct")
	}
	return checkAria2URL(a.URL)
}

// hostName returns the host's name as a legal one for a worker.
func hostName() string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return legalName(host)
}

// legalName puts "-" for each character that no name may have.
func legalName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && model.ValidName(string(r)) {
			return r
		}
		return '-'
	}, s)
	if s = strings.Trim(s[:min(len(s), model.MaxName)], "-"); s == "" {
		return "worker"
	}
	return s
}

// LogValue gives the keys that differ from the defaults, without secrets.
func (w *Worker) LogValue() slog.Value {
	return changes(keysOf(w, workerPrefix), keysOf(DefaultWorker(), workerPrefix))
}

// String gives the keys that differ from the defaults, without secrets.
func (w *Worker) String() string { return w.LogValue().String() }
