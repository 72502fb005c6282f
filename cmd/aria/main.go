// Aria is a person's command line for the cluster: it submits downloads over NATS,
// shows and changes them, and looks after workers; see -h.
package main

import (
	"context"
	"os"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/ariacli"
)

func main() {
	process.Main(func(ctx context.Context) int {
		return ariacli.Run(ctx, ariacli.Process{
			Args: os.Args[1:], Getenv: os.Getenv,
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		})
	})
}
