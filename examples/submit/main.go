// Command submit asks for one download with nothing but nats.go, and waits for
// its end: submit URL. It ends with 0 if the download completed.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// client is the name that we submit under; we see our own tasks only.
const client = "example"

// task is what we want to know of a task; there is more in docs/protocol.md.
type task struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "submit:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: submit URL")
	}
	nc, err := nats.Connect(nats.DefaultURL)
	if err != nil {
		return err
	}
	defer nc.Close()

	// The answer comes when the task is stored: it will not be forgotten.
	t, err := request(nc, "submit", map[string]any{"url": args[0]})
	if err != nil {
		return err
	}
	fmt.Println("submitted", t.ID)

	// Events tell of changes sooner, but one may be lost; get always knows.
	for range time.Tick(200 * time.Millisecond) {
		switch t, err = request(nc, "get", map[string]any{"id": t.ID}); {
		case err != nil:
			return err
		case t.Status == "completed":
			fmt.Println("completed", t.ID)
			return nil
		case t.Status == "failed" || t.Status == "canceled":
			return fmt.Errorf("%s is %s: %+v", t.ID, t.Status, t.Error)
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
	if err != nil {
		return t, fmt.Errorf("%s: %w", verb, err)
	}
	if code := msg.Header.Get("Nats-Service-Error-Code"); code != "" {
		return t, fmt.Errorf("%s: %s %s", verb, code, msg.Header.Get("Nats-Service-Error"))
	}
	err = json.Unmarshal(msg.Data, &t)
	return t, err
}
