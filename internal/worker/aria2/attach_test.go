package aria2

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// startForeign runs an aria2c of somebody else's, without our configuration.
func startForeign(t *testing.T, port int, secret string) (stop func()) {
	t.Helper()
	cmd := exec.Command(needAria2c(t), "--no-conf", "--enable-rpc", "--rpc-listen-port="+strconv.Itoa(port),
		"--rpc-secret="+secret, "--dir="+t.TempDir())
	cmd.Env = environment(t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	t.Cleanup(stop)
	testbed.Eventually(t, "it answers", func() bool {
		c, err := dial(t.Context(), port, secret, func(string, string) {})
		if err == nil {
			c.fail(errClosed)
		}
		return err == nil
	})
	return stop
}

// attachTo makes an engine on it whose jobs are below folder.
func attachTo(t *testing.T, port int, secret, folder string) *Engine {
	t.Helper()
	return makeEngine(t, Config{Attach: &Attach{URL: "http://127.0.0.1:" + strconv.Itoa(port) + "/jsonrpc", Secret: secret, Folders: []string{folder}}})
}

// An attached aria2c fetches our downloads and keeps the other ones.
func TestAttach_LeavesOtherDownloadsAlone(t *testing.T) {
	t.Parallel()
	port := freeTCPPort(t)
	stop := startForeign(t, port, "s3cret")
	data := downloadtest.Data(2 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(50_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	theirs, err := dial(t.Context(), port, "s3cret", func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	const gid = "00000000000000ff"
	if err := theirs.call(t.Context(), nil, "aria2.addUri", []string{s.URL + "/theirs"}, map[string]any{"gid": gid, "dir": t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	fast := downloadtest.Serve(t, downloadtest.Content(data))
	job := downloadtest.Job(t, "ours", fast.URL+"/file")
	e := attachTo(t, port, "s3cret", filepath.Dir(job.Dir))
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	slow := downloadtest.Job(t, "slow", s.URL+"/slow")
	downloadtest.Add(t, e, slow)
	downloadtest.Await(t, e, "slow", downloadtest.Reached(20_000))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := theirs.rows(t.Context())
	if err != nil || len(all) != 1 || all[gid] == nil || all[gid].Status != "active" {
		t.Errorf("after the engine's end the other's download should be all that is there: %+v, %v", all, err)
	}
	stop() // before the server, which waits for it
}

// An attached aria2c that is restarted gets our downloads again.
func TestAttach_RestartedAria2cGetsDownloadsAgain(t *testing.T) {
	t.Parallel()
	port := freeTCPPort(t)
	stop := startForeign(t, port, "s3cret")
	data := downloadtest.Data(2 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(500_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	job := downloadtest.Job(t, "ours", s.URL+"/file")
	e := attachTo(t, port, "s3cret", filepath.Dir(job.Dir))
	t.Cleanup(func() { _ = e.Close() }) // what it says is tested elsewhere
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "ours", downloadtest.Reached(200_000))
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := e.Remove(ctx, "ours"); err == nil {
		t.Error("a job is removed though its aria2c may still write")
	}
	startForeign(t, port, "s3cret")
	throttle.Set(8 << 20)
	downloadtest.MustComplete(t, e, job, data)
}

// Our downloads that no task wants are removed from an attached aria2c.
func TestAttach_UnwantedDownloadsAreRemoved(t *testing.T) {
	t.Parallel()
	port := freeTCPPort(t)
	startForeign(t, port, "s3cret")
	var throttle downloadtest.Throttle
	throttle.Set(10_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(downloadtest.Data(1<<20))))
	folder := t.TempDir()
	e := attachTo(t, port, "s3cret", folder)
	t.Cleanup(func() { _ = e.Close() }) // what it says is tested elsewhere
	c := e.current().client
	for gid, dir := range map[string]string{"00000000000000aa": filepath.Join(folder, "old-task"), "00000000000000bb": t.TempDir()} {
		if err := c.call(t.Context(), nil, "aria2.addUri", []string{s.URL}, map[string]any{"gid": gid, "dir": dir}); err != nil {
			t.Fatal(err)
		}
	}
	testbed.Eventually(t, "only the other's is left", func() bool {
		all := polledRows(t, e)
		return len(all) == 1 && all["00000000000000bb"] != nil
	})
}

// The error of a failed attach does not contain the secret.
func TestAttach_ErrorDoesNotContainTheSecret(t *testing.T) {
	t.Parallel()
	port := freeTCPPort(t)
	startForeign(t, port, "s3cret")
	for name, a := range map[string]Attach{
		"a wrong secret": {URL: "ws://127.0.0.1:" + strconv.Itoa(port) + "/jsonrpc", Secret: "wr0ng"},
		"nobody there":   {URL: "http://user:wr0ng@127.0.0.1:1"},
		"no URL":         {URL: "wr0ng"},
		"ftp":            {URL: "ftp://127.0.0.1/wr0ng"},
	} {
		_, err := New(Config{StateDir: t.TempDir(), Slots: 1, Logger: downloadtest.Logger(t), Attach: &a})
		if err == nil || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for url, want := range map[string]int{"http://127.0.0.1:6800": 5, "http://[::1]:6800": 5, "http://nas.example:6800/jsonrpc": 6} {
		if got := (&Attach{URL: url}).Unguarded(); len(got) != want {
			t.Errorf("%s: %q", url, got)
		}
	}
}

// An attached aria2c gets no inline metalink.
func TestAttach_RefusesInlineMetalinks(t *testing.T) {
	t.Parallel()
	port := freeTCPPort(t)
	startForeign(t, port, "s3cret")
	e := attachTo(t, port, "s3cret", t.TempDir())
	t.Cleanup(func() { _ = e.Close() }) // what it says is tested elsewhere
	job := downloadtest.Job(t, "inline", "")
	job.Task.TaskSpec = model.TaskSpec{ID: "inline", Metalink: []byte("<metalink/>")}
	downloadtest.Add(t, e, job)
	if err := downloadtest.MustFail(t, e, "inline"); err.Class != model.ClassWorker {
		t.Errorf("%+v", err)
	}
}
