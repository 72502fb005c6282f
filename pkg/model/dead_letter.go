package model

import (
	"strconv"
	"strings"
)

// DeadLetter describes a message of the intake that can never be accepted. It has no
// secrets.
type DeadLetter struct {
	Client    string    `json:"client"`               // "_" if the client's name was not valid
	Seq       uint64    `json:"seq"`                  // its sequence among the dead letters
	Time      Time      `json:"time"`                 // when it became a dead letter
	Reason    string    `json:"reason"`               // one sentence
	Code      int       `json:"code,omitempty"`       // the code of the error, such as 400
	Size      int       `json:"size"`                 // of its body, in bytes
	ID        string    `json:"id,omitempty"`         // of the task, where it can be read
	URL       string    `json:"url,omitempty"`        // of the task, where it can be read
	MsgID     string    `json:"msg_id,omitempty"`     // its Nats-Msg-Id
	IntakeSeq uint64    `json:"intake_seq,omitempty"` // its sequence in the intake; its verdicts have it too
	Spec      *TaskSpec `json:"spec,omitempty"`       // the fields that can be read; not in lists
}

// DeadLetterRef names one dead letter.
type DeadLetterRef struct {
	Client string `json:"client,omitempty"` // empty: any; otherwise that of the dead letter
	Seq    uint64 `json:"seq"`
}

// DeadLetterQuery asks for one page of dead letters, the oldest first.
type DeadLetterQuery struct {
	Client string `json:"client,omitempty"` // empty: of all clients
	Limit  int    `json:"limit,omitempty"`  // rows of the page, 1 to [MaxBatch]; default 100
	Cursor string `json:"cursor,omitempty"` // Next of the page before
}

// DeadLetterPage is one page of dead letters. Next is the cursor of the following page,
// empty at the end. A page may be shorter than the limit and still have a Next.
type DeadLetterPage struct {
	DeadLetters []*DeadLetter `json:"dead_letters"`
	Next        string        `json:"next"`
}

// Validate checks the reference; the error is CodeInvalid and names the field.
func (r *DeadLetterRef) Validate() error {
	if r.Seq == 0 {
		return invalid("seq", "is missing; list names it")
	}
	return checkOptionalName("client", r.Client)
}

// Validate checks the query and sets the default for Limit; the error is CodeInvalid and
// names the field.
func (q *DeadLetterQuery) Validate() error {
	if _, err := q.After(); err != nil {
		return invalid("cursor", "is not one that a page gave")
	}
	if err := checkOptionalName("client", q.Client); err != nil {
		return err
	}
	return checkLimit(&q.Limit)
}

// After returns the sequence after which the page begins.
func (q *DeadLetterQuery) After() (uint64, error) {
	if q.Cursor == "" {
		return 0, nil
	}
	return strconv.ParseUint(q.Cursor, 10, 63)
}

// PublicDeadSpec returns a copy of a spec that was refused, without the bytes of a
// torrent or metalink and with every secret replaced by [Redacted]. A part that is not
// valid is shown only where it cannot hold a secret: [Task.Public] finds the secrets of
// valid ones.
func PublicDeadSpec(s *TaskSpec) *TaskSpec {
	c := (&Task{TaskSpec: *s}).Public().TaskSpec
	if !ValidName(c.ID) {
		c.ID = ""
	}
	c.URL = publicDeadURL(s.URL)
	c.Mirrors = redactAll(s.Mirrors, publicDeadURL)
	var options Options
	for name, value := range c.Options {
		if options == nil {
			options = make(Options, len(c.Options))
		}
		if (Options{name: s.Options[name]}).Validate() != nil {
			value = OptionValue{Redacted}
		}
		options[name] = value
	}
	c.Options = options
	return &c
}

// publicDeadURL is RedactURL for a URL that may be invalid, and longer than a valid one.
func publicDeadURL(raw string) string {
	if strings.Contains(raw, "@") && checkURL("url", raw, true) != nil {
		return Redacted
	}
	if len(raw) > MaxURL {
		return strings.ToValidUTF8(raw[:MaxURL], "") + "…"
	}
	return RedactURL(raw)
}
