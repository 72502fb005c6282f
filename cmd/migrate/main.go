// Migrate moves tasks and workers between stores, and backs up, restores and
// checks the file of the store sqlite; see -h.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/migrate"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// Records come and go: collecting less often is a quarter faster, and the
		// limit keeps it small all the same. SQLite's memory is not in it.
		debug.SetGCPercent(150)
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(64 << 20)
		}
	}
	process.Main(func(ctx context.Context) int {
		return migrate.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	})
}
