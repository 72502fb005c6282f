package ariacli

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Ids, workers and labels come from the cluster. On a busy machine that takes longer than a person
// waits for a completion.
func TestCompletion_SuggestsFromCluster(t *testing.T) {
	d := testdaemon.Start(t)
	if r := aria(t, d.URL, 0, "add", "--id", "task-one", "--label", "project=films", "--not-before", "2h", "https://h.example/a"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	beat, err := json.Marshal(&model.Heartbeat{WorkerID: "local", Instance: "i", Epoch: 1, Seq: 1, State: model.StateReady, TotalSlots: 1, Hostname: "host"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Connect(t).Request("aria.v1.req.worker.local.heartbeat", beat, testbed.Patience); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ args, want string }{
		{"cancel task", "task-one\n"},
		{"drain loc", "local\n"},
		{"ls --label proj", "project=films\n"},
		{"ls --status pen", "pending\n"},
		{"retry task", ":4\n"},
	} {
		var out, errOut bytes.Buffer
		env := map[string]string{"NATS_URL": d.URL, "ARIA_CLIENT": "me"}
		s := newSession(Process{Getenv: func(name string) string { return env[name] }, Stdout: &out, Stderr: &errOut})
		s.completionTime = testbed.Patience
		root := newRoot(s)
		root.SetArgs(append([]string{"__complete"}, strings.Fields(x.args)...))
		root.SetOut(&out)
		root.SetErr(&errOut)
		err := root.ExecuteContext(testbed.Context(t))
		s.close()
		if err != nil || !strings.HasPrefix(out.String(), x.want) {
			t.Errorf("%s: %v, stdout %q, stderr %q", x.args, err, &out, &errOut)
		}
	}
}

// File names are offered where a command takes files, and nowhere else.
func TestCompletion_OffersFilesForFilesOnly(t *testing.T) {
	const anyFile, noFile = ":0\n", ":4\n"
	for args, want := range map[string]string{
		"add ":               anyFile,
		"add --input ":       anyFile,
		"ls --creds ":        anyFile,
		"ls ":                noFile,
		"get ":               noFile,
		"top ":               noFile,
		"dlq ls ":            noFile,
		"dlq show ":          noFile,
		"version ":           noFile,
		"add --folder ":      noFile,
		"ls --client ":       noFile,
		"ls -o js":           "table\nwide\njson\njsonl\nid\ntemplate=\n" + noFile,
		"watch --progress b": "auto\nbar\nplain\nnone\n" + noFile,
		"workers --status d": "online\nbusy\ndraining\noffline\nerror\n" + noFile,
		"add --priority u":   "low\nnormal\nhigh\nurgent\n" + noFile,
		"completion z":       "zsh\n" + noFile,
	} {
		if r := aria(t, "nats://127.0.0.1:1", 0, append([]string{"__complete"}, strings.Split(args, " ")...)...); r.code != 0 || !strings.HasPrefix(r.stdout, want) {
			t.Errorf("%q offers %q, want %q", args, r.stdout, want)
		}
	}
}

// slowly is less than the 5 s that a request may take.
const slowly = 4 * time.Second

// A completion ends after 200 ms, whether the cluster does not answer or the server of NATS
// does not greet, and prints no error between the suggestions.
func TestCompletion_EndsInTime(t *testing.T) {
	silent := silentServer(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	for _, url := range []string{silent, "nats://" + mute.Addr().String(), "nats://127.0.0.1:1"} {
		for _, args := range [][]string{{"cancel", ""}, {"drain", ""}, {"ls", "--label", ""}} {
			began := time.Now()
			r := aria(t, url, 0, append([]string{"__complete"}, args...)...)
			if took := time.Since(began); r.code != 0 || !strings.HasPrefix(r.stdout, ":4\n") || took > slowly {
				t.Errorf("%v on %s: after %v %+v", args, url, took, r)
			}
		}
	}
}
