package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/app"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// dispatcher starts one with a NATS server of its own, and connects to that. Yours
// runs already: nats.Connect is all that you need.
func dispatcher() (nc *nats.Conn, stop func()) {
	dir, err := os.MkdirTemp("", "client-example-")
	if err != nil {
		panic(err)
	}
	cfg := config.DefaultDispatcher()
	cfg.NATS.Listen, cfg.NATS.StoreDir, cfg.HTTP.Listen = "127.0.0.1:-1", filepath.Join(dir, "nats"), ""
	d, err := app.New(context.Background(), cfg, "v0.0.1", slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	select {
	case <-d.Serving():
	case err := <-ended:
		panic(err)
	}
	if nc, err = nats.Connect(d.Server().ClientURL()); err != nil {
		panic(err)
	}
	return nc, func() {
		nc.Close()
		cancel()
		if err := errors.Join(<-ended, os.RemoveAll(dir)); err != nil {
			panic(err)
		}
	}
}

// films starts a dispatcher with two tasks of the client shop that wait.
func films() (nc *nats.Conn, shop *client.Client, stop func()) {
	nc, stop = dispatcher()
	shop, err := client.New(nc, "shop")
	if err != nil {
		panic(err)
	}
	specs := []*model.TaskSpec{
		{ID: "film-000001", URL: "https://example.org/1", Labels: map[string]string{"kind": "film"}},
		{ID: "film-000002", URL: "https://example.org/2", Labels: map[string]string{"kind": "film"}},
	}
	if _, err := shop.SubmitMany(context.Background(), specs); err != nil {
		panic(err)
	}
	return nc, shop, stop
}

func ExampleClient_Submit() {
	nc, stop := dispatcher()
	defer stop()
	shop, err := client.New(nc, "shop")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()

	task, err := shop.Submit(ctx, &model.TaskSpec{ID: "film", URL: "https://example.org/film.iso", Priority: model.PriorityHigh})
	if err != nil {
		panic(err)
	}
	fmt.Println(task.ID, task.Status)

	// Repeating the submit with the same id returns the same task.
	if task, err = shop.Submit(ctx, &model.TaskSpec{ID: "film", URL: "https://example.org/film.iso", Priority: model.PriorityHigh}); err != nil {
		panic(err)
	}
	fmt.Println(task.ID, task.Status)

	// An error response is a *model.Error.
	_, err = shop.Submit(ctx, &model.TaskSpec{ID: "film", URL: "https://example.org/other.iso"})
	var no *model.Error
	if errors.As(err, &no) {
		fmt.Println(no.Code, no.ID)
	}
	// Output:
	// film pending
	// film pending
	// 409 film
}

func ExampleClient_SubmitMany() {
	nc, stop := dispatcher()
	defer stop()
	shop, err := client.New(nc, "shop")
	if err != nil {
		panic(err)
	}
	outcomes, err := shop.SubmitMany(context.Background(), []*model.TaskSpec{
		{ID: "one", URL: "https://example.org/1"}, {ID: "two", URL: "gopher://example.org/2"},
	})
	if err != nil {
		panic(err)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			fmt.Println(o.ID, o.Err.Code)
			continue
		}
		fmt.Println(o.ID, o.Status)
	}
	// Output:
	// one pending
	// two 400
}

func ExampleClient_Watch() {
	nc, stop := dispatcher()
	defer stop()
	shop, err := client.New(nc, "shop")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()

	ended := make(chan struct{})
	end, err := shop.Watch(ctx, client.Handlers{
		Task: func(e *model.TaskEvent) {
			fmt.Println(e.ID, e.Status)
			if e.Status.Terminal() {
				close(ended)
			}
		},
		Progress: func(e *model.ProgressEvent) { fmt.Printf("%s %.0f%%\n", e.ID, e.Progress) },
	})
	if err != nil {
		panic(err)
	}
	defer end()
	if _, err := shop.Submit(ctx, &model.TaskSpec{ID: "film", URL: "https://example.org/film.iso"}); err != nil {
		panic(err)
	}
	if _, err := shop.Cancel(ctx, "film"); err != nil {
		panic(err)
	}
	<-ended
	// Output:
	// film pending
	// film canceled
}

func ExampleClient_Queue() {
	nc, stop := dispatcher()
	defer stop()
	shop, err := client.New(nc, "shop")
	if err != nil {
		panic(err)
	}
	ctx := context.Background()

	verdicts := make(chan *model.IntakeVerdict, 2)
	end, err := shop.Watch(ctx, client.Handlers{Verdict: func(v *model.IntakeVerdict) { verdicts <- v }})
	if err != nil {
		panic(err)
	}
	defer end()
	seq, err := shop.Queue(ctx, &model.TaskSpec{ID: "film", URL: "https://example.org/film.iso"})
	if err != nil {
		panic(err)
	}
	fmt.Println("queued", seq)
	v := <-verdicts
	fmt.Println(v.Seq, v.ID, v.Status)
	// Output:
	// queued 1
	// 1 film pending
}
