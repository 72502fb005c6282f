package aria2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestMain runs the tests, or a stand-in for aria2c.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "stand-in" {
		if err := runStandIn(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// standIn answers like an aria2c whose downloads never end. What a download does
// depends on the last part of its URL:
//   - stuck: it does not stop when it is removed.
//   - half: it has failed, with a second part that does not stop.
//   - odd: its row has fields of wrong types.
//   - spin: once it is added, nothing is answered any more.
//   - late: adding it is answered after 5 s, and nothing else is answered before.
type standIn struct {
	mu   sync.Mutex // one request at a time, as in aria2c
	rows map[string]map[string]any
	// spins is set once it answers nothing any more.
	spins bool
}

func runStandIn(args []string) error {
	var conf, port string
	for _, arg := range args {
		if path, ok := strings.CutPrefix(arg, "--conf-path="); ok {
			conf = path
		}
	}
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "rpc-listen-port="); ok {
			port = value
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "IPv4 RPC: listening on TCP port "+port)
	parent := os.Getppid()
	go func() {
		for os.Getppid() == parent {
			download.Pause(context.Background(), 100*time.Millisecond)
		}
		os.Exit(0)
	}()
	s := &standIn{rows: map[string]map[string]any{}}
	return http.Serve(l, http.HandlerFunc(s.serve))
}

func (s *standIn) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for {
		_, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		var request struct {
			ID     string
			Method string
			Params []json.RawMessage
		}
		if json.Unmarshal(data, &request) != nil {
			return
		}
		s.mu.Lock()
		if s.spins {
			<-r.Context().Done()
		}
		result := s.answer(request.Method, request.Params)
		s.mu.Unlock()
		answer, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": request.ID, "result": result})
		if err != nil || conn.Write(r.Context(), websocket.MessageText, answer) != nil {
			return
		}
	}
}

func (s *standIn) answer(method string, params []json.RawMessage) any {
	switch method {
	case "system.multicall":
		var calls []struct {
			MethodName string
			Params     []json.RawMessage
		}
		if json.Unmarshal(params[0], &calls) != nil {
			return nil
		}
		results := []any{}
		for _, one := range calls {
			results = append(results, []any{s.answer(one.MethodName, one.Params)})
		}
		return results
	case "aria2.getVersion":
		return map[string]any{"enabledFeatures": []string{"HTTPS"}}
	case "aria2.addUri":
		return s.add(params)
	case "aria2.tellActive":
		return s.list(func(status any) bool { return status == "active" })
	case "aria2.tellStopped":
		return s.list(func(status any) bool { return status != "active" })
	case "aria2.tellWaiting":
		return []any{}
	case "aria2.forceRemove", "aria2.removeDownloadResult":
		var gid string
		if json.Unmarshal(params[1], &gid) == nil && s.rows[gid] != nil {
			if r := s.rows[gid]; method == "aria2.removeDownloadResult" {
				delete(s.rows, gid)
			} else if r["stuck"] == nil {
				r["status"] = "removed"
			}
		}
	}
	return "OK"
}

func (s *standIn) add(params []json.RawMessage) any {
	var urls []string
	var options struct{ Dir, GID string }
	if json.Unmarshal(params[1], &urls) != nil || json.Unmarshal(params[2], &options) != nil {
		return nil
	}
	r := map[string]any{"gid": options.GID, "dir": options.Dir, "status": "active", "totalLength": "1000", "completedLength": "10"}
	s.rows[options.GID] = r
	switch filepath.Base(urls[0]) {
	case "stuck":
		r["stuck"] = true
	case "half":
		r["status"], r["followedBy"] = "complete", []string{"00000000000000f1", "00000000000000f2"}
		s.rows["00000000000000f1"] = map[string]any{"gid": "00000000000000f1", "status": "error", "errorCode": "3", "following": options.GID, "dir": options.Dir}
		s.rows["00000000000000f2"] = map[string]any{"gid": "00000000000000f2", "status": "active", "stuck": true, "following": options.GID, "dir": options.Dir}
	case "odd":
		r["followedBy"], r["totalLength"], r["errorCode"], r["completedLength"] = 7, []any{}, map[string]any{}, 10
	case "spin":
		s.spins = true
	case "late":
		download.Pause(context.Background(), 5*time.Second)
	}
	return options.GID
}

func (s *standIn) list(wanted func(status any) bool) []any {
	list := []any{nil, 7, map[string]any{}} // what no aria2c sends
	for _, r := range s.rows {
		if wanted(r["status"]) {
			list = append(list, r)
		}
	}
	return list
}

// newStandIn makes an engine whose aria2c is a stand-in.
func newStandIn(t *testing.T) *Engine {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startEngine(t, Config{Binary: testbed.Program(t, "aria2c", "#!/bin/sh\nexec '"+self+"' stand-in \"$@\"\n")})
}

// begin adds a task that the stand-in then has.
func begin(t *testing.T, e *Engine, id string) {
	t.Helper()
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	downloadtest.Add(t, e, downloadtest.Job(t, id, s.URL+"/"+id))
	downloadtest.Await(t, e, id, func(s download.State) bool { return s.Completed == 10 || s.Phase == download.Failed })
}

// A download that does not stop holds nobody while it is waited for, and is abandoned
// with its aria2c; the other download is given to the next one and blamed for nothing.
func TestRemove_StuckDownloadIsAbandonedAlone(t *testing.T) {
	t.Parallel()
	e := newStandIn(t)
	begin(t, e, "other")
	begin(t, e, "stuck")
	before := e.PID()
	removed := make(chan error, 1)
	go func() { removed <- e.Remove(t.Context(), "stuck") }()
	for waiting, rounds := true, 0; waiting; rounds++ {
		began := time.Now()
		if _, err := e.Poll(t.Context()); err == nil && rounds < 20 {
			if took := time.Since(began); took > stopTimeout*3/4 {
				t.Errorf("a poll took %v while a download stops", took)
			}
		}
		select {
		case err := <-removed:
			if err != nil {
				t.Error(err)
			}
			waiting = false
		default:
			download.Pause(t.Context(), 50*time.Millisecond)
		}
	}
	downloadtest.Await(t, e, "other", func(s download.State) bool { return s.Phase == download.Active && e.PID() != before && e.PID() != 0 })
	downloadtest.Remove(t, e, "other")
	if j := e.jobs["stuck"]; j != nil {
		t.Errorf("it is still there: %+v", j)
	}
}

// A Remove that is given up leaves the job to be stopped by Poll, and another Remove
// finds it gone.
func TestRemove_GivenUpIsContinued(t *testing.T) {
	t.Parallel()
	e := newStandIn(t)
	begin(t, e, "stuck")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Remove(ctx, "stuck"); !errors.Is(err, errStopping) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it is removed though it has not stopped: %v", err)
	}
	if err := downloadtest.MustFail(t, e, "stuck"); err.Class != model.ClassRetryable {
		t.Errorf("%+v", err)
	}
	downloadtest.Remove(t, e, "stuck")
}

// A task that has failed with a part that does not stop fails alone.
func TestHalt_StuckPartFailsOnlyItsTask(t *testing.T) {
	t.Parallel()
	e := newStandIn(t)
	begin(t, e, "other")
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	job := downloadtest.Job(t, "half", s.URL+"/half")
	downloadtest.Add(t, e, job)
	err := downloadtest.MustFail(t, e, "half")
	if err.Class != model.ClassRetryable || !strings.Contains(err.Message, "did not stop") {
		t.Errorf("%+v", err)
	}
	downloadtest.Remove(t, e, "half")
	job.Task.Error = err // as the dispatcher gives it to the next attempt
	downloadtest.Add(t, e, job)
	if err := downloadtest.MustFail(t, e, "half"); err.Class != model.ClassPermanent {
		t.Errorf("the second time: %+v", err)
	}
	downloadtest.Await(t, e, "other", func(s download.State) bool { return s.Phase == download.Active && s.Completed == 10 })
}

// A row that cannot be read whole costs no other task anything.
func TestPoll_OddRowSpoilsOnlyItself(t *testing.T) {
	t.Parallel()
	e := newStandIn(t)
	begin(t, e, "other")
	begin(t, e, "odd")
	states, err := e.Poll(t.Context())
	if err != nil || states["other"].Total != 1000 || states["odd"].Completed != 10 {
		t.Errorf("%+v, %v", states, err)
	}
}

// An aria2c that answers a call after 5 s is waited for by nobody, and keeps its tasks.
func TestPoll_LateAnswerHoldsNobody(t *testing.T) {
	t.Parallel()
	e := newStandIn(t)
	begin(t, e, "other")
	before := e.PID()
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	downloadtest.Add(t, e, downloadtest.Job(t, "late", s.URL+"/late"))
	downloadtest.Await(t, e, "late", downloadtest.Reached(10))
	if pid := e.PID(); pid != before {
		t.Errorf("aria2c was pid %d and is %d", before, pid)
	}
	for _, j := range e.jobs {
		if j.suspicions+j.kills+j.processEnds != 0 {
			t.Errorf("%s is blamed", j.Task.ID)
		}
	}
}

// A task that has aria2c answer nothing any more is found, and fails for good alone.
func TestHang_FailsOnlyTheGuiltyTask(t *testing.T) {
	t.Parallel()
	e := newStandIn(t)
	begin(t, e, "other")
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	downloadtest.Add(t, e, downloadtest.Job(t, "spin", s.URL+"/spin"))
	var last download.State
	testbed.Within(t, 3*time.Minute, "the guilty task fails", func() bool {
		states, err := e.Poll(t.Context())
		if other := states["other"]; err == nil && other.Phase != download.Active {
			t.Fatalf("the other: %+v", other)
		}
		last = states["spin"]
		return last.Phase == download.Failed
	})
	if last.Err.Class != model.ClassPermanent || !strings.Contains(last.Err.Message, "stopped answering") {
		t.Errorf("%+v", last.Err)
	}
	downloadtest.Await(t, e, "other", func(s download.State) bool { return s.Completed == 10 })
}
