package aria2rpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// cluster is a backend with ten running tasks for each of its clients.
type cluster struct{ tasks map[string][]*model.Task }

func (c *cluster) Call(context.Context, string, string, []byte) ([]byte, error) { return nil, nil }

func (c *cluster) Tasks(_ context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	if q.Status[0].Terminal() {
		return &model.TaskPage{}, nil
	}
	return &model.TaskPage{Tasks: c.tasks[q.Client]}, nil
}

func (c *cluster) TasksByID(_ context.Context, client string, ids []string) (map[string]*model.Task, error) {
	rows := make(map[string]*model.Task, len(ids))
	for _, t := range c.tasks[client] {
		rows[t.ID] = t
	}
	return rows, nil
}

func (c *cluster) Workers(context.Context, *model.WorkerQuery) (*model.WorkerPage, error) {
	return &model.WorkerPage{Workers: []*model.Worker{{ID: "w", Dir: "/data"}}}, nil
}

func (c *cluster) Loads() int64 { return 1 }

// BenchmarkPoll is one poll of AriaNg, tellActive and getGlobalStat over HTTP, by one of
// 1,000 clients with ten running downloads each; the HTTP client's cost is in it.
func BenchmarkPoll(b *testing.B) {
	const clients, each = 1000, 10
	c := &cluster{tasks: make(map[string][]*model.Task)}
	secrets := newSecrets()
	for i := range clients {
		name := fmt.Sprintf("client-%d", i)
		secrets.clients[secrets.hash("secret-of-"+name)] = name
		for range each {
			t := &model.Task{TaskSpec: model.TaskSpec{ID: newGID(), URL: "https://example.org/folder/a-file-with-a-name.iso", Priority: 2}, Client: name}
			t.Status, t.TotalLength, t.CompletedLength, t.DownloadSpeed = model.StatusDownloading, 700<<20, 100<<20, 1<<20
			t.WorkerID = "w"
			c.tasks[name] = append(c.tasks[name], t)
		}
	}
	s := New(Options{Backend: c, Secrets: secrets})
	server := httptest.NewServer(s)
	defer server.Close()
	bodies := make([]string, clients)
	for i := range bodies {
		token := fmt.Sprintf("token:secret-of-client-%d", i)
		bodies[i] = fmt.Sprintf(`{"jsonrpc":"2.0","id":"1","method":"system.multicall","params":[[{"methodName":"aria2.tellActive","params":["%s"]},{"methodName":"aria2.getGlobalStat","params":["%s"]}]]}`, token, token)
	}
	poll := func(i int) {
		response, err := http.Post(server.URL+"/jsonrpc", "", strings.NewReader(bodies[i%clients]))
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		if err != nil || response.StatusCode != http.StatusOK || n < 1000 {
			b.Fatalf("%d, %d bytes, %v", response.StatusCode, n, err)
		}
		_ = response.Body.Close()
	}
	for i := range clients {
		poll(i)
	}
	b.ResetTimer()
	for i := range b.N {
		poll(i)
	}
}

// BenchmarkNotify is the way of one event from the dispatcher to a socket that reads it.
func BenchmarkNotify(b *testing.B) {
	c := &cluster{tasks: map[string][]*model.Task{}}
	s := New(Options{Backend: c, Secrets: oneSecret("shop", "a long secret")})
	server := httptest.NewServer(s)
	defer server.Close()
	conn, _, err := websocket.Dial(b.Context(), "ws"+strings.TrimPrefix(server.URL, "http")+"/jsonrpc", nil) //nolint:bodyclose // Dial closes it
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	read := func(want string) {
		if _, text, err := conn.Read(b.Context()); err != nil || !strings.Contains(string(text), want) {
			b.Fatalf("%s, %v", text, err)
		}
	}
	call := `{"id":1,"method":"aria2.getVersion","params":["token:a long secret"]}`
	if err := conn.Write(b.Context(), websocket.MessageText, []byte(call)); err != nil {
		b.Fatal(err)
	}
	read("version")
	for b.Loop() {
		id := newGID()
		s.TaskEvent(&model.TaskEvent{ID: id, Client: "shop", Status: model.StatusPending})
		s.TaskEvent(&model.TaskEvent{ID: id, Client: "shop", Status: model.StatusDownloading, Attempt: 1})
		read(onStart)
	}
}
