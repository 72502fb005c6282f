package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func ExampleClient_SubmitEach() {
	nc, stop := dispatcher()
	defer stop()
	shop, err := client.New(nc, "shop")
	if err != nil {
		panic(err)
	}
	// The specs may come from a file of any size. Each has an id, so that the same
	// program can be run again after an error and submits nothing twice.
	specs := func(yield func(*model.TaskSpec) bool) {
		for i := range 2500 {
			if !yield(&model.TaskSpec{ID: fmt.Sprintf("list-%d", i), URL: fmt.Sprintf("https://example.org/%d", i)}) {
				return
			}
		}
	}
	accepted := 0
	for o, err := range shop.SubmitEach(context.Background(), specs) {
		switch {
		case err != nil:
			panic(err) // a whole batch failed
		case o.Err != nil:
			fmt.Println(o.ID, o.Err)
		default:
			accepted++
		}
	}
	fmt.Println(accepted)
	// Output:
	// 2500
}

func ExampleTasks_All() {
	_, shop, stop := films()
	defer stop()
	query := model.ListQuery{Status: []model.Status{model.StatusPending}, Labels: map[string]string{"kind": "film"}}
	for task, err := range shop.All(context.Background(), query) {
		if err != nil {
			panic(err)
		}
		fmt.Println(task.ID, task.URL)
	}
	// Output:
	// film-000002 https://example.org/2
	// film-000001 https://example.org/1
}

func ExampleTasks_BySuffix() {
	_, shop, stop := films()
	defer stop()
	task, err := shop.BySuffix(context.Background(), "000002")
	if err != nil {
		panic(err)
	}
	fmt.Println(task.ID)
	// Output:
	// film-000002
}

func ExampleTasks_DoAll() {
	_, shop, stop := films()
	defer stop()
	for o, err := range shop.DoAll(context.Background(), client.VerbPause, model.ListQuery{Labels: map[string]string{"kind": "film"}}) {
		switch {
		case err != nil:
			panic(err) // repeating DoAll continues
		case o.Err != nil:
			fmt.Println(o.ID, o.Err)
		default:
			fmt.Println(o.ID, o.Status)
		}
	}
	// Output:
	// film-000002 paused
	// film-000001 paused
}

func ExampleTasks_UpdateEach() {
	_, shop, stop := films()
	defer stop()
	high := model.PriorityHigh
	ids := slices.Values([]string{"film-000001", "film-000002", "film-000003"})
	for o, err := range shop.UpdateEach(context.Background(), ids, &model.TaskUpdate{Priority: &high}) {
		switch {
		case err != nil:
			panic(err)
		case o.Err != nil:
			fmt.Println(o.ID, o.Err.Code)
		default:
			fmt.Println(o.ID, o.Status)
		}
	}
	// Unordered output:
	// film-000001 pending
	// film-000002 pending
	// film-000003 404
}

func ExampleTasks_WaitFor() {
	_, shop, stop := films()
	defer stop()
	ctx := context.Background()
	if _, err := shop.Cancel(ctx, "film-000001"); err != nil {
		panic(err)
	}
	for task, err := range shop.WaitFor(ctx, []string{"film-000001", "film-000003"}) {
		if errors.Is(err, client.ErrNotFound) {
			fmt.Println("one is unknown") // the others continue
			continue
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(task.ID, task.Status)
	}
	// Unordered output:
	// film-000001 canceled
	// one is unknown
}

func ExampleTasks_Follow() {
	_, shop, stop := films()
	defer stop()
	ctx := context.Background()
	follower, err := shop.Follow(ctx, client.WithProgress())
	if err != nil {
		panic(err)
	}
	defer follower.Close()
	follower.Add("film-000001")
	follower.NoMore() // Changes ends with the task
	for change, err := range follower.Changes(ctx) {
		switch {
		case err != nil:
			panic(err)
		case change.Err != nil:
			fmt.Println(change.ID, change.Err)
			continue
		}
		fmt.Println(change.ID, change.Task.Status)
		if change.Task.Status == model.StatusPending {
			if _, err := shop.Cancel(ctx, change.ID); err != nil {
				panic(err)
			}
		}
	}
	// Output:
	// film-000001 pending
	// film-000001 canceled
}

func ExampleOperator() {
	nc, _, stop := films()
	defer stop()
	operator, err := client.NewOperator(nc)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	status, err := operator.Status(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(status.TasksByStatus[model.StatusPending], "pending,", status.ActiveWorkers, "workers")
	for worker, err := range operator.AllWorkers(ctx, model.WorkerQuery{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(worker.ID, worker.Status)
	}
	for task, err := range operator.All(ctx, model.ListQuery{}) { // of all clients
		if err != nil {
			panic(err)
		}
		fmt.Println(task.Client, task.ID)
	}
	// Output:
	// 2 pending, 0 workers
	// shop film-000002
	// shop film-000001
}

func ExampleDeniedError() {
	// A NATS server that lets this user act for the client shop only.
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, Users: []*server.User{{
		Username: "shop", Password: "secret", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"aria.v1.req.task.shop.>"}}},
	}}})
	if err != nil {
		panic(err)
	}
	s.Start()
	defer s.Shutdown()
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("shop", "secret"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	bank, err := client.New(nc, "bank")
	if err != nil {
		panic(err)
	}
	_, err = bank.Get(context.Background(), "film")
	var denied *client.DeniedError
	if errors.As(err, &denied) {
		fmt.Println(denied.Action, denied.Subject)
	}
	fmt.Println(errors.Is(err, client.ErrForbidden))
	// Output:
	// publish to aria.v1.req.task.bank.get
	// true
}

// The kinds of errors say what a program can do.
func Example_errors() {
	_, shop, stop := films()
	defer stop()
	ctx := context.Background()
	for _, id := range []string{"film-000001", "film-000003"} {
		_, err := shop.Resume(ctx, id)
		switch {
		case err == nil:
			fmt.Println(id, "resumed")
		case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrConflict):
			fmt.Println("nothing to do:", err)
		case errors.Is(err, client.ErrTryAgain), errors.Is(err, client.ErrNoDispatcher), errors.Is(err, client.ErrNoAnswer), errors.Is(err, client.ErrDisconnected):
			fmt.Println("try again later:", err)
		default:
			panic(err)
		}
	}
	// Output:
	// nothing to do: resume as shop: the task film-000001 is pending and cannot be resumed: only a paused one can
	// nothing to do: resume as shop: there is no task film-000003
}
