package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// rpcKeys are what AriaNg asks of each running download.
const rpcKeys = `["gid","totalLength","completedLength","uploadSpeed","downloadSpeed","connections","numSeeders","seeder",` +
	`"status","errorCode","verifiedLength","verifyIntegrityPending","files","bittorrent","infoHash"]`

// poller is one client of the aria2 endpoint.
type poller struct {
	name, secret string
	ids          []string
}

func (p *poller) body(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"%s","method":"aria2.%s","params":["token:%s"%s]}`, p.name, method, p.secret, params)
}

// rpcPart measures what clients of the aria2 endpoint cost that poll once a second, as
// AriaNg does, while the workers run all tasks, and when they hear of an event.
func (b *bench) rpcPart(ctx context.Context) error {
	tasks := b.clients * b.each
	b.table.head("%d clients of the aria2 endpoint poll each second, %d tasks run, store %s", b.clients, tasks, b.store)
	dir := filepath.Join(b.dir, "rpc")
	pollers, secrets, err := makePollers(b.dir, b.clients)
	if err != nil {
		return err
	}
	i, err := b.startWith(ctx, dir, []string{"DISPATCHER_ARIA2_RPC_SECRETS_FILE=" + secrets}, b.store,
		"-heartbeat-interval", b.interval.String(), "-heartbeat-timeout", (6 * b.interval).String())
	if err != nil {
		return err
	}
	defer i.stop()
	for _, p := range pollers {
		if err := i.submitFor(ctx, p, b.each); err != nil {
			return err
		}
	}
	ledger := &queue.Ledger{}
	// Workers with 100 tasks each.
	workers := (tasks + 99) / 100
	stop, err := b.startFleet(ctx, i, fleet{"rpc", workers, min(workers, 20), 100, b.interval}, ledger, &beats{})
	if err != nil {
		return err
	}
	defer stop()
	b.say("waiting until %d tasks run", tasks)
	if err := ledger.AwaitGiven(ctx, int64(tasks)); err != nil {
		return err
	}
	if err := i.awaitRunning(ctx, tasks); err != nil {
		return err
	}
	url := strings.TrimSuffix(i.server.Profiles, "/debug/pprof/") + "/jsonrpc"
	long := 5 * b.long
	idle, err := b.usage(ctx, i, "rpc.idle", long)
	if err != nil {
		return err
	}
	b.table.line("dispatcher without clients, of one core", "%.1f %%", idle)
	for _, way := range []struct {
		name string
		poll func(context.Context, *poller, string, *beats) error
	}{{"HTTP", pollHTTP}, {"WebSocket", pollSocket}} {
		if err := b.pollAll(ctx, i, way.name, idle, func(ctx context.Context, p *poller, heard *beats) error { return way.poll(ctx, p, url, heard) }, pollers); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	if a := ledger.Account(); a.Given != int64(tasks) {
		return fmt.Errorf("of %d tasks %d were given: some workers were taken for lost", tasks, a.Given)
	}
	return faultless(ledger)
}

// makePollers writes the secrets of n clients to a file.
func makePollers(dir string, n int) (pollers []*poller, file string, err error) {
	var text strings.Builder
	for k := range n {
		p := &poller{name: fmt.Sprintf("client-%04d", k), secret: fmt.Sprintf("a-secret-of-client-%04d", k)}
		pollers = append(pollers, p)
		fmt.Fprintf(&text, "%s:%s\n", p.name, p.secret)
	}
	file = filepath.Join(dir, "rpc-secrets")
	return pollers, file, os.WriteFile(file, []byte(text.String()), 0o600)
}

// submitFor submits the tasks of a client.
func (i *instance) submitFor(ctx context.Context, p *poller, n int) error {
	jobs := make([]*queue.Job, n)
	for k := range jobs {
		jobs[k] = i.job("rpc")
	}
	body, err := json.Marshal(map[string]any{"tasks": jobs})
	if err != nil {
		return err
	}
	_, answer, err := i.ask(ctx, "task."+p.name+".submit", string(body))
	if err != nil {
		return err
	}
	var batch struct {
		Tasks []struct{ Task *model.Task }
	}
	if err := json.Unmarshal(answer, &batch); err != nil {
		return fmt.Errorf("the answer to the submit of %s: %w", p.name, err)
	}
	for _, r := range batch.Tasks {
		if r.Task != nil {
			p.ids = append(p.ids, r.Task.ID)
		}
	}
	if len(p.ids) != n {
		return fmt.Errorf("%d of %d tasks of %s were accepted: %.200s", len(p.ids), n, p.name, answer)
	}
	return nil
}

// awaitRunning waits until the workers have reported that so many tasks run.
func (i *instance) awaitRunning(ctx context.Context, tasks int) error {
	for {
		_, answer, err := i.ask(ctx, "query.status", "")
		if err != nil {
			return err
		}
		var status model.ClusterStatus
		if err := json.Unmarshal(answer, &status); err != nil {
			return err
		}
		if status.TasksByStatus[model.StatusDownloading] == int64(tasks) {
			return nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// usage is the processor time of the dispatcher during a time, in percent of a core.
func (b *bench) usage(ctx context.Context, i *instance, profile string, long time.Duration) (float64, error) {
	var profiled sync.WaitGroup
	before, start := proc.CPU(i.pid()), time.Now()
	profiled.Go(func() {
		b.profile(ctx, i, fmt.Sprintf("profile?seconds=%d", max(1, int(long.Seconds()))), profile+".cpu")
	})
	err := wait(ctx, long)
	used := 100 * (proc.CPU(i.pid()) - before).Seconds() / time.Since(start).Seconds()
	profiled.Wait()
	return used, err
}

// pollAll lets all clients poll, and meanwhile measures the processor time and the time
// from a request that causes an event to its notification.
func (b *bench) pollAll(ctx context.Context, i *instance, way string, idle float64, poll func(context.Context, *poller, *beats) error, pollers []*poller) error {
	ctx, cancel := context.WithCancel(ctx)
	heard := &beats{}
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for _, p := range pollers {
		all.Go(func() {
			if err := poll(ctx, p, heard); err != nil && ctx.Err() == nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	// Every client has connected, and its tasks are loaded.
	for n := 0; n < 2*len(pollers) && failed.Load() == nil; n += len(heard.take()) {
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	heard.take()
	start := time.Now()
	used, err := b.usage(ctx, i, "rpc."+way, 5*b.long)
	if err != nil {
		return err
	}
	answers, took := heard.take(), time.Since(start)
	told, err := b.notifications(ctx, i, pollers)
	if err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	t := b.table
	t.line(way+": polls/s, answered", "%.0f", float64(len(answers))/took.Seconds())
	t.line(way+": answer to a poll, p50/p99", "%.2f / %.2f ms", ms(queue.Percentile(answers, 50)), ms(queue.Percentile(answers, 99)))
	t.line(way+": dispatcher with embedded NATS, of one core", "%.1f %%", used)
	t.most(way+": what the clients cost, of one core", used-idle, 50, " %")
	t.line(way+": from a pause to its notification, p50/p99", "%.2f / %.2f ms", ms(queue.Percentile(told, 50)), ms(queue.Percentile(told, 99)))
	t.most(way+": from a pause to its notification, slowest of "+fmt.Sprint(len(told)), ms(told[len(told)-1]), 100, " ms")
	return nil
}

// notifications pauses one task of each of some clients over NATS, and returns how long
// each took from before the request to the message at a WebSocket, sorted.
func (b *bench) notifications(ctx context.Context, i *instance, pollers []*poller) ([]time.Duration, error) {
	url := strings.TrimSuffix(i.server.Profiles, "/debug/pprof/") + "/jsonrpc"
	var list []time.Duration
	for _, p := range pollers[:min(len(pollers), 200)] {
		took, err := i.notification(ctx, url, p)
		if err != nil {
			return nil, fmt.Errorf("the notification of %s: %w", p.name, err)
		}
		list = append(list, took)
	}
	slices.Sort(list)
	return list, nil
}

func (i *instance) notification(ctx context.Context, url string, p *poller) (time.Duration, error) {
	conn, _, err := websocket.Dial(ctx, url, nil) //nolint:bodyclose // Dial closes it
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(ctx, websocket.MessageText, []byte(p.body("getVersion", ""))); err != nil {
		return 0, err
	}
	if _, _, err := conn.Read(ctx); err != nil {
		return 0, err
	}
	id := p.ids[len(p.ids)-1]
	p.ids = p.ids[:len(p.ids)-1]
	start := time.Now()
	heard := make(chan error, 1)
	var at time.Duration
	go func() {
		_, text, err := conn.Read(ctx)
		at = time.Since(start)
		if err == nil && !bytes.Contains(text, []byte("onDownloadPause")) {
			err = fmt.Errorf("it hears %s", text)
		}
		heard <- err
	}()
	if _, _, err := i.ask(ctx, "task."+p.name+".pause", `{"id":"`+id+`"}`); err != nil {
		return 0, err
	}
	return at, <-heard
}

// eachSecond calls poll once a second until ctx ends, and notes how long each call took.
func eachSecond(ctx context.Context, heard *beats, poll func() error) error {
	if err := wait(ctx, rand.N(time.Second)); err != nil {
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		start := time.Now()
		if err := poll(); err != nil {
			return err
		}
		heard.add(time.Since(start))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

var errAnswer = errors.New("an answer without a result")

// rpcTransport keeps a connection for each client.
var rpcTransport = &http.Transport{MaxIdleConnsPerHost: 10_000, DisableCompression: true}

// pollHTTP polls by two requests, which a browser sends with Accept-Encoding.
func pollHTTP(ctx context.Context, p *poller, url string, heard *beats) error {
	ask := func(body string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Accept-Encoding", "gzip, deflate, br")
		res, err := rpcTransport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%w: %s", errAnswer, res.Status)
		}
		return nil
	}
	return eachSecond(ctx, heard, func() error {
		return errors.Join(ask(p.body("tellActive", ","+rpcKeys)), ask(p.body("getGlobalStat", "")))
	})
}

// pollSocket polls by two messages.
func pollSocket(ctx context.Context, p *poller, url string, heard *beats) error {
	conn, _, err := websocket.Dial(ctx, url, nil) //nolint:bodyclose // Dial closes it
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	ask := func(body string) error {
		if err := conn.Write(ctx, websocket.MessageText, []byte(body)); err != nil {
			return err
		}
		for {
			_, text, err := conn.Read(ctx)
			switch {
			case err != nil:
				return err
			case bytes.Contains(text, []byte(`"error":`)):
				return fmt.Errorf("%w: %.200s", errAnswer, text)
			case bytes.Contains(text, []byte(`"result":`)):
				return nil
			}
		}
	}
	return eachSecond(ctx, heard, func() error {
		return errors.Join(ask(p.body("tellActive", ","+rpcKeys)), ask(p.body("getGlobalStat", "")))
	})
}
