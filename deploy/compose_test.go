package deploy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

// composeNATS is what we look at in the service of NATS.
type composeNATS struct {
	Image   string
	Command []string
	Volumes []string
	Configs []struct{ Source, Target string }
}

// TestCompose_PinsNATSAsTested: the image is the version that the tests run with,
// and the server has the configuration that is mounted: streams on the volume, each
// acknowledged message on the disk.
func TestCompose_PinsNATSAsTested(t *testing.T) {
	var c struct {
		Services struct{ NATS composeNATS }
		Configs  map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	n := c.Services.NATS
	version := regexp.MustCompile(`nats-io/nats-server/v2 v(\S+)`).FindStringSubmatch(read(t, "../go.mod"))
	if version == nil || n.Image != "nats:"+version[1]+"-alpine" {
		t.Errorf("the image is %s, go.mod has %v", n.Image, version)
	}
	if len(n.Configs) != 1 || !slices.Equal(n.Command, []string{"--config=" + n.Configs[0].Target}) {
		t.Fatalf("command %v, configurations %v", n.Command, n.Configs)
	}
	opts, err := server.ProcessConfigFile(filepath.FromSlash(c.Configs[n.Configs[0].Source].File))
	if err != nil {
		t.Fatal(err)
	}
	if !opts.JetStream || !opts.SyncAlways {
		t.Errorf("JetStream %v, sync always %v", opts.JetStream, opts.SyncAlways)
	}
	if len(n.Volumes) != 1 || !strings.HasSuffix(n.Volumes[0], ":"+opts.StoreDir) {
		t.Errorf("volumes %v, the streams are in %s", n.Volumes, opts.StoreDir)
	}
	if opts.Port != 4222 || opts.HTTPPort != 8222 {
		t.Errorf("ports %d, %d", opts.Port, opts.HTTPPort)
	}
}

// TestCompose_ChecksHealthOfEachService: every service has a check; those of our
// images run the program that is in them.
func TestCompose_ChecksHealthOfEachService(t *testing.T) {
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	all := stages(t)
	for name, s := range c.Services {
		test := s.Healthcheck.Test
		if len(test) < 3 || test[0] != "CMD" {
			t.Errorf("%s has the check %v", name, test)
			continue
		}
		if s.Build.Target == "" {
			continue
		}
		if !slices.Contains(all[s.Build.Target].find("COPY"), "--from=build /out/healthcheck "+test[1]) {
			t.Errorf("%s: the image has no %s", name, test[1])
		}
		if s.Build.Target == "worker" && !slices.Equal(test[2:], []string{"http://nats:8222/connz", "aria-worker-" + name}) {
			t.Errorf("%s: the check asks for %v", name, test[2:])
		}
	}
}

// TestHealthcheck_TellsReadyFromNot runs the program against a server that is ready,
// one that is not, and none; and against the list of connections of a NATS server.
func TestHealthcheck_TellsReadyFromNot(t *testing.T) {
	bin := t.TempDir()
	if err := testbed.Build(bin, "./healthcheck"); err != nil {
		t.Fatal(err)
	}
	var status atomic.Int32
	status.Store(http.StatusOK)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(status.Load()))
		fmt.Fprintln(w, "ready")
	}))
	defer web.Close()
	check := func(args ...string) bool {
		return exec.CommandContext(t.Context(), filepath.Join(bin, "healthcheck"), args...).Run() == nil
	}
	if !check(web.URL) || check(web.URL, "another word") {
		t.Error("a server that is ready")
	}
	status.Store(http.StatusServiceUnavailable)
	if check(web.URL) {
		t.Error("a server that is not ready is healthy")
	}
	if check() || check("http://127.0.0.1:1/") {
		t.Error("no URL, or no server")
	}

	opts, err := server.ProcessConfigFile("nats/compose.conf")
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.HTTPHost, opts.HTTPPort, opts.StoreDir = "127.0.0.1", -1, "127.0.0.1", -1, t.TempDir()
	s := testnats.Start(t, opts)
	connections := "http://127.0.0.1:" + fmt.Sprint(s.MonitorAddr().Port) + "/connz"
	if check(connections, "aria-worker-worker-1") {
		t.Error("a worker that is not there is healthy")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.Name("aria-worker-worker-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if !check(connections, "aria-worker-worker-1") {
		t.Error("a worker that is connected is not healthy")
	}
}
