package model

import "slices"

// TaskUpdate changes fields of a task. A nil field is left unchanged; an empty map or
// list or a zero time, which is "" in a request, clears the field. It doesn't change the
// [TaskSpec.Hash] of the task.
type TaskUpdate struct {
	Priority  *Priority          `json:"priority"`
	Options   *Options           `json:"options"`
	Tags      *map[string]string `json:"tags"`
	URL       *string            `json:"url"`
	Mirrors   *[]string          `json:"mirrors"`
	NotBefore *Time              `json:"not_before"`
	Labels    *map[string]string `json:"labels"`

	// MaxSize bounds the task after the change, see [TaskSpec.CheckSize].
	MaxSize int `json:"-"`
}

// Empty reports whether nothing is to change.
func (u *TaskUpdate) Empty() bool { return *u == (TaskUpdate{MaxSize: u.MaxSize}) }

// Interrupts reports whether a running download must start a new attempt to use the
// change.
func (u *TaskUpdate) Interrupts() bool {
	return u.Options != nil || u.Tags != nil || u.URL != nil || u.Mirrors != nil
}

// Apply changes the spec. The error is CodeInvalid or CodeTooLarge and names the
// field, as that of [TaskSpec.Validate]; then the spec is unchanged.
func (u *TaskUpdate) Apply(s *TaskSpec) *Error {
	c := *s
	set(&c.Priority, u.Priority)
	set(&c.Options, u.Options)
	set(&c.Tags, u.Tags)
	set(&c.URL, u.URL)
	set(&c.Mirrors, u.Mirrors)
	set(&c.NotBefore, u.NotBefore)
	set(&c.Labels, u.Labels)
	if u.Priority != nil && !c.Priority.Valid() {
		return AsError(invalid("priority", "%d is not a priority; use 1 to 4", int(c.Priority)))
	}
	checked := c
	if u.Options == nil { // those of a task that is stored may be older than a rule
		checked.Options, _ = c.Options.WithoutBreakingHeaders()
	}
	if err := checked.validate(storedFields{url: u.URL == nil, mirrors: u.Mirrors == nil, options: u.Options == nil}); err != nil {
		return AsError(err)
	}
	if u.Interrupts() || u.Labels != nil {
		if err := c.CheckSize(u.MaxSize); err != nil {
			return err
		}
	}
	c.Mirrors = slices.Clip(c.Mirrors)
	*s = c
	return nil
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}
