package model

import (
	"fmt"
	"strconv"
)

// Priority orders pending tasks: a higher one goes first, unless the dispatcher is
// configured to count a long wait as a higher priority. 0 is unset and counts as
// [PriorityNormal].
type Priority int

// The priorities. JSON takes the name or the number and prints the name.
const (
	PriorityLow    Priority = 1
	PriorityNormal Priority = 2
	PriorityHigh   Priority = 3
	PriorityUrgent Priority = 4
)

var priorityNames = [...]string{1: "low", 2: "normal", 3: "high", 4: "urgent"}

// ParsePriority reads a name or a number from 1 to 4.
func ParsePriority(s string) (Priority, error) {
	for p := PriorityLow; p <= PriorityUrgent; p++ {
		if s == priorityNames[p] || s == strconv.Itoa(int(p)) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%.40q is not a priority; use low, normal, high or urgent (1 to 4)", s)
}

// Valid reports whether p is one of the four.
func (p Priority) Valid() bool { return p >= PriorityLow && p <= PriorityUrgent }

// String returns the name.
func (p Priority) String() string {
	if !p.Valid() {
		return strconv.Itoa(int(p))
	}
	return priorityNames[p]
}

// MarshalJSON implements [json.Marshaler].
func (p Priority) MarshalJSON() ([]byte, error) {
	return p.append(nil), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Priority) UnmarshalJSON(b []byte) error {
	return readScalar(b, p, ParsePriority)
}
