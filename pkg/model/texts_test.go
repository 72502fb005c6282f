package model

import "testing"

// TestModel_TextsListWhatIsAllowed compares whole sentences about values that are
// not known, or out of their bounds.
func TestModel_TextsListWhatIsAllowed(t *testing.T) {
	query := func(change func(*ListQuery)) error {
		q := ListQuery{Limit: 10}
		change(&q)
		return q.Validate()
	}
	spec := func(change func(*TaskSpec)) error {
		s := TaskSpec{URL: "https://example.org/f"}
		change(&s)
		return s.Validate()
	}
	option := func(name, value string) error {
		return spec(func(s *TaskSpec) { s.Options = Options{name: OptionValue{value}} })
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{query(func(q *ListQuery) { q.Status = []Status{"done"} }),
			`status: "done" is not a status; use pending, queued, downloading, paused, completed, failed or canceled`},
		{query(func(q *ListQuery) { q.Order = "size" }), `order: "size" is not allowed; use -created_at or created_at`},
		{spec(func(s *TaskSpec) { s.Priority = 9 }), `priority: 9 is not a priority; use 1 to 4`},
		{spec(func(s *TaskSpec) { s.URL = "gopher://h/" }), `url: the scheme "gopher" is not supported; use http, https, ftp, sftp or magnet`},
		{option("min-split-size", "1K"), `options.min-split-size: "1K" is not a size from 1048576 to 1073741824 bytes (such as 2M)`},
		{option("max-download-limit", "fast"), `options.max-download-limit: "fast" is not a size from 0 to 1125899906842624 bytes (such as 500K)`},
	} {
		if e := AsError(c.err); e == nil || e.Message != c.want {
			t.Errorf("got  %v\nwant %s", c.err, c.want)
		}
	}
}

// TestModel_SizeExampleIsLegal holds the example of each option's error against the
// option itself.
func TestModel_SizeExampleIsLegal(t *testing.T) {
	for _, bounds := range [][2]int64{{0, 1 << 40}, {1 << 20, 1 << 30}, {1 << 30, 1 << 40}, {5, 7}, {0, 0}} {
		example := sizeExample(bounds[0], bounds[1])
		if err := sizeBetween(bounds[0], bounds[1])(example); err != nil {
			t.Errorf("the example %s for %v: %v", example, bounds, err)
		}
	}
}

// An error names its id, unless the sentence has it as a whole word.
func TestError_NamesIDOnce(t *testing.T) {
	for _, c := range []struct{ id, message, want string }{
		{"", "url: is missing", "url: is missing"},
		{"task-1", "there is no task task-1", "there is no task task-1"},
		{"task-1", "the task task-1 is failed", "the task task-1 is failed"},
		{"task-1", "the task task-12 or my-task-1", "the task task-12 or my-task-1 (id task-1)"},
		{"1", "task-1: use 1", "task-1: use 1"},
		{"4", "failed: 404 Not Found", "failed: 404 Not Found (id 4)"},
		{"a", "größe: a", "größe: a"},
	} {
		e := &Error{Message: c.message, ID: c.id}
		if got := e.Named().Message; got != c.want {
			t.Errorf("%q with the id %q: %q, want %q", c.message, c.id, got, c.want)
		}
	}
}
