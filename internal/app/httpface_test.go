package app_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// face is a dispatcher with users, and a password for each.
type face struct {
	*testdaemon.Dispatcher
	base string
}

// startFace runs a dispatcher with an observer, an operator and two clients, whose
// password is their name, and a token "tok-operator".
func startFace(t *testing.T, change ...func(*config.Dispatcher)) *face {
	t.Helper()
	dir := t.TempDir()
	var users string
	for name, role := range map[string]string{"olga": "operator", "otto": "observer", "shop": "client=shop", "bank": "client=bank"} {
		hash, err := bcrypt.GenerateFromPassword([]byte(name), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		users += name + ":" + string(hash) + ":" + role + "\n"
	}
	sum := sha256.Sum256([]byte("tok-operator"))
	files := map[string]string{"users": users, "tokens": "ci:" + hex.EncodeToString(sum[:]) + ":operator\n"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := func(c *config.Dispatcher) {
		c.HTTP.Listen, c.HTTP.UsersFile, c.HTTP.TokensFile = "127.0.0.1:0", filepath.Join(dir, "users"), filepath.Join(dir, "tokens")
		c.HTTP.Pprof = true
	}
	d := testdaemon.Start(t, append([]func(*config.Dispatcher){set}, change...)...)
	return &face{d, "http://" + d.HTTP}
}

// request is one request over HTTP.
type request struct {
	user, method, path, body string
	header                   map[string]string // Host too
}

func (f *face) send(t *testing.T, q request) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(testbed.Context(t), q.method, f.base+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.user != "" {
		r.SetBasicAuth(q.user, q.user)
	}
	for name, value := range q.header {
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// second is what differs between two times of the same request: the moment of an update, and
// that a task existed.
var second = regexp.MustCompile(`"updated_at":"[^"]*"|,"existed":true`)

// The same requests have the same answers over NATS and over HTTP, byte for byte.
func TestHTTP_AnswersEqualNATS(t *testing.T) {
	f := startFace(t)
	nc := f.Connect(t)
	for _, q := range []struct{ subject, path, user, body string }{
		{"task.shop.submit", "task/submit", "shop", `{"id":"a","url":"https://files.example/a"}`},
		{"task.shop.submit", "task/submit", "shop", `{"id":"a","url":"https://files.example/other"}`},
		{"task.shop.submit", "task/submit", "shop", `{"url":"gopher://x"}`},
		{"task.shop.submit", "task/submit", "shop", `{"nope":1}`},
		{"task.shop.submit", "task/submit", "shop", `{"tasks":[{"id":"b","url":"https://files.example/b"},{"id":"c","url":"x"}]}`},
		{"task.shop.submit", "task/submit", "shop", `nonsense`},
		{"task.shop.get", "task/get", "shop", `{"id":"a"}`},
		{"task.shop.get", "task/get", "shop", `{"id":"nope"}`},
		{"task.shop.get", "task/get", "shop", `{"ids":["a","b","nope"]}`},
		{"task.shop.get", "task/get", "shop", ``},
		{"task.bank.get", "task/get", "bank", `{"id":"a"}`},
		{"task.shop.list", "task/list", "shop", `{}`},
		{"task.shop.list", "task/list", "shop", `{"limit":1}`},
		{"task.shop.list", "task/list", "shop", `{"limit":5000}`},
		{"task.shop.pause", "task/pause", "shop", `{"id":"a"}`},
		{"task.shop.resume", "task/resume", "shop", `{"id":"b"}`},
		{"task.shop.update", "task/update", "shop", `{"id":"a","priority":"urgent"}`},
		{"task.shop.update", "task/update", "shop", `{"id":"a"}`},
		{"task.shop.retry", "task/retry", "shop", `{"id":"a"}`},
		{"task.shop.delete", "task/delete", "shop", `{"id":"a"}`},
		{"query.task.get", "query/task/get", "otto", `{"id":"a"}`},
		{"query.task.list", "query/task/list", "otto", `{"client":"shop","order":"created_at"}`},
		{"query.worker.list", "query/worker/list", "otto", `{}`},
		{"query.worker.get", "query/worker/get", "otto", `{"id":"nope"}`},
		{"admin.task.cancel", "admin/task/cancel", "olga", `{"ids":["b","nope"]}`},
		{"admin.worker.drain", "admin/worker/drain", "olga", `{"id":"nope"}`},
		{"admin.log_level", "admin/log_level", "olga", `{"level":"nope"}`},
	} {
		msg, err := nc.Request("aria.v1.req."+q.subject, []byte(q.body), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		status, _, body := f.send(t, request{q.user, http.MethodPost, "/api/v1/" + q.path, q.body, nil})
		code := msg.Header.Get("Nats-Service-Error-Code")
		if code == "" {
			code = "200"
		}
		if second.ReplaceAllString(string(msg.Data), "") != second.ReplaceAllString(body, "") || fmt.Sprint(status) != code {
			t.Errorf("%s %s:\nNATS %s %s\nHTTP %d %s", q.subject, q.body, code, msg.Data, status, body)
		}
	}
}

// Each of these acts is refused, with the status beside it.
func TestHTTP_ForbiddenActsRefused(t *testing.T) {
	f := startFace(t, func(c *config.Dispatcher) {
		c.HTTP.TrustedHeader, c.HTTP.TrustedProxies, c.HTTP.Hosts = "X-User", []string{"203.0.113.0/24"}, []string{"aria.example"}
	})
	if _, err := f.Client(t, "shop").Submit(t.Context(), &model.TaskSpec{ID: "a", URL: "https://files.example/a"}); err != nil {
		t.Fatal(err)
	}
	post := func(user, path, body string) request {
		return request{user, http.MethodPost, "/api/v1/" + path, body, nil}
	}
	with := func(q request, header ...string) request {
		q.header = make(map[string]string)
		for i := 0; i < len(header); i += 2 {
			q.header[header[i]] = header[i+1]
		}
		return q
	}
	id, status := `{"id":"a"}`, post("otto", "query/status", "{}")
	for name, c := range map[string]struct {
		request
		want int
	}{
		"nobody reads":                        {post("", "query/status", ""), 401},
		"nobody submits":                      {post("", "task/submit", `{"url":"https://a.example/"}`), 401},
		"nobody sees the dashboard":           {request{"", "GET", "/", "", nil}, 401},
		"nobody hears events":                 {request{"", "GET", "/api/v1/events", "", nil}, 401},
		"nobody starts a bulk job":            {post("", "bulk", `{"verb":"cancel"}`), 401},
		"a wrong password":                    {with(post("", "query/status", ""), "Authorization", "Basic b2xnYTpvdHRv"), 401},
		"an unknown user":                     {with(post("", "query/status", ""), "Authorization", "Basic bm9ib2R5Om5vYm9keQ=="), 401},
		"a wrong token":                       {with(post("", "query/status", ""), "Authorization", "Bearer tok-nobody"), 401},
		"an empty token":                      {with(post("", "query/status", ""), "Authorization", "Bearer "), 401},
		"an observer submits":                 {post("otto", "task/submit", `{"url":"https://a.example/"}`), 403},
		"an observer cancels":                 {post("otto", "admin/task/cancel", id), 403},
		"an observer pauses":                  {post("otto", "admin/task/pause", id), 403},
		"an observer deletes":                 {post("otto", "admin/task/delete", id), 403},
		"an observer updates":                 {post("otto", "admin/task/update", `{"id":"a","priority":1}`), 403},
		"an observer drains":                  {post("otto", "admin/worker/drain", `{"id":"w"}`), 403},
		"an observer removes a worker":        {post("otto", "admin/worker/remove", `{"id":"w"}`), 403},
		"an observer changes the log level":   {post("otto", "admin/log_level", `{"level":"debug"}`), 403},
		"an observer reads the configuration": {request{"otto", "GET", "/api/v1/query/config", "", nil}, 403},
		"an observer starts a bulk job":       {post("otto", "bulk", `{"verb":"cancel","filter":{}}`), 403},
		"an observer profiles":                {request{"otto", "GET", "/debug/pprof/", "", nil}, 403},
		"an observer acts as a client":        {post("otto", "task/cancel?client=shop", id), 403},
		"a client cancels another's task":     {post("bank", "task/cancel", id), 404},
		"a client reads another's task":       {post("bank", "task/get", id), 404},
		"a client deletes another's task":     {post("bank", "task/delete", id), 404},
		"a client updates another's task":     {post("bank", "task/update", `{"id":"a","priority":1}`), 404},
		"a client takes another's id":         {post("bank", "task/submit", `{"id":"a","url":"https://files.example/a"}`), 409},
		"a client names another client":       {post("bank", "task/get?client=shop", id), 403},
		"a client lists another's tasks":      {post("bank", "task/list", `{"client":"shop"}`), 403},
		"a client asks for the status":        {post("bank", "query/status", ""), 403},
		"a client lists all tasks":            {post("bank", "query/task/list", ""), 403},
		"a client lists workers":              {post("bank", "query/worker/list", ""), 403},
		"a client uses admin":                 {post("bank", "admin/task/cancel", id), 403},
		"a client reads the figures":          {request{"bank", "GET", "/api/v1/query/series", "", nil}, 403},
		"a client reads the configuration":    {request{"bank", "GET", "/api/v1/query/config", "", nil}, 403},
		"a client hears another's events":     {request{"bank", "GET", "/api/v1/events?client=shop", "", nil}, 403},
		"a client hears of workers":           {request{"bank", "GET", "/api/v1/events?types=worker", "", nil}, 403},
		"a client's bulk on another":          {post("bank", "bulk", `{"verb":"cancel","filter":{"client":"shop"}}`), 403},
		"a client profiles":                   {request{"bank", "GET", "/debug/pprof/", "", nil}, 403},
		"an operator exports":                 {post("olga", "admin/export", "{}"), 404},
		"an operator imports":                 {post("olga", "admin/import", "{}"), 404},
		"an operator speaks for a worker":     {post("olga", "worker/w1/heartbeat", "{}"), 404},
		"an operator reports":                 {post("olga", "worker/w1/report", "{}"), 404},
		"an operator names a bad client":      {post("olga", "task/get?client=a.b", id), 400},
		"a GET that would act":                {request{"olga", "GET", "/api/v1/admin/task/cancel", "", nil}, 405},
		"a bulk verb that does not exist":     {post("olga", "bulk", `{"verb":"explode","filter":{}}`), 400},
		"a bulk filter with an unknown field": {post("olga", "bulk", `{"verb":"cancel","filter":{"nope":1}}`), 400},
		"another host (DNS rebinding)":        {with(status, "Host", "evil.example"), 403},
		"another host on the dashboard":       {with(request{"olga", "GET", "/", "", nil}, "Host", "evil.example:80"), 403},
		"a page of another origin posts":      {with(post("olga", "admin/task/cancel", id), "Origin", "https://evil.example"), 403},
		"a page of another site posts":        {with(post("olga", "admin/task/cancel", id), "Sec-Fetch-Site", "cross-site"), 403},
		"a form of another origin posts":      {with(post("olga", "bulk", `{"verb":"cancel"}`), "Origin", "null"), 403},
		"the proxy's header from elsewhere":   {with(post("", "query/status", ""), "X-User", "olga"), 400},
		"the proxy's header, empty":           {with(status, "X-User", ""), 400},
		"a folder of the dashboard":           {request{"olga", "GET", "/js/", "", nil}, 404},
		"a path out of the dashboard":         {request{"olga", "GET", "/js/../../go.mod", "", nil}, 404},
		"a bulk job without a filter":         {post("olga", "bulk", `{"verb":"cancel"}`), 400},
		"a bulk filter that is null":          {post("olga", "bulk", `{"verb":"cancel","filter":null}`), 400},
		"a bulk body with two objects":        {post("olga", "bulk", `{"verb":"cancel","filter":{"client":"none"}}{}`), 400},
		"a bulk body of 100 kB":               {post("olga", "bulk", `{"verb":"`+strings.Repeat("x", 100_000)+`"}`), 413},
		"a bulk filter with a bad name":       {post("olga", "bulk", `{"verb":"cancel","filter":{"client":"a b"}}`), 400},
		"a bulk body that is nested":          {post("olga", "bulk", strings.Repeat(`{"filter":`, 5000)), 400},
		"a cursor that no page gave":          {post("olga", "query/task/list", `{"cursor":"-1"}`), 400},
		"a cursor beyond all numbers":         {post("olga", "query/task/list", `{"cursor":"99999999999999999999"}`), 400},
		"a cursor of workers with spaces":     {post("olga", "query/worker/list", `{"cursor":"a b"}`), 400},
		"a HEAD that would hold a stream":     {request{"otto", "HEAD", "/api/v1/events", "", nil}, 405},
		"a POST to the dashboard":             {request{"olga", "POST", "/index.html", "", nil}, 405},
		"a bulk job with a parameter":         {post("olga", "bulk?client=shop", `{"verb":"cancel","filter":{}}`), 400},
		"a list with a parameter":             {post("olga", "query/task/list?client=shop", `{}`), 400},
		"a client that is named twice":        {post("olga", "task/cancel?client=bank&client=shop", id), 400},
		"an unknown parameter of events":      {request{"otto", "GET", "/api/v1/events?type=task", "", nil}, 400},
		"events of two clients":               {request{"otto", "GET", "/api/v1/events?client=shop&client=bank", "", nil}, 400},
		"a query that is malformed":           {post("olga", "task/get?client=shop;x", id), 400},
		"events of a malformed client":        {request{"otto", "GET", "/api/v1/events?client=%zz", "", nil}, 400},
		"a body of 2 MiB":                     {post("shop", "task/get", strings.Repeat(" ", 2<<20)), 413},
	} {
		got, header, body := f.send(t, c.request)
		if got != c.want {
			t.Errorf("%s: %d %.200s, want %d", name, got, body, c.want)
		}
		if c.want == 401 && !strings.HasPrefix(header.Get("WWW-Authenticate"), `Basic realm="aria"`) {
			t.Errorf("%s: WWW-Authenticate %q", name, header.Get("WWW-Authenticate"))
		}
	}
	if task, err := f.Client(t, "shop").Get(t.Context(), "a"); err != nil || task.Status != model.StatusPending || task.Priority != model.PriorityNormal {
		t.Errorf("the task is %v, %v", task, err)
	}
}

// What the roles permit works, by password, token and on other names of the server.
func TestHTTP_RolesPermit(t *testing.T) {
	f := startFace(t, func(c *config.Dispatcher) { c.HTTP.Hosts = []string{"aria.example"} })
	for _, q := range []request{
		{"shop", "POST", "/api/v1/task/submit", `{"id":"a","url":"https://files.example/a"}`, nil},
		{"olga", "POST", "/api/v1/task/get?client=shop", `{"id":"a"}`, nil},
		{"otto", "POST", "/api/v1/query/status", "", nil},
		{"otto", "GET", "/api/v1/query/series", "", nil},
		{"", "POST", "/api/v1/query/status", "", map[string]string{"Authorization": "Bearer tok-operator"}},
		{"otto", "POST", "/api/v1/query/status", "", map[string]string{"Host": "aria.example"}},
		{"otto", "POST", "/api/v1/query/status", "", map[string]string{"Origin": f.base}},
		{"olga", "GET", "/api/v1/query/config", "", nil},
		{"olga", "GET", "/debug/pprof/", "", nil},
		{"otto", "GET", "/", "", nil},
		{"", "GET", "/healthz", "", map[string]string{"Host": "anything.example"}},
		{"", "GET", "/metrics", "", nil},
	} {
		if status, _, body := f.send(t, q); status != 200 {
			t.Errorf("%s %s %s: %d %.200s", q.user, q.method, q.path, status, body)
		}
	}
	_, header, config := f.send(t, request{"olga", "GET", "/api/v1/query/config", "", nil})
	if !strings.Contains(config, `{"key":"http.base_path","value":"","origin":"default"}`) && !strings.Contains(config, `"http.base_path"`) {
		t.Errorf("the configuration is %.300s", config)
	}
	if csp := header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'") {
		t.Errorf("Content-Security-Policy is %q", csp)
	}
}

// The trace of a request over HTTP stays with its task.
func TestHTTP_TraceparentIsKept(t *testing.T) {
	f := startFace(t)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	status, _, body := f.send(t, request{"shop", "POST", "/api/v1/task/submit", `{"id":"a","url":"https://files.example/a"}`, map[string]string{"Traceparent": trace}})
	if status != 200 || !strings.Contains(body, `"traceparent":"`+trace+`"`) {
		t.Errorf("%d %s", status, body)
	}
}

// A bulk job acts on the tasks that existed at its start, counts them, and can be asked
// about; one that this process does not know is lost.
func TestBulk_ActsOnWholeFilter(t *testing.T) {
	f := startFace(t)
	var specs []*model.TaskSpec
	for i := range 1000 {
		specs = append(specs, &model.TaskSpec{ID: fmt.Sprintf("t%d", i), URL: "https://files.example/x"})
	}
	for _, client := range []string{"shop", "bank"} {
		for i := range specs {
			specs[i].ID = fmt.Sprintf("%s-%d", client, i)
		}
		if _, err := f.Client(t, client).SubmitMany(t.Context(), specs); err != nil {
			t.Fatal(err)
		}
	}
	status, _, body := f.send(t, request{"olga", "POST", "/api/v1/bulk", `{"verb":"cancel","filter":{"client":"shop"}}`, nil})
	var begun struct {
		Bulk    string
		Matched int64
	}
	if err := json.Unmarshal([]byte(body), &begun); status != 202 || err != nil || begun.Bulk == "" {
		t.Fatalf("%d %s", status, body)
	}
	var end string
	testbed.Eventually(t, "the job has ended", func() bool {
		_, _, end = f.send(t, request{"olga", "GET", "/api/v1/bulk/" + begun.Bulk, "", nil})
		return !strings.Contains(end, `"running"`)
	})
	if end != `{"done":1000,"failed":0,"examined":1000,"state":"finished"}` {
		t.Errorf("the job says %s", end)
	}
	_, _, counts := f.send(t, request{"otto", "POST", "/api/v1/query/status", "", nil})
	if !strings.Contains(counts, `"canceled":1000`) || !strings.Contains(counts, `"pending":1000`) {
		t.Errorf("the status is %s", counts)
	}
	if _, _, body := f.send(t, request{"olga", "GET", "/api/v1/bulk/unknown", "", nil}); !strings.Contains(body, `"state":"lost"`) {
		t.Errorf("an unknown job is %s", body)
	}
	if begun.Matched != 1000 {
		t.Errorf("the job of one client matches %d tasks", begun.Matched)
	}
	// What a client learns is about its own tasks.
	if status, _, body := f.send(t, request{"bank", "POST", "/api/v1/bulk", `{"verb":"pause","filter":{}}`, nil}); status != 202 || !strings.Contains(body, `"matched":1000`) {
		t.Errorf("a client's job over all: %d %s", status, body)
	} else if err := json.Unmarshal([]byte(body), &begun); err != nil {
		t.Fatal(err)
	}
	if status, _, body := f.send(t, request{"otto", "DELETE", "/api/v1/bulk/" + begun.Bulk, "", nil}); status != 403 {
		t.Errorf("an observer stops a client's job: %d %s", status, body)
	}
	if _, _, body := f.send(t, request{"shop", "GET", "/api/v1/bulk/" + begun.Bulk, "", nil}); !strings.Contains(body, `"state":"lost"`) {
		t.Errorf("another's job is shown: %s", body)
	}
}

// A request that never ends, and ten failed logins, hold up nobody else.
func TestHTTP_SlowAndFailingOnesAreBounded(t *testing.T) {
	f := startFace(t)
	conn, err := net.Dial("tcp", f.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST /api/v1/query/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	if status, _, body := f.send(t, request{"otto", "POST", "/api/v1/query/status", "", nil}); status != 200 {
		t.Errorf("beside a slow request: %d %s", status, body)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// A body that ends early is refused, not taken for an empty one that succeeds.
	half, err := net.Dial("tcp", f.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := io.WriteString(half, "POST /api/v1/task/submit HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer tok-operator\r\nContent-Length: 100\r\n\r\n{\"url\""); err != nil {
		t.Fatal(err)
	}
	if err := half.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if first, err := bufio.NewReader(half).ReadString('\n'); err != nil || !strings.HasPrefix(first, "HTTP/1.1 400") {
		t.Errorf("half a body is answered %q, %v", first, err)
	}
	if rest, err := io.ReadAll(conn); err != nil || bytes.HasPrefix(rest, []byte("HTTP/1.1 200")) {
		t.Errorf("the slow request ends with %q, %v", rest, err)
	}
	for range 10 {
		f.send(t, request{"", "POST", "/api/v1/query/status", "", map[string]string{"Authorization": "Basic b2xnYTp4"}})
	}
	if status, _, _ := f.send(t, request{"", "POST", "/api/v1/query/status", "", map[string]string{"Authorization": "Basic b2xnYTp4"}}); status != 429 {
		t.Errorf("the eleventh failure: %d", status)
	}
	if status, _, body := f.send(t, request{"otto", "POST", "/api/v1/query/status", "", nil}); status != 200 {
		t.Errorf("a user who is logged in: %d %s", status, body)
	}
}
