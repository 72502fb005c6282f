// Worker is one node: it takes tasks from the dispatcher over NATS and downloads
// them into its folder; see -h.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
)

func main() {
	process.Main(func(ctx context.Context) int {
		return run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	})
}

// run is main with everything from outside as arguments; it returns the exit
// code: 0, 1 for a failure, 2 for bad usage.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	cmd, err := config.LoadWorker(args, environ)
	switch {
	case errors.Is(err, config.ErrHelp):
		return process.ExitCode(config.WorkerUsage(stdout))
	case err != nil:
		fmt.Fprintln(stderr, "worker:", err)
		return 2
	case cmd.Version:
		_, err := fmt.Fprintln(stdout, process.VersionText("worker"))
		return process.ExitCode(err)
	}
	logger := process.NewLogger(stderr, cmd.Config.LogFormat, process.LogLevel(cmd.Config.LogLevel))
	if cmd.File != "" {
		logger.Info("configuration read", "file", cmd.File)
	}
	err = node.Run(ctx, cmd.Config, logger)
	if err != nil {
		logger.Error("the worker has ended", "error", err)
	}
	return process.ExitCode(err)
}
