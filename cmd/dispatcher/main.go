// Dispatcher takes downloads in over NATS and gives them to workers. With -dev it
// runs everything in one process; see -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/aria-cluster/dispatcher/pkg/config"
	"github.com/aria-cluster/dispatcher/pkg/daemon"
)

func main() {
	daemon.SpareCollector()
	ctx, stop := daemon.Signals(context.Background())
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with everything from outside as arguments; it returns the exit
// code: 0, 1 for a failure, 2 for bad usage.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	cmd, err := config.LoadDispatcher(args, environ)
	switch {
	case errors.Is(err, config.ErrHelp):
		return usage(config.DispatcherUsage(stdout))
	case err != nil:
		fmt.Fprintln(stderr, "dispatcher:", err)
		return 2
	case cmd.Version:
		fmt.Fprintln(stdout, daemon.VersionText("dispatcher"))
		return 0
	}
	logger := daemon.NewLogger(stderr, cmd.Config.LogLevel)
	if cmd.Dev {
		err = runDev(ctx, cmd, stdout, stderr)
	} else {
		err = serve(ctx, cmd, logger)
	}
	if err != nil {
		if !errors.Is(err, daemon.ErrNotAllCompleted) {
			logger.Error("the dispatcher has ended", "err", err)
		}
		return 1
	}
	return 0
}

func serve(ctx context.Context, cmd *config.DispatcherCommand, logger *slog.Logger) error {
	if cmd.File != "" {
		logger.Info("configuration", "file", cmd.File)
	}
	d, err := daemon.New(ctx, cmd.Config, daemon.Version, logger)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// runDev shows progress on the screen, so that of the log only warnings are
// printed unless debug is asked for.
func runDev(ctx context.Context, cmd *config.DispatcherCommand, stdout, stderr io.Writer) error {
	level := cmd.Config.LogLevel
	if level == "info" {
		level = "warn"
	}
	dev := &daemon.Dev{
		Config: cmd.Config, URLs: cmd.URLs, Exit: cmd.Exit, Dir: "downloads",
		Out: stdout, Version: daemon.Version, Logger: daemon.NewLogger(stderr, level),
	}
	return dev.Run(ctx)
}

func usage(err error) int {
	if err != nil {
		return 1
	}
	return 0
}
