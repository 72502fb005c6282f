package ariatop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// parseTasks reads a filter of tasks: words status=, worker=, client=, priority= and
// label=NAME=VALUE; all other words are looked for in the URL.
func parseTasks(text string) (q model.ListQuery, err error) {
	var words []string
	for _, word := range strings.Fields(text) {
		name, value, ok := strings.Cut(word, "=")
		switch {
		case ok && name == "status":
			for _, st := range strings.Split(value, ",") {
				q.Status = append(q.Status, model.Status(st))
			}
		case ok && name == "worker":
			q.WorkerID = value
		case ok && name == "client":
			q.Client = value
		case ok && name == "priority":
			if q.Priority, err = model.ParsePriority(value); err != nil {
				return q, err
			}
		case ok && name == "label":
			key, of, ok := strings.Cut(value, "=")
			if !ok {
				return q, fmt.Errorf("label: %q is not NAME=VALUE", value)
			}
			if q.Labels == nil {
				q.Labels = make(map[string]string)
			}
			q.Labels[key] = of
		default:
			words = append(words, word)
		}
	}
	q.Text = strings.Join(words, " ")
	err = q.Validate()
	return q, err
}

// workerStatuses are the statuses of workers that are listed.
var workerStatuses = []model.WorkerStatus{model.WorkerOnline, model.WorkerBusy, model.WorkerDraining, model.WorkerOffline, model.WorkerError}

// parseWorkers reads a filter of workers: status=online,busy.
func parseWorkers(text string) (q model.WorkerQuery, err error) {
	for _, word := range strings.Fields(text) {
		value, ok := strings.CutPrefix(word, "status=")
		if !ok {
			return q, fmt.Errorf("%q is not a filter of workers; use status=online,busy", word)
		}
		for _, st := range strings.Split(value, ",") {
			status := model.WorkerStatus(st)
			if !slices.Contains(workerStatuses, status) {
				return q, fmt.Errorf("%q is not a status of workers; use online, busy, draining, offline or error", st)
			}
			q.Status = append(q.Status, status)
		}
	}
	err = q.Validate()
	return q, err
}
