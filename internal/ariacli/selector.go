package ariacli

import (
	"slices"
	"strconv"
	"strings"
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
	c.set, c.selectorNames = set, []string{"status", "worker", "label", "text", "since", "until", "priority"}
	set.StringSliceVar(&c.status, "status", nil, "select tasks by status: pending, queued, downloading, paused, completed, failed, canceled")
	set.StringVar(&c.worker, "worker", "", "select the tasks of a worker")
	set.Var(pairs{&c.labels}, "label", "select tasks with the label; repeatable")
	set.StringVar(&c.text, "text", "", "select tasks with this text in the URL")
	set.StringVar(&c.since, "since", "", "select tasks submitted since a time or date, or within a duration such as 1h or 7d")
	set.StringVar(&c.until, "until", "", "select tasks submitted before a time or date, or a duration ago")
	set.StringVar(&c.priority, "priority", "", "select tasks of a priority: low, normal, high or urgent")
	set.BoolVar(&c.allClients, "all-clients", false, "select among the tasks of all clients (observers and operators)")
}

// given reports whether a flag selects tasks. --all-clients alone does not: it would be all tasks
// of everybody.
func (c *selector) given() bool {
	for _, name := range c.selectorNames {
		if c.set.Changed(name) {
			return true
		}
	}
	return false
}

// query converts the flags. An empty value is refused: it may be a variable of a script
// that is not set, and would select every task.
func (c *selector) query() (q model.ListQuery, err error) {
	c.set.Visit(func(f *pflag.Flag) {
		if slices.Contains(c.selectorNames, f.Name) && strings.Trim(f.Value.String(), "[]") == "" && err == nil {
			err = usagef("--%s: the value is empty; leave the flag out to select tasks of any", f.Name)
		}
	})
	if err != nil {
		return q, err
	}
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
	if q.Since != 0 && q.Until != 0 && q.Since >= q.Until {
		return q, usagef("--since %s is not before --until %s: no task is between them", c.since, c.until)
	}
	check := q
	if err := check.Validate(); err != nil {
		text := strings.NewReplacer("worker_id:", "worker:", "labels", "label").Replace(err.Error())
		return q, usagef("--%s", text)
	}
	return q, nil
}

// direction is where a duration from now leads.
type direction int

const (
	ago direction = iota
	later
)

// parseDuration is time.ParseDuration with days too, such as 7d.
func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// parseTime reads a time, a date, which is its start here, or a duration before or after
// now. Empty text is no time.
func parseTime(flag, text string, now time.Time, to direction) (model.Time, error) {
	if text == "" {
		return 0, nil
	}
	if d, err := parseDuration(text); err == nil {
		if d < 0 {
			return 0, usagef("%s: %q is negative", flag, text)
		}
		if to == ago {
			d = -d
		}
		return model.Time(now.Add(d).UnixMilli()), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	for _, layout := range []string{time.DateOnly, timeLayout, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04"} {
		if err != nil {
			at, err = time.ParseInLocation(layout, text, time.Local)
		}
	}
	if err != nil {
		return 0, usagef("%s: %q is neither a time such as 2026-12-31T22:00:00Z or 2026-12-31 nor a duration such as 2h or 7d", flag, text)
	}
	return model.Time(at.UnixMilli()), nil
}
