package aria2rpc_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

var dispatcher string // the built program

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		dispatcher = filepath.Join(dir, "dispatcher")
		return testbed.Build(dir, "../../cmd/dispatcher")
	})
}

// A dispatcher that is killed while downloads are added knows every gid that it answered.
func TestKill_LosesNoAnsweredGID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secrets := filepath.Join(dir, "secrets")
	if err := os.WriteFile(secrets, []byte("tester:"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() (*testbed.Process, *endpoint) {
		e := &endpoint{name: "cluster", url: "http://" + freeport.Address(t)}
		cmd := exec.CommandContext(t.Context(), dispatcher, "-nats-listen=")
		cmd.Dir = dir
		cmd.Env = []string{"HOME=" + dir, "DISPATCHER_DB_TYPE=sqlite", "DISPATCHER_DB_PATH=tasks.db", "DISPATCHER_NATS_STORE_DIR=nats",
			"DISPATCHER_ARIA2_RPC_SECRETS_FILE=" + secrets, "DISPATCHER_HTTP_LISTEN=" + strings.TrimPrefix(e.url, "http://")}
		p := testbed.Start(t, cmd)
		testbed.Eventually(t, "the dispatcher is ready", func() bool {
			response, err := http.Get(e.url + "/readyz")
			if err != nil {
				return false
			}
			_ = response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
		return p, e
	}
	p, e := start()
	var mu sync.Mutex
	var answered []string
	var count atomic.Int64
	var adders sync.WaitGroup
	for range 4 {
		adders.Go(func() {
			for {
				gid, ok := e.tryAdd(t)
				if !ok {
					return // killed
				}
				mu.Lock()
				answered = append(answered, gid)
				mu.Unlock()
				count.Add(1)
			}
		})
	}
	testbed.Eventually(t, "500 downloads are added", func() bool { return count.Load() >= 500 })
	p.Kill()
	adders.Wait()
	_, e = start()
	for _, gid := range answered {
		if a := e.call(t, "aria2.tellStatus", gid, list("status")); a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", gid, a.Status, text(a.Body))
		}
	}
	if len(answered) < 500 {
		t.Errorf("only %d downloads were added", len(answered))
	}
}

// tryAdd adds a download that nobody runs; it reports false once the server is gone.
func (e *endpoint) tryAdd(t *testing.T) (gid string, ok bool) {
	body := `{"id":1,"method":"aria2.addUri","params":["token:` + secret + `",["http://127.0.0.1:1/x"]]}`
	response, err := (&http.Client{Timeout: 20 * time.Second}).Post(e.url+"/jsonrpc", "", strings.NewReader(body))
	if err != nil {
		return "", false
	}
	defer response.Body.Close()
	var answer struct{ Result string }
	if json.NewDecoder(response.Body).Decode(&answer) != nil {
		return "", false
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("an add is answered %d", response.StatusCode)
		return "", false
	}
	return answer.Result, true
}
