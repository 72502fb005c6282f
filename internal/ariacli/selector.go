package ariacli

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// selector are the flags that select tasks.
type selector struct {
	status        []string
	worker, text  string
	labels        map[string]string
	since, until  string
	priority      string
	allClients    bool
	set           *pflag.FlagSet
	selectorNames []string
}

// add adds the flags.
func (c *selector) add(set *pflag.FlagSet) {
	c.set, c.selectorNames = set, []string{"status", "worker", "label", "text", "since", "until", "priority", "all-clients"}
	set.StringSliceVar(&c.status, "status", nil, "select tasks by status: pending, queued, downloading, paused, completed, failed, canceled")
	set.StringVar(&c.worker, "worker", "", "select the tasks of a worker")
	set.StringToStringVar(&c.labels, "label", nil, "select tasks with the label NAME=VALUE; repeatable")
	set.StringVar(&c.text, "text", "", "select tasks with this text in the URL")
	set.StringVar(&c.since, "since", "", "select tasks submitted since a time, or within a duration such as 1h")
	set.StringVar(&c.until, "until", "", "select tasks submitted before a time, or a duration ago")
	set.StringVar(&c.priority, "priority", "", "select tasks of a priority: low, normal, high or urgent")
	set.BoolVar(&c.allClients, "all-clients", false, "select the tasks of all clients (observers and operators)")
}

// given reports whether a flag selects tasks.
func (c *selector) given() bool {
	for _, name := range c.selectorNames {
		if c.set.Changed(name) {
			return true
		}
	}
	return false
}

// query converts the flags.
func (c *selector) query() (q model.ListQuery, err error) {
	for _, st := range c.status {
		q.Status = append(q.Status, model.Status(st))
	}
	q.WorkerID, q.Labels, q.Text = c.worker, c.labels, c.text
	if c.priority != "" {
		if q.Priority, err = model.ParsePriority(c.priority); err != nil {
			return q, usagef("--priority: %v", err)
		}
	}
	now := time.Now()
	if q.Since, err = parseTime("--since", c.since, now, ago); err != nil {
		return q, err
	}
	if q.Until, err = parseTime("--until", c.until, now, ago); err != nil {
		return q, err
	}
	check := q
	if err := check.Validate(); err != nil {
		return q, usagef("--%v", err)
	}
	return q, nil
}

// direction is where a duration from now leads.
type direction int

const (
	ago direction = iota
	later
)

// parseTime reads a time, or a duration before or after now. Empty text is no time.
func parseTime(flag, text string, now time.Time, to direction) (model.Time, error) {
	if text == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if to == ago {
			d = -d
		}
		return model.Time(now.Add(d).UnixMilli()), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, usagef("%s: %q is neither a time such as 2026-12-31T22:00:00Z nor a duration such as 2h", flag, text)
	}
	return model.Time(at.UnixMilli()), nil
}
