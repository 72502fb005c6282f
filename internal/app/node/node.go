package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
	metrics "github.com/aria-cluster/dispatcher/internal/metrics/node"
	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/combined"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// userAgent is the User-Agent of downloads without one.
const userAgent = download.DefaultUserAgent + "/" + process.Version

// Run connects to NATS and works until ctx ends; it then gives its tasks back and
// returns nil. It waits for the NATS server until ctx ends.
func Run(ctx context.Context, cfg *config.Worker, logger *slog.Logger) (err error) {
	conn, err := process.ConnectNATS(ctx, process.NATSOptions(&cfg.NATS, "aria-worker-"+cfg.Name, logger))
	if process.StoppedEarly(ctx, err, func(said string) { logger.Info(said) }) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() {
		// The worker has deregistered: unsent messages are not worth an error.
		stop, cancel := context.WithTimeout(context.Background(), process.StepTimeout)
		defer cancel()
		if bus.CheckReachable(stop, conn.Current()) != nil {
			conn.Close() // draining would wait for the server
		} else if err := conn.Drain(stop); err != nil {
			logger.Warn("the connection to NATS was cut off", "error", err)
		}
	}()
	return RunOn(ctx, cfg, conn, logger, func(said string) { logger.Info(said) })
}

// RunOn works over an existing connection. It calls say with the name of the chosen
// engine.
func RunOn(ctx context.Context, cfg *config.Worker, conn *bus.Connection, logger *slog.Logger, say func(string)) error {
	link, err := bus.NewWorkerLink(conn, cfg.NATS.Prefix, cfg.Name, logger)
	if err != nil {
		return err
	}
	networks, err := netguard.ParseNetworks(cfg.AllowNetworks)
	if err != nil {
		return fmt.Errorf("allow_networks: %w", err)
	}
	guard := netguard.New(networks, nil)
	var restarts atomic.Int64
	fetch, err := chooseEngine(ctx, cfg, guard, func() { restarts.Add(1) }, say)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	listener, err := listen(cfg.HTTP.Listen)
	if err != nil {
		return err
	}
	prefetch := cfg.Prefetch
	if prefetch < 0 {
		prefetch = cfg.Slots
	}
	w, err := worker.New(worker.Config{
		Name: cfg.Name, Dir: cfg.Dir, Folders: cfg.Folders, Slots: cfg.Slots, Prefetch: prefetch, Tags: cfg.Tags,
		KeepOrphans: cfg.KeepOrphans.Std(), DiskFloor: int64(cfg.DiskFloor), Link: link, Logger: logger, Version: process.Version,
		NewEngine: func(stateDir string) (download.Engine, error) { return fetch(stateDir, logger) },
	})
	if err != nil {
		return errors.Join(err, closeListener(listener))
	}
	registry := metrics.NewRegistry(metrics.Sources{Figures: w.Figures, Aria2Restarts: restarts.Load, GuardRefusals: guard.Refusals})
	defer serveHTTP(listener, metrics.Handler(registry, logger), logger)()
	defer process.Supervise(ctx, w.Turning, w.Turning, logger)()
	return w.Run(ctx)
}

// newEngine makes the chosen engine in the worker's state folder.
type newEngine func(stateDir string, logger *slog.Logger) (download.Engine, error)

// chooseEngine chooses the engine: with auto an aria2c of its own if there is one,
// otherwise plain HTTP. It reports the choice and the reason.
// onRestart is called when an aria2c is started again.
func chooseEngine(ctx context.Context, cfg *config.Worker, g *netguard.Guard, onRestart func(), say func(string)) (newEngine, error) {
	slots := max(cfg.Slots, 1) // a worker without slots answers too
	space := &download.Space{}
	plain := func(logger *slog.Logger) (*direct.Engine, error) {
		return direct.New(direct.Config{
			Slots: slots, Logger: logger, Guard: g,
			Bandwidth: int64(cfg.Bandwidth), StallTimeout: cfg.StallTimeout.Std(), UserAgent: userAgent, Space: space,
		})
	}
	onlyDirect := func(_ string, logger *slog.Logger) (download.Engine, error) { return plain(logger) }
	if cfg.Engine == "direct" {
		say("downloads with the engine direct: HTTP and HTTPS")
		return onlyDirect, nil
	}
	if cfg.Aria2.URL != "" {
		return attach(cfg, g, onRestart, say)
	}
	path, version, err := aria2.Find(ctx)
	switch {
	case err == nil:
		say(fmt.Sprintf("downloads with aria2 %s (%s)", version, path))
		if cfg.AllowBT {
			say("BitTorrent is allowed; its peers, UDP trackers and nodes of the DHT are not covered by allow_networks")
		}
		return func(stateDir string, logger *slog.Logger) (download.Engine, error) {
			others, err := aria2.New(aria2.Config{
				OnRestart: onRestart,
				Binary:    path, StateDir: stateDir, Slots: slots, AllowBT: cfg.AllowBT, DHTNode: cfg.BTDHT, Logger: logger, Guard: g,
				Bandwidth: int64(cfg.Bandwidth), StallTimeout: cfg.StallTimeout.Std(), UserAgent: userAgent, Space: space,
			})
			if err != nil {
				return nil, err
			}
			http, err := plain(logger)
			if err != nil {
				return nil, errors.Join(err, others.Close())
			}
			return combined.New(http, others, int64(cfg.Bandwidth), logger), nil
		}, nil
	case ctx.Err() != nil: // which has ended aria2c --version
		return nil, ctx.Err()
	case cfg.Engine == "aria2":
		return nil, fmt.Errorf("engine: %w", err)
	}
	say(fmt.Sprintf("downloads with the engine direct, HTTP and HTTPS only: %v", err))
	return onlyDirect, nil
}

// attach uses an aria2 that somebody else runs, and reports its limitations.
func attach(cfg *config.Worker, g *netguard.Guard, onRestart func(), say func(string)) (newEngine, error) {
	a := &aria2.Attach{URL: cfg.Aria2.URL, Secret: string(cfg.Aria2.Secret)}
	if cfg.Aria2.SecretFile != "" {
		secret, err := os.ReadFile(cfg.Aria2.SecretFile)
		if err != nil {
			return nil, &config.Error{Key: "aria2.secret_file", Text: err.Error()}
		}
		a.Secret = strings.TrimSpace(string(secret))
	}
	say("downloads with the aria2 that aria2.url names")
	for _, lack := range a.Unguarded() {
		say("an aria2 that somebody else runs: " + lack)
	}
	dirs := []string{cfg.Dir}
	for _, dir := range cfg.Folders {
		dirs = append(dirs, dir)
	}
	for _, dir := range dirs {
		parts, err := worker.PartsDir(dir)
		if err != nil {
			return nil, err
		}
		a.Folders = append(a.Folders, parts)
	}
	return func(stateDir string, logger *slog.Logger) (download.Engine, error) {
		return aria2.New(aria2.Config{
			OnRestart: onRestart,
			StateDir:  stateDir, Slots: max(cfg.Slots, 1), AllowBT: cfg.AllowBT, Logger: logger, Guard: g,
			StallTimeout: cfg.StallTimeout.Std(), Attach: a, UserAgent: userAgent,
		})
	}, nil
}
