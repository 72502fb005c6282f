// Command submit asks for one download with nothing but nats.go, and waits for
// its end: submit URL. It ends with 0 if the download completed, 1 if it did not,
// and 2 after bad usage. NATS_URL names the NATS server.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// client is the name that we submit under; we see our own tasks only.
const client = "example"

const usage = `usage: submit URL

Submits the download and waits for its end. NATS_URL names the NATS server;
without it that is nats://127.0.0.1:4222.`

// task is what we want to know of a task; there is more in docs/protocol.md.
type task struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
	Result *struct {
		WorkerID string `json:"worker_id"`
		Files    []struct {
			Path string `json:"path"`
		} `json:"files"`
	} `json:"result"`
}

func main() {
	args := os.Args[1:]
	switch {
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		fmt.Println(usage)
		return
	case len(args) != 1 || strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "submit:", err)
		os.Exit(1)
	}
}

func run(url string) error {
	server := cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL)
	nc, err := nats.Connect(server)
	if err != nil {
		return fmt.Errorf("connecting to NATS at NATS_URL, or %s: %w", nats.DefaultURL, err)
	}
	defer nc.Close()

	// The answer comes when the task is stored: it will not be forgotten.
	t, err := request(nc, "submit", map[string]any{"url": url})
	if err != nil {
		return err
	}
	fmt.Println("submitted", t.ID)

	// Events announce changes sooner, but one may be lost; get returns the current
	// state.
	for range time.Tick(200 * time.Millisecond) {
		switch t, err = request(nc, "get", map[string]any{"id": t.ID}); {
		case err != nil:
			return err
		case t.Status == "completed" && t.Result != nil:
			for _, f := range t.Result.Files {
				fmt.Printf("completed %s: %s in the folder of the worker %s\n", t.ID, f.Path, t.Result.WorkerID)
			}
			return nil
		case t.Status == "failed" && t.Error != nil:
			return fmt.Errorf("%s failed: %s", t.ID, t.Error.Message)
		case t.Status == "failed" || t.Status == "canceled":
			return fmt.Errorf("%s is %s", t.ID, t.Status)
		}
	}
	return nil
}

// request asks one verb of the dispatcher. A refusal is in the headers.
func request(nc *nats.Conn, verb string, body any) (t task, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return t, err
	}
	msg, err := nc.Request("aria.v1.req.task."+client+"."+verb, data, 5*time.Second)
	if errors.Is(err, nats.ErrNoResponders) {
		return t, errors.New("no dispatcher runs at this NATS server")
	} else if err != nil {
		return t, fmt.Errorf("%s: %w", verb, err)
	}
	if code := msg.Header.Get("Nats-Service-Error-Code"); code != "" {
		return t, fmt.Errorf("%s: %s %s", verb, code, msg.Header.Get("Nats-Service-Error"))
	}
	err = json.Unmarshal(msg.Data, &t)
	return t, err
}
