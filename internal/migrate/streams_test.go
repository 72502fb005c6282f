package migrate

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// migrate creates the streams for a dispatcher without the permission.
func TestStreams_CreatedForUnprivilegedDispatcher(t *testing.T) {
	server, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) }) // the test is over
	dir, url := t.TempDir(), server.ClientURL()
	for _, args := range [][]string{
		{"schema", "up", "--nats", url}, {"schema", "up", "--nats=" + url}, {"schema", "--nats", "up", url},
		{"schema", "--nats", url, "up"}, {"schema", "--nats=true", url, "up"},
	} {
		if o := must(t, dir, args...); !strings.Contains(o.stdout, "has the streams of the prefix aria.v1") {
			t.Errorf("%v: %+v", args, o)
		}
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Consumer(t.Context(), "ARIA_INTAKE", "dispatcher"); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"up", "--nats=" + url, "more"}, {"up", "--nats", url, "more"}, {"--nats", "down"}} {
		if o := migrate(t, dir, append([]string{"schema"}, args...)...); o.code != 2 {
			t.Errorf("%v: %+v", args, o)
		}
	}
	if o := migrate(t, dir, "schema", "status", "--nats=false"); o.code == 2 || strings.Contains(o.stderr, "--nats") {
		t.Errorf("without --nats: %+v", o)
	}
	if o := migrate(t, dir, "schema", "status", "--nats"); o.code != 2 || !strings.Contains(o.stderr, "--nats goes with up") {
		t.Errorf("status: %+v", o)
	}
}
