package httpd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	maxBulk         = 4                // jobs that run at once, one of each client
	keptBulk        = 100              // ended jobs that are remembered
	bulkPage        = model.MaxBatch   // tasks of one step
	maxCountedPages = 10               // pages that are read before a job, to know how much it has to do
	maxBulkBody     = 64 << 10         // bytes
	bulkRetry       = time.Second      // after a refusal for overload
	bulkGiveUp      = 10 * time.Minute // of refusals in a row
)

// bulkVerbs are the verbs that a job may have.
var bulkVerbs = []string{"cancel", "pause", "resume", "retry", "delete"}

// bulkState is how far a job is.
type bulkState string

// The states of a job; one that this process does not know is lost.
const (
	bulkRunning  bulkState = "running"
	bulkStopped  bulkState = "stopped"
	bulkFinished bulkState = "finished"
	bulkLost     bulkState = "lost"
)

// bulkJob applies a verb to every task that a filter finds. It repeats harmlessly.
type bulkJob struct {
	id     string
	verb   string
	owner  identity
	filter model.ListQuery
	stop   context.CancelFunc

	mu       sync.Mutex
	state    bulkState
	done     int64
	failed   int64
	examined int64
	problem  string
}

// bulkStatus is the answer to GET /api/v1/bulk/ID.
type bulkStatus struct {
	Done     int64     `json:"done"`
	Failed   int64     `json:"failed"`
	Examined int64     `json:"examined"`
	State    bulkState `json:"state"`
	Error    string    `json:"error,omitempty"` // why it stopped by itself
}

func (j *bulkJob) status() bulkStatus {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bulkStatus{j.done, j.failed, j.examined, j.state, j.problem}
}

// bulkJobs are the jobs of this process. It is safe for concurrent use.
type bulkJobs struct {
	server *Server
	ctx    context.Context // ends with the server

	mu   sync.Mutex
	byID map[string]*bulkJob
	old  []string // ids of ended jobs, oldest first
	wait sync.WaitGroup
}

// bulkRequest is the body of POST /api/v1/bulk.
type bulkRequest struct {
	Verb   string           `json:"verb"`
	Filter *model.ListQuery `json:"filter"` // never nil after readBulk
}

func readBulk(w http.ResponseWriter, r *http.Request) (*bulkRequest, *model.Error) {
	data, refused := readBody(w, r, maxBulkBody)
	if refused != nil {
		return nil, refused
	}
	var body bulkRequest
	if err := wire.Strict(data, &body); err != nil { // as the dispatcher reads a list
		return nil, err
	}
	if body.Filter == nil { // forgotten, it would be every task
		return nil, model.Errorf(model.CodeInvalid, "filter: it is missing; {} selects every task")
	}
	return &body, nil
}

// startBulk answers POST /api/v1/bulk.
func (s *Server) startBulk(w http.ResponseWriter, r *http.Request) {
	owner := identityOf(r)
	body, refused := readBulk(w, r)
	if refused == nil {
		refused = s.bulk.mayStart(owner)
	}
	if refused != nil {
		writeError(w, refused)
		return
	}
	filter, refused := bulkFilter(owner, body.Verb, *body.Filter)
	if refused != nil {
		writeError(w, refused)
		return
	}
	// Before the job changes what matches. A filter by status alone is counted in memory.
	var matched int64
	if statusOnly := (model.ListQuery{Status: body.Filter.Status}); filter.Client == "" && reflect.DeepEqual(*body.Filter, statusOnly) {
		matched = s.countByStatus(r.Context(), body.Filter.Status)
	} else {
		matched = s.countByPages(r.Context(), *filter)
	}
	job, refused := s.bulk.start(owner, body.Verb, filter)
	if refused != nil {
		writeError(w, refused)
		return
	}
	writeJSON(w, http.StatusAccepted, wire.MustEncode(map[string]any{"bulk": job.id, "matched": matched}))
}

// bulkFilter checks a job and returns the filter with the rights of its owner, for the
// tasks that exist now: later ones are not touched.
func bulkFilter(owner identity, verb string, filter model.ListQuery) (*model.ListQuery, *model.Error) {
	switch {
	case !slices.Contains(bulkVerbs, verb):
		return nil, model.Errorf(model.CodeInvalid, "verb: %.40q is not one of cancel, pause, resume, retry, delete", verb)
	case owner.role == RoleObserver:
		return nil, errRole(owner)
	case filter.Cursor != "" || filter.Limit != 0 || filter.Order != "":
		return nil, model.Errorf(model.CodeInvalid, "filter: cursor, limit and order are the job's own")
	case owner.role == RoleClient && filter.Client != "" && filter.Client != owner.client:
		return nil, model.Errorf(model.CodeForbidden, "filter.client: you are the client %s", owner.client)
	case owner.role == RoleClient:
		filter.Client = owner.client
	}
	now := model.TimeOf(time.Now()) + 1
	if filter.Until == 0 || filter.Until > now {
		filter.Until = now
	}
	filter.Limit, filter.Order = bulkPage, model.OrderOldest
	if err := filter.Validate(); err != nil {
		return nil, model.AsError(err)
	}
	return &filter, nil
}

// countByPages returns how many tasks the filter finds, or -1 if finding out would take
// more than a few pages.
func (s *Server) countByPages(ctx context.Context, filter model.ListQuery) int64 {
	n := int64(0)
	for range maxCountedPages {
		page, err := s.options.Tasks(ctx, &filter)
		if err != nil {
			break
		}
		if n += int64(len(page.Tasks)); page.Next == "" {
			return n
		}
		filter.Cursor = page.Next
	}
	return -1
}

// countByStatus returns how many tasks have one of the statuses, or any if the list is
// empty.
func (s *Server) countByStatus(ctx context.Context, statuses []model.Status) int64 {
	status, err := s.options.Status(ctx)
	if err != nil {
		return -1
	}
	var n int64
	for _, one := range model.Statuses {
		if len(statuses) == 0 || slices.Contains(statuses, one) {
			n += status.TasksByStatus[one]
		}
	}
	return n
}

// mayStart refuses a job of the owner while too many run.
func (b *bulkJobs) mayStart(owner identity) *model.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full(owner)
}

// full is mayStart for callers that hold the lock.
func (b *bulkJobs) full(owner identity) *model.Error {
	running := 0
	for _, other := range b.byID {
		if other.status().State != bulkRunning {
			continue
		}
		if running++; owner.role == RoleClient && other.owner.client == owner.client {
			return model.Errorf(model.CodeTooMany, "a bulk job of the client %s runs already: %s", owner.client, other.id)
		}
	}
	if running >= maxBulk {
		return model.Errorf(model.CodeTooMany, "%d bulk jobs run already: try again when one has ended", running)
	}
	return nil
}

// start begins a job with a filter of bulkFilter.
func (b *bulkJobs) start(owner identity, verb string, filter *model.ListQuery) (*bulkJob, *model.Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if refused := b.full(owner); refused != nil {
		return nil, refused
	}
	ctx, stop := context.WithCancel(b.ctx)
	job := &bulkJob{id: rand.Text(), verb: verb, owner: owner, filter: *filter, stop: stop, state: bulkRunning}
	b.byID[job.id] = job
	b.wait.Go(func() {
		if goroutine.Guard(b.server.logger, "a bulk job panicked", func() { job.run(ctx, b.server) },
			func() []any { return []any{"verb", verb} }) {
			job.end(b.ctx, model.Errorf(model.CodeInternal, goroutine.FaultText))
		}
		b.ended(job.id)
	})
	return job, nil
}

func (b *bulkJobs) ended(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.old = append(b.old, id); len(b.old) > keptBulk {
		delete(b.byID, b.old[0])
		b.old = b.old[1:]
	}
}

// find returns a job of this process that the identity may see.
func (b *bulkJobs) find(id string, who identity) *bulkJob {
	b.mu.Lock()
	defer b.mu.Unlock()
	job := b.byID[id]
	if job == nil || who.role == RoleClient && who.client != job.owner.client {
		return nil
	}
	return job
}

// getBulk answers GET /api/v1/bulk/ID; a job of an earlier process is lost.
func (s *Server) getBulk(w http.ResponseWriter, r *http.Request) {
	job := s.bulk.find(r.PathValue("id"), identityOf(r))
	if job == nil {
		writeJSON(w, http.StatusOK, wire.MustEncode(bulkStatus{State: bulkLost}))
		return
	}
	writeJSON(w, http.StatusOK, wire.MustEncode(job.status()))
}

// stopBulk answers DELETE /api/v1/bulk/ID, after the step that is under way.
func (s *Server) stopBulk(w http.ResponseWriter, r *http.Request) {
	job := s.bulk.find(r.PathValue("id"), identityOf(r))
	if job == nil {
		writeError(w, model.Errorf(model.CodeNotFound, "no bulk job %.64q runs here", r.PathValue("id")))
		return
	}
	if id := identityOf(r); id.role == RoleObserver {
		writeError(w, errRole(id))
		return
	}
	job.stop()
	writeJSON(w, http.StatusOK, wire.MustEncode(job.status()))
}

// run goes through the pages until the end of the list, or of ctx.
func (j *bulkJob) run(ctx context.Context, s *Server) {
	defer j.stop()
	for {
		page, err := retryOverload(ctx, func() (*model.TaskPage, error) { return s.options.Tasks(ctx, &j.filter) })
		if err != nil {
			j.end(ctx, err)
			return
		}
		if err := j.step(ctx, s, page.Tasks); err != nil {
			j.end(ctx, err)
			return
		}
		if page.Next == "" {
			j.end(ctx, nil)
			return
		}
		j.filter.Cursor = page.Next
	}
}

func (j *bulkJob) end(ctx context.Context, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		j.state = bulkStopped
	case err != nil:
		j.state, j.problem = bulkStopped, model.AsError(err).Message
	default:
		j.state = bulkFinished
	}
}

// step applies the verb to the tasks of one page, with the rights of who began the job.
func (j *bulkJob) step(ctx context.Context, s *Server, tasks []*model.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.ID
	}
	e, from := j.endpoint()
	body := wire.MustEncode(map[string]any{"ids": ids})
	reply, err := retryOverload(ctx, func() (api.Reply, error) {
		reply, refused := s.ask(ctx, e, from, body, "")
		if refused == nil {
			refused = reply.Err
		}
		if refused != nil {
			return reply, refused
		}
		return reply, nil
	})
	if err != nil {
		return err
	}
	var answer struct {
		Tasks []struct {
			Error *model.Error `json:"error"`
		} `json:"tasks"`
	}
	if err := json.Unmarshal(reply.Body, &answer); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, one := range answer.Tasks {
		if j.examined++; one.Error != nil {
			j.failed++
		} else {
			j.done++
		}
	}
	return nil
}

// endpoint is the request that the verb means for the owner.
func (j *bulkJob) endpoint() (api.Endpoint, wire.Sender) {
	from := wire.Sender{Role: wire.RoleAdmin, Verb: "task." + j.verb}
	if j.owner.role == RoleClient {
		from = wire.Sender{Role: wire.RoleTask, Name: j.owner.client, Verb: j.verb}
	}
	all := api.Endpoints()
	at := slices.IndexFunc(all, func(e api.Endpoint) bool { return e.Role == from.Role && e.Verb == from.Verb })
	return all[at], from
}

// retryOverload repeats what was refused because of overload, for a while.
func retryOverload[T any](ctx context.Context, do func() (T, error)) (T, error) {
	began := time.Now()
	for {
		v, err := do()
		code := model.CodeOf(err)
		if code != model.CodeUnavailable && code != model.CodeTooMany || time.Since(began) > bulkGiveUp {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(bulkRetry):
		}
	}
}
