package process

import (
	"fmt"
	"runtime/debug"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Version is the release; a build from a checkout also has its commit.
const Version = "0.1.0"

// Info is what a program is made of.
type Info struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Schema  int    `json:"schema"` // of the stores
}

// BuildInfo returns what this program is made of.
func BuildInfo() Info {
	commit, goVersion := Build()
	return Info{Version: Version, Commit: commit, Go: goVersion, Schema: repo.SchemaVersion}
}

// VersionText is the output of -version: version, commit, Go and the schema of the
// stores.
func VersionText(program string) string {
	i := BuildInfo()
	return fmt.Sprintf("%s %s (commit %s, %s, schema %d)", program, i.Version, i.Commit, i.Go, i.Schema)
}

// Build returns the commit and the version of Go that this program is made of.
func Build() (commit, goVersion string) {
	commit, goVersion = "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				commit += " with changes"
			}
		}
	}
	return commit, goVersion
}
