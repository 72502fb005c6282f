package app_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The leader announces each of its commits with its term. A standby that has heard of a
// commit that the database does not have counts it. It ignores announcements of another
// database, of another term, of an impossible number, and those that it cannot read.
func TestCommitEvent_StandbyMissesAnnouncedCommit(t *testing.T) {
	dsn := testpostgres.Database(t)
	s := testnats.Start(t, &server.Options{})
	a := startMember(t, dsn, s.ClientURL())
	testbed.Eventually(t, "the first leads", func() bool { return a.role(t) == "leader" })
	b := startMember(t, dsn, s.ClientURL())
	testbed.Eventually(t, "the second knows the leader", func() bool {
		_, h, _ := b.ask(t, "POST", "/api/v1/query/status", "")
		return h.Get("Aria-Leader") != ""
	})
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: s.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	testbed.Eventually(t, "the service of the second answers", func() bool { return countServices(t, nc) == 2 })
	const subject = "aria.v1.evt.leader.commit"
	heard := make(chan *nats.Msg, 64)
	if _, err := nc.ChanSubscribe(subject, heard); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var last model.CommitEvent
	for _, id := range []string{"first", "second"} {
		before := last.Commit
		if code, _, body := a.ask(t, "POST", "/api/v1/task/submit?client=shop", `{"id":"`+id+`","url":"https://files.example/a"}`); code != 200 {
			t.Fatalf("submit: %d %s", code, body)
		}
		if err := json.Unmarshal((<-heard).Data, &last); err != nil || last.Commit <= before || last.Term != a.status(t).Term || last.Store == "" {
			t.Fatalf("announced: %+v, %v", last, err)
		}
	}
	say := func(store string, term, commit int64) {
		body, err := json.Marshal(model.CommitEvent{Store: store, Term: term, Commit: commit})
		if err == nil {
			err = nc.Publish(subject, body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	say("another", last.Term, last.Commit+70)
	say(last.Store, last.Term-1, last.Commit+70)
	say(last.Store, last.Term+1, last.Commit+70)
	say(last.Store, last.Term, math.MaxInt64)
	for _, body := range []string{"", "{", "[]", strings.Repeat(" ", 1<<16) + "{}"} {
		if err := nc.Publish(subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	say(last.Store, last.Term, last.Commit+7)
	testbed.Eventually(t, "the standby counts them", func() bool {
		_, _, body := b.ask(t, "GET", "/readyz", "")
		return strings.Contains(body, `"lost_commits":7}`)
	})
	if _, _, body := a.ask(t, "GET", "/readyz", ""); strings.Contains(body, "lost_commits") {
		t.Errorf("the leader, which knows its own commits: %s", body)
	}
}

// countServices returns how many dispatchers answer within a moment.
func countServices(t *testing.T, nc *nats.Conn) (n int) {
	t.Helper()
	sub, err := nc.SubscribeSync(nc.NewRespInbox())
	if err == nil {
		err = nc.PublishRequest("$SRV.PING.aria-dispatcher", sub.Subject, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // nc.Close ends it too
	for {
		if _, err := sub.NextMsg(300 * time.Millisecond); err != nil {
			return n
		}
		n++
	}
}
