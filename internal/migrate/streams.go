package migrate

import (
	"context"
	"fmt"

	"github.com/aria-cluster/dispatcher/internal/app/streams"
	"github.com/aria-cluster/dispatcher/internal/intake"
)

// streams makes and checks the streams of the dispatcher, as its configuration has
// them: for a dispatcher without the permission to create them.
func (p *program) streams(ctx context.Context) error {
	if p.o.words[0] != "up" {
		return badUsage("schema: --nats goes with up")
	}
	c := p.o.config
	o := outcome{Path: "NATS"}
	nc, err := p.reach(ctx)
	if err == nil {
		o.Path = nc.ConnectedUrlRedacted()
		err = intake.EnsureStreams(ctx, nc, streams.Options(c))
		nc.Close()
	}
	if err != nil {
		err = fmt.Errorf("streams in NATS: %w", err)
	}
	return p.end(&o, err, "%s has the streams of the prefix %s", o.Path, c.NATS.Prefix)
}
