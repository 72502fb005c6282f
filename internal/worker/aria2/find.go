package aria2

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// The oldest aria2 whose behaviour has been measured.
const (
	minMajor = 1
	minMinor = 36
)

var versionLine = regexp.MustCompile(`(?m)^aria2 version ((\d+)\.(\d+)[^\s]*)`)

// Find looks for an aria2c in PATH and returns its path and version. The error
// is one sentence: none was found, it does not run, it is older than 1.36, or this
// system cannot run one.
func Find(ctx context.Context) (path, version string, err error) {
	if runnable != nil {
		return "", "", runnable
	}
	path, err = exec.LookPath("aria2c")
	if err != nil {
		return "", "", fmt.Errorf("no aria2c in PATH (aria2 %d.%d or newer is needed): %w", minMajor, minMinor, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--no-conf", "--version")
	cmd.Env = environment("/nonexistent")
	out, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("%s --version: %w", path, err)
	}
	version, err = checkVersion(string(out))
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", path, err)
	}
	return path, version, nil
}

// checkVersion reads what aria2c --version prints.
func checkVersion(output string) (string, error) {
	m := versionLine.FindStringSubmatch(output)
	if m == nil {
		return "", fmt.Errorf("does not tell its version as aria2c does")
	}
	major, errMajor := strconv.Atoi(m[2])
	minor, errMinor := strconv.Atoi(m[3])
	if errMajor != nil || errMinor != nil || major < minMajor || major == minMajor && minor < minMinor {
		return "", fmt.Errorf("version %s is older than %d.%d", m[1], minMajor, minMinor)
	}
	return m[1], nil
}
