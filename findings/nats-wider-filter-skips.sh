#!/usr/bin/env bash
# Subject:  nats-server v2.15.2 with nats.go v1.55.0: JetStream, a durable consumer of a work queue
#           whose filter is widened
# Expected: a work queue keeps a message until it is acknowledged, so that a consumer whose filter
#           is widened by an update delivers also the messages that the new filter selects and
#           nobody has received, as a new consumer would.
# Observed: only what is published from then on. What the consumer has passed over stays in the
#           stream, and counts in its limits. No figure shows it: the consumer says
#           num_pending 0, and the update reports no error. A second consumer for the rest is
#           refused, since the filters overlap. The same consumer, deleted and created with the
#           wide filter, delivers it.
# Source:   https://docs.nats.io/nats-concepts/jetstream/consumers (FilterSubjects may be edited) and
#           https://docs.nats.io/nats-concepts/jetstream/streams#retentionpolicy (WorkQueuePolicy)
# Remedy:   delete the consumer and create it again; what was delivered and not acknowledged comes
#           again too.
set -euo pipefail
command -v go >/dev/null || { echo "go is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var ctx = context.Background()

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// drain receives and acknowledges all that the consumer delivers.
func drain(c jetstream.Consumer) string {
	var got []string
	for {
		batch := must(c.Fetch(10, jetstream.FetchMaxWait(time.Second)))
		n := len(got)
		for m := range batch.Messages() {
			got = append(got, m.Subject()+" "+string(m.Data()))
			if err := m.DoubleAck(ctx); err != nil {
				panic(err)
			}
		}
		if len(got) == n {
			return "[" + strings.Join(got, ", ") + "]"
		}
	}
}

func main() {
	s := must(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: os.Args[1],
	}))
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("the server does not start")
	}
	fmt.Println("nats-server", server.VERSION, "nats.go", nats.Version)
	nc := must(nats.Connect(s.ClientURL()))
	defer nc.Close()
	js := must(jetstream.New(nc))
	queue := must(js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "JOBS", Subjects: []string{"jobs.*"}, Retention: jetstream.WorkQueuePolicy,
	}))
	config := jetstream.ConsumerConfig{Durable: "worker", FilterSubject: "jobs.old", AckPolicy: jetstream.AckExplicitPolicy}
	worker := must(queue.CreateConsumer(ctx, config))
	for i, subject := range []string{"jobs.new", "jobs.old", "jobs.new"} {
		must(js.Publish(ctx, subject, fmt.Append(nil, i+1)))
	}
	var lines []string
	say := func(format string, a ...any) {
		lines = append(lines, fmt.Sprintf(format, a...))
		fmt.Println(lines[len(lines)-1])
	}
	say("the filter is jobs.old: %s", drain(worker))

	config.FilterSubject = "jobs.*"
	worker = must(queue.UpdateConsumer(ctx, config))
	must(js.Publish(ctx, "jobs.new", []byte("4")))
	say("the filter is jobs.*: %s", drain(worker))
	say("pending %d, in the stream %d", must(worker.Info(ctx)).NumPending, must(queue.Info(ctx)).State.Msgs)
	_, err := queue.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "second", FilterSubject: "jobs.new", AckPolicy: jetstream.AckExplicitPolicy,
	})
	say("a second consumer is refused: %v", err != nil)

	if err := queue.DeleteConsumer(ctx, "worker"); err != nil {
		panic(err)
	}
	say("the consumer is new: %s", drain(must(queue.CreateConsumer(ctx, config))))
	if strings.Join(lines, "\n") != `the filter is jobs.old: [jobs.old 2]
the filter is jobs.*: [jobs.new 4]
pending 0, in the stream 2
a second consumer is refused: true
the consumer is new: [jobs.new 1, jobs.new 3]` {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . "$dir/store"
