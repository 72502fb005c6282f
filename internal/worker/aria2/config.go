package aria2

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// maxRows bounds how many downloads aria2 remembers, and one poll asks for.
const maxRows = 10000

// defaultBTStopTimeout is how long a torrent may bring no byte.
const defaultBTStopTimeout = 10 * time.Minute

// configuration is aria2.conf: everything is said, so that neither a default of
// another version nor a user's own configuration changes what was measured. dhtFile is where
// aria2c keeps the nodes of the DHT that it knows.
func configuration(cfg *Config, proxy, dhtFile string, port int, secret string) string {
	lines := append([]string{
		"enable-rpc=true",
		"rpc-listen-all=false",
		"rpc-listen-port=" + strconv.Itoa(port),
		"rpc-secret=" + secret,
		"rpc-max-request-size=32M", // a torrent of [download.MaxTorrent] in base64
		"rpc-save-upload-metadata=false",
		"disk-cache=0", // with a cache, a server without Range can abort aria2c
		"auto-save-interval=1",
		"max-concurrent-downloads=" + strconv.Itoa(cfg.Slots*4), // a task may have children
		"max-download-result=" + strconv.Itoa(maxRows),
		"max-overall-download-limit=" + strconv.FormatInt(cfg.Bandwidth, 10),
		"all-proxy=" + proxy, // each job has it with a password; without one it connects nothing
		"check-certificate=true",
		"enable-dht=" + strconv.FormatBool(cfg.DHTNode != ""),
		"dht-file-path=" + dhtFile,
		"enable-dht6=false",
		"bt-enable-lpd=false",
		"summary-interval=0",
		"show-console-readout=false",
		"enable-color=false",
		"console-log-level=notice",
	}, perDownload(cfg)...)
	if cfg.DHTNode != "" {
		lines = append(lines, "dht-entry-point="+cfg.DHTNode)
	}
	return strings.Join(lines, "\n") + "\n"
}

// perDownload are the lines of the configuration that can also be said of a single
// download.
func perDownload(cfg *Config) []string {
	return []string{
		"user-agent=" + cfg.UserAgent, // as the worker's own requests: a server sees one client
		"no-netrc=true",
		"file-allocation=falloc",
		"continue=true",
		"always-resume=true",
		"force-save=true", // a finished file keeps its control file: after a crash it is known to be whole; see callFor for small ones
		"allow-overwrite=false",
		"auto-file-renaming=false",
		"max-tries=" + strconv.Itoa(download.DefaultMaxTries),
		"retry-wait=" + seconds(download.DefaultRetryWait),
		"connect-timeout=" + seconds(download.DefaultConnectTimeout),
		"timeout=" + seconds(max(cfg.StallTimeout, time.Second)),
		"proxy-method=tunnel",
		"enable-http-keep-alive=false", // another download would use the tunnel, and the proxy would count it for this one
		"no-proxy=",
		"follow-torrent=false", // [Engine.finish] follows what may be followed
		"follow-metalink=false",
		"seed-time=0",
		"bt-stop-timeout=" + seconds(max(cfg.BTStopTimeout, time.Second)),
		"ftp-reuse-connection=false", // its password is not asked for again: another task could use it
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// sharedConf is the configuration of the shared aria2c.
const sharedConf = "aria2.conf"

// writeConfiguration puts a configuration into the state folder, readable by its
// owner only, for it holds the secret.
func writeConfiguration(stateDir, name, text string) (string, error) {
	path := filepath.Join(stateDir, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	// O_EXCL: a file or link that somebody put there keeps its own mode.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return path, nil
}

// dhtFile returns the path of the nodes that the aria2c of a configuration knows.
func dhtFile(stateDir, confName string) string {
	return filepath.Join(stateDir, strings.TrimSuffix(confName, ".conf")+".dht")
}

// removeConfiguration removes what is kept for an aria2c that has ended for good.
func removeConfiguration(stateDir, confName string) {
	_ = os.Remove(filepath.Join(stateDir, confName)) // they are in nobody's way
	_ = os.Remove(dhtFile(stateDir, confName))
}

// removeConfigurations does so for other processes than the shared one that a killed worker left.
func removeConfigurations(stateDir string) {
	left, _ := filepath.Glob(filepath.Join(stateDir, "aria2-*.conf")) // fails only for a bad pattern
	for _, path := range left {
		removeConfiguration(stateDir, filepath.Base(path))
	}
}

// newSecret returns 32 random bytes in hex.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

// freePort returns a port of loopback that was free a moment ago; aria2c cannot
// pick one itself.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free port on 127.0.0.1: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// environment is all that aria2c sees of ours: no proxy, no secret of the
// worker, and English messages.
func environment(home string) []string {
	return []string{"HOME=" + home, "PATH=/usr/bin:/bin", "LC_ALL=C"}
}
