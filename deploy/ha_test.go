package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/config"
)

// haCompose is what we look at in deploy/ha/compose.yaml.
type haCompose struct {
	Services map[string]struct {
		Image, User string
		Command     []string
		Build       struct{ Context, Dockerfile, Target string }
		DependsOn   map[string]any `yaml:"depends_on"`
		Environment map[string]string
		Volumes     []string
		Ports       []string
		Configs     []struct{ Source, Target string }
	}
	Configs map[string]struct{ File, Content string }
	Volumes map[string]any
}

func readHA(t *testing.T) (c haCompose) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, "ha/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// The parts of the example with standbys fit together: its dispatchers have the same
// configuration, which is valid, with all three NATS servers and three copies of the
// streams; what they wait for exists; no port is open to other hosts.
func TestHA_PartsOfComposeFitTogether(t *testing.T) {
	c := readHA(t)
	one, two := c.Services["dispatcher-1"], c.Services["dispatcher-2"]
	if !maps.Equal(one.Environment, two.Environment) || len(one.Environment) == 0 || len(one.Volumes) > 0 {
		t.Errorf("the dispatchers differ, or have volumes: %v, %v", one.Environment, two.Environment)
	}
	checkHAEnvironment(t, one.Environment)
	version := regexp.MustCompile(`nats-io/nats-server/v2 v(\S+)`).FindStringSubmatch(read(t, "../go.mod"))
	all := stages(t)
	for name, s := range c.Services {
		for _, mounted := range s.Configs {
			if one := c.Configs[mounted.Source]; (one.Content == "") == (one.File == "") {
				t.Errorf("%s mounts %s, which is %+v", name, mounted.Source, one)
			}
		}
		if strings.HasPrefix(name, "nats-") && (version == nil || s.Image != "nats:"+version[1]+"-alpine" ||
			len(s.Configs) != 1 || c.Configs[s.Configs[0].Source].File != "./nats.conf" || !slices.Equal(s.Command, []string{"--config=" + s.Configs[0].Target})) {
			t.Errorf("%s: image %s, command %v, configurations %v; go.mod has %v", name, s.Image, s.Command, s.Configs, version)
		}
		for other := range s.DependsOn {
			if c.Services[other].Image == "" {
				t.Errorf("%s waits for %s, which does not exist", name, other)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other hosts", name, port)
			}
		}
		for _, v := range s.Volumes {
			if volume, _, _ := strings.Cut(v, ":"); volume != name {
				t.Errorf("%s has the volume %s", name, volume)
			}
		}
		_, built := all[s.Build.Target]
		if s.Build.Target != "" && (!built || s.Build.Context != "../.." || s.Build.Dockerfile != "deploy/Dockerfile") {
			t.Errorf("%s: build %+v", name, s.Build)
		}
	}
	if !slices.Equal(slices.Sorted(maps.Keys(c.Volumes)), []string{"nats-1", "nats-2", "nats-3", "postgres-1", "postgres-2"}) {
		t.Errorf("volumes %v", c.Volumes)
	}
	t.Setenv("NATS_NAME", "nats-1")
	opts, err := server.ProcessConfigFile(filepath.FromSlash("ha/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !opts.JetStream || !opts.SyncAlways || len(opts.Routes) != 3 || opts.ServerName != "nats-1" {
		t.Errorf("JetStream %v, sync always %v, routes %v, name %q", opts.JetStream, opts.SyncAlways, opts.Routes, opts.ServerName)
	}
}

// The environment of the unit is valid too.
func TestHA_EnvironmentOfUnitIsValid(t *testing.T) {
	env := make(map[string]string)
	for line := range strings.Lines(read(t, "ha/aria-dispatcher.env")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			env[name] = value
		}
	}
	checkHAEnvironment(t, env)
}

// checkHAEnvironment loads the configuration of a dispatcher with standbys.
func checkHAEnvironment(t *testing.T, env map[string]string) {
	t.Helper()
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	d, err := config.LoadDispatcher(nil, lines)
	if err != nil {
		t.Fatal(err)
	}
	c := d.Config
	if c.Database.Type != "postgres" || !c.Database.RequireSync || c.NATS.Replicas != 3 || strings.Count(string(c.NATS.URL), ",") != 2 ||
		!strings.Contains(string(c.Database.DSN), "target_session_attrs=read-write") {
		t.Errorf("the configuration is %v", c)
	}
}
