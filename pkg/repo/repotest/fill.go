package repotest

import (
	"fmt"
	"math/rand/v2"
	"reflect"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// fill sets every field under v, by reflection, to a value that is not zero and
// differs from its neighbours', so that a field which a store forgets or swaps
// is seen without a list of the fields. It panics on a kind that it does not support.
func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d ü\"\\<", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(*n)
	case reflect.Uint8:
		v.SetUint(uint64(*n%255 + 1))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.125)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, n)
			fill(value, n)
			v.SetMapIndex(key, value)
		}
	default:
		panic("repotest: fill does not know " + v.Type().String())
	}
}

// fullTask returns a task with every field set.
func fullTask(id string, seq int64, status model.Status) *model.Task {
	var t model.Task
	n := seq * 1000
	fill(reflect.ValueOf(&t).Elem(), &n)
	t.ID, t.Seq, t.Status, t.Damage = id, seq, status, ""
	return &t
}

// fullWorker returns a worker with every field set.
func fullWorker(id string) *model.Worker {
	var w model.Worker
	var n int64
	fill(reflect.ValueOf(&w).Elem(), &n)
	w.ID, w.Damage = id, ""
	return &w
}

// task returns a pending task as a submit makes it.
func task(id string, seq int64) *model.Task {
	return &model.Task{
		TaskSpec: model.TaskSpec{ID: id, URL: "http://host.example/" + id, Priority: model.PriorityNormal, MaxAttempts: 4},
		Client:   "client-" + fmt.Sprint(seq%3), Seq: seq, CreatedAt: model.Time(1_000_000 + seq),
		TaskState: model.TaskState{Status: model.StatusPending, UpdatedAt: model.Time(1_000_000 + seq)},
	}
}

func put(t *model.Task) model.TaskChange { return model.TaskChange{ID: t.ID, Put: t} }

func become(id string, from, to model.Status) model.TaskChange {
	return model.TaskChange{ID: id, From: from, Set: model.SetStatus, State: model.TaskState{Status: to, UpdatedAt: 5}}
}

func batch(changes ...model.TaskChange) *model.Batch { return &model.Batch{Tasks: changes} }

// history makes random but legal batches, and is the simplest store that could
// be: the suite compares what a store says with what it says.
type history struct {
	rnd   *rand.Rand
	seq   int64
	tasks map[string]*model.Task
	ids   []string // of tasks, in the order of seq
	seen  []string // of all that there ever were
}

func newHistory(seed uint64) *history {
	return &history{rnd: rand.New(rand.NewPCG(seed, 1)), tasks: make(map[string]*model.Task)}
}

// words make URLs and labels that filters find in some tasks and not in others;
// some are what a careless encoding would stumble over.
var words = []string{"iso", "ISO", "kernel", "Käse", "a,", ":", ",", `"`, `\`, "<&>", "a\":\"b", "50%", "_", "*"}

func (h *history) word() string { return words[h.rnd.IntN(len(words))] }

// next returns a batch of up to n changes and applies it to the model.
func (h *history) next(n int) *model.Batch {
	b := &model.Batch{}
	touched := make(map[string]bool)
	for range 1 + h.rnd.IntN(n) {
		if len(h.ids) == 0 || h.rnd.IntN(3) == 0 {
			h.submit(b, touched)
			continue
		}
		id := h.ids[h.rnd.IntN(len(h.ids))]
		if touched[id] {
			continue
		}
		touched[id] = true
		c := h.change(h.tasks[id])
		b.Tasks = append(b.Tasks, c)
	}
	for i := range b.Tasks {
		h.apply(&b.Tasks[i])
	}
	b.Forget = model.Time(h.rnd.IntN(3))
	return b
}

func (h *history) submit(b *model.Batch, touched map[string]bool) {
	h.seq += 1 + int64(h.rnd.IntN(3))
	t := task(fmt.Sprintf("t%d", h.seq), h.seq)
	t.Client = fmt.Sprintf("client-%d", h.rnd.IntN(4))
	t.Priority = model.Priority(1 + h.rnd.IntN(4))
	t.CreatedAt = model.Time(1000 + h.rnd.IntN(100))
	t.URL = "http://user:secret@" + h.word() + ".example/" + h.word()
	if h.rnd.IntN(2) == 0 {
		t.Labels = map[string]string{h.word(): h.word(), h.word(): h.word(), "kind": h.word()}
	}
	touched[t.ID] = true
	b.Tasks = append(b.Tasks, put(t))
}

func (h *history) change(t *model.Task) model.TaskChange {
	c := model.TaskChange{ID: t.ID, From: t.Status}
	switch h.rnd.IntN(10) {
	case 0:
		if t.Status.Terminal() {
			c.Delete = true
			c.Keep = model.Time(h.rnd.IntN(5)) // 0: leaves nothing
			return c
		}
		fallthrough
	case 1:
		again := *t
		again.URL, again.Labels = "https://new.example/"+h.word(), map[string]string{"kind": h.word()}
		c.Put = &again
		return c
	}
	n := int64(h.rnd.IntN(1000))
	for bit := model.SetWorker; bit&model.SetAll != 0; bit <<= 1 {
		if h.rnd.IntN(4) == 0 {
			c.Set |= bit
		}
	}
	c.Set |= model.SetStatus
	var state model.TaskState
	fill(reflect.ValueOf(&state).Elem(), &n)
	state.WorkerID = [...]string{"", "w1", "w2"}[h.rnd.IntN(3)]
	if h.rnd.IntN(3) == 0 {
		state.Error, state.Result = nil, nil
	}
	state.Status = model.Statuses[h.rnd.IntN(len(model.Statuses))]
	state.Reason = ""
	c.State = state
	return c
}

func (h *history) apply(c *model.TaskChange) {
	before := h.tasks[c.ID]
	after := c.Apply(before)
	switch {
	case after == nil:
		delete(h.tasks, c.ID)
		for i, id := range h.ids {
			if id == c.ID {
				h.ids = append(h.ids[:i], h.ids[i+1:]...)
				break
			}
		}
		return
	case before == nil:
		h.ids, h.seen = append(h.ids, c.ID), append(h.seen, c.ID)
	}
	h.tasks[c.ID] = after
}

// query returns a random query; most match something.
func (h *history) query() *model.ListQuery {
	q := &model.ListQuery{Order: model.OrderNewest, Limit: 5 + h.rnd.IntN(60)}
	some := func() bool { return h.rnd.IntN(4) == 0 }
	for _, s := range model.Statuses {
		if h.rnd.IntN(6) == 0 {
			q.Status = append(q.Status, s)
		}
	}
	if some() {
		q.Client = fmt.Sprintf("client-%d", h.rnd.IntN(5))
	}
	if some() {
		q.WorkerID = fmt.Sprintf("w%d", 1+h.rnd.IntN(3))
	}
	if some() {
		q.Priority = model.Priority(1 + h.rnd.IntN(4))
	}
	if some() {
		q.Labels = map[string]string{h.word(): h.word()}
	} else if some() {
		q.Labels = map[string]string{"kind": h.word()}
	}
	if some() {
		q.Text = h.word()
	}
	if some() {
		q.Since = model.Time(1000 + h.rnd.IntN(100))
	}
	if some() {
		q.Until = model.Time(1000 + h.rnd.IntN(100))
	}
	if h.rnd.IntN(2) == 0 {
		q.Order = model.OrderOldest
	}
	return q
}
