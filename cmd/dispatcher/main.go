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

	"github.com/aria-cluster/dispatcher/internal/app"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
)

func main() {
	app.SetMinHeap()
	process.Main(func(ctx context.Context) int {
		return run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	})
}

// run is main with everything from outside as arguments; it returns the exit
// code: 0, 1 for a failure, 2 for bad usage.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	cmd, err := config.LoadDispatcher(args, environ)
	switch {
	case errors.Is(err, config.ErrHelp):
		return process.ExitCode(config.DispatcherUsage(stdout))
	case err != nil:
		fmt.Fprintln(stderr, "dispatcher:", err)
		return 2
	case cmd.Version:
		_, err := fmt.Fprintln(stdout, process.VersionText("dispatcher"))
		return process.ExitCode(err)
	}
	level := process.LogLevel(cmd.Config.LogLevel)
	log := process.Log{Logger: process.NewLogger(stderr, cmd.Config.LogFormat, level), Level: level}
	if cmd.Dev {
		err = runDev(ctx, cmd, stdout, log)
	} else {
		err = serve(ctx, cmd, log)
	}
	if err != nil && !errors.Is(err, app.ErrNotAllCompleted) {
		log.Logger.Error("the dispatcher has ended", "error", err)
	}
	return process.ExitCode(err)
}

func serve(ctx context.Context, cmd *config.DispatcherCommand, log process.Log) error {
	if cmd.File != "" {
		log.Logger.Info("configuration read", "file", cmd.File)
	}
	return app.RunDispatcher(ctx, cmd, process.Version, log)
}

// runDev shows progress on the screen, so that of the log only warnings are
// printed unless debug is asked for.
func runDev(ctx context.Context, cmd *config.DispatcherCommand, stdout io.Writer, log process.Log) error {
	if log.Level.Level() == slog.LevelInfo {
		log.Level.Set(slog.LevelWarn)
	}
	dev := &app.Dev{
		Config: cmd.Config, URLs: cmd.URLs, Exit: cmd.Exit, Dir: "downloads",
		Out: stdout, Version: process.Version, Log: log,
	}
	return dev.Run(ctx)
}
