package suite

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

var (
	update = flag.Bool("update", false, "write the screenshots of docs/dashboard.md")
	only   = flag.String("scenario", "", "run the scenarios that match this expression alone")
)

// binaries is the folder of the programs that the tests start.
var binaries string

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		binaries = dir
		return testbed.Build(dir, "../../../../cmd/dispatcher", "../../../../cmd/worker")
	})
}

// suiteTime bounds all scenarios together.
const suiteTime = 6 * time.Minute

// Each scenario of main.mjs passes against a real dispatcher with two workers, and a
// third one that sends hostile texts.
func TestDashboard_ScenariosPass(t *testing.T) {
	chromium, node := testbed.RequireBinary(t, "chromium"), testbed.RequireBinary(t, "node")
	modules := install(t)
	s := startServer(t, "http://"+freeport.Address(t)+"/", "DISPATCHER_HTTP_OPEN_ROLE=operator")
	s.startWorker(t, "node-one", "one")
	s.startWorker(t, "node-two", "two")
	nc := s.connect(t)
	publishDeadLetters(t, nc, "letters", 3)
	runHostileWorker(t, nc)

	ctx, cancel := context.WithTimeout(t.Context(), suiteTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "main.mjs")
	cmd.Dir = modules
	cmd.Env = append(os.Environ(), "SUITE_BASE="+s.web, "SUITE_FILES="+serveFiles(t), "SUITE_CHROMIUM="+chromium, "SUITE_ONLY="+*only)
	cmd.Env = append(cmd.Env, startSecured(t)...)
	if *update {
		docs, err := filepath.Abs("../../../../docs/images")
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "SUITE_SHOTS="+docs)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scenarios := 0
	for lines := bufio.NewScanner(out); lines.Scan(); scenarios++ {
		reportScenario(t, lines.Bytes())
	}
	err = cmd.Wait()
	if err != nil && !t.Failed() || scenarios == 0 {
		t.Errorf("%d scenarios, %v\n%s", scenarios, err, &stderr)
	}
}

// reportScenario makes a subtest of one line of main.mjs.
func reportScenario(t *testing.T, line []byte) {
	t.Helper()
	var result struct {
		Name, Error string
		MS          int
	}
	if err := json.Unmarshal(line, &result); err != nil {
		t.Errorf("main.mjs printed %q", line)
		return
	}
	t.Run(result.Name, func(t *testing.T) {
		if result.Error != "" {
			t.Error(result.Error)
		}
		t.Logf("%d ms", result.MS)
	})
}

// install copies the scenarios into a folder of the test and fetches their two packages.
func install(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, testbed.RequireBinary(t, "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		testbed.Missing(t, "npm", fmt.Errorf("npm ci: %w\n%s", err, out))
	}
	return dir
}

// server is the dispatcher under test.
type server struct {
	dir, nats, web string
}

// startServer starts a dispatcher that serves web, an address of this machine.
func startServer(t *testing.T, web string, env ...string) *server {
	t.Helper()
	at, err := url.Parse(web)
	if err != nil {
		t.Fatal(err)
	}
	dir, natsAddress := t.TempDir(), freeport.Address(t)
	s := &server{dir: dir, nats: "nats://" + natsAddress, web: web}
	cmd := exec.Command(filepath.Join(binaries, "dispatcher"))
	cmd.Dir = dir
	cmd.Env = append([]string{
		"HOME=" + dir, "DISPATCHER_NATS_LISTEN=" + natsAddress, "DISPATCHER_NATS_STORE_DIR=" + filepath.Join(dir, "nats"),
		"DISPATCHER_HTTP_LISTEN=" + at.Host,
		"DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH=" + filepath.Join(dir, "dispatcher.db"),
		"DISPATCHER_WORKER_MANAGEMENT_HEARTBEAT_INTERVAL=1",
	}, env...)
	testbed.Start(t, cmd)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // its certificate is signed by itself
	testbed.Eventually(t, "the dispatcher is ready", func() bool {
		answer, err := client.Get(web + "readyz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return s
}

// startWorker starts a worker with the tag node=TAG.
func (s *server) startWorker(t *testing.T, name, tag string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "worker"), "-name", name, "-dir", filepath.Join(s.dir, name),
		"-engine", "direct", "-slots", "4", "-allow-networks", "loopback", "-tags", "node="+tag)
	cmd.Dir, cmd.Env = s.dir, []string{"HOME=" + s.dir, "NATS_URL=" + s.nats}
	testbed.Start(t, cmd)
}

func (s *server) connect(t *testing.T) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.nats)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// serveFiles serves /file/NAME at full speed, /slow/NAME at 200 KB/s, and 404 elsewhere.
func serveFiles(t *testing.T) string {
	t.Helper()
	var throttle downloadtest.Throttle
	throttle.Set(200_000)
	mux := http.NewServeMux()
	mux.Handle("/file/", downloadtest.Content(downloadtest.Data(50_000)))
	mux.Handle("/slow/", throttle.Slow(downloadtest.Zeros(1_000_000_000)))
	return downloadtest.Serve(t, mux).URL
}

// publishDeadLetters puts messages into the intake that can never be accepted.
func publishDeadLetters(t *testing.T, nc *nats.Conn, client string, count int) {
	t.Helper()
	subjects, err := bus.NewSubjects("aria.v1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		body := fmt.Sprintf(`{"id": "letter-%d", "url": "gopher://<b>old</b>.example/%d"}`, i, i)
		if _, err := nc.Request(subjects.Intake(client), []byte(body), testbed.Patience); err != nil {
			t.Fatal(err)
		}
	}
}

// Texts that a hostile worker sends.
const (
	hostileError = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202etxt.exe "
	hostileHost  = "<b onmouseover=alert(4)>host</b>\u2066"

	hostileVersion = "<i onclick=alert(5)>9.8</i>"
)

// runHostileWorker sends the heartbeats of a worker that is offered FTP alone, and fails
// what it is given with a hostile text, until the end of the test.
func runHostileWorker(t *testing.T, nc *nats.Conn) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	beat := model.Heartbeat{
		WorkerID: "node-hostile", Instance: "hostile", Epoch: 1, State: model.StateReady, TotalSlots: 1, Hostname: hostileHost, Version: hostileVersion,
		Capabilities: model.Capabilities{Protocols: []string{"ftp"}, Tags: map[string]string{hostileHost: strings.Repeat("t", 200)}},
	}
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			beat.Seq++
			var answer model.HeartbeatAnswer
			if request(ctx, nc, "aria.v1.req.worker.node-hostile.heartbeat", &beat, &answer) == nil {
				for _, a := range answer.Assign {
					report := model.Report{
						ID: a.Task.ID, Attempt: a.Attempt, Status: model.ReportFailed,
						Error: &model.TaskError{Code: 1, Message: hostileError + strings.Repeat("E", 900), Class: model.ClassPermanent},
					}
					_ = request(ctx, nc, "aria.v1.req.worker.node-hostile.report", &report, nil) // repeated by the next heartbeat
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond):
			}
		}
	}()
}

func request(ctx context.Context, nc *nats.Conn, subject string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, testbed.Patience)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, data)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(m.Data, into)
}
